"""Intervals against statsmodels, and coverage by simulation."""

import numpy as np
import pytest
from statsmodels.stats.proportion import proportion_confint

from cfa.statistics import class_mean, class_mean_interval, wilson, worst_class_interval

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
