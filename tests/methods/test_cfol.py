"""CFOL against the numbers of its formulas, computed apart from this project (methods2, example 3)."""

import pytest
import torch

from cfa.methods.catalogue.cfol import ClassesOftenWrong

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
