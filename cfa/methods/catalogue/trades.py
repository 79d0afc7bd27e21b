"""TRADES: clean cross-entropy, and how far predictions move under attack."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from cfa.config import Settings
from cfa.methods.attacking import WithinEps, training_pgd
from cfa.methods.interface import (
    EPS_LABEL,
    Attacked,
    Batch,
    Forward,
    KnobLabel,
    Loss,
    Method,
    Model,
    OfficialArgument,
)
from cfa.methods.rules import Uniform
from cfa.notation import Number

if TYPE_CHECKING:
    from torch import Tensor


class TradesSettings(Settings):
    """TRADES' one constant."""

    beta: Annotated[
        Number,
        Field(gt=0, description="TRADES: weight of the robust term against the clean one.", examples=[6]),
        OfficialArgument("beta"),
    ]


class TradesSumSettings(TradesSettings):
    """TRADES' constant, for methods whose authors add both terms up."""

    divided: bool = Field(
        default=True,
        description="Divide the loss by 1 + beta, as TRADES is here; false: the sum of its authors.",
    )

    def weights(self) -> dict[str, float]:
        """Return what the clean and the robust term are multiplied with, as knobs are named."""
        if self.divided:
            return weights_of(self.beta)
        return {"clean_weight": 1.0, "robust_weight": self.beta}


def clean_and_robust_logits(model: Model, batch: Batch, attacked: Attacked) -> tuple[Tensor, Tensor]:
    """Return f(x) and f(x_adv), in this order of passes, which BatchNorm statistics depend on."""
    return model(batch.x), model(attacked.x_adv)


def clean_and_robust(model: Model, batch: Batch, attacked: Attacked) -> tuple[Tensor, Tensor, Tensor]:
    """Return CE(f(x), y), KL(f(x) || f(x_adv)), both per sample, and the logits f(x_adv).

    The target f(x) keeps its gradient, as in the authors' code, and comes from the same forward pass.
    """
    from torch.nn import functional as F

    from cfa.attacks import kl_divergence

    logits, logits_adv = clean_and_robust_logits(model, batch, attacked)
    clean = F.cross_entropy(logits, batch.y, reduction="none")
    return clean, kl_divergence(F.log_softmax(logits, dim=1), logits_adv), logits_adv


def trades(model: Model, batch: Batch, attacked: Attacked) -> Loss:
    """Return the weighted sum of both terms (Zhang et al. 2019, eq. 5), by the weights of each class."""
    clean, robust, logits_adv = clean_and_robust(model, batch, attacked)
    loss = batch.knobs["robust_weight"] * robust + batch.knobs["clean_weight"] * clean
    return Loss(per_sample=loss, logits_adv=logits_adv)


def weights_of(beta: float) -> dict[str, float]:
    """Turn beta into 1/(1 + beta) and beta/(1 + beta), as PKU-ML/CFA does."""
    return {"clean_weight": 1 / (1 + beta), "robust_weight": beta / (1 + beta)}


def clean_share(settings: TradesSettings) -> float:
    """Return what TRADES' loss multiplies the clean cross-entropy with: 1 in a sum, else 1/(1 + beta)."""
    is_sum = isinstance(settings, TradesSumSettings) and not settings.divided
    return 1.0 if is_sum else weights_of(settings.beta)["clean_weight"]


TRADES = Method(
    name="trades",
    title="TRADES",
    summary="Clean cross-entropy plus beta times the KL to adversarial predictions (Zhang et al. 2019)",
    source="Zhang et al., Theoretically Principled Trade-off between Robustness and Accuracy, ICML 2019",
    year=2019,
    settings=TradesSettings,
    forward=Forward(target=1, loss=2),
    objective=lambda settings, config: trades,
    attack=lambda settings, config: WithinEps(training_pgd(config, "kl")),
    rule=lambda settings, config: Uniform(eps=config.attack.eps, **weights_of(settings.beta)),
    loss_scale=clean_share,
    knobs={
        "eps": EPS_LABEL,
        "beta": KnobLabel(
            label="beta", summary="how much the class's robust term weighs against its clean one"
        ),
        "clean_weight": KnobLabel(label="clean weight", summary="how much the class's clean term weighs"),
        "robust_weight": KnobLabel(label="robust weight", summary="how much its robust term weighs"),
    },
    usual={"attack.start": "normal", "attack.bn_mode": "eval"},
    presets={name: {"method.beta": 6.0} for name in ("paper", "official-code", "demo")},
    official_passes=("with-loss", "after-step"),
    official_arguments={"mode": "TRADES"},
)

OFFERED = (TRADES,)
