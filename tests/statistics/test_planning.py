"""What it takes to show a difference, against simulation and statsmodels."""

from math import ceil

import numpy as np
import pytest
import scipy.stats
from statsmodels.stats.power import NormalIndPower, TTestIndPower
from statsmodels.stats.proportion import proportion_effectsize

from cfa.statistics import images_needed, paired_images_needed, seeds_needed

TRIALS = 3000


@pytest.mark.parametrize(("accuracy", "difference"), [(0.3, 0.05), (0.25, 0.1), (0.6, -0.08)])
def test_the_images_of_a_class_show_the_difference_as_often_as_asked(
    accuracy: float, difference: float
) -> None:
    n = images_needed(difference, accuracy)
    effect = abs(proportion_effectsize(accuracy + difference, accuracy))
    assert n == ceil(NormalIndPower().solve_power(effect, alpha=0.05, power=0.8))
    rng = np.random.default_rng(0)
    one, other = (rng.binomial(n, p, TRIALS) / n for p in (accuracy, accuracy + difference))
    pooled = (one + other) / 2
    z = (other - one) / np.sqrt(2 * pooled * (1 - pooled) / n)
    assert np.mean(abs(z) > 1.96) == pytest.approx(0.8, abs=0.03)


@pytest.mark.parametrize(("difference", "disagreement"), [(0.05, 0.15), (0.1, 0.3)])
def test_pairs_of_images_show_it_as_often_and_are_fewer(difference: float, disagreement: float) -> None:
    n = paired_images_needed(difference, disagreement)
    rng = np.random.default_rng(0)
    gained, lost = (disagreement + difference) / 2, (disagreement - difference) / 2
    tables = rng.multinomial(n, [gained, lost, 1 - disagreement], TRIALS)
    z = (tables[:, 0] - tables[:, 1]) / np.sqrt(tables[:, 0] + tables[:, 1])
    assert np.mean(abs(z) > 1.96) == pytest.approx(0.8, abs=0.03)
    assert n < images_needed(difference, 0.4)


def test_more_classes_ask_for_more_images() -> None:
    assert images_needed(0.05, 0.3, classes=10) > images_needed(0.05, 0.3)
    assert paired_images_needed(0.05, 0.2, classes=10) > paired_images_needed(0.05, 0.2)
    assert images_needed(0.05, 0.3, power=0.9) > images_needed(0.05, 0.3)


@pytest.mark.parametrize(
    ("difference", "deviation"), [(0.02, 0.02), (0.03, 0.01), (0.1, 0.01), (0.005, 0.01)]
)
def test_seeds_are_the_smallest_number_with_the_power(difference: float, deviation: float) -> None:
    n = seeds_needed(difference, deviation)
    effect = difference / deviation
    assert TTestIndPower().power(effect, n, 0.05) >= 0.8
    assert n == 2 or TTestIndPower().power(effect, n - 1, 0.05) < 0.8


def test_a_t_test_on_that_many_seeds_sees_it() -> None:
    n, rng = seeds_needed(0.03, 0.02), np.random.default_rng(0)
    one, other = rng.normal(0.3, 0.02, (TRIALS, n)), rng.normal(0.33, 0.02, (TRIALS, n))
    assert np.mean(scipy.stats.ttest_ind(one, other, axis=1).pvalue < 0.05) >= 0.78
