"""Which classes changed: against scipy and statsmodels, and by simulation; intervals agree with decisions."""

from collections.abc import Callable

import numpy as np
import pytest
import scipy.stats
from statsmodels.stats.multitest import multipletests

from cfa.statistics import (
    ClassChanges,
    PairedCounts,
    SeedFigures,
    changes_in_pairs,
    changes_of_counts,
    detectable_difference,
    same_direction,
)

CLASSES = 10


def seeds(rng: np.random.Generator, shift: np.ndarray, run: int = 3, baseline: int = 3) -> SeedFigures:
    """Draw figures of some seeds; classes vary unequally over seeds."""
    spread = rng.uniform(0.005, 0.03, CLASSES)
    new, old = (
        0.4 + moved + rng.normal(0, spread, (count, CLASSES))
        for moved, count in ((shift, run), (0, baseline))
    )
    return SeedFigures.of(new, range(run), old, range(100, 100 + baseline))


def of_seeds(rng: np.random.Generator, size: float) -> ClassChanges:
    return seeds(rng, np.where(np.arange(CLASSES) < 4, size, 0.0)).changes()


def of_pairs(rng: np.random.Generator, size: float) -> ClassChanges:
    labels = np.repeat(np.arange(CLASSES), 150)
    old, keep = rng.uniform(size=labels.size) < 0.4, rng.uniform(size=labels.size) < 0.8
    new = np.where(keep, old, rng.uniform(size=labels.size) < 0.4 + 5 * size * (labels < 4))
    return changes_in_pairs(PairedCounts.of(labels, old, new, CLASSES))


def of_counts(rng: np.random.Generator, size: float) -> ClassChanges:
    total = rng.integers(5, 400, CLASSES).astype(float)
    share = rng.choice([0.0, 0.05, 0.5, 0.97], CLASSES)
    moved = np.clip(share + 3 * size * (np.arange(CLASSES) < 4), 0, 1)
    new, old = (rng.binomial(total.astype(int), p).astype(float) for p in (moved, share))
    return changes_of_counts((new, total), (old, total))


@pytest.mark.parametrize("make", [of_seeds, of_pairs, of_counts])
@pytest.mark.parametrize("size", [0.0, 0.05, 0.2])
def test_an_interval_leaves_out_0_exactly_where_the_class_is_certain(
    make: Callable[[np.random.Generator, float], ClassChanges], size: float
) -> None:
    certain = 0
    for seed in range(60):
        found = make(np.random.default_rng(seed), size)
        without_zero = (found.low > 0) | (found.high < 0)
        assert without_zero.tolist() == found.certain.tolist()
        expected = multipletests(found.p_value, alpha=0.05, method="holm")[0]
        assert found.certain.tolist() == expected.tolist()
        assert (found.low <= found.difference + 1e-12).all()
        assert (found.high >= found.difference - 1e-12).all()
        certain += int(found.certain.sum())
    assert (certain > 0) == (size > 0) or size == 0


@pytest.mark.parametrize(("run", "baseline"), [(3, 3), (2, 4), (6, 3)])
def test_other_seeds_are_compared_as_scipy_does_by_welch(run: int, baseline: int) -> None:
    rng = np.random.default_rng(run)
    new, old = rng.uniform(size=(run, CLASSES)), rng.uniform(size=(baseline, CLASSES))
    found = SeedFigures.of(new, range(run), old, range(50, 50 + baseline))
    expected = scipy.stats.ttest_ind(new, old, equal_var=False)
    assert found.pairs == 0
    assert found.p_value == pytest.approx(expected.pvalue)
    interval = expected.confidence_interval(0.95)
    assert [ends[0] for ends in found.interval() if ends] == pytest.approx(interval.low.tolist())
    assert [ends[1] for ends in found.interval() if ends] == pytest.approx(interval.high.tolist())


