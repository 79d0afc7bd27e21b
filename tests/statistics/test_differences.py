"""Differences of counts: coverage by simulation, tests against scipy and statsmodels."""

import numpy as np
import pytest
import scipy.stats

from cfa.statistics import mean_difference, worst_difference


def counts(correct, total=100):
    k = np.array(correct, dtype=float)
    return k, np.broadcast_to(np.asarray(total, dtype=float), k.shape)


@pytest.mark.parametrize("seed", range(3))
def test_the_interval_of_a_mean_difference_covers(seed):
    rng = np.random.default_rng(seed)
    p = rng.uniform(0.02, 0.98, (2, 5))
    n = rng.integers(20, 200, 5).astype(float)
    truth = p[1].mean() - p[0].mean()
    trials = 1000
    base, run = (rng.binomial(n.astype(int), row, (trials, 5)).astype(float) for row in p)
    ends = np.array([mean_difference((r, n), (b, n))[1] for r, b in zip(run, base, strict=True)])
    covered = np.mean((ends[:, 0] <= truth) & (truth <= ends[:, 1]))
    assert covered >= scipy.stats.binom.ppf(0.001, trials, 0.95) / trials
    assert covered < 0.985  # and it is no wider than it must be


def test_the_interval_of_a_mean_difference_has_a_width_where_every_image_is_right():
    value, (low, high) = mean_difference(counts([100, 100]), counts([100, 100]))
    assert value == 0
    assert low < 0 < high


@pytest.mark.parametrize("seed", range(3))
def test_the_interval_of_a_worst_difference_covers_under_ties(seed):
    rng = np.random.default_rng(seed)
    n = np.full(6, 100.0)
    base, run = (rng.binomial(100, p, (500, 6)).astype(float) for p in (0.3, 0.35))
    ends = np.array([worst_difference((r, n), (b, n))[1] for r, b in zip(run, base, strict=True)])
    assert np.mean((ends[:, 0] <= 0.05) & (ends[:, 1] >= 0.05)) >= 0.95


def test_differences_change_sign_with_the_roles():
    a, b = counts([30, 80, 55], [100, 120, 90]), counts([40, 70, 60], [80, 130, 90])
    for difference in (mean_difference, worst_difference):
        forth, (low, high) = difference(a, b)
        back, (back_low, back_high) = difference(b, a)
        assert (forth, low, high) == pytest.approx((-back, -back_high, -back_low))
        assert low <= forth <= high
