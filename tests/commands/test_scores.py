"""Rows that would look alike say what tells them apart: the budget, the norm, the data set."""

import pytest

from cfa.runs.store import Store
from tests.support.resumed import evaluate as store_evaluation
from tests.support.resumed import make_run

COUNTS = {"clean": (60,) * 10, "pgd-20": (40,) * 10}


@pytest.fixture
def two(store: Store):
    return [make_run(store, name) for name in ("one", "other")]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({}, ["15/255"]),
        ({"dataset": "folder:pets"}, ["fashion-mnist-mini", "folder:pets"]),
    ],
    ids=["budget", "data set"],
)
def test_no_two_rows_of_a_comparison_look_alike(two, cfa, changes, told) -> None:
    for run in two:
        for day, fields in enumerate(({}, changes), start=1):
            created = f"2026-01-{day:02d}T00:00:00+00:00"
            store_evaluation(run, COUNTS, 100, epoch=1, created=created, **fields)
    lines = cfa("compare", "one", "other").stdout.splitlines()
    rows = [line for line in lines if line.startswith(("one", "other"))]
    assert rows
    assert len(set(rows)) == len(rows)
    differences = [line for line in rows if "(online)" in line]
    for text in told:
        assert sum(text in line for line in differences) >= 1
