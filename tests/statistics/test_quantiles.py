"""Quantiles are those of `scipy.stats`, to the last digit."""

import pytest
from scipy import stats

from cfa.statistics.quantiles import normal_isf, student_isf

SHARES = (1e-6, 0.0005, 0.025, 0.05, 0.3, 0.5, 0.9)


@pytest.mark.parametrize("share", SHARES)
def test_the_normal_distribution_is_that_of_scipy(share: float) -> None:
    assert normal_isf(share) == stats.norm.isf(share)


@pytest.mark.parametrize("freedom", [1, 2, 7.3, 200])
@pytest.mark.parametrize("share", SHARES)
def test_students_distribution_is_that_of_scipy(share: float, freedom: float) -> None:
    assert student_isf(share, freedom) == stats.t.isf(share, freedom)
