"""HAT: TRADES with examples further out, labelled by a network that was trained without attacks.

Rade and Moosavi-Dezfooli, Reducing Excessive Margin to Achieve a Better Accuracy vs. Robustness Trade-off,
ICLR 2022. The helper is trained first, on clean images; it labels adversarial examples, and the model learns
these labels where it would be moved twice as far. As in the authors' code (imrahulr/hat, core/utils/hat.py),
whose function has 3.5 as default for how far, and whose program always hands it 2, as the paper has it. They
keep the helper's epoch with the best test accuracy, here it is the last one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from cfa.config import RunConfig, Settings
from cfa.methods.attacking import WithinEps, training_pgd
from cfa.methods.catalogue.pgd_at import adversarial_cross_entropy
from cfa.methods.catalogue.trades import clean_and_robust
from cfa.methods.epochs import Epochs, epochs_of
from cfa.methods.interface import Attacked, Batch, Forward, Helper, Loss, Method, Model, NoSettings, Objective
from cfa.methods.rules import Uniform
from cfa.notation import Number

if TYPE_CHECKING:
    import torch


class HatSettings(Settings):
    """The weights of both terms, how far out the further examples are, and how long the helper is trained."""

    beta: Annotated[Number, Field(ge=0)] = Field(
        default=2.5, description="HAT: weight of the KL from clean to adversarial predictions."
    )
    gamma: Annotated[Number, Field(ge=0)] = Field(
        default=0.5, description="HAT: weight of the cross-entropy of the further examples."
    )
    distance: Annotated[Number, Field(gt=0)] = Field(
        default=2.0, description="HAT: how many times as far out as the adversarial ones these lie."
    )
    helper_epochs: Annotated[Epochs, Field(gt=0)] | None = Field(
        default=None, description="HAT: epochs of its helper, or a share of the run's; none is as many."
    )


def hat(settings: HatSettings, model: Model, batch: Batch, attacked: Attacked) -> Loss:
    """Return CE(f(x), y) + beta KL(f(x) || f(x_adv)) + gamma CE(f(x + distance (x_adv - x)), h(x_adv)).

    h is the class that the helper predicts. The further examples are not cut to [0, 1], as in theirs.
    """
    from torch.nn import functional as F

    labels = batch.teacher(attacked.x_adv).argmax(dim=1)
    clean, robust, logits_adv = clean_and_robust(model, batch, attacked)
    further = model(batch.x + settings.distance * (attacked.x_adv - batch.x))
    helped = F.cross_entropy(further, labels, reduction="none")
    return Loss(per_sample=clean + settings.beta * robust + settings.gamma * helped, logits_adv=logits_adv)


def unattacked(model: Model, batch: Batch, generator: torch.Generator) -> Attacked:
    """Attack nothing."""
    return Attacked(x_adv=batch.x)


UNATTACKED = Method(
    name="unattacked",
    title="Without attacks",
    summary="Cross-entropy on clean images: how helpers are trained",
    source="",
    year=2022,
    settings=NoSettings,
    objective=lambda settings, config: adversarial_cross_entropy,
    attack=lambda settings, config: unattacked,
    rule=lambda settings, config: Uniform(eps=config.attack.eps),
)


def _objective(settings: HatSettings, config: RunConfig) -> Objective:
    return lambda model, batch, attacked: hat(settings, model, batch, attacked)


def _helper(settings: HatSettings, config: RunConfig) -> Helper:
    own, epochs = settings.helper_epochs, config.train.epochs
    return Helper(method=UNATTACKED, epochs=epochs if own is None else epochs_of(own, config))


HAT = Method(
    name="hat",
    title="HAT",
    summary="TRADES, and labels of a network without attacks further out (Rade and Moosavi-Dezfooli 2022)",
    source=(
        "Rade and Moosavi-Dezfooli, Reducing Excessive Margin to Achieve a Better Accuracy vs. Robustness "
        "Trade-off, ICLR 2022"
    ),
    year=2022,
    settings=HatSettings,
    forward=Forward(target=1, loss=4),
    objective=_objective,
    attack=lambda settings, config: WithinEps(training_pgd(config, "kl")),
    rule=lambda settings, config: Uniform(eps=config.attack.eps),
    plain="trades",
    usual={"attack.start": "normal", "attack.bn_mode": "eval"},
    presets={
        "authors": {
            "attack.eps": 8 / 255,
            "attack.steps": 10,
            "attack.step_size": 2 / 255,
            "optimizer.lr": 0.21,
            "optimizer.nesterov": True,
            "optimizer.milestones": (0.5, 0.75),
            "optimizer.weight_decay": 5e-4,
            "train.batch_size": 128,
            "train.epochs": 50,
        }
    },
    helper=_helper,
)

OFFERED = (HAT,)
