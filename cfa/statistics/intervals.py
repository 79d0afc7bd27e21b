"""Confidence intervals for proportions of correct images."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cfa.statistics.quantiles import normal_isf, student_isf

Array = NDArray[np.float64]


def wilson(correct: ArrayLike, total: ArrayLike, confidence: float = 0.95) -> tuple[Array, Array]:
    """Return the Wilson score interval of each proportion (Wilson 1927).

    Args:
        correct: Successes, any shape; need not be whole.
        total: Trials, same shape; where it is 0 the interval is [0, 1].
        confidence: Nominal coverage of each interval.

    Returns:
        Lower and upper ends in [0, 1], shaped like ``correct``.
    """
    k, n = np.broadcast_arrays(np.asarray(correct, dtype=float), np.asarray(total, dtype=float))
    z2 = normal_isf((1 - confidence) / 2) ** 2
    with np.errstate(divide="ignore", invalid="ignore"):
        p = k / n
        centre = (p + z2 / (2 * n)) / (1 + z2 / n)
        half = np.sqrt(z2 * (p * (1 - p) / n + z2 / (4 * n * n))) / (1 + z2 / n)
    low = np.where(n > 0, np.clip(centre - half, 0, 1), 0.0)
    high = np.where(n > 0, np.clip(centre + half, 0, 1), 1.0)
    # Rounding must not push the ends past the exact values at no and at all successes.
    return np.where(k <= 0, 0.0, low), np.where(k >= n, 1.0, high)


def class_mean(correct: ArrayLike, total: ArrayLike) -> float:
    """Average the accuracies of the classes, each class counting the same."""
    k, n = np.asarray(correct, dtype=float), np.asarray(total, dtype=float)
    return float(np.mean(k / n))


@dataclass(frozen=True)
class SeedsInterval:
    """What several seeds of a method come to.

    Attributes:
        mean: Their mean.
        deviation: Their standard deviation (n - 1); ``None`` of one seed.
        low: Lower end of Student's interval of the mean; ``None`` of one seed, and of seeds that do not
            differ: a spread of zero says that there are too few to tell it from. ``high`` likewise.
        seeds: How many there are.
    """

    mean: float
    deviation: float | None
    low: float | None
    high: float | None
    seeds: int


def differ(figures: ArrayLike) -> bool:
    """Tell whether figures (fractions) differ by more than the rounding of a mean over classes."""
    return float(np.ptp(np.asarray(figures, dtype=float))) > 1e-9


def over_seeds(values: ArrayLike, confidence: float = 0.95) -> SeedsInterval:
    """Return mean, standard deviation and Student's t interval of a figure over seeds.

    It is about the method on this data set and test part; an interval of one run is about one checkpoint.
    """
    found = np.asarray(values, dtype=float)
    mean = float(found.mean())
    if len(found) < 2:
        return SeedsInterval(mean, None, None, None, len(found))
    deviation = float(found.std(ddof=1))
    if not differ(found):
        return SeedsInterval(mean, 0.0, None, None, len(found))
    half = student_isf((1 - confidence) / 2, len(found) - 1) * deviation / len(found) ** 0.5
    return SeedsInterval(mean, deviation, mean - half, mean + half, len(found))


def class_mean_interval(
    correct: ArrayLike, total: ArrayLike, confidence: float = 0.95
) -> tuple[float, float]:
    """Return a Wilson interval of the mean over classes.

    It uses the effective number of images K² / Σ 1/n_k (all of them when classes are balanced). With
    equal n_k it is not too narrow, since Σ p_k(1-p_k)/K never exceeds p(1-p) at the mean p. Where the hard
    classes are far smaller than the easy ones it can be (simulated: 89 % with 20 and 2,000 images), so there
    the ends are at least those of the stratified normal interval, with sample variances of one more success
    and one more failure in each class, so that none is 0.
    """
    k, n = np.asarray(correct, dtype=float), np.asarray(total, dtype=float)
    effective = len(n) ** 2 / np.sum(1 / n)
    mean = class_mean(correct, total)
    low, high = (float(end) for end in wilson(mean * effective, effective, confidence))
    if n.min() == n.max():
        return low, high
    p = (k + 1) / (n + 2)
    variance = np.sum(p * (1 - p) / np.maximum(n - 1, 1)) / len(n) ** 2
    half = normal_isf((1 - confidence) / 2) * float(np.sqrt(variance))
    return max(0.0, min(low, mean - half)), min(1.0, max(high, mean + half))


def worst_class_interval(
    correct: ArrayLike, total: ArrayLike, confidence: float = 0.95
) -> tuple[float, float]:
    """Return an interval of the smallest class accuracy that covers under ties.

    [min of the lower ends, min of the upper ends] of Bonferroni-corrected Wilson intervals: all K hold at
    once with probability ``confidence``, and then so does this one.
    A bootstrap of the minimum does not cover.
    """
    classes = len(np.asarray(total))
    low, high = wilson(correct, total, 1 - (1 - confidence) / classes)
    return float(low.min()), float(high.min())
