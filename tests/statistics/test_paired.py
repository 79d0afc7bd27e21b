"""Two models on the same images: against statsmodels, by hand, by simulation under ties and nulls."""

import numpy as np
import pytest
from statsmodels.stats.contingency_tables import mcnemar as reference_mcnemar
from statsmodels.stats.multitest import multipletests

from cfa.statistics import (
    PairedCounts,
    changes_in_pairs,
    holm,
    mcnemar,
    mean_difference,
    paired_class_differences,
    paired_mean_difference,
    paired_worst_difference,
    worst_difference,
)

# Accuracies of the classes, and images of each: ten tied, one clearly worst, a hundred of a hundred images.
CASES = {
    "ten tied": (np.full(10, 0.3), 1000),
    "one clearly worst": (np.array([0.15, *np.linspace(0.4, 0.8, 9)]), 1000),
    "a hundred of a hundred": (np.concatenate([np.full(30, 0.05), np.linspace(0.05, 0.6, 70)]), 100),
}
TRIALS = 400
SLACK = 3 * (0.05 * 0.95 / TRIALS) ** 0.5  # three standard errors of a coverage of 95 %


def simulate(
    rng: np.random.Generator, base: np.ndarray, run: np.ndarray, images: int, together: float
) -> PairedCounts:
    """Draw images of which the run gets right what the baseline does, but for a share drawn anew."""
    classes = len(base)
    same = rng.uniform(size=(classes, images))
    other = rng.uniform(size=(classes, images))
    anew = rng.uniform(size=(classes, images)) > together
    base_right = same < base[:, None]
    run_right = np.where(anew, other, same) < run[:, None]
    labels = np.repeat(np.arange(classes), images)
    return PairedCounts.of(labels, base_right.ravel(), run_right.ravel(), classes)


def test_counts_are_those_of_a_table_by_hand() -> None:
    label = [0, 0, 0, 0, 1, 1, 1]
    base = [True, True, False, False, True, False, True]
    run = [True, False, True, False, True, True, True]
    counts = PairedCounts.of(label, base, run, 2)
    assert counts.both.tolist() == [1, 2]
    assert counts.lost.tolist() == [1, 0]
    assert counts.gained.tolist() == [1, 1]
    assert counts.total.tolist() == [4, 3]
    assert (counts.baseline.tolist(), counts.run.tolist()) == ([2, 2], [2, 3])


@pytest.mark.parametrize("seed", range(5))
def test_mcnemar_and_holm_agree_with_statsmodels(seed: int) -> None:
    rng = np.random.default_rng(seed)
    counts = simulate(rng, rng.uniform(0.2, 0.8, 12), rng.uniform(0.2, 0.8, 12), 60, together=0.5)
    tables = zip(counts.both, counts.lost, counts.gained, counts.total, strict=True)
    expected = [reference_mcnemar([[a, b], [c, n - a - b - c]], exact=True).pvalue for a, b, c, n in tables]
    assert mcnemar(counts) == pytest.approx(expected, abs=1e-12)
    rejected = multipletests(expected, alpha=0.05, method="holm")[0]
    assert holm(np.array(expected), 0.05).tolist() == rejected.tolist()
    found, gain = changes_in_pairs(counts), counts.gained - counts.lost
    assert found.better == [k for k in range(12) if rejected[k] and gain[k] > 0]
    assert found.worse == [k for k in range(12) if rejected[k] and gain[k] < 0]


def test_equal_models_have_no_difference_and_change_no_class() -> None:
    right = np.random.default_rng(0).uniform(size=1000) < 0.4
    counts = PairedCounts.of(np.repeat(np.arange(10), 100), right, right, 10)
    assert mcnemar(counts).tolist() == [1.0] * 10
    assert not changes_in_pairs(counts).certain.any()
    for difference in (paired_mean_difference, paired_worst_difference):
        value, (low, high) = difference(counts)
        assert value == 0
        assert low <= 0 <= high
        assert high - low < 0.2


@pytest.mark.parametrize("together", [0.0, 0.9])
@pytest.mark.parametrize("shift", [0.0, 0.05])
@pytest.mark.parametrize("case", CASES)
def test_intervals_of_differences_cover(case: str, shift: float, together: float) -> None:
    """The mean's and the worst class's, under ties too; the hardest classes gain, or nothing does."""
    base, images = CASES[case]
    run = np.where(base == base.min(), base + shift, base)
    rng = np.random.default_rng(11)
    covered = np.zeros(2)
    for _ in range(TRIALS):
        counts = simulate(rng, base, run, images, together)
        for i, (difference, truth) in enumerate(
            (
                (paired_mean_difference, run.mean() - base.mean()),
                (paired_worst_difference, run.min() - base.min()),
            )
        ):
            _, (low, high) = difference(counts)
            covered[i] += low <= truth <= high
    assert (covered / TRIALS >= 0.95 - SLACK).all(), covered / TRIALS


