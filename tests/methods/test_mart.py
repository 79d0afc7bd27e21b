"""MART's terms, worked out by hand (the first logits are those of `test_formulas.py`)."""

import math

import pytest
import torch

from cfa.methods.catalogue.mart import boosted_cross_entropy


def test_the_boosted_cross_entropy_of_each_image() -> None:
    logits = torch.tensor([[0.5, 1, 0], [0.2, 1.5, 0]], dtype=torch.float64)
    found = boosted_cross_entropy(logits, torch.tensor([0, 1]))
    assert found.tolist() == pytest.approx([1.886260, 0.603602], abs=1e-5)


def test_a_wrong_class_that_is_certain_costs_no_infinity() -> None:
    """The largest wrong probability is 1, so the second term is -ln 0.0001."""
    found = boosted_cross_entropy(torch.tensor([[0.0, 200.0]], dtype=torch.float64), torch.tensor([0]))
    assert found.tolist() == pytest.approx([200 - math.log(1e-4)], rel=1e-6)


def test_among_wrong_classes_the_true_one_does_not_count() -> None:
    """Of probabilities .8 .15 .05 and class 0, the largest wrong one is .15."""
    logits = torch.tensor([[0.8, 0.15, 0.05]], dtype=torch.float64).log()
    found = boosted_cross_entropy(logits, torch.tensor([0]))
    assert found.tolist() == pytest.approx([-math.log(0.8) - math.log(1.0001 - 0.15)])
