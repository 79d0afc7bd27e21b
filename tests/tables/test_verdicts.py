"""Verdicts: over seeds against scipy and statsmodels from the rows, of two networks against the entries."""

import numpy as np
import pandas as pd
import pytest
import scipy.stats
from statsmodels.stats.multitest import multipletests

from cfa.runs.choice import measured
from cfa.runs.store import Store
from cfa.statistics import seeds_needed
from cfa.tables import verdict_words
from cfa.tables.comparison import compare
from cfa.tables.verdicts import verdict_of_runs, verdict_over_seeds
from tests.support.resumed import CLASSES, evaluate, make_run

SEEDS = [0, 1, 2]
IMAGES = 500  # of each class
DAY = "2026-01-01T00:00:00+00:00"


def rows(accuracies, seeds, weights="online", images=IMAGES):
    """Tabulate accuracies, shape (seeds, classes), as the per-class tables do."""
    return pd.DataFrame(
        [
            {
                "run_id": f"run-{seed}",
                "seed": seed,
                "weights": weights,
                "class_index": k,
                "class_name": f"class {k}",
                "accuracy": accuracies[i, k],
                "total": images,
            }
            for i, seed in enumerate(seeds)
            for k in range(accuracies.shape[1])
        ]
    )


def drawn(shift, run, baseline, classes=10):
    rng = np.random.default_rng(run)
    moved = np.where(np.arange(classes) < 2, shift, 0.0)
    sides = ((moved, run), (0.0, baseline))
    return tuple(0.4 + m + rng.normal(0, 0.01, (count, classes)) for m, count in sides)


@pytest.mark.parametrize("shift", [0.0, 0.2])
@pytest.mark.parametrize(
    ("run_seeds", "baseline_seeds"),
    [(SEEDS, SEEDS), (SEEDS, [7, 8]), ([0, 1, 2, 3, 4], [4, 3, 2, 1, 0, 9])],
    ids=["three", "other seeds", "five shared"],
)
def test_a_verdict_over_seeds_is_what_scipy_makes_of_its_rows(shift, run_seeds, baseline_seeds):
    new, old = drawn(shift, len(run_seeds), len(baseline_seeds))
    found = verdict_over_seeds(rows(new, run_seeds), rows(old, baseline_seeds, "fawa"), ("online", "fawa"))
    shared = [seed for seed in run_seeds if seed in baseline_seeds]
    paired = len(shared) >= 5
    if paired:
        new = new[[run_seeds.index(s) for s in shared]]
        old = old[[baseline_seeds.index(s) for s in shared]]
    test = scipy.stats.ttest_rel if paired else lambda a, b: scipy.stats.ttest_ind(a, b, equal_var=False)
    certain = multipletests(test(new, old).pvalue, alpha=0.05, method="holm")[0]
    assert found.basis == ("paired seeds" if paired else "seeds")
    assert found.seeds == (len(new), len(old))
    assert [one.certain for one in found.classes] == certain.tolist()
    assert bool(certain.any()) == (shift > 0)
    assert [one.difference for one in found.classes] == pytest.approx((new.mean(0) - old.mean(0)).tolist())
    for one in found.classes:
        assert ((one.interval[0] > 0) or (one.interval[1] < 0)) == one.certain
    for change, figure in ((found.mean, np.mean), (found.worst, np.min)):
        sides = [figure(side, axis=1) for side in (new, old)]
        interval = test(*sides).confidence_interval(0.95)
        assert change.difference == pytest.approx(sides[0].mean() - sides[1].mean())
        assert change.interval == pytest.approx((interval.low, interval.high))


def test_directions_and_what_chance_alone_gives():
    new, old = drawn(0.0, 3, 3)
    new[:, 4] = old[:, 4] + (0.001, 0.03, 0.005)
    found = verdict_over_seeds(rows(new, SEEDS), rows(old, SEEDS), ("online", "online"))
    signs = np.sign(new - old)
    ways = {3: "up", -3: "down"}
    assert [one.direction for one in found.classes] == [ways.get(int(s), "mixed") for s in signs.sum(0)]
    assert found.by_chance == pytest.approx(2.5)
    line = verdict_words.first_line(found)
    assert "Up in all three: class 4 +1.2 (chance alone: 2 to 3 of 10)." in line


def test_what_it_takes_is_the_plan_for_the_largest_change():
    new, old = drawn(0.0, 3, 3)
    found = verdict_over_seeds(rows(new, SEEDS), rows(old, SEEDS), ("online", "online"))
    change = new.mean(0) - old.mean(0)
    k = int(np.abs(change).argmax())
    deviation = np.sqrt((new[:, k].var(ddof=1) + old[:, k].var(ddof=1)) / 2)
    assert found.takes_seeds == seeds_needed(abs(change[k]), deviation, level=0.005)
    # Not how many more: the seeds that are here chose which change is the largest.
    assert f"takes about {found.takes_seeds} new seeds of each" in verdict_words.power(found)
    # half of the classes would have been found more often than in half of such comparisons at that change
    test = scipy.stats.ttest_ind(new, old, equal_var=False)
    critical, shift = scipy.stats.t.isf(0.0025, test.df), found.detectable / np.abs(change / test.statistic)
    assert (scipy.stats.nct.sf(critical, test.df, shift) > 0.5).sum() == 5


@pytest.mark.parametrize(
    ("run", "baseline"),
    [
        pytest.param(lambda a: rows(a[:1], [0]), lambda a: rows(a, SEEDS), id="one seed"),
        pytest.param(lambda a: rows(a, SEEDS), lambda a: rows(a, SEEDS, images=100), id="fewer images"),
        pytest.param(lambda a: rows(a, SEEDS), lambda a: rows(a, SEEDS, "ema"), id="other weights"),
        pytest.param(lambda a: rows(a, SEEDS), lambda a: rows(a[:, :9], SEEDS), id="other classes"),
    ],
)
def test_nothing_is_said_of_what_is_not_alike(run, baseline):
    table = drawn(0.0, 3, 3)[0]
    assert verdict_over_seeds(run(table), baseline(table), ("online", "online")) is None


