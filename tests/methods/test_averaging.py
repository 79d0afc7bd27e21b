"""EMA and FAWA (eq. 8, Algorithm 1) against the recursion written out in numpy."""

import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from torch import Tensor

from cfa.config import GATES
from cfa.errors import ConfigError
from cfa.methods import Averager, blend, gate_statistic, tail_classes

DECAY = 0.85
# Worst-class validation robustness of eight epochs; the fourth and the sixth diverged on the way.
GATE = [0.05, 0.25, 0.2, 0.1, 0.199999, 0.0, 0.3, 0.5]
DIVERGED = (4, 6)


def online(epoch: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(epoch)
    weight = torch.randn(3, 2, generator=generator, dtype=torch.float64)
    if epoch in DIVERGED:
        weight[0, 0] = math.nan
        weight[1, 1] = math.inf
    return {
        "weight": weight,
        "running_var": torch.rand(3, generator=generator, dtype=torch.float64),
        "num_batches_tracked": torch.tensor(100 * epoch + 7),
    }


def averages(averager: Averager) -> list[dict[str, Tensor] | None]:
    average, history = None, []
    for epoch, statistic in enumerate(GATE, start=1):
        if averager.accepts(epoch, statistic):
            average = averager.update(average, online(epoch))
        history.append(average)
    return history


@pytest.mark.parametrize("start", [1, 2, 3, 7])
def test_fawa_is_the_recursion_over_accepted_epochs(start: int) -> None:
    expected: np.ndarray | None = None
    history = averages(Averager(decay=DECAY, start_epoch=start, threshold=0.2))
    for epoch, found in enumerate(history, start=1):
        accepted = epoch >= start and epoch in (2, 3, 7, 8)
        if accepted:
            theta = online(epoch)["weight"].numpy()
            expected = theta if expected is None else DECAY * expected + (1 - DECAY) * theta
        if expected is None:
            assert found is None
            continue
        assert found is not None
        np.testing.assert_allclose(found["weight"].numpy(), expected, rtol=1e-12)
        assert np.isfinite(found["weight"].numpy()).all()


def test_a_rejected_epoch_leaves_the_average_untouched_bit_for_bit() -> None:
    history = averages(Averager(decay=DECAY, start_epoch=1, threshold=0.2))
    assert history[2] is history[3] is history[4] is history[5]


def test_the_first_accepted_epoch_is_copied() -> None:
    weights = online(2)
    first = Averager(decay=DECAY, start_epoch=1, threshold=0.2).update(None, weights)
    for name, value in weights.items():
        assert torch.equal(first[name], value)
        assert first[name].data_ptr() != value.data_ptr()  # training goes on in the online tensors
    weights["weight"].zero_()
    assert first["weight"].abs().sum() > 0


def test_ema_takes_every_epoch_from_its_start() -> None:
    ema = Averager(decay=DECAY, start_epoch=7)
    assert [ema.accepts(epoch, statistic) for epoch, statistic in enumerate(GATE, start=1)] == (
        [False] * 6 + [True] * 2
    )
    last = averages(ema)[-1]
    assert last is not None
    expected = DECAY * online(7)["weight"] + (1 - DECAY) * online(8)["weight"]
    torch.testing.assert_close(last["weight"], expected)


def test_counters_are_those_of_the_newest_accepted_epoch_and_stay_whole() -> None:
    last = averages(Averager(decay=DECAY, start_epoch=1, threshold=0.2))[-1]
    assert last is not None
    assert last["num_batches_tracked"].dtype == torch.int64
    assert int(last["num_batches_tracked"]) == 807
    assert torch.equal(last["running_var"].isfinite(), torch.ones(3, dtype=torch.bool))


@pytest.mark.parametrize(
    ("statistic", "accepted"), [(0.2, True), (0.19999, False), (1.0, True), (math.nan, False)]
)
def test_the_gate_opens_at_its_threshold(statistic: float, accepted: bool) -> None:
    assert Averager(decay=DECAY, start_epoch=1, threshold=0.2).accepts(1, statistic) is accepted


@pytest.mark.parametrize("decay", [0.0, 0.5, 0.99])
def test_blending_equal_weights_changes_nothing(decay: float) -> None:
    weights = {"a": torch.rand(5), "n": torch.tensor(3)}
    blended = blend(weights, weights, decay)
    assert torch.equal(blended["a"], weights["a"])
    assert int(blended["n"]) == 3


@pytest.mark.parametrize(
    ("gate", "value"),
    [("worst", 0.1), ("worst-10-percent", 0.15), ("tail", 0.55), ("mean", (0.1 + 0.2 + 0.5 + 0.6 + 8) / 12)],
)
def test_gate_statistics_by_hand(gate, value: float) -> None:
    total = [10] * 10 + [20, 40]
    correct = [5, 6, 1, 2, 10, 10, 10, 10, 10, 10, 20, 40]
    tail = [True, True] + [False] * 10
    assert gate_statistic(gate, correct, total, tail) == pytest.approx(value, abs=1e-12)


@pytest.mark.parametrize("classes", [2, 3, 10])
def test_with_few_classes_the_worst_10_percent_is_the_worst(classes: int) -> None:
    correct = list(range(3, 3 + classes))
    total = [20] * classes
    assert gate_statistic("worst-10-percent", correct, total) == gate_statistic("worst", correct, total)


def test_the_worst_10_percent_of_100_classes_are_ten() -> None:
    correct = np.random.default_rng(0).permutation(100)
    assert gate_statistic("worst-10-percent", correct, [100] * 100) == pytest.approx(0.045)


def test_unequal_counts_weigh_classes_alike() -> None:
    assert gate_statistic("mean", [1, 100], [2, 100]) == 0.75
    assert gate_statistic("worst", [1, 100], [2, 100]) == 0.5


def test_the_tail_gate_needs_a_tail() -> None:
    with pytest.raises(ConfigError, match=r"averaging\.gate=tail"):
        gate_statistic("tail", [1], [2])
    assert set(GATES) == {"worst", "worst-10-percent", "tail", "mean"}


@pytest.mark.parametrize(
    ("counts", "tail"),
    [([5, 1, 3], [1]), ([10, 9, 8, 7], [2, 3]), ([1] + [9] * 9, [0, 1, 2, 3]), ([4, 2], [1])],
)
def test_the_tail_is_the_third_with_the_fewest_images(counts: list[int], tail: list[int]) -> None:
    assert np.flatnonzero(tail_classes(counts)).tolist() == tail


# Robust images of ten classes of 100, whose mean is the threshold in whole numbers and not in floats.
AT_ITS_THRESHOLD = [
    (gate, threshold, correct)
    for gate, threshold, correct in (
        ("worst", 0.29, [29] + [50] * 9),
        ("worst-10-percent", 0.07, [1, 13] + [60] * 18),
        ("worst-10-percent", 0.29, [27, 31] + [60] * 18),
        ("tail", 0.2, [10, 20, 30] + [60] * 6),
        ("tail", 0.7, [60, 70, 80] + [90] * 6),
        ("mean", 0.7, [60, 70, 80]),
        ("mean", 0.14, [3, 25, 6, 22, 9, 19, 12, 16, 14, 14]),
        ("mean", 1 / 3, [20, 40, 40]),
    )
]


@pytest.mark.parametrize(("gate", "threshold", "correct"), AT_ITS_THRESHOLD)
def test_a_statistic_of_exactly_the_threshold_opens_the_gate(
    gate, threshold: float, correct: list[int]
) -> None:
    averager = Averager(decay=DECAY, start_epoch=1, threshold=threshold)
    tail = np.arange(len(correct)) < len(correct) // 3
    assert averager.accepts(1, gate_statistic(gate, correct, [100] * len(correct), tail))
    less = [max(0, k - 1) for k in correct]
    assert not averager.accepts(1, gate_statistic(gate, less, [100] * len(correct), tail))


@pytest.mark.parametrize("gate", ["worst-10-percent", "tail", "mean"])
def test_every_mean_reaches_the_threshold_that_is_its_own_value(gate) -> None:
    """Whatever is averaged: the threshold is the decimal or the fraction that whole numbers give."""
    draws = np.random.default_rng(0)
    for _ in range(300):
        classes, images = int(draws.integers(2, 40)), int(draws.integers(20, 101))
        correct = draws.integers(0, images + 1, classes)
        tail = np.arange(classes) < max(1, classes // 3)
        chosen = {
            "worst-10-percent": np.sort(correct)[: math.ceil(classes / 10)],
            "tail": correct[tail],
            "mean": correct,
        }[gate]
        threshold = float(Fraction(int(chosen.sum()), len(chosen) * images))
        statistic = gate_statistic(gate, correct, [images] * classes, tail)
        assert Averager(decay=DECAY, start_epoch=1, threshold=threshold).accepts(1, statistic)