# Shares of images that both get right, that the run loses, that it gains, and that neither does, with the
# number of images, for classes of two kinds, and how many classes of each kind there are.
LARGE = {
    "one image each": (([0.3, 0.05, 0.4, 0.25], 1), ([0.3, 0.05, 0.4, 0.25], 1), 5),
    "two hundred of five": (([0.5, 0.0, 0.3, 0.2], 5), ([0.3, 0.1, 0.4, 0.2], 5), 100),
    "a hundred of ten": (([0.2, 0.0, 0.7, 0.1], 10), ([0.1, 0.0, 0.8, 0.1], 10), 50),
    "a hundred of a hundred": (([0.1, 0.0, 0.8, 0.1], 100), ([0.2, 0.0, 0.6, 0.2], 100), 50),
    "a hundred of a hundred, lost": (([0.1, 0.8, 0.0, 0.1], 100), ([0.2, 0.6, 0.0, 0.2], 100), 50),
    "hard classes small": (([0.2, 0.4, 0.4, 0.0], 20), ([0.95, 0.02, 0.02, 0.01], 2000), 5),
    "gaining classes small": (([0.2, 0.0, 0.8, 0.0], 2), ([0.9, 0.05, 0.05, 0.0], 100), 50),
}


@pytest.mark.parametrize("case", LARGE)
def test_the_mean_interval_covers_large_differences_of_many_small_classes(case: str) -> None:
    one, other, each = LARGE[case]
    shares, images = zip(*([one] * each + [other] * each), strict=True)
    truth = float(np.mean([gained - lost for _, lost, gained, _ in shares]))
    rng = np.random.default_rng(17)
    drawn = np.stack(
        [rng.multinomial(n, p, size=TRIALS) for n, p in zip(images, shares, strict=True)], axis=1
    )
    covered = 0
    for both, lost, gained, _ in drawn.transpose(0, 2, 1).astype(float):
        value, (low, high) = paired_mean_difference(PairedCounts(both, lost, gained, np.array(images, float)))
        covered += low <= truth <= high
        assert low <= value <= high
    assert covered / TRIALS >= 0.95 - SLACK


@pytest.mark.parametrize("case", CASES)
def test_the_family_of_classes_errs_at_most_as_often_as_promised(case: str) -> None:
    base, images = CASES[case]
    rng = np.random.default_rng(5)
    errors = 0
    for _ in range(TRIALS):
        found = changes_in_pairs(simulate(rng, base, base, images, together=0.7))
        errors += bool(found.certain.any())
    assert errors / TRIALS <= 0.05 + SLACK


def test_a_planted_difference_is_found_and_named() -> None:
    base = np.full(10, 0.4)
    run = base.copy()
    run[7] += 0.1
    rng = np.random.default_rng(3)
    found = [changes_in_pairs(simulate(rng, base, run, 1000, together=0.8)) for _ in range(50)]
    assert sum(one.better == [7] for one in found) >= 46  # the rest: a false one beside it
    assert all(7 in one.better for one in found)


def test_pairs_see_more_than_counts_where_models_agree() -> None:
    base, images = CASES["ten tied"]
    counts = simulate(np.random.default_rng(1), base, base + 0.02, images, together=0.9)
    sides = [(counts.run, counts.total), (counts.baseline, counts.total)]
    for paired, unpaired in (
        (paired_mean_difference, mean_difference),
        (paired_worst_difference, worst_difference),
    ):
        low, high = paired(counts)[1]
        wide_low, wide_high = unpaired(*sides)[1]
        assert high - low < wide_high - wide_low


def test_roles_exchanged_change_the_sign() -> None:
    counts = simulate(np.random.default_rng(2), np.linspace(0.2, 0.7, 6), np.linspace(0.3, 0.6, 6), 80, 0.5)
    back = PairedCounts(counts.both, counts.gained, counts.lost, counts.total)
    for difference in (paired_mean_difference, paired_worst_difference):
        value, (low, high) = difference(counts)
        assert difference(back) == (pytest.approx(-value), (pytest.approx(-high), pytest.approx(-low)))
        assert low <= value <= high
    low, high = paired_class_differences(counts)
    assert (low <= (counts.gained - counts.lost) / counts.total).all()
    assert (high >= (counts.gained - counts.lost) / counts.total).all()


def test_agresti_and_min_by_hand() -> None:
    """One class of 100 images, 12 lost and 20 gained: centre 8/102, Wald's variance of 12.5 and 20.5."""
    counts = PairedCounts(np.array([40.0]), np.array([12.0]), np.array([20.0]), np.array([100.0]))
    half = 1.959963984540054 * ((33 - 64 / 102) / 102**2) ** 0.5
    assert paired_mean_difference(counts) == (0.08, pytest.approx((8 / 102 - half, 8 / 102 + half)))
