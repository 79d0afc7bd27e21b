"""Attacks by name: what a result's `attack` column means, in full."""

import re
from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

from cfa.attacks.losses import Model
from cfa.attacks.modes import model_mode
from cfa.attacks.pgd import PGD
from cfa.config import Norm, StepSize
from cfa.errors import UnknownName
from cfa.registry import Registry, unknown


class Attack(Protocol):
    """Maps clean images to adversarial ones inside the eps-ball and [0, 1]."""

    def __call__(
        self,
        model: Model,
        x: Tensor,
        y: Tensor,
        eps: float | Tensor,
        *,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Return adversarial examples of ``x``."""
        ...


AttackBuilder = Callable[[Norm], Attack]
ATTACKS: Registry[AttackBuilder] = Registry("attack")
CLEAN = "clean"  # no attack at all; every evaluation has it
_PGD = re.compile(r"pgd-(?P<steps>[1-9]\d{0,3})(?P<best>-best)?")


def pgd(steps: int, *, best: bool = False) -> AttackBuilder:
    """Build ``pgd-n``: cross-entropy, one uniform start, step eps/4, judged at the last iterate.

    ``pgd-n-best`` is judged at every iterate: a broken image keeps the iterate that broke it.
    """
    quarter = StepSize(value=0.25, relative=True)
    return lambda norm: PGD(norm=norm, steps=steps, step_size=quarter, stop_when_broken=best)


def _fgsm(norm: Norm) -> PGD:
    """Goodfellow et al. 2015: one step of length eps from the image itself."""
    return PGD(norm=norm, steps=1, step_size=StepSize(value=1, relative=True), start="none")


ATTACKS.register("fgsm", _fgsm)
for _steps in (10, 20, 50, 100):
    ATTACKS.register(f"pgd-{_steps}", pgd(_steps))
    ATTACKS.register(f"pgd-{_steps}-best", pgd(_steps, best=True))


def named_attack(name: str, norm: Norm) -> Attack | None:
    """Build the attack called ``name``, any ``pgd-N`` or ``pgd-N-best`` included; ``clean`` is ``None``."""
    if name == CLEAN:
        return None
    if match := _PGD.fullmatch(name):
        return pgd(int(match["steps"]), best=match["best"] is not None)(norm)
    try:
        return ATTACKS[name](norm)
    except UnknownName as error:
        if ":" in name:
            raise
        raise unknown("attack", name, [CLEAN, *ATTACKS]) from error


def predict(model: Model, x: Tensor) -> Tensor:
    """Return the predicted classes of images in a float32 forward pass in eval mode, shape (batch,)."""
    with torch.no_grad(), model_mode(model, training=False):
        return model(x).argmax(dim=1)


def predict_under(
    model: Model,
    attack: Attack | None,
    x: Tensor,
    y: Tensor,
    eps: float | Tensor,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Return the predicted classes under an attack (``None``: of the clean images), shape (batch,)."""
    return predict(model, x if attack is None else attack(model, x, y, eps, generator=generator))
