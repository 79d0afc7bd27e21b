"""FAAL: fine-tunes a robust network on the worst mix of classes in a KL ball, found anew for every batch.

Zhang et al., Towards Fairness-Aware Adversarial Learning, CVPR 2024; formulas as in the authors' code
(TrustAI/FAAL b20ee9d, FAAL.py and ft_prn.py), around PGD-AT, TRADES and PGD-AT with AWP. Three things differ.
Their solver (cvxpy) is a closed form here. They give classes that a batch lacks a coefficient of 0, above the
negative margins of learned classes, and so most of the weight; here only classes that are present take part.
Their AWP moves weights along the unweighted loss, here along FAAL's.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from cfa.config import RunConfig, Settings
from cfa.methods.catalogue.awp import AwpSettings, with_awp
from cfa.methods.catalogue.pgd_at import PGD_AT, adversarial_cross_entropy
from cfa.methods.catalogue.trades import TRADES, TradesSumSettings, clean_and_robust
from cfa.methods.class_losses import losses_of_classes
from cfa.methods.interface import EPS_LABEL, Attacked, Batch, Loss, Model, NoSettings, Objective
from cfa.methods.rules import Uniform
from cfa.notation import Number

if TYPE_CHECKING:
    from torch import Tensor

SOURCE = "Zhang et al., Towards Fairness-Aware Adversarial Learning, CVPR 2024"
YEAR = 2024
_HALVINGS = 45
_WIDEST = 30.0  # of the logarithm of how far the multiplier lies above the largest coefficient


class InTheBall(Settings):
    """How far the mix of classes may be from even, and what it is to raise."""

    tau: Annotated[Number, Field(ge=0, le=10)] = Field(
        default=0.5, description="FAAL: largest KL from the even mix of classes to the worst one; 0: even."
    )
    by_count: bool = Field(
        default=True,  # as coded: a sum over the images of the batch
        description="FAAL: multiply the margin of a class with how many of its images a batch has.",
    )


class FaalSettings(InTheBall, NoSettings):
    """FAAL's constants."""


class FaalTradesSettings(InTheBall, TradesSumSettings):
    """TRADES' constant, and FAAL's."""


class FaalAwpSettings(AwpSettings, FaalSettings):
    """FAAL's constants, and AWP's."""


def worst_mix(coefficients: Tensor, present: Tensor, tau: float) -> Tensor:
    """Return the p that maximises sum p_k c_k over P classes where KL(1/P || p) <= tau and sum p = 1.

    It is p_k = (1 / (nu - c_k)) / sum (1 / (nu - c_j)) with one nu above all c, which bisection finds.

    Args:
        coefficients: c, shape (classes,).
        present: Which classes take part, boolean, shape (classes,); the others get 0.
        tau: Radius of the ball.
    """
    import torch

    share = present.to(coefficients.dtype) / present.sum()
    if tau == 0:
        return share  # which bisection would reach but for rounding
    below = coefficients.masked_fill(~present, -torch.inf).amax() - coefficients.masked_fill(~present, 0)

    def inverse(height: Tensor) -> Tensor:
        return share / (height.exp() + below.clamp(min=0))

    low = coefficients.new_full((), -_WIDEST)
    high = coefficients.new_full((), _WIDEST)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        divergence = inverse(middle).sum().log() + (share * (middle.exp() + below.clamp(min=0)).log()).sum()
        outside = divergence > tau
        low, high = torch.where(outside, middle, low), torch.where(outside, high, middle)
    found = inverse(high)
    return found / found.sum()


def soft_margins(logits: Tensor, y: Tensor) -> Tensor:
    """Return the largest wrong probability minus the true one, shape (batch,)."""
    probabilities = logits.softmax(dim=1)
    true = probabilities.gather(1, y[:, None]).squeeze(1)
    return probabilities.scatter(1, y[:, None], 0).amax(dim=1) - true


def class_weights(settings: InTheBall, batch: Batch, logits_adv: Tensor) -> Tensor:
    """Return P p of the batch's classes, whose mean over the P classes that are present is 1."""
    import torch

    exact = torch.float32 if logits_adv.device.type == "mps" else torch.float64  # Metal has no float64
    margins = soft_margins(logits_adv.detach(), batch.y).to(exact)
    of_classes, images = losses_of_classes(margins, batch, logits_adv.shape[1])
    coefficients, present = of_classes * images if settings.by_count else of_classes, images > 0
    return present.sum() * worst_mix(coefficients, present, settings.tau)


def on_the_worst_mix(settings: InTheBall, loss_of: Objective) -> Objective:
    """Build P p_y times a method's loss of each image."""

    def objective(model: Model, batch: Batch, attacked: Attacked) -> Loss:
        loss = loss_of(model, batch, attacked)
        weights = class_weights(settings, batch, loss.logits_adv)[batch.y]
        return replace(loss, per_sample=weights.to(loss.per_sample.dtype) * loss.per_sample)

    return objective


def _around_trades(settings: FaalTradesSettings, config: RunConfig) -> Objective:
    scale = settings.weights()

    def trades(model: Model, batch: Batch, attacked: Attacked) -> Loss:
        clean, robust, logits_adv = clean_and_robust(model, batch, attacked)
        loss = scale["clean_weight"] * clean + scale["robust_weight"] * robust
        return Loss(per_sample=loss, logits_adv=logits_adv)

    return on_the_worst_mix(settings, trades)


_SCHEDULE = {"optimizer.lr": 0.01, "optimizer.milestones": (0.5,), "train.epochs": 2}
_PRESETS = {
    "paper": {"averaging.start_epoch": 1},
    # As many steps: 2 epochs of 50,000 images are 12 of 9,000.
    "demo": {"train.epochs": 12, "averaging.start_epoch": 3},
}
_COMMON: dict[str, Any] = {
    "source": SOURCE,
    "year": YEAR,
    "knobs": {"eps": EPS_LABEL},
    "fine_tunes": True,
    "whole_batch": True,
    "official_passes": (),
    "official_arguments": {},
}

FAAL = replace(
    PGD_AT.taking(FaalSettings),
    name="faal",
    kind="re-weighted",
    title="FAAL",
    summary="Fine-tunes PGD-AT (init) on the worst mix of classes of every batch (Zhang et al. 2024)",
    plain="pgd-at",
    objective=lambda settings, config: on_the_worst_mix(settings, adversarial_cross_entropy),
    usual={"attack.start": "uniform", "attack.bn_mode": "eval"},
    values=_SCHEDULE,
    presets=_PRESETS,
    **_COMMON,
)

FAAL_TRADES = replace(
    TRADES.taking(FaalTradesSettings),
    name="faal-trades",
    kind="re-weighted",
    title="FAAL-TRADES",
    summary="Fine-tunes TRADES (init) on the worst mix of classes of every batch (Zhang et al. 2024)",
    plain="trades",
    objective=_around_trades,
    rule=lambda settings, config: Uniform(eps=config.attack.eps),
    values={**_SCHEDULE, "method.divided": False},
    presets={name: {**TRADES.presets.get(name, {}), **_PRESETS.get(name, {})} for name in TRADES.presets},
    **_COMMON,
)

FAAL_AWP = with_awp(
    FAAL,
    FaalAwpSettings,
    name="faal-awp",
    summary="FAAL at weights that are moved uphill first (Zhang et al. 2024)",
    source=SOURCE,
    year=YEAR,
    plain="pgd-at-awp",
    values={**_SCHEDULE, "method.awp_gamma": 0.005, "method.awp_start": 1},
)

OFFERED = (FAAL, FAAL_TRADES, FAAL_AWP)
