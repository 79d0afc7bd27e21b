"""WAT: TRADES whose classes, and the mean of all, weigh as their cumulated validation losses say.

Li and Liu, WAT: Improve the Worst-Class Robustness in Adversarial Training, AAAI 2023; formulas as in the
authors' code (boqili/WAT 62d1184, worst_class_adversarial_train.py). Two things differ from it. It adds both
terms up, which ``divided`` = false does (preset `authors`): here the loss is divided by 1 + beta, as that of
TRADES is. It divides validation losses by full batches (3,072 for 3,000 images); here it is by the images.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from cfa.config import RunConfig
from cfa.methods.attacking import WithinEps, training_pgd
from cfa.methods.catalogue.trades import TRADES, TradesSumSettings, clean_and_robust
from cfa.methods.interface import Attacked, Batch, KnobLabel, Loss, Model, Objective, Pass
from cfa.methods.knobs import Knobs, constant
from cfa.methods.rules import ClassStats, State
from cfa.notation import Number

if TYPE_CHECKING:
    from torch import Tensor

VALIDATION_KL = "validation-kl"


class WatSettings(TradesSumSettings):
    """TRADES' constant, and how fast weights follow."""

    eta: Annotated[Number, Field(gt=0)] = Field(
        default=0.1,
        description="WAT: how fast the weights of classes follow their cumulated validation losses.",
    )


def weighted_trades(settings: WatSettings, config: RunConfig) -> Objective:
    """Build (w_y + w_mean) (CE + beta KL): the weight of the class, and that of the mean of all images."""
    scale = settings.weights()

    def objective(model: Model, batch: Batch, attacked: Attacked) -> Loss:
        clean, robust, logits_adv = clean_and_robust(model, batch, attacked)
        loss = scale["clean_weight"] * clean + scale["robust_weight"] * robust
        weight = batch.knobs["weight"] + batch.knobs["mean_weight"]
        return Loss(per_sample=weight * loss, logits_adv=logits_adv)

    return objective


def validation_losses(settings: WatSettings, config: RunConfig) -> Sequence[Pass]:
    """Ask for CE + beta KL of the validation images under the KL attack, in eval mode."""

    def cost(model: Model, batch: Batch, attacked: Attacked) -> Loss:
        clean, robust, logits_adv = clean_and_robust(model, batch, attacked)
        return Loss(per_sample=clean + settings.beta * robust, logits_adv=logits_adv)

    attack = WithinEps(replace(training_pgd(config, "kl"), bn_mode="eval"))
    return [Pass(name=VALIDATION_KL, over="validation", attack=attack, objective=cost)]


@dataclass(frozen=True, kw_only=True)
class CumulatedLosses:
    """Hedge over C classes and their mean: w = C softmax(eta times the sum of all past losses).

    The loss of class k is C/N times the sum over its images (N validation images), that of the mean is the
    mean over all images. Epoch 1 has weights of 1: its loss is twice TRADES'.

    Attributes:
        eps: The budget, of all classes.
        eta: How fast weights follow.
    """

    eps: float
    eta: float

    def initial(self, classes: int) -> tuple[State, Knobs]:
        """Return no losses yet, and weights of 1."""
        import torch

        state = {"losses": torch.zeros(classes + 1, dtype=torch.float64)}
        return state, constant(classes, eps=self.eps, weight=1.0, mean_weight=1.0)

    def __call__(self, state: State, stats: ClassStats) -> tuple[State, Knobs]:
        """Add the epoch's validation losses, and weigh by what they have come to."""
        import torch

        seen = stats.seen[VALIDATION_KL]
        classes = len(seen.total)
        of_class = classes / seen.total.sum() * seen.sums["loss"]
        losses = state["losses"] + torch.cat([of_class, of_class.mean()[None]])
        return {"losses": losses}, self._knobs(classes * (self.eta * losses).softmax(dim=0))

    def _knobs(self, weights: Tensor) -> Knobs:
        of_class, of_mean = weights[:-1], weights[-1]
        same = of_class.new_ones(len(of_class))
        return Knobs(eps=self.eps * same, weight=of_class, mean_weight=of_mean * same)


WAT = replace(
    TRADES.taking(WatSettings),
    name="wat",
    title="WAT",
    summary="TRADES with class weights that follow cumulated validation losses (Li and Liu 2023)",
    source="Li and Liu, WAT: Improve the Worst-Class Robustness in Adversarial Training, AAAI 2023",
    year=2023,
    kind="re-weighted",
    plain="trades",
    objective=weighted_trades,
    rule=lambda settings, config: CumulatedLosses(eps=config.attack.eps, eta=settings.eta),
    passes=validation_losses,
    knobs={
        "eps": TRADES.knobs["eps"],
        "weight": KnobLabel(label="weight", summary="how much the loss of the class weighs"),
        "mean_weight": KnobLabel(
            label="weight of the mean", summary="how much the mean loss of all images weighs besides"
        ),
    },
    presets={
        **TRADES.presets,
        "authors": {
            "attack.eps": 0.031,
            "attack.step_size": 0.007,
            "data.val_fraction": 0.06,  # 300 of 5,000 images a class, 30 of 500
            "method.divided": False,
            "optimizer.milestones": (74 / 100, 89 / 100, 99 / 100),  # their epochs 75, 90 and 100 have it
            "optimizer.weight_decay": 2e-4,
            "train.epochs": 100,
        },
    },
    official_passes=(),
    official_arguments={},
)

OFFERED = (WAT,)
