"""Quantiles as `scipy.stats` has them, to the last digit, without importing it: it takes 0.6 s and 50 MB."""

import scipy  # imports `special` where it is first used


def normal_isf(share: float) -> float:
    """Return the z above which ``share`` of the standard normal distribution lies."""
    return -float(scipy.special.ndtri(share))


def student_isf(share: float, freedom: float) -> float:
    """Return the t above which ``share`` of Student's distribution lies.

    Args:
        share: In (0, 1).
        freedom: Degrees of freedom.
    """
    return -float(scipy.special.stdtrit(freedom, share))
