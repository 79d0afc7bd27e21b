"""Intervals that hold at every moment, while images are drawn without replacement from finite classes."""

import math
from bisect import bisect_left
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Ends = tuple[float, float]
_MOST_OF_WEALTH = 0.75  # that a bet may lose at once: what is left can win it back
_STEEPEST = 4.0  # of a tilt: what is beyond bets on a mean that is next to 0 or 1 for good


@lru_cache(maxsize=1 << 16)
def class_ends(correct: int, drawn: int, size: int, alpha: float) -> Ends:
    """Return the ends of a class's accuracy that hold after every draw at once.

    The prior-posterior ratio of Waudby-Smith and Ramdas (NeurIPS 2020), with a uniform prior on how many of
    the class's images are right: all those numbers K are kept whose prior / posterior is below 1 / alpha. In
    K the posterior is log-concave, so that they lie in a row.

    Args:
        correct: Images that were right among those drawn.
        drawn: Images drawn so far, in an order that does not look at outcomes.
        size: Images that the class has.
        alpha: The chance, at most, that the truth is ever outside, whenever one looks and stops.

    Returns:
        Lower and upper end in [0, 1], multiples of 1 / size; one point where all images are drawn.
    """
    if not 0 <= correct <= drawn <= size or size < 1:
        raise ValueError(f"{correct} right of {drawn} drawn of {size} images cannot be")
    wrong = drawn - correct
    most = size - wrong
    likeliest = min(max((correct * (size + 1)) // drawn if drawn else 0, correct), most)
    limit = -math.log(alpha) - _log_choose(size + 1, drawn + 1) + math.log(size + 1)

    def kept(right: int) -> bool:
        return -_log_choose(right, correct) - _log_choose(size - right, wrong) < limit

    low = correct + bisect_left(range(correct, likeliest + 1), True, key=kept)
    high = likeliest - 1 + bisect_left(range(likeliest, most + 1), True, key=lambda right: not kept(right))
    return low / size, high / size


def _log_choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)


@lru_cache(maxsize=64)
def mean_ends(rounds: tuple[int, ...], parts: int, size: int, alpha: float, aim: float) -> Ends:
    """Return the ends of a mean over classes that hold after every round at once.

    Round t is the share of classes whose t-th image is right: a sample without replacement of all rounds. For
    every possible mean gamblers bet that it is larger, others that it is smaller, half of their money in each
    of two ways, and a mean that makes one side rich is left out. The hedged bets of Waudby-Smith and Ramdas
    (JRSS B 2024) know how little rounds vary, but not that they are many images. The others bet on images
    as if all classes were alike: what exp(tilt) for a right image comes to, 1 + p (exp(tilt) - 1) in a class
    of accuracy p, has a logarithm concave in p, so that the product over classes is largest at their mean.

    Args:
        rounds: How many classes are right in each round, in the order in which they were drawn.
        parts: How many classes a round has.
        size: How many rounds there are in all.
        alpha: The chance, at most, that the truth is ever outside.
        aim: The half-width that is wanted: bets are those that come there soonest. Any is valid.

    Returns:
        Lower and upper end in [0, 1], multiples of 1 / (parts * size); one point where all are drawn.
    """
    right = np.asarray(rounds, dtype=np.int64)
    if len(right) > size or (len(right) and not 0 <= right.min() <= right.max() <= parts):
        raise ValueError(f"{len(right)} rounds of {parts} classes cannot be, of {size} rounds in all")
    shares = right / parts
    before = np.concatenate([[0], np.cumsum(right)])[: len(right)]
    left = parts * (size - np.arange(len(right)))
    bets, tilts = _stakes(shares, parts, aim)
    least, most = int(right.sum()), parts * size - int((parts - right).sum())
    middle = min(max(round(float(shares.mean()) * parts * size) if len(right) else 0, least), most)

    def poor(total: int, sign: int) -> bool:
        """Tell whether those stay poor who bet on more (1) or fewer (-1) right images than this in all."""
        expected = (total - before) / left  # of the next round, were that the truth
        with np.errstate(divide="ignore"):
            bet = sign * np.minimum(bets, _MOST_OF_WEALTH / (expected if sign > 0 else 1 - expected))
        on_rounds = np.log1p(bet * (shares - expected)).sum()
        on_images = (sign * tilts * right - parts * np.log1p(expected * np.expm1(sign * tilts))).sum()
        return bool(np.logaddexp(on_rounds, on_images) < math.log(2 * 2 / alpha))

    low = least + bisect_left(range(least, middle + 1), True, key=lambda total: poor(total, 1))
    above = bisect_left(range(middle, most + 1), True, key=lambda total: not poor(total, -1))
    low, high = min(low, middle), max(middle - 1 + above, middle)
    return low / (parts * size), high / (parts * size)


def _stakes(
    shares: NDArray[np.float64], parts: int, aim: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Say what is staked on each round and on each image of it, from the rounds before it.

    Money grows fastest at (what the mean is beyond the candidate) / variance. Of rounds that nobody has seen
    yet the variance is the largest that it can be, 1 / (4 parts).
    """
    count, largest = np.arange(1, len(shares) + 1), 1 / (4 * parts)
    means = (0.5 + np.cumsum(shares)) / (count + 1)
    variances = (largest + np.cumsum((shares - means) ** 2)) / (count + 1)
    mean = np.concatenate([[0.5], means])[: len(shares)]
    variance = np.concatenate([[largest], variances])[: len(shares)]
    return aim / variance, np.minimum(aim / (mean * (1 - mean)), _STEEPEST)
