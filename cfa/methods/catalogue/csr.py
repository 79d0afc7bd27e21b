"""CSR: TRADES, and a term that lowers the spectral norm of the confusion of classes under attack.

Jin et al., Enhancing Robust Fairness via Confusional Spectral Regularization, ICLR 2025; formulas as in the
authors' code (Alexkael/CONFUSIONAL-SPECTRAL-REGULARIZATION 92856c7), which fine-tunes: `csr`. The paper also
trains from scratch, with settings that its code does not show: `csr-scratch` takes those of the preset. Two
things differ. The paper weighs confusions alone, the code also images that are right (``correct_too``). The
code lowers a true logit by a tenth of itself, which raises a negative one (``signed_margin``); here it is a
tenth of its size. Their second pass over clean and adversarial images for BatchNorm is not made.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from cfa.config import RunConfig
from cfa.methods.attacking import WithinEps, training_pgd
from cfa.methods.catalogue.trades import TRADES, TradesSumSettings, clean_and_robust
from cfa.methods.features import predictions
from cfa.methods.interface import EPS_LABEL, Attacked, Batch, Forward, KnobLabel, Loss, Model, Objective, Pass
from cfa.methods.knobs import Knobs
from cfa.methods.rules import ClassStats, State
from cfa.notation import Number

if TYPE_CHECKING:
    from torch import Tensor

CONFUSION = "confusion"
PREDICTED = "predicted"
WEIGHT = "confusion_weight"
_RANGE, _SMALLEST = 2.0, 0.01  # weights of pairs lie in [0.01, 2.01]
_EVEN = 1e-9  # a singular direction that spreads less is even but for rounding


class CsrSettings(TradesSumSettings):
    """TRADES' constant, the share of the spectral term, and how confusions are counted."""

    spectral_share: Annotated[Number, Field(ge=0, le=1)] = Field(
        default=0.3, description="CSR: weight of the spectral term; the clean one has the rest of 1."
    )
    margin: Annotated[Number, Field(ge=0, lt=1)] = Field(
        default=0.1, description="CSR: share by which true logits are lowered when confusions are counted."
    )
    correct_too: bool = Field(
        default=False,
        description="CSR: weigh images that are right under attack too, as its code; false: as the paper.",
    )
    signed_margin: bool = Field(
        default=False,
        description="CSR: lower a true logit by a share of itself, as its code, which raises negative ones.",
    )


def spectral_weights(confusion: Tensor) -> Tensor:
    """Return 2 (g - min g) / (max g - min g) + 0.01 of g = u v^T, the largest singular direction.

    Args:
        confusion: Errors K, predicted class by true class, shape (classes, classes), its diagonal 0.

    Returns:
        Weights of the same pairs; 1 for all where the direction is even.
    """
    import torch

    u, _, v = torch.linalg.svd(confusion)
    direction = torch.outer(u[:, 0], v[0])
    spread = direction.max() - direction.min()
    if spread < _EVEN:
        return torch.ones_like(direction)
    return _RANGE * (direction - direction.min()) / spread + _SMALLEST


def spectral_trades(settings: CsrSettings, config: RunConfig) -> Objective:
    """Build (1 - a) CE(x) + beta KL + a w (ln w + CE(x_adv)), w the weight of the confused pair."""
    scale, share = settings.weights(), settings.spectral_share

    def objective(model: Model, batch: Batch, attacked: Attacked) -> Loss:
        from torch.nn import functional as F

        clean, robust, logits_adv = clean_and_robust(model, batch, attacked)
        predicted = logits_adv.argmax(dim=1)
        weight = batch.knobs[WEIGHT].gather(1, predicted[:, None]).squeeze(1)
        adversarial = F.cross_entropy(logits_adv, batch.y, reduction="none")
        spectral = weight * (weight.log() + adversarial)
        if not settings.correct_too:
            spectral = spectral * (predicted != batch.y)
        natural = (1 - share) * clean + share * spectral
        loss = scale["clean_weight"] * natural + scale["robust_weight"] * robust
        return Loss(per_sample=loss, logits_adv=logits_adv)

    return objective


