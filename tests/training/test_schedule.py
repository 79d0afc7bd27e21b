"""Learning rates, seeds, and the size of an epoch."""

import pytest
import torch

from cfa.config import OptimizerSettings
from cfa.training.epoch import steps_per_epoch
from cfa.training.randomness import derived_seed, generator
from cfa.training.schedule import learning_rate


@pytest.mark.parametrize("epochs", [1, 2, 3, 7, 10, 20, 110, 200])
def test_the_learning_rate_is_that_of_the_official_code(epochs: int) -> None:
    settings = OptimizerSettings()
    for t in range(epochs):  # the official code counts from 0
        official = 0.1 if t / epochs < 0.5 else 0.01 if t / epochs < 0.75 else 0.001
        assert learning_rate(settings, t + 1, epochs) == pytest.approx(official, rel=1e-12)


def test_the_paper_drops_it_after_epochs_100_and_150() -> None:
    settings = OptimizerSettings()
    rates = [learning_rate(settings, epoch, 200) for epoch in (1, 100, 101, 150, 151, 200)]
    assert rates == pytest.approx([0.1, 0.1, 0.01, 0.01, 0.001, 0.001])


def test_without_milestones_it_stays() -> None:
    settings = OptimizerSettings(milestones=(), lr=0.3)
    assert {learning_rate(settings, epoch, 9) for epoch in range(1, 10)} == {0.3}


@pytest.mark.parametrize(("images", "batch", "steps"), [(1, 1, 1), (10, 3, 4), (9, 3, 3), (128, 128, 1)])
def test_the_last_and_smaller_batch_counts(images: int, batch: int, steps: int) -> None:
    assert steps_per_epoch(images, batch) == steps


def test_seeds_of_different_purposes_differ_and_are_always_the_same() -> None:
    paths = [
        (s, *p) for s in range(3) for p in [("order", 1), ("order", 2), ("step", 1, 0), ("step", 10), ()]
    ]
    seeds = [derived_seed(*path) for path in paths]
    assert len(set(seeds)) == len(seeds)
    assert seeds == [derived_seed(*path) for path in paths]
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert torch.equal(torch.rand(5, generator=generator(1, "a")), torch.rand(5, generator=generator(1, "a")))
    assert not torch.equal(
        torch.rand(5, generator=generator(1, "a")), torch.rand(5, generator=generator(2, "a"))
    )
