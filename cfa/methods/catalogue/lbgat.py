"""LBGAT: the logits of adversarial examples follow those that a second network gives to the clean images.

Cui et al., Learnable Boundary Guided Adversarial Training, ICCV 2021. Both networks are trained from random
weights by one optimiser; the second one learns the classes of clean images alone, and is not kept in the end.
As in the authors' code (dvlab-research/LBGAT, lbgat.py), where the first network's attack does not see the
second one, and gradients of the squared error reach both. Theirs has a rate of 0.02 in epoch 1; ours has not.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from cfa.config import RunConfig, Settings
from cfa.methods.attacking import WithinEps, training_pgd
from cfa.methods.interface import Attacked, Batch, Build, Forward, Loss, Method, Model, Objective
from cfa.methods.rules import Uniform
from cfa.notation import Number

if TYPE_CHECKING:
    from torch import nn

NATURAL = "natural"


class LbgatSettings(Settings):
    """The weight of TRADES' term, and which network is trained beside the model."""

    beta: Annotated[Number, Field(ge=0)] = Field(
        default=6.0, description="LBGAT: weight of the KL from clean to adversarial predictions; 0 is LBGAT0."
    )
    companion: Annotated[str, Field(max_length=200)] | None = Field(
        default=None, description="LBGAT: the network that guides; none is another one of the run's kind."
    )


def lbgat(beta: float, model: Model, batch: Batch, attacked: Attacked) -> Loss:
    """Return (f(x_adv) - g(x))^2 + CE(g(x), y) + beta KL(f(x) || f(x_adv)), g the network beside the model.

    The square is the mean over classes. Passes are in the authors' order: adversarial, clean, and then g;
    with a beta of 0 too, because BatchNorm sees the clean images in theirs.
    """
    from torch.nn import functional as F

    from cfa.attacks import kl_divergence

    logits_adv, logits = model(attacked.x_adv), model(batch.x)
    guide = batch.companions[NATURAL](batch.x)
    loss = (logits_adv - guide).square().mean(dim=1) + F.cross_entropy(guide, batch.y, reduction="none")
    moved = kl_divergence(F.log_softmax(logits, dim=1), logits_adv)
    return Loss(per_sample=loss + beta * moved, logits_adv=logits_adv)


def _objective(settings: LbgatSettings, config: RunConfig) -> Objective:
    return lambda model, batch, attacked: lbgat(settings.beta, model, batch, attacked)


def _guide(settings: LbgatSettings, config: RunConfig, build: Build) -> Mapping[str, nn.Module]:
    return {NATURAL: build(settings.companion or config.model)}


LBGAT = Method(
    name="lbgat",
    title="LBGAT",
    summary="Follows the clean logits of a network that is trained beside it (Cui et al. 2021)",
    source="Cui et al., Learnable Boundary Guided Adversarial Training, ICCV 2021",
    year=2021,
    settings=LbgatSettings,
    forward=Forward(target=1, loss=3),
    objective=_objective,
    attack=lambda settings, config: WithinEps(training_pgd(config, "kl")),
    rule=lambda settings, config: Uniform(eps=config.attack.eps),
    plain="trades",
    usual={"attack.start": "normal", "attack.bn_mode": "eval"},
    presets={
        "authors": {
            "attack.eps": 0.031,
            "attack.steps": 10,
            "attack.step_size": 0.007,
            "method.companion": "resnet18",
            "optimizer.lr": 0.1,
            "optimizer.milestones": (0.75, 0.9),
            "optimizer.weight_decay": 2e-4,
            "train.epochs": 100,
        }
    },
    companions=_guide,
)

OFFERED = (LBGAT,)
