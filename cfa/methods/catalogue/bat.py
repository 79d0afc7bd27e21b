"""BAT: trains on examples from both sides of the decision boundary, and towards uniform predictions there.

Sun et al., Improving Robust Fairness via Balance Adversarial Training, AAAI 2023; formulas as in the authors'
code (silvercherry/Improving-Robust-Fairness-via-Balance-Adversarial-Training 9bcee67, train.py and
train_mode). Two things differ. They follow two attacks from two starts, here both examples lie on one path:
every term reads one of them alone, so what it is on average is the same for half of the passes. They add the
terms up (``divided`` = false, preset `authors`), here they are divided by 1 + beta, as TRADES' are.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from cfa.config import RunConfig
from cfa.methods.attacking import training_pgd
from cfa.methods.catalogue.trades import TRADES, TradesSumSettings
from cfa.methods.interface import EPS_LABEL, Attacked, Batch, Forward, Loss, Model, Objective
from cfa.methods.rules import Uniform

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from cfa.attacks import PGD

INNER = "inner"
_PATIENCE = 1  # steps that the outer example takes while it is misclassified


@dataclass(frozen=True)
class BothSides:
    """Follow PGD's path from one side of the decision boundary to the other.

    The inner example is the last one before the first that is misclassified, or the start where that is
    misclassified itself. The outer one leaves the path where it is found misclassified a second time: one
    step after the first. What never gets there is the end of the path.

    Attributes:
        pgd: The attack.
    """

    pgd: PGD

    def __call__(self, model: Model, batch: Batch, generator: torch.Generator) -> Attacked:
        """Attack a batch; ``also`` has the inner examples."""
        import torch

        from cfa.attacks import LOSSES, model_mode, per_sample

        pgd, x, eps = self.pgd, batch.x, batch.knobs["eps"]
        with model_mode(model, training=pgd.bn_mode == "train"):
            loss = LOSSES[pgd.loss](model, x, batch.y)
            now = inner = outer = pgd.started(x, per_sample(eps, x), generator).clamp(0, 1)
            always_right = torch.ones_like(batch.y, dtype=torch.bool)
            arrived = ~always_right
            patience = torch.full_like(batch.y, _PATIENCE)
            for _ in range(pgd.steps):
                moved, logits = pgd.step(model, loss, x, now, eps, None)
                wrong = logits.argmax(dim=1) != batch.y
                always_right = always_right & ~wrong
                arrived = arrived | (wrong & (patience == 0))
                patience = patience - (wrong & (patience > 0)).to(patience.dtype)
                inner = _chosen(always_right, now, inner)
                outer = _chosen(arrived, outer, moved)
                now = moved
        return Attacked(x_adv=outer, also={INNER: _chosen(always_right, now, inner)})


def _chosen(rows: Tensor, yes: Tensor, no: Tensor) -> Tensor:
    import torch

    return torch.where(rows.reshape(-1, *[1] * (yes.ndim - 1)), yes, no)


def away_from_uniform(logits: Tensor) -> Tensor:
    """Return KL(softmax(logits) || 1/C), shape (batch,)."""
    import math

    from torch.nn import functional as F

    log_p = F.log_softmax(logits, dim=1)
    return (log_p.exp() * log_p).sum(dim=1) + math.log(logits.shape[1])


def balanced(settings: TradesSumSettings, config: RunConfig) -> Objective:
    """Build CE of the inner example, beta KL(f(x) || f(outer)), and both examples' distance from uniform."""
    scale = settings.weights()

    def objective(model: Model, batch: Batch, attacked: Attacked) -> Loss:
        from torch.nn import functional as F

        from cfa.attacks import kl_divergence

        inner, outer, clean = model(attacked.also[INNER]), model(attacked.x_adv), model(batch.x)
        natural = F.cross_entropy(inner, batch.y, reduction="none")
        uniform = away_from_uniform(inner) + away_from_uniform(outer)
        robust = kl_divergence(F.log_softmax(clean, dim=1), outer)
        loss = scale["clean_weight"] * (natural + uniform) + scale["robust_weight"] * robust
        return Loss(per_sample=loss, logits_adv=outer)

    return objective


BAT = replace(
    TRADES.taking(TradesSumSettings),
    name="bat",
    title="BAT",
    summary="TRADES on both sides of the boundary, towards uniform predictions there (Sun et al. 2023)",
    source="Sun et al., Improving Robust Fairness via Balance Adversarial Training, AAAI 2023",
    year=2023,
    kind="re-weighted",
    plain="trades",
    forward=Forward(target=1, loss=3),
    objective=balanced,
    attack=lambda settings, config: BothSides(training_pgd(config, "kl")),
    rule=lambda settings, config: Uniform(eps=config.attack.eps),
    knobs={"eps": EPS_LABEL},
    presets={
        **TRADES.presets,
        "authors": {
            "attack.eps": 0.031,
            "attack.step_size": 0.007,
            "method.divided": False,
            "optimizer.milestones": (74 / 200, 89 / 200, 99 / 200),  # their epochs 75, 90 and 100 have it
            "optimizer.weight_decay": 2e-4,
            "train.epochs": 200,
        },
    },
    official_passes=(),
    official_arguments={},
)

OFFERED = (BAT,)
