"""ABSLD: temperatures of the teacher's answers, and the loss in the paper's form and in that of the code."""

import math

import pytest
import torch
from torch import Tensor

from cfa.methods import TRAINING, Attacked, Batch, ClassStats, Tally, configure
from cfa.methods.catalogue.absld import (
    ADVERSARIAL,
    NATURAL,
    AbsldSettings,
    AntiBias,
    CoolsHardClasses,
    moved,
)
from tests.methods.test_fair_ard import batch_of, doubles, same

TOTAL = torch.tensor([100, 100, 100])
HARD = doubles([300, 500, 1000])


def example() -> Batch:
    """Return the two images of example 9, the clean student as images."""
    teacher = doubles([[2, 1, 0], [0, 3, 1]])
    temperatures = {ADVERSARIAL: doubles([2, 0.5, 1]), NATURAL: doubles([1.5, 1, 1])}
    return batch_of(doubles([[1.5, 0, 0], [0, 2, 0.5]]), [0, 1], teacher, **temperatures)


def stats(epoch: int, adversarial: Tensor, natural: Tensor) -> ClassStats:
    sums = {"cross_entropy_adversarial": adversarial, "cross_entropy_natural": natural}
    tally = Tally(total=TOTAL, correct=TOTAL, sums=sums)
    return ClassStats(epoch=epoch, class_counts=TOTAL, seen={TRAINING: tally})


@pytest.mark.parametrize(("shared", "expected"), [(False, 0.08734848), (True, 0.09696730)])
def test_the_loss_of_two_images(shared: bool, expected: float) -> None:
    """Example 9: the paper's form, and both answers of the teacher at both temperatures as in the code."""
    objective = AntiBias(AbsldSettings(shared_temperatures=shared))
    loss = objective(same, example(), Attacked(x_adv=doubles([[1, 0, 0], [0, 1, 0.5]])))
    assert float(loss.per_sample.mean()) == pytest.approx(expected, abs=1e-6)
    adversarial, natural = (
        loss.sums[f"cross_entropy_{kind}"].tolist() for kind in ("adversarial", "natural")
    )
    e, half = math.e, math.sqrt(math.e)
    assert adversarial == pytest.approx([math.log(e + 2) - 1, math.log(1 + e + half) - 1])
    assert natural == pytest.approx([math.log(e**1.5 + 2) - 1.5, math.log(1 + e**2 + half) - 2])


def test_temperatures_move_against_the_loss() -> None:
    """Example 9."""
    found = moved(torch.ones(3, dtype=torch.float64), HARD, 0.1, AbsldSettings())
    assert found.tolist() == pytest.approx([1.075, 1.025, 0.9])


def test_temperatures_stay_within_their_bounds_and_still_where_losses_are_equal() -> None:
    settings = AbsldSettings()
    found = moved(doubles([4.99, 1, 0.55]), HARD, 0.1, settings)
    assert found.tolist() == pytest.approx([5, 1.025, 0.5])
    assert moved(doubles([1, 2, 3]), doubles([7, 7, 7]), 0.1, settings).tolist() == [1, 2, 3]


def test_both_temperatures_have_their_own_losses_and_their_own_state() -> None:
    config = configure("absld", "x", model="small-cnn", preset="demo")
    rule = CoolsHardClasses(AbsldSettings(), config)
    state, knobs = rule.initial(3)
    assert [knobs[name].tolist() for name in (ADVERSARIAL, NATURAL)] == [[1, 1, 1], [1, 1, 1]]
    state, knobs = rule(state, stats(1, HARD, HARD.flip(0)))
    assert knobs[ADVERSARIAL].tolist() == pytest.approx([1.075, 1.025, 0.9])
    assert knobs[NATURAL].tolist() == pytest.approx([0.9, 1.025, 1.075])
    _, knobs = rule(state, stats(2, HARD, HARD.flip(0)))
    assert knobs[ADVERSARIAL].tolist() == pytest.approx([1.15, 1.05, 0.8])


@pytest.mark.parametrize(
    ("epoch", "rate"), [(214, 0.1), (215, 0.01), (259, 0.01), (260, 0.001), (285, 0.0001), (300, 0.0001)]
)
def test_the_rate_drops_with_the_learning_rate(epoch: int, rate: float) -> None:
    """In the authors' code it drops before the temperatures of that epoch move."""
    rule = CoolsHardClasses(AbsldSettings(), configure("absld", "cifar10", preset="authors"))
    state, _ = rule.initial(3)
    _, knobs = rule(state, stats(epoch, HARD, HARD))
    assert knobs[ADVERSARIAL][2].item() == pytest.approx(1 - rate)
