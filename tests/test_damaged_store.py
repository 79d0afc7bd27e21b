"""One run, evaluation or row that is damaged is listed as that, and everything beside it goes on."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cfa.config import RunConfig
from cfa.errors import ConfigError, StoreError
from cfa.evaluation import default_weights
from cfa.runs.evaluations import (
    MOST_CELLS,
    Evaluation,
    list_evaluations,
    read_outcomes,
    save_evaluation,
)
from cfa.runs.folder import FILES, Manifest, RunFolder
from cfa.runs.listed import ReadableRun, UnreadableRun, list_runs, look_at, problems_of
from cfa.runs.rows import Epoch, KnobValues, Scores, append_rows
from cfa.runs.store import Store
from cfa.tables.frames import history_frame, per_class_frame
from cfa.tables.leaderboard import leaderboard
from tests.support.damage import OF_ANY_FILE, Damage, changed, content

pytestmark = pytest.mark.usefixtures("no_shipped_runs")

CLASSES = ("ant", "bee", "cow")
CONFIG = RunConfig(method="trades", dataset="fashion-mnist-mini", model="small-cnn", preset="demo")


def scores(correct: tuple[int, ...] = (5, 6, 7), split: str = "test", epoch: int = 1) -> Scores:
    fields = {"weights": "online", "attack": "pgd-20", "norm": "linf", "eps": 8 / 255}
    return Scores(epoch=epoch, split=split, correct=correct, total=(10, 10, 10), **fields)


def evaluate(run: RunFolder, evaluation_id: str, correct: tuple[int, ...] = (5, 6, 7)) -> Path:
    made = Evaluation(
        id=evaluation_id,
        created="2026-01-01T00:00:00+00:00",
        dataset="fashion-mnist-mini",
        split="test",
        weights="online",
        checkpoint="best",
        epoch=1,
        seed=0,
        limit=None,
        scores=(scores(correct),),
        settings={},
        class_names=CLASSES,
    )
    save_evaluation(run, made, {"image": np.arange(3)})
    return run.path / "evaluations" / evaluation_id / "evaluation.json"


def make_run(store: Store, name: str) -> RunFolder:
    run = store.create(CONFIG, name)
    run.write_manifest(
        Manifest("2026-01-01T00:00:00+00:00", "1", {}, "cpu", 1, "f", CLASSES, (9, 9, 9), (1, 1, 1), {})
    )
    knobs = KnobValues(
        epoch=1, values={"eps": (0.1,) * 3, "clean_weight": (0.5,) * 3, "robust_weight": (0.5,) * 3}
    )
    whole = Epoch(
        epoch=1,
        learning_rate=0.1,
        loss=1.0,
        seconds=1.0,
        images_per_second=1.0,
        gate_worst=None,
        gate_threshold=None,
        gate_accepted=None,
    )
    append_rows(run.history_file, [scores(split="val"), knobs, whole])
    run.write_status("finished", 1)
    run.state_file.write_bytes(b"x" * 100)
    evaluate(run, "e1")
    return run


@pytest.fixture(autouse=True)
def no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


@pytest.fixture
def good(store: Store) -> tuple[RunFolder, RunFolder]:
    return make_run(store, "good"), make_run(store, "better")


def command(call, *words: str) -> str:
    """Call a command and return what it printed, but for what the clock says."""
    result = call(*words)
    return result.stdout


# Runs ------------------------------------------------------------------------------------------------------

OF_ITS_OWN: dict[str, dict[str, Damage]] = {
    "config.json": {
        "missing": lambda file: file.unlink(),
        "a value of another type": changed(seed="zero"),
        "a setting out of bounds": changed(seed=-1),
        "a setting that is missing": changed(method=...),
    },
    "manifest.json": {
        "counts that are negative": changed(train_counts=[-1, 2, 3]),
        "counts of other classes": changed(train_counts=[1, 2]),
        "names that are numbers": changed(class_names=[1, 2, 3]),
        "a name without end": changed(class_names=["a" * 1000, "b", "c"]),
    },
    "status.json": {
        "a state that there is none of": changed(state="dreaming"),
        "an epoch that is negative": changed(epoch=-3),
        "an epoch in words": changed(epoch="three"),
        "a time that is none": changed(updated="yesterday"),
    },
}
CASES: dict[str, tuple[tuple[str, ...], Damage]] = {
    **{name: (FILES[:3], damage) for name, damage in OF_ANY_FILE.items()},
    **{
        f"{file}: {name}": ((file,), damage)
        for file, own in OF_ITS_OWN.items()
        for name, damage in own.items()
    },
}


@pytest.mark.parametrize(("files", "damage"), CASES.values(), ids=CASES)
def test_a_damaged_run_is_listed_as_that(good, store: Store, cfa, files, damage: Damage) -> None:
    bad = {make_run(store, f"bad {file}").id: file for file in files}
    for run_id, file in bad.items():
        damage(store.runs_folder / run_id / file)
    rows = {row["id"]: row for row in cfa("runs", "--json")}
    assert [rows[run.id]["state"] for run in good] == ["finished", "finished"]
    for run_id, file in bad.items():
        assert rows[run_id]["state"] == "unreadable"
        assert f"run {run_id}: {file} cannot be read (" in rows[run_id]["message"]
        assert rows[run_id]["message"].isprintable()
    assert store.find("good").id == good[0].id
    assert store.free_name("good") == "good-2"


@pytest.mark.parametrize("damage", OF_ANY_FILE.values(), ids=OF_ANY_FILE)
def test_a_damaged_label_costs_the_name_alone(good, store: Store, damage: Damage) -> None:
    bad = make_run(store, "bad")
    damage(bad.path / "label.json")
    found = look_at(bad)
    assert isinstance(found, ReadableRun)
    assert found.label.name == bad.id
    assert "label.json cannot be read (" in found.label.notes
    assert store.find(bad.id).id == bad.id
    store.relabel(store.find("good"), good[0].label)


@pytest.mark.parametrize("name", ["\x1b[2J", "a\nb", "../up", "=1+1", "", " ", "a\u202eb", "x" * 101])
def test_a_name_that_is_not_usable_gives_way_to_the_id(good, store: Store, cfa, name: str) -> None:
    bad = make_run(store, "bad")
    changed(name=name)(bad.path / "label.json")
    assert bad.name == bad.id
    assert bad.id in command(cfa, "runs")


def as_link(run: RunFolder) -> None:
    elsewhere = run.path.parents[1] / "elsewhere"
    shutil.move(run.path, elsewhere)
    run.path.symlink_to(elsewhere)


def as_broken_link(run: RunFolder) -> None:
    shutil.rmtree(run.path)
    run.path.symlink_to("/nowhere/at/all")


PLACES: dict[str, Callable[[RunFolder], object]] = {
    "a link": as_link,
    "a broken link": as_broken_link,
    "a name with a line break": lambda run: run.path.rename(run.path.with_name("bro\nken")),
    "a name with blanks": lambda run: run.path.rename(run.path.with_name("a copy of it")),
    "a lock that is a folder": lambda run: (run.write_status("running", 1), run.lock_file.mkdir()),
    "a lock that is a pipe": lambda run: (run.write_status("running", 1), os.mkfifo(run.lock_file)),
}


@pytest.mark.parametrize("put", PLACES.values(), ids=PLACES)
def test_a_run_in_an_odd_place_is_listed_as_that(good, store: Store, cfa, put) -> None:
    put(make_run(store, "bad"))
    rows = cfa("runs", "--json")
    assert sorted(row["state"] for row in rows) == ["finished", "finished", "unreadable"]
    assert all(row["message"].isprintable() for row in rows)
    assert len(command(cfa, "runs").splitlines()) == 4


def test_what_is_no_run_is_not_listed(good, store: Store) -> None:
    (store.runs_folder / "stray").mkdir()
    (store.runs_folder / "stray" / "mine.txt").write_text("x")
    (store.runs_folder / "file").write_text("x")
    (store.runs_folder / "linked file").symlink_to(store.runs_folder / "file")
    os.mkfifo(store.runs_folder / "pipe")
    assert [run.id for run in store.runs()] == [run.id for run in good]


def evaluation_of(run: RunFolder) -> Path:
    return run.path / "evaluations" / "e1" / "evaluation.json"


BROKEN: dict[str, Callable[[RunFolder], object]] = {
    **{f"{file}, half a file": lambda run, f=file: content(b"{")(run.path / f) for file in FILES},
    "status.json, a pipe": lambda run: OF_ANY_FILE["a pipe"](run.path / "status.json"),
    "a link": as_link,
    "evaluation, half a file": lambda run: content(b"{")(evaluation_of(run)),
    "evaluations, a file": lambda run: (
        shutil.rmtree(run.path / "evaluations"),
        content(b"")(run.path / "evaluations"),
    ),
}
SUITE = """
title = "t"
methods = ["trades"]
dataset = "fashion-mnist-mini"
seeds = [0]
model = "small-cnn"
preset = "demo"
"""


def test_commands_about_others_say_what_they_said_before(good, store: Store, cfa, tmp_path: Path) -> None:
    (tmp_path / "suite.toml").write_text(SUITE)
    bad = {name: make_run(store, f"bad {number}") for number, name in enumerate(BROKEN)}
    for run in bad.values():
        run.write_status("failed", 1)  # so that nothing of it is pruned, nor stands for a run of the suite

    def outputs(folder: str) -> list[str]:
        said = [
            command(cfa, "compare", "good", "better"),
            command(cfa, "suite", "report", str(tmp_path / "suite.toml")),
            command(cfa, "prune", "--dry-run"),
            command(cfa, "jobs"),
        ]
        cfa("export", "good", "better", "--out", str(tmp_path / folder))
        return [*said, *(file.read_text() for file in sorted((tmp_path / folder).glob("*.csv")))]

    before = outputs("before")
    for name, run in bad.items():
        BROKEN[name](run)
    assert outputs("after") == before
    readable = [run.folder for run in list_runs(store) if isinstance(run, ReadableRun)]
    assert len(leaderboard(readable, [], lambda method, weights: method)) > 0


@pytest.mark.parametrize(
    ("file", "words"),
    [
        ("config.json", ("compare", "good", "bad")),
        ("config.json", ("evaluate", "bad", "--attack", "clean")),
        ("status.json", ("resume", "bad")),
        ("manifest.json", ("compare", "good", "bad")),
        ("history.jsonl", ("export", "bad", "--tensorboard", "never")),
    ],
    ids=lambda value: value if isinstance(value, str) else value[0],
)
def test_a_command_about_the_damaged_one_is_a_sentence(good, store: Store, cfa, file, words) -> None:
    bad = make_run(store, "bad").path / file
    OF_ANY_FILE["a folder"](bad)
    assert f"{file} cannot be read (a folder stands in its place)" in cfa(*words, code=1).stderr
    assert not Path("never").exists()


def test_a_damaged_run_can_be_deleted(good, store: Store) -> None:
    bad = make_run(store, "bad")
    content(b"{")(bad.path / "config.json")
    bad.delete()
    assert not bad.path.exists()


def test_deleting_a_linked_run_leaves_what_it_points_to(good, store: Store) -> None:
    bad = make_run(store, "bad")
    as_link(bad)
    bad.delete()
    assert not bad.path.is_symlink()
    assert (store.home / "elsewhere" / "config.json").exists()


# Evaluations -----------------------------------------------------------------------------------------------


def score(fields: dict[str, object]) -> object:
    return json.loads(json.dumps(vars(scores()) | fields))


BAD_EVALUATIONS: dict[str, Damage] = {
    **OF_ANY_FILE,
    "more right than there are": changed(scores=[score({"correct": [11, 1, 1]})]),
    "no image": changed(scores=[score({"correct": [0] * 3, "total": [0] * 3})]),
    "a class without an image": changed(scores=[score({"correct": [0, 1, 1], "total": [0, 9, 9]})]),
    "no class": changed(scores=[score({"correct": [], "total": []})]),
    "fewer than none": changed(scores=[score({"correct": [-1, 1, 1]})]),
    "halves of images": changed(scores=[score({"correct": [0.5, 1, 1]})]),
    "counts of other classes": changed(class_names=["ant", "bee"]),
    "no scores": changed(scores=...),
    "the id of another": changed(id="e1"),
    "an id that is a path": changed(id="../../other"),
    "a time that is none": changed(created="now"),
    "a time without a date elsewhere": changed(created="9999-12-31T23:59:59-14:00"),
    "empty scores": changed(scores=[]),
    "weights of no kind": changed(weights="foo"),
    "weights that its scores are not of": changed(weights="ema"),
    "another part than its scores": changed(split="val"),
    "a budget in words": changed(plan={"eps": "8"}),
    "a sweep that is no list": changed(plan={"eps_sweep": 5}),
    "a setting's budget in words": changed(settings={"pgd-20": {"eps": "8"}}),
    "a setting's budget that is a list": changed(settings={"pgd-20": {"eps": [0.1]}}),
    "a mode of no kind": changed(settings={"autoattack": {"eps": 0.1, "mode": {"fast": 1}}}),
    "a sweep without end": changed(plan={"eps_sweep": [0.1, float("inf")]}),
}


@pytest.mark.parametrize("damage", BAD_EVALUATIONS.values(), ids=BAD_EVALUATIONS)
def test_a_damaged_evaluation_is_named_and_the_others_are_read(good, damage: Damage) -> None:
    damage(evaluate(good[0], "e2", (9, 9, 9)))
    listed = list_evaluations(good[0])
    assert [found.id for found in listed.found] == ["e1"]
    (problem,) = listed.problems
    assert f"run {good[0].id}: evaluation e2 cannot be read (" in problem
    assert problem.isprintable()


def test_a_damaged_evaluation_is_said_and_stands_in_no_table(good, cfa) -> None:
    file = evaluate(good[0], "e2", (9, 9, 9))
    assert per_class_frame(good[:1])["correct"].tolist() == [9, 9, 9]
    changed(class_names=["ant"])(file)
    assert per_class_frame(good[:1])["correct"].tolist() == [5, 6, 7]
    (problem,) = list_evaluations(good[0]).problems
    assert problem in cfa("compare", "good", "better").stderr


def test_an_evaluation_that_is_a_link_is_said(good, store: Store) -> None:
    evaluate(good[0], "e2")
    (good[1].path / "evaluations" / "e2").symlink_to(good[0].path / "evaluations" / "e2")
    (problem,) = list_evaluations(good[1]).problems
    assert "it is a link" in problem


# Rows ------------------------------------------------------------------------------------------------------


def row(**fields: object) -> str:
    return json.dumps({"row": "scores"} | json.loads(json.dumps(vars(scores(split="val", epoch=2)) | fields)))


BAD_ROWS = {
    "no JSON": "garbage",
    "bytes that are no text": "\udcff\udcfe",
    "a list": "[1]",
    "deep": '{"row":' * 1000,
    "of another kind": '{"row": "dream", "epoch": 2}',
    "without its kind": '{"epoch": 2}',
    "a count that is negative": row(correct=[-1, 2, 3]),
    "more right than there are": row(correct=[11, 2, 3]),
    "a count that is text": row(correct=["1", 2, 3]),
    "a count that is no whole number": row(correct=[1.5, 2, 3]),
    "a count that is true": row(correct=[True, 2, 3]),
    "lists of different lengths": row(correct=[1, 2]),
    "other classes than the run": row(correct=[1, 2], total=[10, 10]),
    "an epoch in words": row(epoch="two"),
    "an eps that is no number": row(eps=float("nan")),
    "a field that is missing": '{"row": "scores", "epoch": 2}',
    "a field of another version": row(newer=1),
    "knobs of different lengths": (
        '{"row": "knobs", "epoch": 2, "eps": [0.1], "clean_weight": [], "robust_weight": []}'
    ),
}


@pytest.mark.parametrize("line", BAD_ROWS.values(), ids=BAD_ROWS)
def test_a_damaged_row_is_counted_and_said(good, cfa, tmp_path: Path, line: str) -> None:
    run = good[0]
    before = history_frame(run)
    with run.history_file.open("ab") as file:
        file.write(line.encode(errors="surrogateescape") + b"\n")
    append_rows(run.history_file, [scores(split="val", epoch=3)])
    assert run.history.damaged == 1
    assert run.history.first.startswith("line 4: ")
    assert history_frame(run)["epoch"].tolist() == [*before["epoch"], 3, 3, 3]
    (problem,) = problems_of([run])
    assert problem.startswith("run good: of history.jsonl 1 of its 5 lines are left out (line 4: ")
    assert problem in cfa("export", "good", "--out", str(tmp_path / "out")).stderr


def test_a_line_without_end_is_counted_and_the_next_is_read(good, monkeypatch) -> None:
    monkeypatch.setattr("cfa.runs.rows.LINE_LIMIT", 1000)
    with good[0].history_file.open("ab") as file:
        file.write(b"x" * 12_345 + b"\n")
    append_rows(good[0].history_file, [scores(split="val", epoch=3)])
    assert (good[0].history.damaged, len(good[0].rows())) == (1, 4)


@pytest.mark.parametrize("damage", ["a pipe", "a link", "a folder", "a socket"])
def test_a_history_that_is_no_file_is_a_sentence(good, damage: str) -> None:
    OF_ANY_FILE[damage](good[0].history_file)
    with pytest.raises(StoreError, match=rf"history\.jsonl cannot be read \({damage} stands in its place\)"):
        good[0].rows()


# Outcomes --------------------------------------------------------------------------------------------------


def test_a_pipe_in_the_place_of_outcomes_keeps_nobody_waiting(good, cfa) -> None:
    for run in good:
        OF_ANY_FILE["a pipe"](run.path / "evaluations" / "e1" / "outcomes.parquet")
    assert "better" in command(cfa, "compare", "good", "better")


def small_file_of_much(name: str) -> pa.Table:
    if name == "rows":  # of equal numbers: the file has a kilobyte
        return pa.table(
            {"image": pa.repeat(0, MOST_CELLS // 2 + 1), "label": pa.repeat(0, MOST_CELLS // 2 + 1)}
        )
    return pa.table({"image": pa.array(range(1000)), "autoattack/by": pa.repeat("x" * 10**6, 1000)})


@pytest.mark.parametrize(("much", "said"), [("rows", "more than an evaluation has"), ("text", "characters")])
def test_outcomes_that_would_fill_the_memory_are_refused(good, much: str, said: str) -> None:
    file = good[0].path / "evaluations" / "e1" / "outcomes.parquet"
    pq.write_table(small_file_of_much(much), file)
    assert file.stat().st_size < 20 * 10**6
    with pytest.raises(StoreError, match=said):
        read_outcomes(good[0], "e1")


def test_weights_that_are_reported_are_not_guessed_from_a_damaged_run(good) -> None:
    assert default_weights(good[0]) == "online"
    content(b"{")(good[0].path / "config.json")
    with pytest.raises(StoreError, match="cannot be read"):
        default_weights(RunFolder(good[0].path))


def test_a_listing_never_looks_further_than_its_bounds(store: Store) -> None:
    found = look_at(RunFolder(store.runs_folder / "nothing"))
    assert isinstance(found, UnreadableRun)
    assert "it is missing" in found.problem
    with pytest.raises(ConfigError):
        store.relabel(store.create(CONFIG), RunFolder(Path("/")).label)
