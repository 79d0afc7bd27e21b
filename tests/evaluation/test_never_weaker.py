"""`pgd-n-best` holds no image that `pgd-n` breaks; more restarts hold no image that fewer break.

They start alike for every image, whatever else is in the batch.
"""

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from cfa.attacks import ImageNoise, named_attack
from cfa.data import Dataset, Images, to_float
from cfa.evaluation import EvaluationPlan, Outcomes, attack_images
from cfa.evaluation.runner import Runner
from cfa.notation import Norm
from cfa.progress import Observer
from tests.support.networks import batch_norm_network, images_and_labels
from tests.support.tiny import CPU

IMAGES = 150
EPS = 0.04
PAIRS = [  # never holds more, than
    ("pgd-2-best", "pgd-2"),
    ("pgd-2-r3", "pgd-2"),
    ("pgd-2-best-r3", "pgd-2-r3"),
    ("pgd-2-best-r3", "pgd-2-best"),
    ("cw-2-best", "cw-2"),
    ("kl-2-best-r2", "kl-2-r2"),
]


class Exactly(nn.Module):
    """A network that computes in float64, where leaving a batch does not decide by rounding."""

    def __init__(self, seed: int, x: Tensor) -> None:
        super().__init__()
        self.network = batch_norm_network(seed=seed).eval().double()
        with torch.no_grad():
            self.network[4].bias -= self.network(x.double()).mean(dim=0)  # so that every class is predicted

    def forward(self, x: Tensor) -> Tensor:
        return self.network(x.double())


def pixels() -> Tensor:
    return (255 * images_and_labels(IMAGES, seed=5)[0]).round().to(torch.uint8)


def network(seed: int) -> nn.Module:
    return Exactly(seed, to_float(pixels()))


def images(model: nn.Module) -> Dataset:
    """Make a test part of which a third is labelled wrongly, here and there: those leave first."""
    with torch.no_grad():
        y = model(to_float(pixels())).argmax(dim=1)
    wrong = torch.rand(IMAGES, generator=torch.Generator().manual_seed(2)) < 1 / 3
    y = torch.where(wrong, (y + 1) % 4, y)
    return Dataset("some", ("a", "b", "c", "d"), pixels(), y, pixels(), y)


def attacked(network_seed: int, norm: Norm = "linf", **settings: Any) -> Outcomes:
    model = network(network_seed)
    attacks = tuple(dict.fromkeys(name for pair in PAIRS for name in pair))
    eps = {"linf": EPS, "l2": 3 * EPS}[norm]
    plan = EvaluationPlan(attacks=attacks, norm=norm, eps=eps, batch_size=16)
    return attack_images(model, images(model), dataclasses.replace(plan, **settings), CPU, Observer())


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("seed", range(4))
def test_the_stronger_one_holds_no_image_that_the_weaker_one_breaks(seed: int, norm: Norm) -> None:
    found = attacked(seed, norm)
    holds = {name: predicted == found.label for name, predicted in found.predictions.items()}
    for stronger, weaker in PAIRS:
        assert not (holds[stronger] & ~holds[weaker]).any(), (stronger, weaker)
        assert 0 < holds[weaker].sum() < holds["clean"].sum()
    assert (holds["pgd-2-best-r3"] != holds["pgd-2"]).any()  # starts decide


@pytest.mark.parametrize("changes", [{"batch_size": 7}, {"limit": 24}, {"attacks": ("pgd-2", "fgsm")}])
def test_a_start_is_the_images_own_whatever_else_is_attacked(changes: dict[str, object]) -> None:
    whole, other = attacked(0), attacked(0, **changes)
    rows = np.searchsorted(whole.image, other.image)
    np.testing.assert_array_equal(whole.predictions["pgd-2"][rows], other.predictions["pgd-2"])


def test_other_seeds_start_elsewhere() -> None:
    first = attacked(0).predictions["pgd-2"]
    assert any((attacked(0, seed=seed).predictions["pgd-2"] != first).any() for seed in (1, 2, 3))


@pytest.mark.parametrize("starts", ["image", "batch"])
def test_batches_are_made_again_as_they_were(starts: str) -> None:
    """Also those of evaluations that were made when starts belonged to batches."""
    model = network(1)
    data = images(model)
    plan = EvaluationPlan(
        attacks=("pgd-2", "pgd-2-best-r3"), eps=EPS, batch_size=16, starts=starts, keep_megabytes=9
    )
    found = attack_images(model, data, plan, CPU, Observer())
    kept = found.adversarial
    assert kept is not None
    whole = Images(data.test_images, data.test_labels)
    runner = Runner(model, whole, np.arange(IMAGES), plan, 4, Observer())
    for column in plan.attacks[1:]:
        members = np.flatnonzero(found.batches[column] == 1)
        made, predicted = runner.repeat(column, 1, members)
        np.testing.assert_array_equal(predicted, found.predictions[column][members])
        for place, image in enumerate(members):
            row = kept.row(column, int(image))
            if row is not None:
                np.testing.assert_array_equal(made[place], kept.images[row])


def test_a_plan_that_says_nothing_of_starts_is_one_of_before() -> None:
    plan = EvaluationPlan(attacks=("pgd-2",))
    fields = dataclasses.asdict(plan)
    assert EvaluationPlan.of(fields) == plan
    del fields["starts"]
    assert EvaluationPlan.of(fields).starts == "batch"


@pytest.mark.parametrize("name", ["pgd-3", "pgd-3-best", "pgd-3-r2", "noise"])
@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_images_that_are_not_there_change_no_other(name: str, norm: str) -> None:
    model, (x, y) = network(0), images_and_labels(9)
    rows = torch.tensor([7, 2, 3])
    attack = named_attack(name, norm)
    whole = attack(model, x, y, EPS, generator=ImageNoise.seeded(range(9)))
    some = attack(model, x[rows], y[rows], EPS, generator=ImageNoise.seeded(rows.tolist()))
    assert torch.equal(whole[rows], some)
    assert not torch.equal(whole, x)
