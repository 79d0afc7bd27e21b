"""Fairness metrics of the field: numbers from the accuracies of classes.

``accuracy`` is always one number per class, a fraction in [0, 1], clean or under an attack.
"""

from collections.abc import Sequence
from math import ceil

import numpy as np
from numpy.typing import ArrayLike

from cfa.statistics.groups import GROUPS, Group


def worst_class(accuracy: ArrayLike) -> float:
    """Return min_k r_k, what CFA and all that followed it report."""
    return float(np.min(np.asarray(accuracy, dtype=float)))


def worst_share(accuracy: ArrayLike, share: float = 0.1) -> float:
    """Return the mean of the lowest ``share`` of the classes, at least one (WAT, FERD: 10 %)."""
    values = np.sort(np.asarray(accuracy, dtype=float))
    return float(values[: max(1, ceil(share * len(values)))].mean())


def spread(accuracy: ArrayLike) -> float:
    """Return max_k r_k - min_k r_k."""
    values = np.asarray(accuracy, dtype=float)
    return float(values.max() - values.min())


def standard_deviation(accuracy: ArrayLike) -> float:
    """Return the standard deviation over classes, of all of them and not of a sample (Ma et al. 2022)."""
    return float(np.std(np.asarray(accuracy, dtype=float)))


def nsd(accuracy: ArrayLike) -> float:
    """Return std_k(r_k) / mean_k(r_k), normalised standard deviation (ABSLD 2024, FERD); NaN at mean 0."""
    values = np.asarray(accuracy, dtype=float)
    mean = float(values.mean())
    return standard_deviation(values) / mean if mean else float("nan")


def gini(accuracy: ArrayLike) -> float:
    """Return sum_ij |r_i - r_j| / (2 C² mean r), 0 where classes are equal (Gini 1912); NaN at mean 0."""
    values = np.asarray(accuracy, dtype=float)
    mean = float(values.mean())
    if not mean:
        return float("nan")
    apart = np.abs(values[:, None] - values[None, :]).sum()
    return float(apart / (2 * len(values) ** 2 * mean))


def rho(accuracy: ArrayLike, baseline: ArrayLike) -> float:
    """Return DAFA's rho (ICLR 2024) of a model against a baseline: see :func:`rho_of`."""
    new, old = np.asarray(accuracy, dtype=float), np.asarray(baseline, dtype=float)
    return rho_of(float(new.mean()), float(new.min()), float(old.mean()), float(old.min()))


def rho_of(mean: float, worst: float, baseline_mean: float, baseline_worst: float) -> float:
    """Return (worst - worst_base)/worst_base + (mean - mean_base)/mean_base; NaN where a base is 0.

    DAFA takes it once with clean and once with robust accuracies.
    """
    if not baseline_mean or not baseline_worst:
        return float("nan")
    return (worst - baseline_worst) / baseline_worst + (mean - baseline_mean) / baseline_mean


def boundary_error(clean: ArrayLike, robust: ArrayLike) -> np.ndarray:
    """Return a_k - r_k per class: right, but not under attack (Zhang et al. 2019; FRL 2021)."""
    error: np.ndarray = np.asarray(clean, dtype=float) - np.asarray(robust, dtype=float)
    return error


def frl_gap(error: ArrayLike) -> float:
    """Return max_k e_k - mean e, by which the worst class exceeds the mean error (FRL, Xu et al. 2021).

    FRL takes it of clean errors 1 - a_k and of boundary errors a_k - r_k, and bounds both by 0.07.
    """
    errors = np.asarray(error, dtype=float)
    return float(errors.max() - errors.mean())


def nrr(clean: float, robust: float) -> float:
    """Return 2AR / (A + R), the harmonic mean of clean and robust accuracy; 0 where both are 0."""
    return 2 * clean * robust / (clean + robust) if clean + robust else 0.0


def group_means(accuracy: ArrayLike, groups: Sequence[Group]) -> dict[Group, float]:
    """Return the means over head, medium and tail classes; empty where there are no groups."""
    values, names = np.asarray(accuracy, dtype=float), np.array(groups)
    return {name: float(values[names == name].mean()) for name in GROUPS} if len(groups) else {}
