"""Reports as text: what stands in them, and that LaTeX and Markdown survive any name."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from cfa.config import EXTERNAL
from cfa.methods import display_name
from cfa.tables.documents import build_report, headings, latex, markdown, table
from cfa.tables.headings import Heading
from tests.support.require import require


def online(run) -> str:
    return "online"


def command(config) -> str:
    return f"cfa train --method {config.method} --seed {config.seed}"


@pytest.fixture
def report(make_run, evaluated):
    """Compare two seeds of TRADES with two of TRADES + CFA, under two attacks."""
    runs = []
    for method, gain in (("trades", 0), ("trades-cfa", 10)):
        for seed in (0, 1):
            run = make_run(f"{method}_s{seed}", method, seed=seed)
            counts = (50 + gain + seed, 40 + gain, 70 - seed)
            evaluated(run, {"clean": (90, 80, 95), "pgd-20": counts})
            runs.append(run)
    return build_report(runs, runs[0], online, display_name, command)


def test_seeds_are_one_row_with_their_spread(report) -> None:
    assert headings(report) == [
        Heading("fashion", "clean", "none", 0.0),
        Heading("fashion", "pgd-20", "linf", 8 / 255),
    ]
    rows = dict(table(report))
    assert list(rows) == ["TRADES (2 seeds)", "TRADES + CCM + CCR (2 seeds)"]
    cell = rows["TRADES + CCM + CCR (2 seeds)"][1]
    assert cell is not None
    assert cell.mean == pytest.approx((180 + 180) / 600)
    assert (cell.worst, cell.worst_spread) == (pytest.approx(0.5), pytest.approx(0))


def test_markdown_has_the_table_what_is_certain_and_the_commands(report) -> None:
    text = markdown(report)
    assert "| TRADES (2 seeds) | 88.3 ± 0.0 | 80.0 ± 0.0 | 53.3 ± 0.0 | 40.0 ± 0.0 |" in text
    assert "worst class +10.0 (no interval: what does not differ between seeds" in text
    assert "(2 and 2 seeds, Welch's t)" in text
    assert "cfa train --method trades-cfa --seed 1 --name trades-cfa_s1" in text
    assert "cfa compare trades_s0 trades_s1 trades-cfa_s0 trades-cfa_s1 --baseline trades_s0" in text


def test_latex_is_a_booktabs_table_with_the_best_in_bold(report) -> None:
    text = latex(report)
    assert r"\begin{tabular}{lcccc}" in text
    assert r"\multicolumn{2}{c}{pgd-20, 8/255}" in text
    (best,) = [line for line in text.splitlines() if line.startswith("TRADES + CCM + CCR")]
    assert best.endswith(r"\textbf{60.0} $\pm$ 0.0 & \textbf{50.0} $\pm$ 0.0 \\")
    assert text.count(r"\textbf{88.3}") == 2  # equal best ones are both bold
    assert [text.count(rule) for rule in (r"\toprule", r"\midrule", r"\bottomrule")] == [1, 1, 1]
    columns = {line.count("&") for line in text.splitlines() if line.startswith("TRADES")}
    assert columns == {4}


def test_marks_follow_a_run_into_every_format(make_run, evaluated) -> None:
    from cfa.config import TrainSettings

    runs = [make_run("a"), make_run("b_1", "trades-cfa", train=TrainSettings(select_on="test"))]
    for run in runs:
        evaluated(run, {"pgd-20": (1, 2, 3)})
    report = build_report(runs, runs[0], online, display_name, command)
    assert report.marks[0] == f"b_1: {runs[1].config.marks()[0]}"
    assert report.marks[1].startswith("b_1: Not comparable: its checkpoint was chosen on test images")
    assert all(not found for found in report.statements.values())
    assert "b_1: selected on test" in markdown(report)
    assert r"b\_1: selected on test" in latex(report)


def test_unequal_numbers_of_images_are_marked(make_run, evaluated) -> None:
    a, b = make_run("a"), make_run("b", "trades-cfa")
    evaluated(a, {"pgd-20": (1, 2, 3)})
    evaluated(b, {"pgd-20": (1, 2, 3)}, total=(10, 10, 10))
    report = build_report([a, b], a, online, display_name, command)
    assert report.marks == ("pgd-20, 8/255: not all on the same images (from 30 to 300 of them)",)


def test_data_sets_are_columns_of_their_own_and_no_seeds(make_run, evaluated) -> None:
    """One run of each method; averaged over data sets the mean would be that of neither."""
    runs = [make_run("a"), make_run("b", "trades-cfa")]
    counts = {
        ("a", "fashion"): {"clean": (90, 80, 70), "pgd-20": (60, 50, 40)},
        ("a", "digits"): {"clean": (30, 20, 10), "pgd-20": (9, 6, 3)},
        ("b", "fashion"): {"clean": (99, 81, 72), "pgd-20": (63, 54, 45)},
        ("b", "digits"): {"clean": (33, 24, 15), "pgd-20": (12, 9, 6)},
    }
    for run in runs:
        evaluated(run, counts[run.name, "fashion"])
        evaluated(run, counts[run.name, "digits"], dataset="digits", total=(50, 50, 50))
    report = build_report(runs, runs[0], online, display_name, command)
    for run, (_, cells) in zip(runs, table(report), strict=True):
        found = {
            (heading.dataset, heading.attack): (cell.mean, cell.worst, cell.images, cell.mean_spread)
            for heading, cell in zip(headings(report), cells, strict=True)
            if cell is not None
        }
        for dataset, total in (("fashion", 100), ("digits", 50)):
            for attack, correct in counts[run.name, dataset].items():
                expected = (sum(correct) / total / 3, min(correct) / total, 3 * total, None)
                assert found[dataset, attack] == pytest.approx(expected)
    text = markdown(report)
    assert "| clean on fashion: mean |" in text.replace("\\", "")
    assert "| TRADES | 80.0 | 70.0 | 50.0 | 40.0 | 40.0 | 20.0 | 12.0 | 6.0 |" in text
    assert "clean on fashion: 300; pgd-20, 8/255 on fashion: 300; clean on digits: 150" in text
    assert report.marks == ()
    said = [line for line in text.splitlines() if line.startswith("- ")]
    assert len(said) == len({line.partition(":")[0] for line in said}) == 4
    heads = next(line for line in latex(report).splitlines() if "multicolumn" in line)
    assert [heads.count(f"on {dataset}}}") for dataset in ("fashion", "digits")] == [2, 2]


def test_two_models_of_others_are_two_whatever_they_say_of_themselves(make_run, evaluated) -> None:
    runs = [make_run(name, EXTERNAL) for name in ("w1", "w2")]
    for run, correct in zip(runs, ((10, 20, 30), (40, 50, 60)), strict=True):
        evaluated(run, {"pgd-20": correct}, weights="file", checkpoint="file")
    report = build_report(runs, runs[0], lambda run: "file", display_name, command)
    assert [(label, cells[0].mean) for label, cells in table(report) if cells[0]] == [
        ("w1 · file", pytest.approx(0.2)),
        ("w2 · file", pytest.approx(0.5)),
    ]
    assert report.title == "w2 against w1"
    assert "w2, pgd-20, 8/255" in markdown(report).replace("\\", "")


@pytest.mark.parametrize(
    ("condition", "title"),
    [
        (("clean", "none", 0.0), "clean"),
        (("pgd-20", "linf", 8 / 255), "pgd-20, 8/255"),
        (("fab", "l2", 0.5), "fab, l2 0.5"),
    ],
)
def test_conditions_have_short_titles(condition, title) -> None:
    heading, elsewhere = Heading("fashion", *condition), Heading("digits", "clean", "none", 0.0)
    assert heading.title([heading]) == title
    assert heading.title([heading, elsewhere]) == f"{title} on fashion"


def test_latex_compiles(report, tmp_path: Path) -> None:
    require("latex", shutil.which("pdflatex"), "there is no pdflatex (apt: texlive-latex-recommended)")
    source = tmp_path / "table.tex"
    body = latex(report)
    source.write_text(
        "\\documentclass{article}\\usepackage{booktabs}\\begin{document}\n" + body + "\\end{document}\n"
    )
    done = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", source.name],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:]
    assert not re.search(r"Undefined|Missing", done.stdout)
    assert source.with_suffix(".pdf").stat().st_size > 1000
