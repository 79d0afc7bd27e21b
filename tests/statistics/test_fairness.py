"""Fairness metrics by hand, and DAFA's rho against the numbers that its figure prints."""

import math
from pathlib import Path

import numpy as np
import pytest

from cfa.statistics import (
    boundary_error,
    frl_gap,
    gini,
    group_means,
    nrr,
    nsd,
    rho,
    rho_of,
    spread,
    standard_deviation,
    worst_class,
    worst_share,
)
from cfa.tables.papers import read_published

ACCURACY = [0.2, 0.6, 0.5, 0.7]
PUBLISHED = Path(__file__).parents[2] / "benchmarks" / "published" / "dafa.json"
# rho of clean and of robust accuracy, as printed (figs/fig_result_main.png), by data set and row.
PRINTED = {
    ("cifar10", "FRL"): (0.11, 0.11),
    ("cifar10", "TRADES + CFA"): (-0.04, 0.32),
    ("cifar10", "TRADES + BAT"): (0.19, -0.24),
    ("cifar10", "TRADES + WAT"): (0.06, 0.27),
    ("cifar10", "TRADES + DAFA"): (0.03, 0.42),
    ("cifar100", "FRL"): (0.10, 0.33),
    ("cifar100", "TRADES + CFA"): (-0.12, 0.17),
    ("cifar100", "TRADES + BAT"): (0.41, -0.93),
    ("cifar100", "TRADES + WAT"): (-0.07, 0.29),
    ("cifar100", "TRADES + DAFA"): (0.11, 0.73),
    ("stl10", "TRADES + CFA"): (-0.03, 0.01),
    ("stl10", "TRADES + DAFA"): (0.06, 0.34),
}


def test_metrics_by_hand() -> None:
    assert worst_class(ACCURACY) == 0.2
    assert spread(ACCURACY) == pytest.approx(0.5)
    variance = (0.3**2 + 0.1**2 + 0 + 0.2**2) / 4
    assert standard_deviation(ACCURACY) == pytest.approx(variance**0.5)
    assert nsd(ACCURACY) == pytest.approx(variance**0.5 / 0.5)
    apart = 2 * (0.4 + 0.3 + 0.5 + 0.1 + 0.1 + 0.2)
    assert gini(ACCURACY) == pytest.approx(apart / (2 * 16 * 0.5))
    assert boundary_error([0.9, 0.8], [0.5, 0.1]).tolist() == pytest.approx([0.4, 0.7])
    assert frl_gap([0.1, 0.5, 0.3]) == pytest.approx(0.2)
    assert nrr(0.8, 0.4) == pytest.approx(0.64 / 1.2)
    assert nrr(0, 0) == 0


@pytest.mark.parametrize(
    ("classes", "share", "taken"), [(10, 0.1, 1), (100, 0.1, 10), (15, 0.1, 2), (4, 0.1, 1)]
)
def test_the_worst_share_is_at_least_one_class(classes: int, share: float, taken: int) -> None:
    accuracy = np.random.default_rng(0).permutation(classes) / classes
    assert worst_share(accuracy, share) == pytest.approx(np.sort(accuracy)[:taken].mean())


def test_equal_classes_are_fair_and_nothing_right_has_no_ratio() -> None:
    assert (nsd([0.4] * 5), gini([0.4] * 5), spread([0.4] * 5)) == (0, pytest.approx(0), 0)
    assert math.isnan(nsd([0, 0]))
    assert math.isnan(gini([0, 0]))
    assert math.isnan(rho([0.1, 0.2], [0.0, 0.2]))


def test_one_class_that_has_everything_is_as_unequal_as_can_be() -> None:
    assert gini([1, *[0] * 9]) == pytest.approx(0.9)  # 1 - 1/C


def test_groups() -> None:
    groups = ("head", "tail", "medium", "tail")
    assert group_means(ACCURACY, groups) == pytest.approx({"head": 0.2, "medium": 0.5, "tail": 0.65})
    assert group_means(ACCURACY, ()) == {}


def test_rho_of_a_model_against_itself_is_0() -> None:
    assert rho(ACCURACY, ACCURACY) == 0
    assert rho([0.3, 0.5], [0.2, 0.4]) == pytest.approx(0.5 + 1 / 3)


@pytest.mark.parametrize("measure", [0, 1], ids=["clean", "robust"])
@pytest.mark.parametrize("row", PRINTED)
def test_rho_reproduces_the_24_values_that_dafa_prints(row: tuple[str, str], measure: int) -> None:
    """From accuracies that are printed to 0.01 %; the smallest worst class, 1.33 %, may move rho by 0.008."""
    dataset, label = row
    attack = ("clean", "autoattack")[measure]
    numbers = {
        number.label: number
        for number in read_published(PUBLISHED)
        if (number.dataset, number.attack) == (dataset, attack)
    }
    new, base = numbers[label], numbers["TRADES"]
    assert new.mean is not None
    assert new.worst is not None
    assert base.mean is not None
    assert base.worst is not None
    found = rho_of(new.mean, new.worst, base.mean, base.worst)
    rounding = 0.005 + 0.00005 / base.worst * (1 + new.worst / base.worst) + 0.0005
    assert found == pytest.approx(PRINTED[row][measure], abs=rounding)
