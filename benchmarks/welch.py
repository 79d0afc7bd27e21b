"""How often Welch's 95 % interval of a difference over seeds holds it, with few seeds and unequal spreads.

python benchmarks/welch.py [--draws 200000]

Figures of seeds are drawn from normal distributions with known means; the interval is the one that *Compare*
states. Nothing here depends on the machine: the same numpy draws the same figures.
"""

import argparse
from collections.abc import Iterator
from typing import Any

import numpy as np
import scipy.stats

SEEDS = (2, 3, 4, 5)  # on a side
SPREADS = (
    1.0,
    2.0,
    4.0,
    10.0,
)  # the first side's standard deviation over the second's; the other way by symmetry
CONFIDENCE = 0.95
DIFFERENCE = 0.02  # of the means; it cancels


def main() -> None:
    """Simulate every pair of numbers of seeds and every ratio of spreads, and write the shares."""
    from machine import describe_machine, write_result

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=200_000)
    draws = parser.parse_args().draws
    found = list(coverages(draws))
    write_result(
        "welch",
        {
            "what": "share of Welch intervals over seeds that hold the true difference of two methods",
            "nominal": CONFIDENCE,
            "draws": draws,
            "standard_error": round((CONFIDENCE * (1 - CONFIDENCE) / draws) ** 0.5, 5),
            "ranges": ranges(found),
            "coverage": found,
            "machine": describe_machine(),
        },
    )


def coverages(draws: int) -> Iterator[dict[str, Any]]:
    """Give, for each design, the share of intervals that hold the difference; the draws are fixed."""
    designs = [(one, other, ratio) for one in SEEDS for other in SEEDS for ratio in SPREADS]
    for number, (one, other, ratio) in enumerate(designs):
        rng = np.random.default_rng([20_23, number])
        share = coverage(rng, one, other, ratio, draws)
        yield {"seeds": [one, other], "spreads": ratio, "coverage": round(share, 4)}


def coverage(rng: np.random.Generator, one: int, other: int, ratio: float, draws: int) -> float:
    """Draw both sides so many times and count how often the interval holds their difference."""
    run = DIFFERENCE + ratio * rng.standard_normal((draws, one))
    baseline = rng.standard_normal((draws, other))
    low, high = intervals(run, baseline)
    return float(np.mean((low <= DIFFERENCE) & (high >= DIFFERENCE)))


def intervals(run: np.ndarray, baseline: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the ends of the interval of every draw, as `cfa.statistics.SeedFigures` makes one."""
    found = scipy.stats.ttest_ind(run, baseline, axis=1, equal_var=False).confidence_interval(CONFIDENCE)
    return found.low, found.high


def ranges(found: list[dict[str, Any]]) -> dict[str, list[float]]:
    """Return the smallest and the largest share by how many seeds there are, over all ratios of spreads."""
    shares: dict[str, list[float]] = {}
    for row in found:
        one, other = sorted(row["seeds"])
        name = f"{one} of each" if one == other else f"unequal, the fewer {one}"
        shares.setdefault(name, []).append(row["coverage"])
    return {name: [min(values), max(values)] for name, values in sorted(shares.items())}


if __name__ == "__main__":
    main()
