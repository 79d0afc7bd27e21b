"""At first Compare shows the newest runs that belong together, and never any that were trained unlike."""

import dataclasses

import pytest

from app.engine.runs_together import newest_together
from app.engine.snapshots import forget_snapshots, usable_runs
from cfa.methods import configure
from cfa.runs.folder import Manifest
from cfa.runs.store import Store

MANIFEST = Manifest("", "code 1", {}, "cpu", 1, "data", ("a", "b"), (9, 9), (1, 1), {})


@pytest.fixture
def add(own_home):
    """Give a function that trains a run in a store of its own, each later than the one before."""
    store = Store.open(own_home)
    made = []

    def one(method, seed=0, code="code 1", model="small-cnn", **settings):
        overrides = {name.replace("__", "."): value for name, value in settings.items()}
        config = configure(method, "fashion-mnist-mini", model=model, seed=seed, overrides=overrides)
        run = store.create(config, f"new-{len(made)}")
        moment = f"2027-01-01T00:00:{len(made):02d}+00:00"
        run.write_manifest(dataclasses.replace(MANIFEST, created=moment, code_version=code))
        run.write_status("finished", 20)
        made.append(run.name)
        return run.name

    return one


def chosen():
    forget_snapshots()
    return [run.name for run in newest_together(usable_runs())]


def test_all_seeds_of_every_method_that_was_trained_alike_are_taken(add):
    names = [add(method, seed) for method in ("trades", "trades-cfa") for seed in range(3)]
    assert sorted(chosen()) == sorted(names)


@pytest.mark.parametrize(
    "unlike",
    [
        {"train__epochs": 2},
        {"train__batch_size": 16},
        {"model": "resnet18"},
        {"code": "code 2"},
        {"data__split_seed": 3},
        {"train__select_on": "test"},
    ],
)
def test_runs_that_were_trained_unlike_are_not_chosen_together(add, unlike):
    together = [add("trades"), add("trades-cfa")]
    newer = add("pgd-at", **unlike)  # alone of its kind: there is nothing to compare it with
    assert sorted(chosen()) == sorted(together)
    both = [newer, add("pgd-at-cfa", **unlike)]
    assert sorted(chosen()) == sorted(both)


def test_a_seed_that_was_trained_twice_counts_once_by_the_newer_run(add):
    add("trades")
    names = [add("trades"), add("trades-cfa"), add("trades", 1)]
    assert sorted(chosen()) == sorted(names)


def test_of_a_grid_the_settings_with_most_seeds_stand_for_the_method(add):
    names = [add("trades", seed, method__beta=3) for seed in range(2)]
    add("trades", method__beta=9)
    names.append(add("trades-cfa"))
    assert sorted(chosen()) == sorted(names)


def test_without_two_methods_of_a_kind_the_newest_runs_are_shown(add):
    assert chosen() == [run.name for run in newest_together(usable_runs())]
    assert newest_together([]) == []