def test_seeds_that_do_not_differ_have_no_interval_and_it_is_said_why():
    new, old = np.full((2, 10), 0.5), np.full((2, 10), 0.4)
    found = verdict_over_seeds(rows(new, [0, 1]), rows(old, [0, 1]), ("online", "online"))
    assert not found.certain
    assert found.mean.interval is None
    assert verdict_words.change(found.mean) == (
        "+10.0 (no interval: what does not differ between seeds does not say how much seeds differ)"
    )
    assert found.detectable is None


@pytest.mark.parametrize("paired", [True, False])
def test_a_verdict_of_two_networks_agrees_with_their_entry(tmp_path, paired):
    store = Store.open(tmp_path, shipped=None)
    a, b = make_run(store, "a"), make_run(store, "b", method="trades-cfa")
    for run, worst, images in ((a, 40, 100), (b, 75, 100 if paired else 90)):
        evaluate(run, {"pgd-20": (60,) * 9 + (worst,)}, images, epoch=3, created=DAY)
    if not paired:
        for file in b.path.glob("evaluations/*/outcomes.parquet"):
            file.unlink()
    (old,), (new,) = (measured([run]) for run in (a, b))
    found = verdict_of_runs(new, old)
    (entry,) = compare([a, b], a, lambda run: "online").entries
    assert found.basis == ("paired images" if paired else "counts")
    assert not found.of_methods
    better = [one.name for one in found.certain if one.difference > 0]
    worse = [one.name for one in found.certain if one.difference < 0]
    assert (better, worse) == (entry["classes_better"], entry["classes_worse"])
    assert better == [CLASSES[9]]
    assert found.worst.interval == pytest.approx(tuple(entry["worst_difference_ci"]))
    assert found.mean.interval == pytest.approx(tuple(entry["mean_difference_ci"]))
    line = verdict_words.first_line(found)
    assert "class 9" in line
    assert "better" in line
    assert "gain" not in line  # that is said of methods


def test_words_name_who_gains_and_who_pays():
    new, old = drawn(0.2, 3, 3)
    new[:, 5] -= 0.2
    found = verdict_over_seeds(rows(new, SEEDS), rows(old, SEEDS), ("online", "online"))
    line = verdict_words.first_line(found)
    assert line.startswith("For certain after 3 seeds of each: class 0 +")
    gain, _, pay = line.partition(" gain; ")
    assert "class 1" in gain
    assert pay.startswith("class 5 −")
    assert "pay." in pay


def test_with_other_seeds_on_a_side_up_in_every_seed_means_every_one_of_them():
    """Up in the seeds that both have, and far down in the others: that is not the same way in every seed."""
    old = np.full((3, 10), 0.5) + np.arange(3)[:, None] / 1000
    new = old[[1, 2, 0]] + np.array([0.02, 0.02, -0.15])[:, None]
    found = verdict_over_seeds(rows(new, [1, 2, 3]), rows(old, [0, 1, 2]), ("online", "online"))
    assert {one.direction for one in found.classes} == {"mixed"}
    assert "Up in" not in verdict_words.first_line(found)


def test_no_change_is_called_detectable_that_no_accuracy_can_make():
    old = np.array([[0.0] * 10, [0.5] * 10, [1.0] * 10]) + np.linspace(0, 0.009, 3)[:, None] % 0.01
    old = np.clip(old, 0, 1)
    found = verdict_over_seeds(rows(old[::-1], SEEDS), rows(old, SEEDS), ("online", "online"))
    assert found.detectable > 1
    assert verdict_words.power(found).startswith("No change of a class would have been found")


def test_a_worst_class_that_moved_beside_no_certain_class_is_explained():
    """Two questions, and two answers: read without a word they contradict each other."""
    old = np.tile([0.5] * 9 + [0.2], (3, 1)) + np.array([[0.01], [0.0], [-0.01]])
    rng = np.random.default_rng(0)
    new = old + rng.normal(0, 0.02, old.shape)
    new[:, 9] = old[:, 9] + 0.03
    found = verdict_over_seeds(rows(new, SEEDS), rows(old, SEEDS), ("online", "online"))
    assert not found.certain
    assert found.worst.interval[0] > 0
    said = verdict_words.figures(found)
    assert "a question of its own, did move" in said
    assert "asked 10 times at once, and not certain" in said
    new[:, 9] = old[:, 9]
    found = verdict_over_seeds(rows(new, SEEDS), rows(old, SEEDS), ("online", "online"))
    assert "did move" not in verdict_words.figures(found)


@pytest.mark.parametrize(("ours", "theirs", "one"), [("a", "a", True), ("a", "b", False), ("", "", False)])
def test_two_names_of_one_network_are_no_comparison(tmp_path, ours, theirs, one):
    """Within its warm-up a method is its plain version, and both may keep one and the same epoch."""
    store = Store.open(tmp_path, shipped=None)
    for method, weights in (("trades", theirs), ("trades-cfa", ours)):
        run = make_run(store, method, method=method)
        evaluate(run, {"pgd-20": (50,) * 10}, 100, epoch=1, created=DAY, weights_hash=weights)
    new, old = (
        next(m for m in measured([store.find(name)]) if m.attack == "pgd-20")
        for name in ("trades-cfa", "trades")
    )
    line = verdict_words.first_line(verdict_of_runs(new, old))
    assert line.startswith("One network and not two: both kept the same weights, of epoch 1") == one