def confusions(settings: CsrSettings, config: RunConfig, from_epoch: int) -> Sequence[Pass]:
    """Ask for what training images are predicted as under PGD, their true logits lowered a little."""

    def counted(model: Model, batch: Batch, attacked: Attacked) -> Loss:
        logits = model(attacked.x_adv)
        true = logits.gather(1, batch.y[:, None])
        size = true if settings.signed_margin else true.abs()
        lowered = logits.scatter(1, batch.y[:, None], true - settings.margin * size)
        sums = {PREDICTED: predictions(lowered)}
        return Loss(per_sample=0 * true.squeeze(1), logits_adv=logits, sums=sums)

    pgd = replace(training_pgd(config, "cross-entropy"), bn_mode="eval", start="uniform")
    attack = WithinEps(pgd)
    return [
        Pass(name=CONFUSION, over="training", attack=attack, objective=counted, from_epoch=from_epoch),
    ]


@dataclass(frozen=True, kw_only=True)
class SpectralWeights:
    """Weigh pairs of a true and a predicted class by the largest singular direction of their confusions.

    The knob's rows are true classes. Before any confusion was counted, and where there is none, it is 1.

    Attributes:
        eps: The budget, of all classes.
    """

    eps: float

    def initial(self, classes: int) -> tuple[State, Knobs]:
        """Return no state, and weights of 1."""
        import torch

        return {}, self._knobs(torch.ones(classes, classes, dtype=torch.float64))

    def __call__(self, state: State, stats: ClassStats) -> tuple[State, Knobs]:
        """Weigh by the confusions that were counted after the epoch."""
        by_true = stats.seen[CONFUSION].sums[PREDICTED].double()
        errors = by_true - by_true.diagonal().diag()
        if not errors.any():
            return self.initial(len(errors))
        return state, self._knobs(spectral_weights(errors.T).T.contiguous())

    def _knobs(self, weights: Tensor) -> Knobs:
        import torch

        eps = torch.full((len(weights),), self.eps, dtype=weights.dtype)
        return Knobs(eps=eps, **{WEIGHT: weights})


_COMMON: Mapping[str, Any] = {
    "source": "Jin et al., Enhancing Robust Fairness via Confusional Spectral Regularization, ICLR 2025",
    "year": 2025,
    "plain": "trades",
    "forward": Forward(target=1, loss=2, again=True),
    "objective": spectral_trades,
    "rule": lambda settings, config: SpectralWeights(eps=config.attack.eps),
    "knobs": {
        "eps": EPS_LABEL,
        WEIGHT: KnobLabel(
            label="confusion weight",
            summary="how much it weighs that an image of the class is taken for another; in charts, the mean",
        ),
    },
    "official_passes": (),
    "official_arguments": {},
}

CSR = replace(
    TRADES.taking(CsrSettings),
    name="csr",
    kind="re-weighted",
    title="CSR",
    summary="Fine-tunes TRADES (init) with weights of confused pairs from their spectrum (Jin et al. 2025)",
    passes=lambda settings, config: confusions(settings, config, from_epoch=0),
    fine_tunes=True,
    values={
        "method.divided": False,
        "optimizer.lr": 0.001,
        "optimizer.milestones": (),
        "train.epochs": 2,
    },
    presets={
        **TRADES.presets,
        "paper": {**TRADES.presets["paper"], "averaging.start_epoch": 1},
        # As many steps: 2 epochs of 50,000 images are 12 of 9,000.
        "demo": {**TRADES.presets["demo"], "train.epochs": 12, "averaging.start_epoch": 3},
    },
    **_COMMON,
)

CSR_SCRATCH = replace(
    TRADES.taking(CsrSettings),
    name="csr-scratch",
    kind="re-weighted",
    title="CSR from scratch (ours)",
    summary="TRADES with weights of confused pairs from their spectrum, from epoch 2 on (Jin et al. 2025)",
    passes=lambda settings, config: confusions(settings, config, from_epoch=1),
    **_COMMON,
)

OFFERED = (CSR, CSR_SCRATCH)
