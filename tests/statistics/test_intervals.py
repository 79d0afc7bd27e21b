"""Intervals against statsmodels, and coverage by simulation."""

import numpy as np
import pytest
import scipy.stats
from statsmodels.stats.proportion import proportion_confint

from cfa.statistics import class_mean, class_mean_interval, over_seeds, wilson, worst_class_interval

COUNTS = [(0, 10), (10, 10), (3, 10), (250, 1000), (1, 1), (0, 1), (999, 1000), (17, 43)]


@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.99])
def test_wilson_equals_statsmodels(confidence: float) -> None:
    correct, total = np.array(COUNTS).T
    low, high = wilson(correct, total, confidence)
    expected = proportion_confint(correct, total, alpha=1 - confidence, method="wilson")
    np.testing.assert_allclose(low, expected[0], atol=1e-12)
    np.testing.assert_allclose(high, expected[1], atol=1e-12)


def test_ends_are_exact_at_none_and_all_and_everything_without_trials() -> None:
    low, high = wilson([0, 7, 0], [7, 7, 0])
    assert low[0] == 0.0
    assert high[1] == 1.0
    assert (low[2], high[2]) == (0.0, 1.0)
    assert low.shape == (3,)


def test_the_mean_weighs_classes_alike() -> None:
    assert class_mean([1, 100], [2, 100]) == 0.75


@pytest.mark.parametrize("correct", [[90, 10, 50], [100, 100, 100], [0, 0, 0]])
def test_with_balanced_classes_the_mean_has_the_wilson_interval_of_all_images(correct: list[int]) -> None:
    expected = proportion_confint(sum(correct), 300, method="wilson")
    np.testing.assert_allclose(class_mean_interval(correct, [100] * 3), expected, atol=1e-12)


def test_the_interval_of_the_worst_class_by_hand() -> None:
    correct, total = [20, 90, 25], [100, 100, 50]
    bounds = [
        proportion_confint(k, n, alpha=0.05 / 3, method="wilson") for k, n in zip(correct, total, strict=True)
    ]
    expected = min(low for low, _ in bounds), min(high for _, high in bounds)
    np.testing.assert_allclose(worst_class_interval(correct, total), expected, atol=1e-12)


@pytest.mark.parametrize("accuracies", [[0.25] * 10, [0.25] + [0.6] * 9, [0.02] * 10])
def test_intervals_cover_what_they_promise(accuracies: list[float]) -> None:
    random, n, trials = np.random.default_rng(7), 100, 400
    covered = np.zeros(2)
    for _ in range(trials):
        correct = random.binomial(n, accuracies)
        for i, (interval, truth) in enumerate(
            (
                (class_mean_interval(correct, [n] * 10), np.mean(accuracies)),
                (worst_class_interval(correct, [n] * 10), min(accuracies)),
            )
        ):
            covered[i] += interval[0] <= truth <= interval[1]
    # 95 % of 400 with three standard errors of slack (0.0109 each).
    assert (covered / trials > 0.95 - 3 * 0.0109).all()


def test_with_very_unequal_classes_the_mean_is_covered_as_well() -> None:
    """Hard classes with 20 images, easy ones with 2,000: the effective number alone covered 89 %."""
    random, trials = np.random.default_rng(3), 1000
    accuracy, total = np.array([0.5] * 3 + [0.95] * 3), np.array([20] * 3 + [2000] * 3)
    covered = 0
    for _ in range(trials):
        low, high = class_mean_interval(random.binomial(total, accuracy), total)
        covered += low <= accuracy.mean() <= high
    assert covered / trials >= 0.95 - 3 * 0.0069


def test_a_hundred_classes_of_a_hundred_images_are_covered() -> None:
    random, trials = np.random.default_rng(5), 300
    accuracy = np.concatenate([np.full(30, 0.05), np.linspace(0.05, 0.6, 70)])
    covered = np.zeros(2)
    for _ in range(trials):
        correct = random.binomial(100, accuracy)
        for i, (interval, truth) in enumerate(
            (
                (class_mean_interval(correct, [100] * 100), accuracy.mean()),
                (worst_class_interval(correct, [100] * 100), 0.05),
            )
        ):
            covered[i] += interval[0] <= truth <= interval[1]
    assert (covered / trials >= 0.95 - 3 * 0.0126).all()


@pytest.mark.parametrize(("n", "p"), [(100, 0.02), (100, 0.3), (1000, 0.25), (1000, 0.5)])
def test_wilsons_coverage_is_its_exact_binomial_value(n: int, p: float) -> None:
    """Sum the binomial probabilities of the counts whose interval holds p; a simulation has to agree."""
    counts = np.arange(n + 1)
    low, high = wilson(counts, np.full(n + 1, n))
    exact = scipy.stats.binom.pmf(counts, n, p)[(low <= p) & (p <= high)].sum()
    drawn = np.random.default_rng(0).binomial(n, p, 20_000)
    covered = np.mean((low[drawn] <= p) & (p <= high[drawn]))
    assert covered == pytest.approx(exact, abs=4 * (exact * (1 - exact) / 20_000) ** 0.5)
    assert 0.9 < exact < 0.99


def test_seeds_have_students_interval() -> None:
    values = [0.31, 0.35, 0.30, 0.36]
    found = over_seeds(values)
    expected = scipy.stats.t.interval(0.95, 3, np.mean(values), scipy.stats.sem(values))
    assert (found.low, found.high) == pytest.approx(expected)
    assert (found.mean, found.deviation, found.seeds) == pytest.approx((0.33, np.std(values, ddof=1), 4))
    for equal in ([0.042, 0.042], [0.5] * 4, [(0.1 + 0.2) + 0.2, 0.1 + (0.2 + 0.2)]):
        same = over_seeds(equal)  # no interval from a spread of zero
        assert (same.deviation, same.low, same.high, same.seeds) == (0, None, None, len(equal))
    alone = over_seeds([0.3])
    assert (alone.deviation, alone.low, alone.high, alone.seeds) == (None, None, None, 1)
