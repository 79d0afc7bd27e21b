"""IKL: differences of logits and soft labels in the place of TRADES' KL, weighed by predictions of classes.

Cui et al., Decoupled Kullback-Leibler Divergence Loss, NeurIPS 2024. A KL divergence has the gradients of two
terms: a squared error of the differences of logits, weighed by the prediction, and a cross-entropy with soft
labels. IKL gives the first one both sides' gradients, and weighs it by the mean prediction of the true class
in the epoch before. As in the authors' code (jiequancui/DKL, Adv-training-dkl/train_dkl_cifar10.py); in its
second version the weight is divided by its sum, which is 1 for a prediction. There eps grows over epochs,
here where ``method.eps_grows`` is set. They train with AWP: that is ``ikl-awp``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from cfa.config import RunConfig, Settings
from cfa.methods.attacking import WithinEps, training_pgd
from cfa.methods.catalogue.awp import AwpSettings, with_awp
from cfa.methods.interface import (
    EPS_LABEL,
    Attacked,
    Batch,
    Forward,
    KnobLabel,
    Loss,
    Method,
    Model,
    Objective,
)
from cfa.methods.knobs import EPS, Knobs, same_for_all
from cfa.methods.rules import TRAINING, ClassStats, OverEpochs, Rule, State
from cfa.notation import Number

if TYPE_CHECKING:
    from torch import Tensor

PREDICTION = "prediction"


class IklSettings(Settings):
    """The weights of both terms, how soft the weighing predictions are, and whether eps grows."""

    beta: Annotated[Number, Field(ge=0)] = Field(
        default=20.0, description="IKL: weight of the squared differences of logits."
    )
    alpha: Annotated[Number, Field(ge=0)] = Field(
        default=4.0, description="IKL: weight of the cross-entropy with clean predictions as soft labels."
    )
    temperature: Annotated[Number, Field(gt=0)] = Field(
        default=4.0, description="IKL: temperature of the predictions whose class means are the weights."
    )
    eps_grows: bool = Field(
        default=False, description="IKL: eps grows in equal steps to the nominal one in the last epoch."
    )


class IklAwpSettings(AwpSettings, IklSettings):
    """IKL with AWP."""


def difference_error(difference: Tensor, weights: Tensor) -> Tensor:
    """Return 1/4 sum_jk w_j w_k (d_j - d_k)^2 / (sum w)^2, shape (batch,): half the variance of d under w.

    Args:
        difference: Of the logits of two passes, shape (batch, classes).
        weights: Of classes, for each image, shape (batch, classes).
    """
    share = weights / weights.sum(dim=1, keepdim=True)
    mean = (share * difference).sum(dim=1, keepdim=True)
    return (share * (difference - mean).square()).sum(dim=1) / 2


def ikl(settings: IklSettings, model: Model, batch: Batch, attacked: Attacked) -> Loss:
    """Return CE(f(x), y) + beta times the squared error of differences - alpha p(x) ln p(x_adv).

    The soft labels have no gradient, both sides of the squared error have one. The adversarial pass comes
    first, as theirs does. Sums: the clean predictions at ``temperature``.
    """
    from torch.nn import functional as F

    logits_adv = model(attacked.x_adv)
    logits = model(batch.x)
    clean = F.cross_entropy(logits, batch.y, reduction="none")
    moved = difference_error(logits - logits_adv, batch.knobs[PREDICTION])
    soft = -(logits.detach().softmax(dim=1) * F.log_softmax(logits_adv, dim=1)).sum(dim=1)
    return Loss(
        per_sample=clean + settings.beta * moved + settings.alpha * soft,
        logits_adv=logits_adv,
        sums={PREDICTION: (logits.detach() / settings.temperature).softmax(dim=1)},
    )


@dataclass(frozen=True, kw_only=True)
class MeanPrediction:
    """The mean prediction of each class in the epoch before, row by true class; at first all classes alike.

    Attributes:
        eps: The nominal budget.
    """

    eps: float

    def initial(self, classes: int) -> tuple[State, Knobs]:
        """Return no state, and predictions of 1/C."""
        import torch

        return {}, self._knobs(torch.full((classes, classes), 1 / classes, dtype=torch.float64))

    def __call__(self, state: State, stats: ClassStats) -> tuple[State, Knobs]:
        """Take the means of the clean predictions in training; a class that was not drawn stays undecided."""
        import torch

        seen = stats.seen[TRAINING]
        drawn = seen.total[:, None] > 0
        return state, self._knobs(torch.where(drawn, seen.mean(PREDICTION), 1 / len(seen.total)))

    def _knobs(self, prediction: Tensor) -> Knobs:
        return Knobs(eps=same_for_all(len(prediction), self.eps), prediction=prediction)


def _rule(settings: IklSettings, config: RunConfig) -> Rule:
    eps, epochs = config.attack.eps, config.train.epochs
    rule = MeanPrediction(eps=eps)
    return OverEpochs(rule, EPS, lambda epoch: eps * epoch / epochs) if settings.eps_grows else rule


def _objective(settings: IklSettings, config: RunConfig) -> Objective:
    return lambda model, batch, attacked: ikl(settings, model, batch, attacked)


_AUTHORS: dict[str, Any] = {
    "attack.eps": 8 / 255,
    "attack.steps": 5,
    "attack.step_size": "eps/2",
    "averaging.decay": 0.9,
    "averaging.start_epoch": 1,
    "method.eps_grows": True,
    "optimizer.lr": 0.2,
    "optimizer.milestones": (0.5, 0.75),
    "optimizer.weight_decay": 5e-4,
    "train.epochs": 200,
}

IKL = Method(
    name="ikl",
    title="IKL",
    summary="Squared differences of logits, weighed by class, and soft labels (Cui et al. 2024)",
    source="Cui et al., Decoupled Kullback-Leibler Divergence Loss, NeurIPS 2024",
    year=2024,
    settings=IklSettings,
    forward=Forward(target=1, loss=2),
    objective=_objective,
    attack=lambda settings, config: WithinEps(training_pgd(config, "kl")),
    rule=_rule,
    plain="pgd-at",
    knobs={
        "eps": EPS_LABEL,
        PREDICTION: KnobLabel(
            label="mean prediction", summary="how much a class weighs in the differences of logits"
        ),
    },
    usual={"attack.start": "normal", "attack.bn_mode": "eval"},
    presets={"authors": _AUTHORS},
)

IKL_AWP = with_awp(
    IKL,
    IklAwpSettings,
    name="ikl-awp",
    summary="IKL at weights that are moved uphill first, as its authors train it (Cui et al. 2024)",
    source=IKL.source,
    year=IKL.year,
    reported_with="ema",
)

OFFERED = (IKL, IKL_AWP)
