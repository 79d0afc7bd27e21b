"""Runs whose every text tries to be more than a text, in tables, reports and trackers of ours."""

import csv
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from cfa.runs.folder import RunFolder
from cfa.tables.exports import export_runs
from cfa.tables.written import make_report, write_report
from tests.support.require import require
from tests.test_escaping import STARTS, original, read, seen

IN_BODY = {"h1", "h2", "h3", "p", "b", "ul", "li", "pre", "table", "thead", "tbody", "tr", "th", "td"}
CLASSES = ("=1+1", "-2+3", "![x](http://a.test/x)|[y](http://a.test)\n# z")
NAMES = (
    '=cmd|" /C calc"!A0 </script><img src=x>',
    '[x]: http://a.test `code` **b** $x$ \\ & % # _ { } ~ ^ < > | " [a]* -- 猫 é \u202e\x1b[2J\n\n```\nb',
)


@pytest.fixture
def runs(make_run, evaluated) -> list[RunFolder]:
    made = []
    for number, name in enumerate(NAMES):
        run: RunFolder = make_run(f"run {number}", seed=number, method=("trades", "trades-cfa")[number])
        evaluated(run, {"clean": (90, 80, 95), "pgd-20": (20 + 60 * number, 40, 70)})
        name_classes(run)
        (run.path / "label.json").write_text(json.dumps({"name": name, "tags": ["=1"], "notes": "=2"}))
        made.append(run)
    return made


def name_classes(run: RunFolder) -> None:
    for file in run.path.glob("evaluations/*/evaluation.json"):
        fields = json.loads(file.read_text())
        file.write_text(json.dumps(fields | {"class_names": CLASSES}))


def columns(file: Path) -> dict[str, list[str]]:
    """Read a CSV file; no cell of it may be run, and every one is given as it was written down."""
    with file.open(newline="") as stream:
        rows = list(csv.reader(stream))
    for cell in (cell for row in rows for cell in row):
        assert not cell.startswith(STARTS) or re.fullmatch(r"[+-]?[\d.]+(e[+-]?\d+)?", cell), cell
    return {name: [original(row[place]) for row in rows[1:]] for place, name in enumerate(rows[0])}


def test_every_table_of_an_export_can_be_opened_in_a_spreadsheet(runs, tmp_path: Path) -> None:
    export_runs(runs, tmp_path / "out")
    files = sorted((tmp_path / "out").glob("*.csv"))
    assert len(files) == 5
    tables = {file.stem: columns(file) for file in files}
    assert set(tables["per_class"]["class_name"]) == set(CLASSES)
    ids = {run.id for run in runs}  # a name that nobody could have given here is not shown at all
    assert set(tables["per_class"]["run_name"]) == set(tables["summary"]["run_name"]) == ids
    assert set(tables["summary"]["worst_class"]) <= set(CLASSES)


def test_a_comparison_as_csv_can_be_opened_in_a_spreadsheet(runs, tmp_path: Path) -> None:
    for file in write_report(make_report(runs, runs[0]), tmp_path / "out.csv"):
        assert set(columns(file)["run_name"]) == {run.id for run in runs}


def test_a_comparison_in_markdown_shows_the_texts(runs, tmp_path: Path) -> None:
    (file,) = write_report(make_report([*runs], runs[0]), tmp_path / "out.md")
    text = file.read_text()
    said, tags = read(MarkdownIt("commonmark").enable("table").render(text))
    assert tags <= IN_BODY | {"code"}
    assert seen(CLASSES[0]) in seen(said)
    (block,) = [token for token in MarkdownIt("commonmark").parse(text) if token.type == "fence"]
    assert block.content.count("cfa train") == 2
    assert block.content.splitlines()[-1].startswith("cfa compare")
    assert text.isprintable() or not set(text) & set("\x1b\u202e")


def test_a_comparison_in_latex_compiles(runs, make_run, evaluated, tmp_path: Path) -> None:
    require("latex", shutil.which("pdflatex"), "there is no pdflatex (apt: texlive-latex-recommended)")
    for number in range(2):  # of one method: rows are then called by the runs' names
        run = make_run(f"猫 é_{number} (x)", seed=9, method="trades", init=f"x{number}")
        evaluated(run, {"clean": (90, 80, 95), "pgd-20": (1, 2, 3)}, total=(100, 100, 100 - number))
        name_classes(run)
        runs.append(run)
    (file,) = write_report(make_report(runs, runs[0]), tmp_path / "table.tex")
    body = file.read_text()
    assert r"\cfachar{猫}{732B}" in body
    (tmp_path / "page.tex").write_text(
        "\\documentclass{article}\\usepackage{booktabs}\\begin{document}\n\\input{table}\n\\end{document}\n"
    )
    done = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "page.tex"],
        cwd=tmp_path,
        capture_output=True,
        timeout=120,
        check=False,
    )
    said = done.stdout.decode(errors="replace")
    assert done.returncode == 0, said[-2000:]
    assert not re.search(r"Undefined|Missing|unavailable", said)


def test_a_comparison_in_html_holds_no_element_of_theirs(runs, tmp_path: Path) -> None:
    (file,) = write_report(make_report(runs, runs[0]), tmp_path / "out.html")
    text = file.read_text(encoding="utf-8")
    scripts = re.findall(r"<script[^>]*>(.*?)</script>", text, flags=re.DOTALL)
    assert len(scripts) == 3  # plotly, the figures as data, and what draws them
    json.loads(scripts[1])
    left = re.sub(r"<(script|style)[^>]*>.*?</\1>", "", text, flags=re.DOTALL)
    ours = IN_BODY | {"doctype", "html", "head", "meta", "title", "body", "div"}
    assert {tag.lower() for tag in re.findall(r"<!?([a-zA-Z]\w*)", left)} <= ours
    assert not set(left) & set("\x1b\u202e")
