"""Numbers edited in a copied run: what disagrees with the outcomes beside it is said, and not imported."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from cfa.runs.evaluations import read_evaluations
from cfa.runs.imports import import_runs
from cfa.runs.listed import problems_of
from cfa.runs.store import Store
from tests.support.resumed import evaluate, make_run

COUNTS = {"clean": (90,) * 10, "pgd-20": (50,) * 10}


def of_pgd(change: dict[str, Any]) -> Callable[[dict[str, Any]], None]:
    return lambda stored: stored["scores"][1].update(change)


def halve(stored: dict[str, Any]) -> None:
    for scores in stored["scores"]:
        scores["correct"] = [count // 2 for count in scores["correct"]]
        scores["total"] = [count // 2 for count in scores["total"]]


EDITED: dict[str, tuple[Callable[[dict[str, Any]], None], str]] = {
    "more right": (of_pgd({"correct": [60] * 10}), "counts of pgd-20 are not those"),
    "one image more": (of_pgd({"correct": [51] + [50] * 9}), "counts of pgd-20 are not those"),
    "classes exchanged": (
        lambda stored: stored["scores"][0].update(correct=[100, 80] + [90] * 8),
        "counts of clean are not those",
    ),
    "half of the images": (halve, "counts of clean are not those"),
    "another attack": (of_pgd({"attack": "autoattack"}), "know no attack autoattack"),
    "a larger budget": (of_pgd({"eps": 31 / 255}), "another budget than 31/255"),
}


@pytest.mark.parametrize("case", EDITED)
def test_edited_numbers_are_told_and_not_imported(store, tmp_path, case: str) -> None:
    edit, said = EDITED[case]
    run = make_run(store, "a")
    evaluation = evaluate(run, COUNTS, 100, epoch=1, created="2026-01-01T00:00:00+00:00")
    assert problems_of([run]) == []
    file = run.path / "evaluations" / evaluation.id / "evaluation.json"
    stored = json.loads(file.read_text())
    edit(stored)
    file.write_text(json.dumps(stored))
    assert len(read_evaluations(run)) == 1  # it still parses
    problems = problems_of([run])
    assert len(problems) == 1
    assert said in problems[0]
    elsewhere = Store.open(tmp_path / "elsewhere", shipped=None)
    imported = import_runs(elsewhere, run.path)
    assert read_evaluations(imported.runs[0]) == []
    assert any(said in left.reason for left in imported.left_out[run.id])


def test_what_kept_no_outcomes_is_believed(store) -> None:
    run = make_run(store, "a")
    evaluation = evaluate(run, COUNTS, 100, epoch=1, created="2026-01-01T00:00:00+00:00")
    (run.path / "evaluations" / evaluation.id / "outcomes.parquet").unlink()
    assert problems_of([run]) == []
