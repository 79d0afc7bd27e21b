"""BAT against the numbers of its formulas, computed apart from this project (methods2, example 5)."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from cfa.attacks import PGD
from cfa.methods import configure, parts_of
from cfa.methods.catalogue.bat import BothSides
from cfa.notation import StepSize
from tests.support.worked import adversarial, batch_of, same


@pytest.mark.parametrize(("divided", "expected"), [(False, 4.910620), (True, 4.910620 / 7)])
def test_both_sides_are_pulled_towards_uniform_predictions(divided: bool, expected: float) -> None:
    config = configure("bat", "tiny", preset="demo", overrides={"method.divided": divided})
    batch = batch_of([[3, 0, -1], [0.2, 2, 0]], [0, 1])
    attacked = adversarial([[0.5, 1, 0], [1, 0.5, 0]], inner=[[2, 0, -1], [0.5, 1, 0]])
    loss = parts_of(config).objective(same, batch, attacked)
    assert float(loss.per_sample.mean()) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(
    ("boundary", "inner", "outer"),
    [
        (0.0, 0.0, 0.1),  # wrong at the start: it stays there, and moves once
        (0.15, 0.1, 0.3),  # right at 0 and .1, wrong at .2: one more step to .3
        (0.35, 0.3, 0.5),
        (0.45, 0.5, 0.5),  # wrong at the end alone, where nobody looks
        (0.55, 0.5, 0.5),  # never wrong
    ],
)
def test_the_inner_example_is_right_and_the_outer_one_a_step_behind_the_boundary(
    boundary: float, inner: float, outer: float
) -> None:
    """Five steps of .1 from the image, upwards: looked at where they begin, at 0, .1, .2, .3 and .4."""
    pgd = PGD(steps=5, step_size=StepSize(value=0.1), start="none", loss="cross-entropy")

    def model(x: Tensor) -> Tensor:
        """Be sure of class 0 below the boundary, and of class 1 above it."""
        past = x.flatten(1).mean(1) - boundary + 1e-6
        return torch.stack([-past, past], dim=1)

    batch = replace(batch_of([[0.0, 0.0]], [0], eps=torch.tensor([1.0, 1.0])), x=torch.zeros(1, 1, 2, 2))
    attacked = BothSides(pgd)(model, batch, torch.Generator())
    assert attacked.also["inner"].flatten().tolist() == pytest.approx([inner] * 4, abs=1e-6)
    assert attacked.x_adv.flatten().tolist() == pytest.approx([outer] * 4, abs=1e-6)


def test_an_example_that_is_right_again_goes_on_until_it_is_wrong_again() -> None:
    """Wrong at .1 alone, and from .3 on: the step that it still had was that from .1, so it stays at .3."""
    pgd = PGD(steps=5, step_size=StepSize(value=0.1), start="none", loss="cross-entropy")

    def model(x: Tensor) -> Tensor:
        height = x.flatten(1).mean(1)
        wrong = ((height - 0.1).abs() < 0.05) | (height > 0.25)
        past = torch.where(wrong, 1.0, -1.0) + height
        return torch.stack([-past, past], dim=1)

    batch = replace(batch_of([[0.0, 0.0]], [0], eps=torch.tensor([1.0, 1.0])), x=torch.zeros(1, 1, 2, 2))
    attacked = BothSides(pgd)(model, batch, torch.Generator())
    assert attacked.also["inner"].flatten().tolist() == pytest.approx([0] * 4)
    assert attacked.x_adv.flatten().tolist() == pytest.approx([0.3] * 4, abs=1e-6)
