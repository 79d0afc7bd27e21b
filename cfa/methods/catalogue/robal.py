"""RoBal: a cosine head, margins and a prior by class size, and TRADES' term.

Wu et al., Adversarial Robustness under Long-Tailed Distribution, CVPR 2021; from the authors' code
(wutong16/Adversarial_Long-Tail ab2f3a7: configs/CIFAR10_LT/*_robal_R_train.yaml, methods/losses_inclass.py
MultiMarginLoss, methods/train_modes.py add_reg_train, models/classifiers/basic_classifiers.py). The margin is
that of the true class alone. The attack sees the plain cross-entropy of the cosines, without scale, margin
and prior, and so does the KL. Values are RoBal-R's for CIFAR-10. Their attack starts at x + eps U(0, 1), on
one side of the image; here a uniform start is drawn from the whole ball.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from cfa.config import RunConfig, Settings
from cfa.methods.attacking import WithinEps, training_pgd
from cfa.methods.interface import Attacked, Batch, Forward, Loss, Method, Model, Objective
from cfa.methods.rules import Uniform
from cfa.notation import Number

if TYPE_CHECKING:
    from torch import Tensor


class RobalSettings(Settings):
    """Its constants; RoBal-R's for CIFAR-10."""

    scale: Annotated[Number, Field(gt=0)] = Field(
        default=10.0, description="RoBal: what cosines are multiplied with in the loss."
    )
    margin: Annotated[Number, Field(ge=0)] = Field(
        default=0.1, description="RoBal: what is taken from the cosine of the true class."
    )
    margin_by_size: Annotated[Number, Field(ge=0)] = Field(
        default=0.3, description="RoBal: further margin of large classes (tau_m); RoBal-N has 0."
    )
    prior: Annotated[Number, Field(ge=0)] = Field(
        default=1.5, description="RoBal: exponent of the class sizes that are added as a prior (tau_b)."
    )
    beta: Annotated[Number, Field(ge=0)] = Field(
        default=6.0, description="RoBal: weight of the KL; for CIFAR-100 its authors take 3."
    )


def with_margins(settings: RobalSettings, cosines: Tensor, batch: Batch) -> Tensor:
    """Return scale (cos_j - [j = y] m_y) + prior ln(n_j / N), shape (images, classes).

    m_k = margin + margin_by_size ln(n_k / n_min) / scale.

    Args:
        settings: The constants.
        cosines: The network's answers.
        batch: Classes of the images, and sizes of the classes.
    """
    import torch

    counts = batch.class_counts.to(cosines.dtype)
    margin = settings.margin + settings.margin_by_size * (counts / counts.min()).log() / settings.scale
    true = torch.arange(len(counts), device=cosines.device) == batch.y[:, None]
    prior = settings.prior * (counts / counts.sum()).log()
    return settings.scale * (cosines - true * margin) + prior


def robal(settings: RobalSettings, model: Model, batch: Batch, attacked: Attacked) -> Loss:
    """Return CE of the cosines under attack with margins, plus beta KL(f(x) || f(x_adv)), shape (images,)."""
    from torch.nn import functional as F

    from cfa.attacks import kl_divergence

    logits_adv, logits = model(attacked.x_adv), model(batch.x)
    loss = F.cross_entropy(with_margins(settings, logits_adv, batch), batch.y, reduction="none")
    moved = kl_divergence(F.log_softmax(logits, dim=1), logits_adv)
    return Loss(per_sample=loss + settings.beta * moved, logits_adv=logits_adv)


def _objective(settings: RobalSettings, config: RunConfig) -> Objective:
    return lambda model, batch, attacked: robal(settings, model, batch, attacked)


ROBAL = Method(
    name="robal",
    title="RoBal",
    summary="Cosine head, margins and prior by class size, and a KL (Wu et al. 2021)",
    source="Wu et al., Adversarial Robustness under Long-Tailed Distribution, CVPR 2021",
    year=2021,
    settings=RobalSettings,
    forward=Forward(loss=2),
    objective=_objective,
    attack=lambda settings, config: WithinEps(training_pgd(config, "cross-entropy")),
    rule=lambda settings, config: Uniform(eps=config.attack.eps),
    plain="pgd-at",
    head="cosine",
    usual={"attack.start": "uniform", "attack.bn_mode": "eval"},
    presets={
        "authors": {
            "attack.eps": 0.031,
            "attack.step_size": 0.0078,
            "attack.steps": 5,
            "optimizer.lr": 0.1,
            "optimizer.milestones": (60 / 80, 75 / 80),
            "optimizer.weight_decay": 2e-4,
            "train.batch_size": 64,
            "train.epochs": 80,
        }
    },
    needs_every_class=True,
)

OFFERED = (ROBAL,)
