"""Evaluations in a run's folder: whole or not there."""

import json
import re
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from cfa.errors import StoreError
from cfa.runs.evaluations import (
    Evaluation,
    list_evaluations,
    new_id,
    outcomes_file,
    read_evaluation,
    read_evaluations,
    read_outcomes,
    save_evaluation,
)
from cfa.runs.rows import Scores
from cfa.stored import decode
from tests.support.tiny import tiny_config, tiny_run

OUTCOMES = {
    "image": np.array([0, 1, 2], np.int32),
    "label": np.array([0, 1, 1], np.int16),
    "clean": np.array([0, 1, 0], np.int16),
    "pgd-20": np.array([1, 1, 0], np.int16),
}


def evaluation(evaluation_id: str = "one", created: str = "2026-01-01T00:00:00+00:00") -> Evaluation:
    scores = Scores(
        epoch=3,
        split="test",
        weights="fawa",
        attack="pgd-20",
        norm="linf",
        eps=8 / 255,
        correct=(0, 1),
        total=(1, 2),
    )
    return Evaluation(
        id=evaluation_id,
        created=created,
        dataset="tiny",
        split="test",
        weights="fawa",
        checkpoint="best",
        epoch=3,
        seed=0,
        limit=None,
        scores=(scores,),
        settings={"clean": {}, "pgd-20": {"steps": 20, "tau": None}},
        findings=("a sentence",),
        class_names=("ant", "bee"),
    )


def test_an_evaluation_survives_its_file(tmp_path: Path) -> None:
    run = tiny_run(tmp_path, tiny_config())
    save_evaluation(run, evaluation(), OUTCOMES)
    assert read_evaluations(run) == [evaluation()]
    found = read_outcomes(run, "one")
    assert list(found) == list(OUTCOMES)
    for name, column in OUTCOMES.items():
        np.testing.assert_array_equal(found[name], column)
        assert found[name].dtype == column.dtype
    assert decode(evaluation().to_json().encode(), Evaluation) == evaluation()


def test_they_are_listed_oldest_first(tmp_path: Path) -> None:
    run = tiny_run(tmp_path, tiny_config())
    for name, created in (("b", "2026-01-02"), ("a", "2026-01-03"), ("c", "2026-01-01")):
        save_evaluation(run, evaluation(name, f"{created}T00:00:00+00:00"), OUTCOMES)
    assert [found.id for found in read_evaluations(run)] == ["c", "b", "a"]


def test_ids_differ_and_sort_by_time() -> None:
    ids = [new_id() for _ in range(200)]
    assert len(set(ids)) == 200
    assert [i[:15] for i in ids] == sorted(i[:15] for i in ids)
    assert all(len(i) == 24 and i[8] == "T" for i in ids)


def test_until_it_is_whole_it_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = tiny_run(tmp_path, tiny_config())

    def full_disk(table: object, where: Path, **_: object) -> None:
        Path(where).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(pq, "write_table", full_disk)
        with pytest.raises(
            StoreError, match=r"cannot write .*outcomes\.parquet \(.*No space left.*free disk space"
        ):
            save_evaluation(run, evaluation(), OUTCOMES)
    assert read_evaluations(run) == []
    assert list(outcomes_file(run, "one").parent.iterdir()) == []
    save_evaluation(run, evaluation(), OUTCOMES)
    assert len(read_evaluations(run)) == 1


@pytest.mark.parametrize("content", ["{half", "{}", "[]", json.dumps({"scores": [], "unknown": 1})])
def test_a_damaged_one_is_named(tmp_path: Path, content: str) -> None:
    run = tiny_run(tmp_path, tiny_config())
    save_evaluation(run, evaluation(), OUTCOMES)
    outcomes_file(run, "one").with_name("evaluation.json").write_text(content)
    save_evaluation(run, evaluation("two"), OUTCOMES)
    listed = list_evaluations(run)
    assert listed.found == (evaluation("two"),)
    (problem,) = listed.problems
    assert re.match(
        rf"run {run.id}: evaluation one cannot be read \(.+\); restore or delete that folder", problem
    )
    with pytest.raises(StoreError, match=r"evaluation one cannot be read \(.+\)"):
        read_evaluation(run, "one")
