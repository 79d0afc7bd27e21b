"""Two models on the same images: what one of them gets right and the other does not.

On the same images outcomes go together, so that far smaller differences show than between two counts.
"""

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import scipy  # imports `stats`, which takes a second, where it is first used
from numpy.typing import ArrayLike, NDArray

from cfa.statistics.differences import CONFIDENCE, Interval
from cfa.statistics.intervals import Array, wilson
from cfa.statistics.quantiles import normal_isf

Number = TypeVar("Number", float, Array)


@dataclass(frozen=True, eq=False)
class PairedCounts:
    """Images of each class by who is right, shape (classes,) each.

    Attributes:
        both: Right in both models.
        lost: Right in the baseline alone.
        gained: Right in the run alone.
        total: All of them.
    """

    both: Array
    lost: Array
    gained: Array
    total: Array

    @classmethod
    def of(
        cls, label: ArrayLike, baseline_right: ArrayLike, run_right: ArrayLike, classes: int
    ) -> "PairedCounts":
        """Count images, given the class of each and who is right about it, shape (images,) each."""
        labels = np.asarray(label)
        base, run = np.asarray(baseline_right, dtype=bool), np.asarray(run_right, dtype=bool)

        def count(chosen: NDArray[np.bool_]) -> Array:
            return np.bincount(labels[chosen], minlength=classes).astype(float)

        return cls(count(base & run), count(base & ~run), count(run & ~base), count(base | True))

    @property
    def baseline(self) -> Array:
        """Give the baseline's correct images per class."""
        return self.both + self.lost

    @property
    def run(self) -> Array:
        """Give the run's correct images per class."""
        return self.both + self.gained


def mcnemar(counts: PairedCounts) -> Array:
    """Return the exact p-value of McNemar's test (1947) per class; 1 where the models never disagree."""
    pairs = zip(counts.lost.astype(int), counts.gained.astype(int), strict=True)
    return np.array(
        [float(scipy.stats.binomtest(int(a), int(a + b), 0.5).pvalue) if a + b else 1.0 for a, b in pairs]
    )


def paired_mean_difference(counts: PairedCounts, confidence: float = CONFIDENCE) -> tuple[float, Interval]:
    """Return the difference of class means (run minus baseline) and a paired interval.

    Agresti and Min's (2005), Wald's for dependent proportions with half an image more in each of the four
    cells, on the mean shares over classes and the effective number of images K² / Σ 1/n_k (all of them when
    classes are balanced). The half images are added once: added in every class, they would pull the mean
    towards 0 by as much however many classes there are, while the interval gets narrower. As for
    :func:`cfa.statistics.class_mean_interval`, equal n_k make it not too narrow, and with unequal ones its
    ends are at least those of the stratified interval.
    """
    value = float(np.mean((counts.gained - counts.lost) / counts.total))
    classes, n = len(counts.total), counts.total
    images = classes**2 / np.sum(1 / n)
    lost, gained = (float(np.mean(share / n)) * images + 0.5 for share in (counts.lost, counts.gained))
    middle, variance = _difference_and_variance(lost, gained, images + 2)
    if n.min() < n.max():
        samples = _adjusted(counts)[1] * (n + 2) / np.maximum(n - 1, 1)
        variance = max(variance, float(samples.sum()) / classes**2)
    half = normal_isf((1 - confidence) / 2) * variance**0.5
    return value, (max(min(middle - half, value), -1.0), min(max(middle + half, value), 1.0))


def paired_class_differences(counts: PairedCounts, confidence: float = CONFIDENCE) -> tuple[Array, Array]:
    """Return Agresti and Min's interval of each class's difference: lower and upper ends."""
    centre, variance = _adjusted(counts)
    half = normal_isf((1 - confidence) / 2) * np.sqrt(variance)
    return np.maximum(centre - half, -1.0), np.minimum(centre + half, 1.0)


def paired_worst_difference(counts: PairedCounts, confidence: float = CONFIDENCE) -> tuple[float, Interval]:
    """Return the difference of worst-class accuracies and an interval that is valid under ties.

    With p_k and q_k of baseline and run and d_k = q_k - p_k, all 3 K intervals hold at once with probability
    ``confidence`` (Bonferroni). Within them min q - min p is
    - at least min_k [d_k + (p_k - min p)], where the bracket is no smaller than p_k's lower end minus the
      smallest upper end, and at least d_j of whichever class is the run's worst;
    - at most, by the same with the roles exchanged, d_j of whichever class is the baseline's worst.
    """
    value = float(np.min(counts.run / counts.total) - np.min(counts.baseline / counts.total))
    each = 1 - (1 - confidence) / (3 * len(counts.total))
    base_low, base_high = wilson(counts.baseline, counts.total, each)
    run_low, run_high = wilson(counts.run, counts.total, each)
    low, high = paired_class_differences(counts, each)
    base_gap = np.maximum(0, base_low - base_high.min())
    run_gap = np.maximum(0, run_low - run_high.min())
    bounds = (
        max(
            float(np.min(low + base_gap)),
            float(low[run_low <= run_high.min()].min()),
            float(run_low.min() - base_high.min()),
        ),
        min(
            float(np.max(high - run_gap)),
            float(high[base_low <= base_high.min()].max()),
            float(run_high.min() - base_low.min()),
        ),
    )
    return value, (min(bounds[0], value), max(bounds[1], value))


def _adjusted(counts: PairedCounts) -> tuple[Array, Array]:
    """Return centre and variance of each class's difference, half an image more in each of four cells."""
    return _difference_and_variance(counts.lost + 0.5, counts.gained + 0.5, counts.total + 2)


def _difference_and_variance(lost: Number, gained: Number, total: Number) -> tuple[Number, Number]:
    """Return a difference of dependent proportions and Wald's variance of it."""
    return (gained - lost) / total, (lost + gained - (gained - lost) ** 2 / total) / total**2
