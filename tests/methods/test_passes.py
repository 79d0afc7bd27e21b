"""What a training costs: forward passes of an image as methods declare them, beside the calls made."""

from collections.abc import Iterable

import pytest
import torch
from torch import nn

from cfa.data import Images
from cfa.methods import METHODS, parts_of, passes_an_epoch
from cfa.training.passes import make_pass
from cfa.training.step import Step
from tests.support.seen import small_network, small_step
from tests.support.tiny import CPU, tiny_config

CLASSES, IMAGES, STEPS = 3, 12, 4


class Calls:
    """Counts how often networks are called."""

    def __init__(self, networks: Iterable[nn.Module]) -> None:
        self.made = 0
        for network in networks:
            network.register_forward_hook(self._count)

    def _count(self, network: nn.Module, given: object, answer: object) -> None:
        self.made += 1


def step_of(method: str) -> Step:
    unstopped = {"method__tau": STEPS} if "tau" in METHODS[method].settings.model_fields else {}
    parts = parts_of(tiny_config(method, attack__steps=STEPS, **unstopped))
    return small_step(parts, small_network(CLASSES), torch.full((CLASSES,), 20))


def networks_of(step: Step) -> list[nn.Module]:
    return [*step.networks, *([step.teacher] if isinstance(step.teacher, nn.Module) else [])]


@pytest.mark.parametrize("method", METHODS)
def test_a_step_and_the_passes_after_an_epoch_make_as_many_as_are_declared(method: str) -> None:
    step, noise = step_of(method), torch.Generator().manual_seed(0)
    calls = Calls(networks_of(step))
    x, y = torch.rand(IMAGES, 1, 8, 8, generator=noise), torch.arange(IMAGES) % CLASSES
    knobs = step.parts.rule.initial(CLASSES)[1].on(CPU)
    optimizer = torch.optim.SGD([one for network in step.networks for one in network.parameters()], lr=0.01)
    step(optimizer, x, y, torch.arange(IMAGES), knobs, noise)
    images = Images((x * 255).to(torch.uint8), y)
    for asked in step.parts.passes:
        if asked.over == "training":
            make_pass(asked, step, step.network, images, knobs, seed=0, epoch=1)
    assert calls.made == passes_an_epoch(step.parts.config)


def test_what_some_of_them_are() -> None:
    """PGD-AT: 4 steps, 1. TRADES: 1, 4, 2. AWP: its loss twice. CSR: 4 + 1 more. HAT: the helper's answer."""
    found = {
        name: passes_an_epoch(tiny_config(name, attack__steps=4))
        for name in ("pgd-at", "trades", "pgd-at-awp", "trades-awp", "csr-scratch", "hat", "ard")
    }
    assert found == {
        "pgd-at": 5,
        "trades": 7,
        "pgd-at-awp": 6,
        "trades-awp": 9,
        "csr-scratch": 12,
        "hat": 9,
        "ard": 6,
    }
    mine = tiny_config("pgd-at", attack__steps=4).model_copy(update={"method": "lab:mine"})
    assert passes_an_epoch(mine) == 5
