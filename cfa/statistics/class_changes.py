"""How much each class changed against a baseline, and which of these changes are certain.

One decision for words, strips and charts alike: Holm's procedure over the classes decides, and the interval
of a class is taken at the level at which Holm decided it. It leaves out 0
exactly where the change is certain.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import comb

import numpy as np
import scipy  # imports `stats`, which takes a second, where it is first used
from numpy.typing import NDArray

from cfa.statistics.differences import CONFIDENCE, Counts, holm
from cfa.statistics.intervals import Array, differ
from cfa.statistics.paired import PairedCounts, mcnemar

SHARED_SEEDS = 5
"""From so many shared seeds on they are compared in pairs: with fewer the loss of freedom costs more."""

Ends = Callable[[Array], tuple[Array, Array]]
"""Lower and upper ends of each interval, given the level (one minus the confidence) of each."""


@dataclass(frozen=True, eq=False)
class ClassChanges:
    """Changes of accuracy (run minus baseline), shape (classes,) each.

    Attributes:
        difference: In [-1, 1].
        p_value: Of each class alone; 1 where it cannot be tested.
        certain: What Holm's procedure over the classes rejects.
        low: Lower end of the interval at the level at which Holm decided the class; NaN where it cannot be
            tested. ``high`` likewise.
        high: Upper end.
    """

    difference: Array
    p_value: Array
    certain: NDArray[np.bool_]
    low: Array
    high: Array

    @property
    def better(self) -> list[int]:
        """List the classes that are better for certain."""
        return np.flatnonzero(self.certain & (self.difference > 0)).tolist()

    @property
    def worse(self) -> list[int]:
        """List the classes that are worse for certain."""
        return np.flatnonzero(self.certain & (self.difference < 0)).tolist()


@dataclass(frozen=True, eq=False)
class SeedFigures:
    """Figures of two methods' seeds, reduced to what Student's t needs; shape (figures,) each.

    Intervals are about the methods on this data set and test part, where those of two runs are about two
    checkpoints. There is none where the seeds of a side do not differ: their spread is then not known, and
    zero in its place would make an interval too narrow, or a point. How often Welch's covers with few seeds
    is simulated in `benchmarks/welch.py`.

    Attributes:
        difference: Of the means, run minus baseline.
        error: Standard error of the difference; 0 where the seeds of a side do not differ.
        freedom: Degrees of freedom.
        deviation: Standard deviation over seeds, both sides pooled.
        pairs: How many shared seeds were compared in pairs; 0 where the sides are independent (Welch).
    """

    difference: Array
    error: Array
    freedom: Array
    deviation: Array
    pairs: int

    @classmethod
    def of(
        cls, run: Array, run_seeds: Sequence[int], baseline: Array, baseline_seeds: Sequence[int]
    ) -> "SeedFigures":
        """Compare figures, shape (seeds, figures): in pairs from five shared seeds on, else by Welch's t.

        Args:
            run: Two seeds at least.
            run_seeds: Distinct seeds, in the order of ``run``'s rows.
            baseline: Two seeds at least.
            baseline_seeds: The same of the baseline.
        """
        shared = sorted(set(run_seeds) & set(baseline_seeds))
        if len(shared) >= SHARED_SEEDS:
            return cls._in_pairs(*_of_shared(run, run_seeds, baseline, baseline_seeds))
        return cls._independent(run, baseline)

    @classmethod
    def _in_pairs(cls, run: Array, baseline: Array) -> "SeedFigures":
        change, n = run - baseline, len(run)
        deviation = change.std(axis=0, ddof=1)
        known = _differing(change)
        error = np.where(known, deviation / n**0.5, 0.0)
        freedom = np.full(change.shape[1], n - 1.0)
        return cls(change.mean(axis=0), error, freedom, deviation / 2**0.5, n)

    @classmethod
    def _independent(cls, run: Array, baseline: Array) -> "SeedFigures":
        sizes = np.array([[len(run)], [len(baseline)]], dtype=float)
        variances = np.stack([side.var(axis=0, ddof=1) for side in (run, baseline)])
        known = _differing(run) & _differing(baseline)
        shares = variances / sizes
        error = np.where(known, np.sqrt(shares.sum(axis=0)), 0.0)
        with np.errstate(invalid="ignore", divide="ignore"):  # Welch and Satterthwaite's
            freedom = shares.sum(axis=0) ** 2 / (shares**2 / (sizes - 1)).sum(axis=0)
        freedom = np.where(known, freedom, sizes.sum() - 2)
        pooled = np.sqrt((variances * (sizes - 1)).sum(axis=0) / (sizes - 1).sum())
        return cls(run.mean(axis=0) - baseline.mean(axis=0), error, freedom, pooled, 0)

    @property
    def known(self) -> NDArray[np.bool_]:
        """Say where seeds differ, so that their spread is known."""
        return self.error > 0

    @property
    def p_value(self) -> Array:
        """Two-sided p-values; 1 where the spread is not known."""
        with np.errstate(invalid="ignore", divide="ignore"):
            found = 2 * scipy.stats.t.sf(np.abs(self.difference) / self.error, self.freedom)
        return np.where(self.known, found, 1.0)

    def ends(self, level: Array) -> tuple[Array, Array]:
        """Return the intervals at a level each; NaN where the spread is not known."""
        half = np.where(self.known, scipy.stats.t.isf(level / 2, self.freedom) * self.error, np.nan)
        return self.difference - half, self.difference + half

    def interval(self, confidence: float = CONFIDENCE) -> list[tuple[float, float] | None]:
        """Return the interval of each figure by itself; ``None`` where the spread is not known."""
        low, high = self.ends(np.full(self.difference.shape, 1 - confidence))
        return [
            (float(a), float(b)) if there else None for a, b, there in zip(low, high, self.known, strict=True)
        ]

    def changes(self, level: float = 1 - CONFIDENCE) -> ClassChanges:
        """Take the figures for classes and decide which of them changed."""
        return _decided(self.difference, self.p_value, self.ends, level)


def changes_in_pairs(counts: PairedCounts, level: float = 1 - CONFIDENCE) -> ClassChanges:
    """Decide which classes changed between two models on the same images: exact McNemar tests.

    The interval is that of Clopper and Pearson (1934) for the share that the run gets right of the images on
    which the models disagree, turned into a difference: given how many they are, it fits the exact test.
    """

    def ends(levels: Array) -> tuple[Array, Array]:
        apart = counts.lost + counts.gained
        with np.errstate(invalid="ignore"):
            low = scipy.stats.beta.ppf(levels / 2, counts.gained, counts.lost + 1)
            high = scipy.stats.beta.isf(levels / 2, counts.gained + 1, counts.lost)
        low, high = np.where(counts.gained > 0, low, 0.0), np.where(counts.lost > 0, high, 1.0)
        share = apart / counts.total
        return (2 * low - 1) * share, (2 * high - 1) * share

    return _decided((counts.gained - counts.lost) / counts.total, mcnemar(counts), ends, level)


def changes_of_counts(
    run: tuple[Counts, Counts], baseline: tuple[Counts, Counts], level: float = 1 - CONFIDENCE
) -> ClassChanges:
    """Decide which classes changed between two models of which only counts are known.

    Fisher's exact test decides. The interval is Agresti and Caffo's (2000); where the two disagree about 0,
    the class is not certain and the interval reaches 0.

    Args:
        run: Correct and total per class.
        baseline: The same of the baseline.
        level: Chance of any false claim.
    """
    tables = zip(run[0], run[1] - run[0], baseline[0], baseline[1] - baseline[0], strict=True)
    exact = np.array([float(scipy.stats.fisher_exact([[a, b], [c, d]]).pvalue) for a, b, c, d in tables])
    shares = [(correct + 1) / (total + 2) for correct, total in (run, baseline)]
    middle = shares[0] - shares[1]
    error = np.sqrt(sum(p * (1 - p) / (n[1] + 2) for p, n in zip(shares, (run, baseline), strict=True)))
    p_value = np.maximum(exact, 2 * scipy.stats.norm.sf(np.abs(middle) / error))

    def ends(levels: Array) -> tuple[Array, Array]:
        half = scipy.stats.norm.isf(levels / 2) * error
        low, high = np.maximum(middle - half, -1.0), np.minimum(middle + half, 1.0)
        open_ = p_value > levels
        return np.where(open_, np.minimum(low, 0.0), low), np.where(open_, np.maximum(high, 0.0), high)

    return _decided(run[0] / run[1] - baseline[0] / baseline[1], p_value, ends, level)


def holm_levels(p_values: Array, level: float) -> Array:
    """Return the level at which Holm's procedure decided each hypothesis.

    The i-th smallest of m p-values that is rejected was held against level / (m - i + 1); the first that is
    not, and all after it, against the level at which the procedure stopped.
    """
    order = np.argsort(p_values, kind="stable")
    steps = level / np.arange(len(order), 0, -1)
    rejected = holm(p_values, level)[order]
    stopped = int(rejected.sum())
    if stopped < len(order):
        steps[stopped:] = steps[stopped]
    levels = np.empty(len(order))
    levels[order] = steps
    return levels


def same_direction(
    run: Array, run_seeds: Sequence[int], baseline: Array, baseline_seeds: Sequence[int]
) -> tuple[NDArray[np.int_], float]:
    """Say which figures went the same way in every seed, and how often chance alone would have one do so.

    The same seeds of both are compared one by one; where a side has others, every seed with every other.

    Args:
        run: Shape (seeds, figures).
        run_seeds: Distinct seeds, in the order of ``run``'s rows.
        baseline: The same of the baseline.
        baseline_seeds: Its seeds.

    Returns:
        1 (up), -1 (down) or 0 (mixed) of each figure, and the chance that a figure which does not depend on
        the method is not 0.
    """
    if set(run_seeds) == set(baseline_seeds):
        new, old = _of_shared(run, run_seeds, baseline, baseline_seeds)
        up, down = (new > old).all(axis=0), (new < old).all(axis=0)
        chance = 2.0 ** (1 - len(new))
    else:
        up, down = run.min(axis=0) > baseline.max(axis=0), run.max(axis=0) < baseline.min(axis=0)
        chance = 2 / comb(len(run) + len(baseline), len(run))
    return up.astype(int) - down.astype(int), chance


def _decided(difference: Array, p_value: Array, ends: Ends, level: float) -> ClassChanges:
    low, high = ends(holm_levels(p_value, level))
    return ClassChanges(difference, p_value, holm(p_value, level), low, high)


def _of_shared(
    run: Array, run_seeds: Sequence[int], baseline: Array, baseline_seeds: Sequence[int]
) -> tuple[Array, Array]:
    """Return the rows of the seeds that both have, in the same order."""
    shared = sorted(set(run_seeds) & set(baseline_seeds))
    return run[[run_seeds.index(s) for s in shared]], baseline[[baseline_seeds.index(s) for s in shared]]


def _differing(figures: Array) -> NDArray[np.bool_]:
    return np.array([differ(column) for column in figures.T], dtype=bool)
