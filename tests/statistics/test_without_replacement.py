"""Intervals that hold at every moment: against scipy's distributions, and coverage counted out exactly."""

from itertools import permutations, product

import numpy as np
import pytest
import scipy.stats

from cfa.statistics import class_ends, mean_ends

DRAWS = [
    (0, 0, 50),
    (0, 20, 1000),
    (20, 20, 1000),
    (7, 20, 1000),
    (280, 1000, 1000),
    (1, 3, 4),
    (45, 90, 100),
]


@pytest.mark.parametrize("alpha", [0.05, 0.005, 0.0005])
@pytest.mark.parametrize(("correct", "drawn", "size"), DRAWS)
def test_a_class_keeps_what_its_posterior_leaves_likely(
    correct: int, drawn: int, size: int, alpha: float
) -> None:
    right = np.arange(size + 1)
    # With a uniform prior, those that were not drawn are beta-binomial.
    posterior = scipy.stats.betabinom.pmf(right - correct, size - drawn, correct + 1, drawn - correct + 1)
    with np.errstate(divide="ignore"):
        kept = right[1 / (size + 1) / posterior < 1 / alpha]
    assert kept.tolist() == list(range(kept[0], kept[-1] + 1))
    assert class_ends(correct, drawn, size, alpha) == (kept[0] / size, kept[-1] / size)


@pytest.mark.parametrize("alpha", [0.3, 0.05, 0.01])
def test_the_chance_that_a_class_is_ever_outside_counted_out(alpha: float) -> None:
    size = 40
    for right in range(size + 1):
        inside = np.zeros(size + 1)  # chances of so many right ones so far, never having been outside
        inside[0] = 1.0
        for drawn in range(1, size + 1):
            seen = np.arange(size + 1)
            chance = np.clip((right - seen) / (size - drawn + 1), 0, 1)  # that the next one is right
            inside = inside * (1 - chance) + np.concatenate([[0], (inside * chance)[:-1]])
            for correct in np.flatnonzero(inside):
                low, high = class_ends(int(correct), drawn, size, alpha)
                if not low <= right / size <= high:
                    inside[correct] = 0.0
        assert inside.sum() >= 1 - alpha, right


@pytest.mark.parametrize("aim", [0.02, 0.2])
@pytest.mark.parametrize("alpha", [0.6, 0.3])
def test_the_chance_that_a_mean_is_ever_outside_counted_out(alpha: float, aim: float) -> None:
    """Every population of 2 classes of 4 images, in every order, with an alpha that so few can exceed."""
    size, ever_outside = 4, []
    for first, second in product(range(size + 1), repeat=2):
        truth = (first + second) / (2 * size)
        orders = [sorted(set(permutations([1] * k + [0] * (size - k)))) for k in (first, second)]
        missed = [
            any(
                not low - 1e-12 <= truth <= high + 1e-12
                for t in range(size + 1)
                for low, high in [
                    mean_ends(
                        tuple(a + b for a, b in zip(one[:t], other[:t], strict=True)), 2, size, alpha, aim
                    )
                ]
            )
            for one, other in product(*orders)
        ]
        ever_outside.append(np.mean(missed))
    assert max(ever_outside) <= alpha


def test_what_is_known_of_none_and_of_all_images() -> None:
    assert class_ends(0, 0, 10, 0.05) == (0.0, 1.0)
    assert class_ends(3, 10, 10, 0.05) == (0.3, 0.3)
    assert mean_ends((), 4, 10, 0.05, 0.03) == (0.0, 1.0)
    assert mean_ends((2, 3, 4, 0), 4, 4, 0.05, 0.03) == (9 / 16, 9 / 16)


def test_intervals_close_as_images_come() -> None:
    rng = np.random.default_rng(0)
    rounds = tuple(rng.binomial(10, 0.6, 500).tolist())
    widths = [
        high - low for low, high in (mean_ends(rounds[:t], 10, 1000, 0.05, 0.03) for t in (50, 150, 500))
    ]
    assert widths == sorted(widths, reverse=True)
    assert widths[-1] < 0.06


@pytest.mark.parametrize("counts", [(3, 2, 10), (0, 11, 10), (-1, 2, 10), (0, 0, 0)])
def test_counts_that_cannot_be_are_refused(counts: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="cannot be"):
        class_ends(*counts, 0.05)


@pytest.mark.parametrize(("rounds", "parts", "size"), [((1, 1, 1), 2, 2), ((3,), 2, 5), ((-1,), 2, 5)])
def test_rounds_that_cannot_be_are_refused(rounds: tuple[int, ...], parts: int, size: int) -> None:
    with pytest.raises(ValueError, match="cannot be"):
        mean_ends(rounds, parts, size, 0.05, 0.03)
