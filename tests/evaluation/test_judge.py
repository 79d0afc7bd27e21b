"""The judge: what does not lie in the ball, or in [0, 1], does not count; what is not a number fails."""

import math

import numpy as np
import pytest
import torch
from sklearn.metrics import confusion_matrix
from torch import Tensor, nn

from cfa.errors import CfaError, CheckpointError
from cfa.evaluation import confusion, judged, worst_case
from cfa.evaluation.judge import judge
from cfa.notation import Norm


class Bright(nn.Module):
    """Class 1 where the first pixel is above a half."""

    def forward(self, x: Tensor) -> Tensor:
        first = x.flatten(1)[:, 0]
        return torch.stack((torch.full_like(first, 0.5), first), dim=1)


def moved(value: float, *, others: float = 0.0, start: float = 0.45) -> tuple[Tensor, Tensor]:
    """Make an image of four pixels, and one whose first is ``value``, the others changed by ``others``."""
    x = torch.full((1, 1, 2, 2), start)
    x_adv = x + others
    x_adv[0, 0, 0, 0] = value
    return x, x_adv


@pytest.mark.parametrize(
    ("norm", "eps", "value", "others", "counts"),
    [
        ("linf", 0.1, 0.55, 0.0, True),
        ("linf", 0.1, 0.55 + 9e-7, 0.0, True),  # the packages overshoot by rounding
        ("linf", 0.1, 0.55 + 2e-6, 0.0, False),
        ("linf", 0.1, 0.55, 0.11, False),
        ("l2", 0.2, 0.55, 0.1, True),  # four times 0.1 squared
        ("l2", 0.2 / (1 + 5e-6), 0.55, 0.1, True),
        ("l2", 0.2 / (1 + 2e-5), 0.55, 0.1, False),
        ("l1", 0.4, 0.55, 0.1, True),
        ("l1", 0.4 / (1 + 5e-6), 0.55, -0.1, True),
        ("l1", 0.4 / (1 + 2e-5), 0.55, -0.1, False),
    ],
)
def test_an_image_counts_inside_of_the_ball(
    norm: Norm, eps: float, value: float, others: float, counts: bool
) -> None:
    x, x_adv = moved(value, others=others)
    found = judge(Bright(), x, x_adv, norm, eps)
    assert found.allowed.tolist() == [counts]
    assert found.predicted.tolist() == [int(counts)]
    assert judged(Bright(), x, x_adv, norm, eps).tolist() == [int(counts)]


@pytest.mark.parametrize(
    ("start", "value", "others", "counts"),
    [
        (0.0, 0.6, 0.0, True),
        (0.0, 0.6, -5e-7, True),  # rounding, cut off before judging
        (0.0, 0.6, -1e-3, False),
        (1.0, 0.6, 1e-3, False),
        (0.0, math.nan, 0.0, False),
        (0.0, 0.6, math.nan, False),
        (0.0, 0.6, math.inf, False),
    ],
)
def test_an_image_counts_inside_of_the_unit_box(
    start: float, value: float, others: float, counts: bool
) -> None:
    x, x_adv = moved(value, others=others, start=start)
    found = judge(Bright(), x, x_adv, "linf", 1.0)
    assert found.allowed.tolist() == [counts]
    assert found.predicted.tolist() == [1 if counts else int(start > 0.5)]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_logits_that_are_no_numbers_fail(value: float) -> None:
    class Broken(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.tensor([[0.0, value]]).expand(len(x), 2)

    with pytest.raises(CheckpointError, match="logits are not finite"):
        judged(Broken(), *moved(0.5), "linf", 0.1)


def test_an_attack_that_returns_another_shape_is_refused() -> None:
    with pytest.raises(CfaError, match=r"images of shape \(1, 4\) for images of shape \(1, 1, 2, 2\)"):
        judged(Bright(), moved(0.5)[0], torch.zeros(1, 4), "linf", 0.1)


def test_the_confusion_is_scikit_learns() -> None:
    generator = np.random.default_rng(0)
    label, predicted = generator.integers(0, 5, 200), generator.integers(0, 5, 200)
    np.testing.assert_array_equal(
        confusion(label, predicted, 5), confusion_matrix(label, predicted, labels=range(5))
    )
    predicted[:50] = -1  # an attack that was not run there
    assert confusion(label, predicted, 5).sum() == 150


def test_the_worst_case_is_the_first_attack_that_breaks() -> None:
    label = np.array([0, 1, 2, 3, 0])
    first = np.array([0, 0, 2, -1, 1])
    second = np.array([2, 2, 1, 3, 2])
    assert worst_case(label, {"first": first, "second": second}).tolist() == [2, 0, 1, 3, 1]
    assert worst_case(label, {}).tolist() == label.tolist()
