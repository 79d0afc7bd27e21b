"""What a start and a teacher have seen, themselves and by what they were made from, is said of a run."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cfa.methods import configure
from cfa.runs.cards import OriginCard
from cfa.runs.folder import Manifest, RunFolder
from cfa.runs.origins import (
    Origin,
    TrainedOn,
    cut_of,
    origin_of_file,
    origin_of_run,
    passes_an_image,
    trained_on,
)
from cfa.runs.store import Store
from tests.support.tiny import tiny_store

CARD = OriginCard(name="older", model="small-cnn", weights_hash="abc", experiment="e1", passes=44)
VALIDATION = frozenset(range(10))
MANIFEST = Manifest("", "code", {}, "cpu", 1, "data", ("a", "b"), (9, 9), (1, 1), {})
ON_ITS_OWN = TrainedOn("older", "data", frozenset(range(10, 50)))


@pytest.mark.parametrize(
    ("seen", "said"),
    [
        (ON_ITS_OWN, ""),
        (TrainedOn("older", "data", frozenset(range(8, 50))), "older was trained on 2 of its 10"),
        (TrainedOn("older", "other", frozenset(range(10, 50))), "older was trained on other data"),
        (TrainedOn("older"), "older was trained elsewhere"),
    ],
)
def test_a_network_that_has_seen_the_validation_images_is_marked(seen: TrainedOn, said: str) -> None:
    card = Origin(CARD, (ON_ITS_OWN, seen)).marked("teacher", "data", VALIDATION)
    expected = (f"its teacher has seen the validation images: {said}",) if said else ()
    assert card == replace(CARD, marks=expected)


def test_a_network_whose_checkpoint_was_chosen_on_test_is_marked() -> None:
    card = Origin(CARD, (ON_ITS_OWN,), chosen_on_test=True).marked("start", "data", VALIDATION)
    assert card.marks == ("its start was chosen on the test images: older",)


def test_of_a_file_nobody_knows_what_it_was_trained_on() -> None:
    origin = origin_of_file("a.pt", "small-cnn", "abc")
    assert (
        "has seen the validation images: a.pt was trained elsewhere"
        in origin.marked("teacher", "data", VALIDATION).marks[0]
    )


def made(store: Store, name: str, images: range | None, **sources: str) -> RunFolder:
    config = configure("trades", "fashion-mnist-mini", overrides={"train.epochs": 4, "attack.steps": 10})
    run = store.create(config.model_copy(update=sources), name)
    if images is not None:
        run.write_manifest(MANIFEST)
        run.write_split([*images], [1000])
    return run


def test_what_a_run_was_made_from_counts_with_it(tmp_path: Path) -> None:
    store = tiny_store(tmp_path)
    first = made(store, "first", range(5))
    second = made(store, "second", range(5, 9), init=first.id)
    third = made(store, "third", range(9, 12), teacher=f"{second.id}#last")
    found = trained_on(store, third)
    assert [(one.name, one.images) for one in found] == [
        ("third", frozenset(range(9, 12))),
        ("second", frozenset(range(5, 9))),
        ("first", frozenset(range(5))),
    ]


@pytest.mark.parametrize("init", ["/somewhere/a.pt", "r0123456"])
def test_a_run_made_from_what_is_gone_was_trained_elsewhere_too(tmp_path: Path, init: str) -> None:
    store = tiny_store(tmp_path)
    found = trained_on(store, made(store, "run", range(5), init=init))
    assert found[1] == TrainedOn(init)


def test_a_run_that_never_began_was_trained_elsewhere(tmp_path: Path) -> None:
    store = tiny_store(tmp_path)
    assert trained_on(store, made(store, "run", None)) == (TrainedOn("run"),)


@pytest.mark.parametrize(
    ("changes", "seen"),
    [({}, False), ({"data.split_seed": 1}, True), ({"data.val_fraction": 0.3}, True), ({"seed": 5}, False)],
)
def test_runs_that_ship_without_their_split_have_it_by_their_settings(
    tmp_path: Path, changes: dict[str, Any], seen: bool
) -> None:
    store = tiny_store(tmp_path)
    run = made(store, "shipped", None)
    run.write_manifest(MANIFEST)
    origin = Origin(CARD, trained_on(store, run))
    seed = int(changes.pop("seed", 0))
    ours = configure("ard", "fashion-mnist-mini", seed=seed, overrides=changes)
    card = origin.marked("teacher", "data", VALIDATION, cut_of(ours))
    expected = ("its teacher has seen the validation images: shipped was trained elsewhere",)
    assert card.marks == (expected if seen else ())
    assert origin.marked("teacher", "other data", VALIDATION, cut_of(ours)).marks == expected


def test_runs_made_from_each_other_end(tmp_path: Path) -> None:
    store = tiny_store(tmp_path)
    run = made(store, "run", range(5))
    run.write_config(run.config.model_copy(update={"init": run.id}))
    assert {one.name for one in trained_on(store, RunFolder(run.path))} == {"run", run.id}


def test_runs_of_two_seeds_made_from_runs_of_two_seeds_are_one_experiment(tmp_path: Path) -> None:
    store = tiny_store(tmp_path)
    found = []
    for number, experiment in enumerate(("e1", "e1", "e2")):
        run = made(store, f"run {number}".replace(" ", "-"), range(5), teacher=f"r{number}")
        run.write_manifest(replace(MANIFEST, teacher=replace(CARD, experiment=experiment)))
        found.append(run.experiment)
    assert found[0] == found[1] != found[2]


def test_passes_of_a_start_and_of_a_teacher_count(tmp_path: Path) -> None:
    """4 epochs of 11 passes; a teacher's 44, and 12 in each epoch of what it teaches."""
    store = tiny_store(tmp_path)
    plain = made(store, "plain", range(5))
    assert passes_an_image(plain.config, None, 11) == 44
    assert passes_an_image(plain.config, replace(MANIFEST, helper_epochs=6), 12) == 48 + 6
    taught = made(store, "taught", range(5), teacher=plain.id)
    origin = origin_of_run(store, plain, "online", "best", "abc", an_epoch=11)
    assert origin.card.passes == 44
    assert passes_an_image(taught.config, replace(MANIFEST, teacher=origin.card), 12) == 48 + 44
