"""How much it takes to show a difference: images of a class, or seeds of a method."""

from math import asin, ceil, isnan, sqrt

import scipy  # imports `stats` and `optimize`, which take a second, where they are first used

LEVEL, POWER = 0.05, 0.8


def images_needed(
    difference: float, accuracy: float, *, classes: int = 1, level: float = LEVEL, power: float = POWER
) -> int:
    """Return the images of a class that two models must be measured on, each, to show a difference.

    Two proportions, accuracy and accuracy + difference, two-sided, by the arcsine (Cohen 1988):
    n = 2 ((z_{1-level/2} + z_{power}) / h)² with h = 2 asin √p' - 2 asin √p; with several classes at
    Bonferroni's level. On the same images far fewer do: see :func:`paired_images_needed`.

    Args:
        difference: Of accuracies, not 0; ``accuracy + difference`` is cut to [0, 1].
        accuracy: Of the model that is compared with.
        classes: Classes that are looked at.
        level: Chance of seeing a difference where there is none.
        power: Chance of seeing this one.
    """
    other = min(max(accuracy + difference, 0.0), 1.0)
    effect = 2 * asin(sqrt(other)) - 2 * asin(sqrt(accuracy))
    return ceil(2 * (_quantiles(level / classes, power) / effect) ** 2)


def paired_images_needed(
    difference: float, disagreement: float, *, classes: int = 1, level: float = LEVEL, power: float = POWER
) -> int:
    """Return the images of a class on which two models show a difference, both measured on the same ones.

    McNemar's test by the normal approximation (Connor 1987):
    n = (z_{1-level/2} √ψ + z_{power} √(ψ - δ²))² / δ².

    Args:
        difference: Of accuracies, δ; not 0.
        disagreement: Share of images that exactly one of the models gets right, ψ; at least ``|δ|``.
        classes: Classes that are looked at (Bonferroni).
        level: Chance of seeing a difference where there is none.
        power: Chance of seeing this one.
    """
    psi = max(disagreement, abs(difference))
    z_level, z_power = scipy.stats.norm.isf(level / classes / 2), scipy.stats.norm.ppf(power)
    root = float(z_level * sqrt(psi) + z_power * sqrt(psi - difference**2))
    return ceil((root / difference) ** 2)


def seeds_needed(difference: float, deviation: float, *, level: float = LEVEL, power: float = POWER) -> int:
    """Return the seeds per method on which a two-sided t-test of equal variances shows a difference.

    Its power is that of the noncentral t distribution.

    Args:
        difference: Of the methods' means, not 0.
        deviation: Standard deviation over seeds, above 0.
        level: Chance of seeing a difference where there is none.
        power: Chance of seeing this one.
    """
    effect = abs(difference) / deviation
    seeds = max(2, ceil(2 * (_quantiles(level, power) / effect) ** 2) - 2)  # a lower bound, by the normal
    while _t_power(effect, seeds, level) < power:
        seeds += 1
    return seeds


def detectable_difference(
    error: float, freedom: float, *, level: float = LEVEL, power: float = POWER
) -> float:
    """Return the difference of means that a two-sided t-test finds with this power.

    Args:
        error: Standard error of the difference, above 0.
        freedom: Degrees of freedom, at least 1.
        level: Chance of seeing a difference where there is none.
        power: Chance of seeing this one; above ``level``.
    """
    critical = float(scipy.stats.t.isf(level / 2, freedom))

    def lacking(shift: float) -> float:
        return _rejects(critical, freedom, shift) - power

    largest = critical + 2.0
    while lacking(largest) < 0:
        largest *= 2
    return error * float(scipy.optimize.brentq(lacking, 0.0, largest))


def _t_power(effect: float, seeds: int, level: float) -> float:
    freedom = 2 * seeds - 2
    critical = float(scipy.stats.t.isf(level / 2, freedom))
    return _rejects(critical, freedom, effect * sqrt(seeds / 2))


def _rejects(critical: float, freedom: float, shift: float) -> float:
    """Return how often a noncentral t variable lies beyond the critical value on either side."""
    below = scipy.stats.nct.cdf(-critical, freedom, shift)
    return float(scipy.stats.nct.sf(critical, freedom, shift) + (0.0 if isnan(below) else below))


def _quantiles(level: float, power: float) -> float:
    return float(scipy.stats.norm.isf(level / 2) + scipy.stats.norm.ppf(power))
