"""What a rule may meet, whatever its method sums and whichever passes it asks for."""

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor, nn

from cfa.data import Images
from cfa.methods import (
    TRAINING,
    VALIDATION_CLEAN,
    VALIDATION_ROBUST,
    ClassStats,
    Parts,
    Pass,
    Tally,
)
from cfa.training.passes import make_pass
from cfa.training.step import Step
from tests.support.companions import companions_for


def small_network(classes: int) -> nn.Module:
    """Make a network for grey 8x8 images."""
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(144, classes))


def small_step(parts: Parts, model: nn.Module, class_counts: Tensor) -> Step:
    """Put together a method's step, with a teacher and companions where it has them."""
    classes, device = len(class_counts), class_counts.device
    teacher = small_network(classes).to(device).eval().requires_grad_(False)
    companions = companions_for(parts, lambda: small_network(classes).to(device))
    return Step.of(
        parts,
        model,
        class_counts,
        teacher=teacher if parts.method.needs_teacher or parts.helper else None,
        companions=companions,
    )


def _knows_one_class(model: nn.Module) -> None:
    """Let a network answer mostly with the last class, so that one image is right, however many there are."""
    *_, head = model.children()
    with torch.no_grad():
        head.bias[-1] += 2


class Seen:
    """Statistics of classes for one method: other counts for each, the first never right, the last always.

    What its objective sums, and what its passes find, is of one image of each class, as often as there are
    images of it.
    """

    def __init__(self, parts: Parts, classes: int) -> None:
        self.total = torch.arange(classes) + 20
        self.correct = (self.total * torch.linspace(0, 1, classes)).long()
        own = Pass(name=TRAINING, over="training", attack=parts.attack, objective=parts.objective)
        self.sums = {asked.name: self._sums(parts, asked) for asked in (own, *parts.passes)}

    def after(self, epoch: int) -> ClassStats:
        """Return what is seen after an epoch."""
        tally = Tally(total=self.total, correct=self.correct)
        seen = dict.fromkeys((TRAINING, VALIDATION_CLEAN, VALIDATION_ROBUST), tally)
        seen |= {name: replace(tally, sums=sums) for name, sums in self.sums.items()}
        return ClassStats(epoch=epoch, class_counts=self.total, seen=seen)

    def _sums(self, parts: Parts, asked: Pass) -> Mapping[str, Tensor]:
        classes = len(self.total)
        noise = torch.Generator().manual_seed(classes)
        pixels = torch.randint(256, (classes, 1, 8, 8), generator=noise, dtype=torch.uint8)
        with torch.random.fork_rng():
            torch.manual_seed(0)
            model = small_network(classes)
            _knows_one_class(model)
            step = small_step(parts, model, self.total)
        _, knobs = parts.rule.initial(classes)
        images = Images(pixels, torch.arange(classes))
        found = make_pass(asked, step, model, images, knobs, seed=0, epoch=1).sums
        return {
            name: torch.einsum("k...,k->k...", value, self.total.to(value)) for name, value in found.items()
        }
