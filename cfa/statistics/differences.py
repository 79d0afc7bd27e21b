"""Differences between two models of which only counts are known, or that saw different images."""

import numpy as np
from numpy.typing import NDArray

from cfa.statistics.intervals import worst_class_interval
from cfa.statistics.quantiles import normal_isf

CONFIDENCE = 0.95
Counts = NDArray[np.float64]
Interval = tuple[float, float]


def holm(p_values: NDArray[np.float64], level: float) -> NDArray[np.bool_]:
    """Say which hypotheses Holm's procedure (1979) rejects: any false rejection at most ``level`` often.

    The i-th smallest p-value is compared with level / (m - i), up to the first that fails. (statsmodels',
    with which tests compare it, collects garbage in every call: 0.15 s, too long for a page of comparisons.)
    """
    order = np.argsort(p_values, kind="stable")
    passed = p_values[order] <= level / np.arange(len(order), 0, -1)
    rejected = np.zeros(len(order), dtype=np.bool_)
    rejected[order[np.cumprod(passed).astype(bool)]] = True
    return rejected


def mean_difference(
    run: tuple[Counts, Counts], baseline: tuple[Counts, Counts], confidence: float = CONFIDENCE
) -> tuple[float, Interval]:
    """Return the difference of class means (run minus baseline) and a normal interval.

    Classes are independent binomials, and so are the runs: on the same images, where outcomes go together,
    the interval is too wide rather than too narrow (`cfa.statistics.paired` then knows more). Variances are
    those of one more success and one more failure (Agresti and Caffo 2000), so that classes at 0 or 1 have
    one.

    Args:
        run: Correct and total per class.
        baseline: The same of the baseline.
        confidence: Nominal coverage.
    """
    value = float(np.mean(run[0] / run[1]) - np.mean(baseline[0] / baseline[1]))
    variance = 0.0
    for correct, total in (run, baseline):
        p = (correct + 1) / (total + 2)
        variance += float(np.sum(p * (1 - p) / (total + 2))) / len(total) ** 2
    half = normal_isf((1 - confidence) / 2) * variance**0.5
    return value, (max(value - half, -1.0), min(value + half, 1.0))


def worst_difference(
    run: tuple[Counts, Counts], baseline: tuple[Counts, Counts], confidence: float = CONFIDENCE
) -> tuple[float, Interval]:
    """Return the difference of worst-class accuracies and a conservative interval.

    Both worst-class intervals hold at once with probability ``confidence`` (each misses with half the rest).
    """
    each = 1 - (1 - confidence) / 2
    low, high = worst_class_interval(*run, each)
    base_low, base_high = worst_class_interval(*baseline, each)
    value = float(np.min(run[0] / run[1]) - np.min(baseline[0] / baseline[1]))
    return value, (low - base_high, high - base_low)
