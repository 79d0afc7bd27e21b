"""FAT-var: PGD-AT with a penalty on the variance of the classes' losses in a batch.

Ma et al., On the Tradeoff Between Robustness and Fairness, NeurIPS 2022, who call it fairly adversarial
training (FAT), which here is another method. In the authors' code (wzekai99/FAT 80e29f6, pgd_var.py) the
variance is that of a list of 100 losses whatever the number of classes: those that a batch lacks, and on
CIFAR-10 another 90, are 0, so that large losses are penalised and not only unequal ones. Here it is the
variance of the classes that are present, and ``method.as_coded`` gives their way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from cfa.config import RunConfig, Settings
from cfa.methods.attacking import WithinEps, training_pgd
from cfa.methods.class_losses import losses_of_classes
from cfa.methods.interface import Attacked, Batch, Loss, Method, Model, Objective
from cfa.methods.rules import Uniform
from cfa.notation import Number

if TYPE_CHECKING:
    from torch import Tensor

LISTED = 100
"""Losses in the authors' list."""


class FatVarSettings(Settings):
    """The weight of the penalty, and what it is the variance of."""

    alpha: Annotated[Number, Field(ge=0)] = Field(
        default=0.1, description="FAT-var: weight of the variance of the classes' losses."
    )
    as_coded: bool = Field(
        default=False, description="FAT-var: take the variance of 100 losses, 0 where a batch has no class."
    )


def variance_of_classes(losses: Tensor, images: Tensor, listed: int | None = None) -> Tensor:
    """Return the unbiased variance of the losses of classes that are present; 0 where there is only one.

    Args:
        losses: Of the classes, 0 where a class is absent, shape (classes,).
        images: Of each class, shape (classes,).
        listed: Take so many losses for present, those that are not there as 0.
    """
    present = (images > 0).to(losses.dtype)
    count = present.sum() if listed is None else present.new_full((), max(listed, len(losses)))
    mean = losses.sum() / count
    squares = (present * (losses - mean).square()).sum() + (count - present.sum()) * mean.square()
    return squares / (count - 1).clamp_min(1)


def fat_var(settings: FatVarSettings, model: Model, batch: Batch, attacked: Attacked) -> Loss:
    """Return CE(f(x_adv), y) plus alpha times the variance of its means over the classes of the batch."""
    from torch.nn import functional as F

    logits_adv = model(attacked.x_adv)
    losses = F.cross_entropy(logits_adv, batch.y, reduction="none")
    of_classes, images = losses_of_classes(losses, batch, logits_adv.shape[1])
    variance = variance_of_classes(of_classes, images, LISTED if settings.as_coded else None)
    return Loss(per_sample=losses + settings.alpha * variance, logits_adv=logits_adv)


def _objective(settings: FatVarSettings, config: RunConfig) -> Objective:
    return lambda model, batch, attacked: fat_var(settings, model, batch, attacked)


FAT_VAR = Method(
    name="fat-var",
    title="FAT-var",
    summary="PGD-AT with a penalty on the variance of the classes' losses (Ma et al. 2022)",
    source="Ma et al., On the Tradeoff Between Robustness and Fairness, NeurIPS 2022",
    year=2022,
    kind="re-weighted",
    settings=FatVarSettings,
    objective=_objective,
    attack=lambda settings, config: WithinEps(training_pgd(config, "cross-entropy")),
    rule=lambda settings, config: Uniform(eps=config.attack.eps),
    plain="pgd-at",
    usual={"attack.start": "uniform", "attack.bn_mode": "eval"},
    presets={
        "authors": {
            "attack.eps": 0.031,
            "attack.steps": 10,
            "attack.step_size": 0.007,
            "optimizer.lr": 0.1,
            "optimizer.milestones": (60 / 120, 90 / 120),
            "optimizer.weight_decay": 2e-4,
            "train.batch_size": 256,
            "train.epochs": 120,
        }
    },
    whole_batch=True,
)

OFFERED = (FAT_VAR,)
