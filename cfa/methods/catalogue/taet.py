"""TAET: cross-entropy on clean images first, then a loss that evens out the classes of a batch (HARL).

Yu-Hang et al., TAET: Two-Stage Adversarial Equalization Training on Long-Tailed Distributions, CVPR 2025. As
in the authors' code (BuhuiOK/TAET-... a374adf, code/TAET/TAET.ipynb and code/HARL.py), the first 40 of 100
epochs see clean images. Their loss gives classes that a batch lacks a loss of 0, which pulls mean and
variance down to them; here only the classes that are present take part, and a setting gives their way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from cfa.config import RunConfig, Settings
from cfa.methods.attacking import WithinEps, training_pgd
from cfa.methods.class_losses import losses_of_classes
from cfa.methods.epochs import Epochs, epochs_of
from cfa.methods.interface import EPS_LABEL, Attacked, Batch, KnobLabel, Loss, Method, Model, Objective
from cfa.methods.knobs import EPS
from cfa.methods.rules import OverEpochs, Rule, Uniform
from cfa.notation import Number

if TYPE_CHECKING:
    from torch import Tensor

EVENED = "evened_out"
_SMALLEST = 1e-10  # a batch without any loss has shares of 0


class TaetSettings(Settings):
    """The length of the first stage and the weights of the three terms; the authors' values."""

    ce_epochs: Annotated[Epochs, Field(gt=0)] = Field(
        default=40 / 100, description="TAET: epochs of cross-entropy on clean images, or a share of all."
    )
    alpha: Annotated[Number, Field(ge=0)] = Field(
        default=0.1, description="TAET: weight of the mean over classes of their losses."
    )
    beta: Annotated[Number, Field(ge=0)] = Field(
        default=0.1, description="TAET: weight of the variance over classes of their losses."
    )
    gamma: Annotated[Number, Field(ge=0)] = Field(
        default=0.1, description="TAET: weight of the sum of squares of the classes' shares in the loss."
    )
    absent_as_zero: bool = Field(
        default=False, description="TAET: count classes that a batch lacks as losses of 0, as the authors do."
    )


def evened_out(settings: TaetSettings, losses: Tensor, batch: Batch, classes: int) -> Tensor:
    """Return alpha mean_k l_k + beta var_k l_k + gamma sum_k (l_k / sum l)^2, a scalar (HARL).

    Args:
        settings: The weights, and whether classes that the batch lacks take part.
        losses: Of the images, shape (images,); l_k is their mean over class k.
        batch: The whole batch.
        classes: How many classes there are.
    """
    import torch

    of_class, images = losses_of_classes(losses, batch, classes)
    takes_part = torch.ones_like(images) if settings.absent_as_zero else (images > 0).to(losses.dtype)
    mean = of_class.sum() / takes_part.sum()
    variance = (takes_part * (of_class - mean).square()).sum() / takes_part.sum()
    share = of_class / of_class.sum().clamp_min(_SMALLEST)
    return settings.alpha * mean + settings.beta * variance + settings.gamma * share.square().sum()


def taet(settings: TaetSettings, model: Model, batch: Batch, attacked: Attacked) -> Loss:
    """Return CE(f(x_adv), y) in the first stage, whose eps is 0; then for each image the batch's loss."""
    from torch.nn import functional as F

    logits_adv = model(attacked.x_adv)
    losses = F.cross_entropy(logits_adv, batch.y, reduction="none")
    second = batch.knobs[EVENED]
    whole = evened_out(settings, losses, batch, logits_adv.shape[1])
    return Loss(per_sample=(1 - second) * losses + second * whole, logits_adv=logits_adv)


def _objective(settings: TaetSettings, config: RunConfig) -> Objective:
    return lambda model, batch, attacked: taet(settings, model, batch, attacked)


def _rule(settings: TaetSettings, config: RunConfig) -> Rule:
    first, eps = epochs_of(settings.ce_epochs, config), config.attack.eps
    perturbed = OverEpochs(Uniform(eps=eps), EPS, lambda epoch: eps if epoch > first else 0.0)
    return OverEpochs(perturbed, EVENED, lambda epoch: 1.0 if epoch > first else 0.0)


TAET = Method(
    name="taet",
    title="TAET",
    summary="Clean images first, then a loss that evens out a batch's classes (Yu-Hang et al. 2025)",
    source="Yu-Hang et al., TAET: Two-Stage Adversarial Equalization Training, CVPR 2025",
    year=2025,
    kind="long-tailed",
    settings=TaetSettings,
    objective=_objective,
    attack=lambda settings, config: WithinEps(training_pgd(config, "cross-entropy")),
    rule=_rule,
    plain="pgd-at",
    knobs={
        "eps": EPS_LABEL,
        EVENED: KnobLabel(
            label="evened out", summary="1 once classes are evened out; the same for every class"
        ),
    },
    warm_up="ce_epochs",
    usual={"attack.start": "normal", "attack.bn_mode": "eval"},
    presets={
        "authors": {
            "attack.eps": 0.031,
            "attack.step_size": 0.003,
            "attack.steps": 10,
            "optimizer.lr": 0.1,
            "optimizer.milestones": (0.75, 0.9),
            "optimizer.weight_decay": 5e-4,
            "train.batch_size": 128,
            "train.epochs": 100,
        }
    },
    whole_batch=True,
)

OFFERED = (TAET,)
