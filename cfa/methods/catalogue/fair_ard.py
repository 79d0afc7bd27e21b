"""Fair-ARD: ARD in which classes that an attack breaks after few steps weigh more.

The authors' code (NISP-official/Fair-ARD, 910c8cd) divides the steps of a class by N/C and not by its own
images, which is the same for equal classes; ours divides by its own. Its second drop of the learning rate,
after 150 epochs, sets the rate that the first one set: ``optimizer.milestones=0.5`` does as the code does. It
makes a clean forward pass for a term whose weight 1 - alpha is 0, which moves BatchNorm statistics; ours
makes none.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from cfa.config import Settings
from cfa.methods.catalogue.ard import ARD, ArdSettings, as_the_teacher
from cfa.methods.interface import EPS_LABEL, Attacked, Batch, KnobLabel, Loss, Model
from cfa.methods.knobs import Knobs
from cfa.methods.rules import TRAINING, ClassStats, State
from cfa.notation import Number

if TYPE_CHECKING:
    from torch import Tensor

NEVER = 1e-5  # added to the steps of a class, which may be 0


class WeighingSettings(Settings):
    """How classes are weighed by the steps that they survive."""

    sharpness: Annotated[Number, Field(gt=0)] = Field(
        default=2.0, description="Fair-ARD: power of the inverse of the steps that a class survives."
    )
    lightest: Annotated[Number, Field(gt=0, le=1)] = Field(
        default=5 / 6, description="Fair-ARD: smallest weight of a class."
    )
    heaviest: Annotated[Number, Field(ge=1)] = Field(
        default=5 / 2, description="Fair-ARD: largest weight of a class."
    )


class FairArdSettings(ArdSettings, WeighingSettings):
    """ARD's temperature, and how classes are weighed."""


def weights_by_steps(survived: Tensor, settings: WeighingSettings) -> Tensor:
    """Return v_k = C kappa_k^-beta / sum, cut to its bounds (Yue et al. 2023), shape (classes,).

    Args:
        survived: Mean number of steps that images of a class survived, kappa.
        settings: Power and bounds.
    """
    inverse = (survived + NEVER) ** -settings.sharpness
    return (len(inverse) * inverse / inverse.sum()).clamp(settings.lightest, settings.heaviest)


@dataclass(frozen=True)
class WeighsShortLived:
    """Weigh classes for the next epoch by the steps that they survived in this one.

    Attributes:
        eps: The nominal budget.
        settings: Power and bounds.
    """

    eps: float
    settings: WeighingSettings

    def initial(self, classes: int) -> tuple[State, Knobs]:
        """Return no state and weights of 1."""
        import torch

        return {}, self._knobs(torch.ones(classes, dtype=torch.float64))

    def __call__(self, state: State, stats: ClassStats) -> tuple[State, Knobs]:
        """Weigh the classes."""
        survived = stats.seen[TRAINING].mean("steps_survived")
        return state, self._knobs(weights_by_steps(survived, self.settings))

    def _knobs(self, weight: Tensor) -> Knobs:
        return Knobs(eps=self.eps + 0 * weight, weight=weight)


def weighted(loss: Loss, batch: Batch) -> Loss:
    """Return a loss times the weights of the classes."""
    return replace(loss, per_sample=batch.knobs["weight"] * loss.per_sample)


def fair_as_the_teacher(temperature: float, model: Model, batch: Batch, attacked: Attacked) -> Loss:
    """Return ARD's loss times the weight of the class (Yue et al. 2023)."""
    return weighted(as_the_teacher(temperature, model, batch, attacked), batch)


WEIGHT_LABELS = {
    "eps": EPS_LABEL,
    "weight": KnobLabel(label="weight", summary="how much the class weighs in the loss"),
}

FAIR_ARD = replace(
    ARD.taking(FairArdSettings),
    name="fair-ard",
    title="Fair-ARD",
    summary="ARD with weights of classes by the attack steps that they survive (Yue et al. 2023)",
    source=(
        "Yue et al., Revisiting Adversarial Robustness Distillation from the Perspective of Robust Fairness, "
        "NeurIPS 2023"
    ),
    year=2023,
    objective=lambda settings, config: lambda *of_step: fair_as_the_teacher(settings.temperature, *of_step),
    rule=lambda settings, config: WeighsShortLived(config.attack.eps, settings),
    plain="ard",
    knobs=WEIGHT_LABELS,
    presets={"authors": {**ARD.presets["authors"], "optimizer.nesterov": True}},
)

OFFERED = (FAIR_ARD,)
