"""A figure of weights that a run no longer has is in no table, no document and no export.

The issue's own case: a paused run is evaluated in full, goes on to a new best, and is evaluated on 1,000
images.
"""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from app.report import page
from cfa.evaluation import default_weights
from cfa.methods import display_name
from cfa.runs.folder import RunFolder
from cfa.runs.store import Store
from cfa.suites.report import report_suite
from cfa.suites.suite import Suite
from cfa.tables.comparison import compare
from cfa.tables.documents import latex, markdown
from cfa.tables.exports import write_tables
from cfa.tables.frames import fairness_frame, per_class_frame, summary_frame
from cfa.tables.leaderboard import leaderboard
from cfa.tables.statements import statements
from cfa.tables.trackers import scalars
from cfa.tables.written import make_report, write_report
from tests.support.resumed import EPS, OLD_FRACTIONS, OLD_PERCENT, peer_run, resumed_run


@pytest.fixture
def store(home: Path) -> Store:
    return Store.open(home, shipped=None)


@pytest.fixture
def runs(store) -> tuple[RunFolder, RunFolder]:
    return resumed_run(store, hashed=True)[0], peer_run(store)


def as_text(folder: Path, runs: tuple[RunFolder, RunFolder], ending: str) -> str:
    written = write_report(make_report(runs, runs[1]), folder / f"report{ending}")
    return "\n".join(file.read_text(encoding="utf-8") for file in written)


def suite(**evaluation: object) -> Suite:
    return Suite.model_validate(
        {
            "title": "mine",
            "datasets": ["fashion-mnist-mini"],
            "methods": ["trades"],
            "evaluations": [
                {"attacks": ["clean", "pgd-20"], "weights": ["online"], "eps": EPS, **evaluation}
            ],
        }
    )


def numbers(text: str) -> list[str]:
    return re.findall(r"\d{1,3}(?:,\d{3})+(?!\d)|\d+(?:\.\d+)?", text)


def old_figures(text: str) -> list[str]:
    """List the numbers of a text that are figures of the old weights, or their 10,000 images."""
    known = {*OLD_PERCENT, *(f"{value:.10g}" for value in OLD_FRACTIONS), "10000", "10,000"}
    short = {number: f"{float(number):.10g}" for number in numbers(text) if number.count(".") == 1}
    return [number for number in numbers(text) if number in known or short.get(number) in known]


PLACES: dict[str, Callable[..., str]] = {
    "per-class frame": lambda runs, store, folder: per_class_frame(runs).to_csv(),
    "summary frame": lambda runs, store, folder: summary_frame(per_class_frame(runs)).to_csv(),
    "fairness frame": lambda runs, store, folder: fairness_frame(per_class_frame(runs)).to_csv(),
    "comparison": lambda runs, store, folder: json.dumps(compare(runs, runs[1], default_weights).document()),
    "statements": lambda runs, store, folder: str(statements(runs[1:], runs[:1], default_weights)) + " 0.38",
    "leaderboard": lambda runs, store, folder: leaderboard(runs, [], display_name).to_csv(),
    "trackers": lambda runs, store, folder: "\n".join(map(str, scalars(runs[0]))),
    "Markdown": lambda runs, store, folder: markdown(make_report(runs, runs[1])),
    "LaTeX": lambda runs, store, folder: latex(make_report(runs, runs[1])),
    "HTML": lambda runs, store, folder: re.sub(
        r"<(script|style)\b.*?</\1>", "", page(make_report(runs, runs[1])), flags=re.DOTALL
    ),
    "CSV of a comparison": lambda runs, store, folder: as_text(folder, runs, ".csv"),
    "suite, all images": lambda runs, store, folder: report_suite(store, suite()).markdown(),
    "suite, 1,000 images": lambda runs, store, folder: report_suite(store, suite(limit=1000)).csv(),
}


@pytest.mark.parametrize("place", PLACES)
def test_the_old_figure_is_nowhere(runs, store, tmp_path: Path, place: str) -> None:
    text = PLACES[place](runs, store, tmp_path)
    unmarked = re.sub(r"[^\n<>]*is of epoch 3[^\n<>]*", "", text)
    assert old_figures(unmarked) == []
    if place != "suite, all images":
        assert {"38.0", "0.38"} & set(numbers(text))  # the new worst class is there


def test_an_evaluation_that_names_only_its_epoch_is_as_old(store) -> None:
    """As older versions wrote them, without a hash."""
    run, _ = resumed_run(store, hashed=False)
    assert set(zip(*per_class_frame([run])[["attack", "epoch", "total"]].to_numpy().T, strict=True)) == {
        ("clean", 8, 100),
        ("pgd-20", 8, 100),
    }


def test_an_export_holds_it_in_no_table(runs, tmp_path: Path) -> None:
    write_tables(runs, tmp_path)
    for name in ("per_class.csv", "summary.csv"):
        text = (tmp_path / name).read_text()
        assert old_figures(text) == []
        assert "resumed" in text


def test_a_suite_does_not_take_it_for_done(runs, store) -> None:
    report = report_suite(store, suite())
    assert (report.evaluations, report.evaluations_done, report.lines[1].runs) == (1, 0, 0)
    assert report_suite(store, suite(limit=1000)).evaluations_done == 1


def test_documents_say_that_it_is_left_out(runs) -> None:
    said = (
        "resumed: pgd-20, pgd-50 on 10,000 images is of epoch 3, and the best online weights are others now"
    )
    report = make_report(runs, runs[1])
    assert sum(mark.startswith(said) for mark in report.marks) == 1
    for text in (markdown(report), latex(report), page(report)):
        assert said.replace("_", r"\_") in text


def test_the_command_says_it_as_well(runs, cfa, no_shipped_runs) -> None:
    done = cfa("compare", "resumed", "peer")
    assert "38.0%" in done.stdout
    assert old_figures(done.stdout) == []
    assert "resumed: pgd-20, pgd-50 on 10,000 images is of epoch 3" in done.stderr
