"""FAIR-TAT against the numbers of its formulas, computed apart from this project (methods2, example 12)."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from cfa.methods import TRAINING, ClassStats, Tally, configure, parts_of
from cfa.methods.catalogue.fair_tat import PREDICTED, TARGET, drawn_targets, shares_of_errors
from tests.support.worked import adversarial, batch_of, of, same

CONFUSION = [[50, 30, 20], [25, 40, 35], [5, 15, 80]]  # true class by predicted class
SHARES = [0.230769, 0.346154, 0.423077]


def after(confusion: list[list[int]], epoch: int = 1) -> ClassStats:
    counted = torch.tensor(confusion)
    tally = Tally(total=counted.sum(dim=1), correct=counted.diagonal(), sums={PREDICTED: counted})
    return ClassStats(epoch=epoch, class_counts=tally.total, seen={TRAINING: tally})


def test_shares_of_errors_that_end_in_each_class() -> None:
    assert shares_of_errors(of(CONFUSION)).tolist() == pytest.approx(SHARES, abs=1e-5)
    assert shares_of_errors(of([[5, 0], [0, 7]])).tolist() == [0.5, 0.5]  # no errors at all


@pytest.mark.parametrize(
    ("settings", "factors", "targets"),
    [
        ({}, [1.0, 0.9, 1.3], [0.268196, 0.337811, 0.393993]),
        ({"method.eps_by": "nothing"}, [1, 1, 1], [0.268196, 0.337811, 0.393993]),
        ({"method.eps_by": "errors"}, [0.5 + 2 * f for f in SHARES], [0.268196, 0.337811, 0.393993]),
        ({"method.targets": "uniform"}, [1.0, 0.9, 1.3], [1 / 3] * 3),
    ],
)
def test_eps_and_targets_follow_the_epoch(
    settings: dict[str, Any], factors: list[float], targets: list[float]
) -> None:
    overrides = {"attack.eps": 0.1, "method.uniform_epochs": 2, **settings}
    rule = parts_of(configure("fair-tat", "tiny", preset="demo", overrides=overrides)).rule
    state, knobs = rule.initial(3)
    assert knobs[TARGET].tolist() == pytest.approx([1 / 3] * 3)
    _, knobs = rule(state, after(CONFUSION, 1))
    assert knobs["eps"].tolist() == [0.1, 0.1, 0.1]
    _, knobs = rule(state, after(CONFUSION, 2))
    assert (knobs["eps"] / 0.1).tolist() == pytest.approx(factors, abs=1e-5)
    assert knobs[TARGET].tolist() == pytest.approx(targets, abs=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_targets_are_drawn_by_chance_among_wrong_classes(dtype: torch.dtype) -> None:
    """As if draws were repeated until they are wrong: of class 1, classes 0 and 2 by .2 / .7 and .5 / .7."""
    chances, y = torch.tensor([0.2, 0.3, 0.5], dtype=dtype), torch.tensor([1] * 20_000 + [2] * 20_000)
    drawn = drawn_targets(chances, y, torch.Generator().manual_seed(0))
    of_1, of_2 = (drawn[y == k].bincount(minlength=3) / 20_000 for k in (1, 2))
    assert of_1.tolist() == pytest.approx([2 / 7, 0, 5 / 7], abs=0.015)
    assert of_2.tolist() == pytest.approx([0.4, 0.6, 0], abs=0.015)


def test_the_attack_moves_towards_the_target_and_not_only_away() -> None:
    """Pixel k raises the logit of class k, and nearly all draws are class 2: its pixel alone goes up."""
    overrides = {"attack.eps": 0.1, "attack.start": "none", "attack.step_size": 0.1}
    parts = parts_of(configure("fair-tat", "tiny", preset="demo", overrides=overrides))
    x = torch.full((2, 1, 1, 3), 0.5, dtype=torch.float64)
    eps = of([0.1, 0.05, 0.1])
    batch = replace(batch_of([[0, 0, 0]] * 2, [0, 1], eps=eps, target=of([1e-9, 1e-9, 1])), x=x)

    def model(images: Tensor) -> Tensor:
        return images.flatten(1)

    moved = parts.attack(model, batch, torch.Generator().manual_seed(0)).x_adv - x
    expected = [-0.1, -0.1, 0.1, -0.05, -0.05, 0.05]
    assert moved.flatten().tolist() == pytest.approx(expected, abs=1e-9)


def test_predictions_are_counted_by_true_class() -> None:
    objective = parts_of(configure("fair-tat", "tiny", preset="demo")).objective
    loss = objective(same, batch_of([[0, 0, 0]] * 2, [0, 1]), adversarial([[0.5, 1, 0], [0.2, 1.5, 0]]))
    assert loss.sums[PREDICTED].tolist() == [[0, 1, 0], [0, 1, 0]]
