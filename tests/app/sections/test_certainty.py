"""How many seeds a claim needs: from seeds of one experiment, never from two networks or one seed twice."""

import re

import numpy as np
import pytest

from cfa.runs.store import Store
from cfa.statistics import seeds_needed
from tests.app.pages import open_page, words
from tests.support.resumed import evaluate, make_run


def compared(dashboard, folder, runs):
    """Open Compare on runs given as seed, network and percent of the worst class."""
    store = Store.open(dashboard(folder / "home"), shipped=None)
    for number, (seed, model, worst) in enumerate(runs):
        run = make_run(store, f"run-{number}", seed=seed, model=model)
        counts = {"pgd-20": (60,) * 9 + (worst,)}
        evaluate(run, counts, 100, epoch=3, created="2026-01-01T00:00:00+00:00")
    return open_page("compare", runs=[f"run-{number}" for number in range(len(runs))])


@pytest.mark.parametrize(
    "runs",
    [
        pytest.param([(0, "small-cnn", 20), (0, "resnet18", 40)], id="two networks"),
        pytest.param([(0, "small-cnn", 20), (1, "resnet18", 40)], id="two networks of two seeds"),
        pytest.param([(0, "small-cnn", 20), (0, "small-cnn", 40)], id="one seed twice"),
        pytest.param([(0, "small-cnn", 30), (1, "small-cnn", 30)], id="seeds that do not differ"),
    ],
)
def test_nothing_is_said_without_seeds_that_differ(dashboard, tmp_path, runs):
    said = words(compared(dashboard, tmp_path, runs))
    assert "Seeds: choose several seeds of a method" in re.sub(r"\s+", " ", said)
    assert "differ between seeds" not in said


def test_it_is_the_largest_spread_of_an_experiment(dashboard, tmp_path):
    runs = [(0, "small-cnn", 20), (1, "small-cnn", 26), (0, "resnet18", 40), (0, "small-cnn", 59)]
    app = compared(dashboard, tmp_path, runs)
    spread = float(np.std([0.20, 0.26], ddof=1))
    said = words(app)
    assert f"differ between seeds by up to {100 * spread:.1f} points" in said
    assert f"about {seeds_needed(0.05, spread)} seeds of each" in re.sub(r"\s+", " ", said)
    assert sorted(app.dataframe[0].value["seeds"]) == [1, 2]
    assert "run-3 has the seed 0 of run-0 and the same settings" in said.replace("\\", "")
