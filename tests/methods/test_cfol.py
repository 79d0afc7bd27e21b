"""CFOL against the numbers of its formulas, computed apart from this project (methods2, example 3)."""

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from cfa.attacks import PGD
from cfa.methods.catalogue.cfol import AfterTheHighestLoss, ClassesOftenWrong
from cfa.notation import StepSize
from tests.support.worked import batch_of

CHANCES = [
    (0.341449, 0.317103, 0.341449),
    (0.348918, 0.302164, 0.348918),
    (0.355759, 0.288481, 0.355759),
]


def test_classes_that_are_often_wrong_are_drawn_more_often() -> None:
    """The same batch three times."""
    sampler = ClassesOftenWrong(gamma=0.5, eta=0.05)
    labels = torch.tensor([0, 1, 1, 2, 2, 2])
    state = sampler.initial(labels)
    assert sampler.chances(state).tolist() == pytest.approx([1 / 3] * 3)
    weights = [(0.15, 0, 0.15), (0.296435, 0, 0.296435), (0.439735, 0, 0.439735)]
    for w, p in zip(weights, CHANCES, strict=True):
        state = sampler.after(state, torch.tensor([0, 2, 2, 1]), torch.tensor([False, False, True, True]))
        assert state["w"].tolist() == pytest.approx(w, abs=1e-5)
        assert sampler.chances(state).tolist() == pytest.approx(p, abs=1e-5)
    drawn = sampler.draw(state, labels, 30_000, torch.Generator().manual_seed(0))
    share = labels[drawn].bincount() / 30_000
    assert share.tolist() == pytest.approx(CHANCES[-1], abs=0.015)
    within = drawn[labels[drawn] == 2].bincount(minlength=6)[3:] / (labels[drawn] == 2).sum()
    assert within.tolist() == pytest.approx([1 / 3] * 3, abs=0.02)  # uniform within a class


def test_every_image_of_a_class_is_drawn_wherever_it_stands() -> None:
    sampler = ClassesOftenWrong(gamma=1, eta=0.05)
    labels = torch.tensor([2, 0, 2, 1, 0, 2])
    drawn = sampler.draw(sampler.initial(labels), labels, 600, torch.Generator().manual_seed(0))
    assert sorted(set(drawn.tolist())) == [0, 1, 2, 3, 4, 5]
    assert (labels[drawn].bincount() / 600).tolist() == pytest.approx([1 / 3] * 3, abs=0.06)


def test_as_coded_it_trains_on_the_batch_after_the_step_at_the_highest_loss() -> None:
    """Steps of .1 from 0; the mean loss where each begins is 1, 3, 2: what follows the second is kept."""
    losses = iter([1.0, 3.0, 2.0])

    def model(x: Tensor) -> Tensor:
        """Give logits of a cross-entropy that is listed, and a gradient upwards."""
        wrong = torch.tensor(math.log(math.exp(next(losses)) - 1)) + 0 * x.flatten(1).mean(1)
        wrong = wrong + (x - x.detach()).flatten(1).mean(1)
        return torch.stack([torch.zeros_like(wrong), wrong], dim=1)

    pgd = PGD(steps=3, step_size=StepSize(value=0.1), start="none")
    batch = replace(batch_of([[0.0, 0.0]], [0], eps=torch.tensor([1.0, 1.0])), x=torch.zeros(1, 1, 2, 2))
    x_adv = AfterTheHighestLoss(pgd)(model, batch, torch.Generator()).x_adv
    assert x_adv.flatten().tolist() == pytest.approx([0.2] * 4)