@pytest.mark.parametrize(("shared", "paired"), [(3, False), (4, False), (5, True), (7, True)])
def test_shared_seeds_are_compared_in_pairs_from_five_on_and_whatever_comes_out(
    shared: int, paired: bool
) -> None:
    rng = np.random.default_rng(shared)
    of_seed = rng.normal(0, 0.05, (shared, CLASSES))  # what both methods share at a seed
    new, old = (of_seed + rng.normal(0, 0.005, (shared, CLASSES)) for _ in range(2))
    order = rng.permutation(shared)  # seeds are found by their number, not by their place
    found = SeedFigures.of(new, list(range(shared)), old[order], order.tolist())
    reference = scipy.stats.ttest_rel if paired else scipy.stats.ttest_ind
    expected = reference(new, old) if paired else reference(new, old, equal_var=False)
    assert found.pairs == (shared if paired else 0)
    assert found.p_value == pytest.approx(expected.pvalue)


def test_seeds_without_spread_make_no_class_certain_and_have_no_interval() -> None:
    new, old = np.full((3, 2), 0.5), np.full((3, 2), 0.4)
    new[:, 1] = (0.5, 0.51, 0.52)
    old[:, 1] = (0.1, 0.11, 0.12)
    found = SeedFigures.of(new, [0, 1, 2], old, [3, 4, 5])
    changes = found.changes()
    assert changes.certain.tolist() == [False, True]
    assert np.isnan([changes.low[0], changes.high[0]]).all()
    assert found.interval()[0] is None


@pytest.mark.parametrize("shape", [(2, 2), (3, 3), (5, 5)])
def test_two_equal_methods_have_a_certain_class_at_most_as_often_as_promised(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(11)
    trials = 600
    wrong = sum(seeds(rng, np.zeros(CLASSES), *shape).changes().certain.any() for _ in range(trials))
    assert wrong / trials <= 0.05 + 3 * (0.05 * 0.95 / trials) ** 0.5


@pytest.mark.parametrize(
    ("run_seeds", "baseline_seeds", "chance"),
    [
        ([0, 1, 2], [0, 1, 2], 0.25),
        ([0, 1], [1, 0], 0.5),
        ([0, 1, 2], [3, 4, 5], 0.1),
        ([0, 1], [1, 2], 1 / 3),
        ([0, 1, 2], [1, 2, 3], 0.1),
    ],
)
def test_the_same_direction_in_every_seed_happens_by_chance_as_often_as_said(
    run_seeds: list[int], baseline_seeds: list[int], chance: float
) -> None:
    rng = np.random.default_rng(2)
    new, old = rng.normal(size=(len(run_seeds), 20_000)), rng.normal(size=(len(baseline_seeds), 20_000))
    found, said = same_direction(new, run_seeds, old, baseline_seeds)
    assert said == pytest.approx(chance)
    assert np.mean(found != 0) == pytest.approx(chance, abs=0.015)
    for way, compare in ((1, np.greater), (-1, np.less)):
        always = np.flatnonzero(found == way)[:50]
        for k in always:
            by_number = dict(zip(baseline_seeds, old[:, k], strict=True))
            together = [
                (a, by_number[s]) for a, s in zip(new[:, k], run_seeds, strict=True) if s in by_number
            ]
            assert all(compare(a, b) for a, b in together)


@pytest.mark.parametrize(("power", "count"), [(0.5, 3), (0.8, 3), (0.5, 6)])
def test_a_detectable_difference_is_found_as_often_as_asked(power: float, count: int) -> None:
    level, deviation = 0.005, 0.02
    error = deviation * (2 / count) ** 0.5
    size = detectable_difference(error, 2 * count - 2, level=level, power=power)
    rng = np.random.default_rng(0)
    new, old = (rng.normal(moved, deviation, (count, 20_000)) for moved in (size, 0.0))
    assert np.mean(scipy.stats.ttest_ind(new, old).pvalue <= level) == pytest.approx(power, abs=0.015)
