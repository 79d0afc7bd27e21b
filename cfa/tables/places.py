"""Which places results may take in an order: a place is stated only as far as seeds tell results apart."""

from dataclasses import dataclass

import numpy as np
import scipy  # imports `stats`, which takes a second, where it is first used
from numpy.typing import ArrayLike, NDArray

from cfa.statistics import CONFIDENCE, holm


@dataclass(frozen=True, eq=False)
class Places:
    """The places that each of some results may take, shape (results,) each.

    Attributes:
        first: The best place: one more than the results that are higher for certain; 0 without a place.
        last: The last place likewise.
        placed: How many results have a place.
        certain: How many pairs of them are in a certain order.
    """

    first: NDArray[np.int64]
    last: NDArray[np.int64]
    placed: int
    certain: int


def places(value: ArrayLike, deviation: ArrayLike, seeds: ArrayLike) -> Places:
    """Place results by their means over seeds; two of them are in an order where Welch's t is certain of it.

    Certain is what Holm's procedure over all pairs rejects at 5 %. A result of a single seed, or whose
    spread is not known, has no place: how much another seed would change it is not known.

    Args:
        value: Means, shape (results,); NaN where unknown, as in the others.
        deviation: Standard deviations over seeds (n - 1).
        seeds: Their numbers.
    """
    mean, spread, number = (np.asarray(column, dtype=float) for column in (value, deviation, seeds))
    known = np.flatnonzero(np.isfinite(mean) & (spread > 0) & (number >= 2))
    first, last = (np.zeros(len(mean), dtype=np.int64) for _ in range(2))
    if not len(known):
        return Places(first, last, 0, 0)
    one, other = np.triu_indices(len(known), 1)
    difference = mean[known][one] - mean[known][other]
    share = spread[known] ** 2 / number[known]
    error = share[one] + share[other]
    by_freedom = share**2 / (number[known] - 1)
    freedom = error**2 / (by_freedom[one] + by_freedom[other])  # Welch and Satterthwaite's
    certain = holm(2 * scipy.stats.t.sf(np.abs(difference) / np.sqrt(error), freedom), 1 - CONFIDENCE)
    higher = np.where(difference > 0, one, other)[certain]
    lower = np.where(difference > 0, other, one)[certain]
    first[known] = 1 + np.bincount(lower, minlength=len(known))
    last[known] = len(known) - np.bincount(higher, minlength=len(known))
    return Places(first, last, len(known), int(certain.sum()))
