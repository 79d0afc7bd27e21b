"""DAFA: class weights and budgets from how similar classes are, found once and kept.

Lee et al., DAFA: Distance-Aware Fair Adversarial Training, ICLR 2024; formulas as in the authors' code
(rucy74/DAFA c60ba83, losses.py and utils.py). `dafa` is the form of the paper's tables, around TRADES,
`pgd-at-dafa` that around PGD-AT, in which a second step that is not scaled follows every scaled one, so that
no budget ends above the nominal one. Two things differ. Their weights may become 0 or negative; here they are
kept at ``weight_min`` and above, which the log says. They add TRADES' terms up (``divided`` = false, preset
`authors`), here they are divided by 1 + beta, as TRADES is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from cfa.config import RunConfig, Settings
from cfa.methods.attacking import WithinEps, training_pgd, with_growing_steps
from cfa.methods.catalogue.pgd_at import PGD_AT, adversarial_cross_entropy
from cfa.methods.catalogue.trades import TRADES, TradesSumSettings, trades
from cfa.methods.epochs import Epochs, epochs_of
from cfa.methods.interface import Attacked, Batch, KnobLabel, Loss, Model, NoSettings
from cfa.methods.knobs import Knobs
from cfa.methods.rules import TRAINING, ClassStats, State
from cfa.notation import Number

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from cfa.attacks import PGD

PROBABILITIES = "probabilities"
SOURCE = "Lee et al., DAFA: Distance-Aware Fair Adversarial Training, ICLR 2024"
YEAR = 2024


class OfSimilarity(Settings):
    """When classes are compared, and how much that matters."""

    lambda_weight: Annotated[Number, Field(ge=0)] = Field(
        default=1.0,  # their value for CIFAR-10; 1.5 for CIFAR-100 and STL-10
        description="DAFA: how far weights of classes move from 1 by their similarity.",
    )
    dafa_warmup: Annotated[Epochs, Field(gt=0)] = Field(
        default=70 / 110,
        description="DAFA: epochs in which all classes are alike; their similarity is that of the last.",
    )
    weight_min: Annotated[Number, Field(gt=0, le=1)] = Field(
        default=0.1, description="DAFA: smallest weight of a class (ours; the authors' have no bound)."
    )


class DafaSettings(OfSimilarity, TradesSumSettings):
    """TRADES' constant, and DAFA's."""


class PgdAtDafaSettings(OfSimilarity, NoSettings):
    """DAFA's constants."""


def class_weights(similarity: Tensor, strength: float) -> Tensor:
    """Return DAFA's weights of classes, shape (classes,).

    W_i = 1 + strength (sum of s_ij s_jj over the classes j that are surer than i, s_ii < s_jj, minus the sum
    of s_ji s_ii over the others).

    Args:
        similarity: s_ij, the mean probability of class j over adversarial examples of class i.
        strength: The paper's lambda.
    """
    own = similarity.diagonal()
    surer = own[None, :] > own[:, None]
    less_sure = ~surer
    less_sure.fill_diagonal_(False)
    gained = (similarity * own[None, :] * surer).sum(dim=1)
    given = (similarity.T * own[:, None] * less_sure).sum(dim=1)
    return 1 + strength * (gained - given)


@dataclass(frozen=True, kw_only=True)
class WeightsBySimilarity:
    """Weigh classes, and scale their budgets, by their similarity in the last epoch of the warm-up.

    A class that is confused with surer ones gets more of both, at their expense. The weights are found once.

    Attributes:
        eps: The nominal budget.
        strength: The paper's lambda.
        warmup_epochs: After how many epochs they are found.
        weight_min: Smallest weight.
        constants: Knobs that are alike for all classes, by name.
        weighted: Knobs that the weight is multiplied with, by name.
        reach: By how much a class's examples may leave its scaled budget up to the nominal one; ``None``:
            the scaled budget is where they stay.
    """

    eps: float
    strength: float
    warmup_epochs: int
    weight_min: float
    constants: Mapping[str, float]
    weighted: Mapping[str, float]
    reach: float | None = None

    def initial(self, classes: int) -> tuple[State, Knobs]:
        """Return weights of 1."""
        import torch

        weight = torch.ones(classes, dtype=torch.float64)
        return {"weight": weight}, self._knobs(weight)

    def __call__(self, state: State, stats: ClassStats) -> tuple[State, Knobs]:
        """Find the weights after the warm-up, and keep them."""
        if stats.epoch != self.warmup_epochs:
            return state, self._knobs(self._bounded(state["weight"]))
        found = class_weights(stats.seen[TRAINING].mean(PROBABILITIES), self.strength)
        bounded = self._bounded(found)
        knobs = self._knobs(bounded)
        outside = (bounded != found).nonzero().flatten().tolist()
        return {"weight": found}, knobs.remarked(*(self._remark(k, found, bounded) for k in outside))

    def _bounded(self, weight: Tensor) -> Tensor:
        return weight.clamp(self.weight_min, 1 / self.eps)

    def _remark(self, number: int, found: Tensor, bounded: Tensor) -> str:
        return (
            f"DAFA's weight of class {number} came to {found[number]:.4g} and is kept at "
            f"{bounded[number]:.4g}; with a smaller method.lambda_weight it stays in its bounds"
        )

    def _knobs(self, weight: Tensor) -> Knobs:
        import torch

        eps = weight * self.eps
        if self.reach is not None:
            eps = (eps + self.reach).clamp(max=self.eps)
        alike = {name: torch.full_like(weight, value) for name, value in self.constants.items()}
        return Knobs(eps=eps, **{name: value * weight for name, value in self.weighted.items()}, **alike)


@dataclass(frozen=True)
class TwoSteps:
    """Step twice along every gradient: W times a step within W eps, then a whole step within eps.

    So an example of a class of weight W ends within min(W eps + a step, eps), which is its ``eps``.

    Attributes:
        pgd: The attack, with relative steps.
        eps: The nominal budget.
    """

    pgd: PGD
    eps: float

    def __call__(self, model: Model, batch: Batch, generator: torch.Generator) -> Attacked:
        """Attack a batch."""
        import torch

        from cfa.attacks import LOSSES, model_mode, per_sample

        pgd, x, weight = self.pgd, batch.x, batch.knobs["weight"]
        radii = [per_sample(self.eps * one, x) for one in (weight, torch.ones_like(weight))]
        with model_mode(model, training=pgd.bn_mode == "train"):
            loss = LOSSES[pgd.loss](model, x, batch.y)
            x_adv = pgd.started(x, radii[0], generator)
            for _ in range(pgd.steps):
                direction, _ = pgd.direction(model, loss, x_adv)
                for radius in radii:
                    x_adv = pgd.moved(x, x_adv, direction * (pgd.step_size.value * radius), radius)
        return Attacked(x_adv=x_adv)


def with_probabilities(loss: Loss) -> Loss:
    """Return a loss that also hands on the adversarial predictions, which the rule reads."""
    return replace(loss, sums={PROBABILITIES: loss.logits_adv.detach().softmax(dim=1)})


def trades_with_probabilities(model: Model, batch: Batch, attacked: Attacked) -> Loss:
    """Return TRADES' loss by the weights of each class: W on its clean term alone."""
    return with_probabilities(trades(model, batch, attacked))


def weighted_cross_entropy(model: Model, batch: Batch, attacked: Attacked) -> Loss:
    """Return W CE(f(x_adv), y)."""
    loss = adversarial_cross_entropy(model, batch, attacked)
    return with_probabilities(replace(loss, per_sample=batch.knobs["weight"] * loss.per_sample))


def _rule(settings: OfSimilarity, config: RunConfig, **more: Any) -> WeightsBySimilarity:
    return WeightsBySimilarity(
        eps=config.attack.eps,
        strength=settings.lambda_weight,
        warmup_epochs=epochs_of(settings.dafa_warmup, config),
        weight_min=settings.weight_min,
        **more,
    )


def _around_trades(settings: DafaSettings, config: RunConfig) -> WeightsBySimilarity:
    weights = settings.weights()
    robust, clean = weights["robust_weight"], weights["clean_weight"]
    return _rule(settings, config, constants={"robust_weight": robust}, weighted={"clean_weight": clean})


def _around_pgd_at(settings: PgdAtDafaSettings, config: RunConfig) -> WeightsBySimilarity:
    step = config.attack.step_size
    reach = step.value * (config.attack.eps if step.relative else 1)
    return _rule(settings, config, constants={}, weighted={"weight": 1.0}, reach=reach)


def _trades_attack(settings: DafaSettings, config: RunConfig) -> WithinEps:
    return WithinEps(with_growing_steps(training_pgd(config, "kl"), config.attack.eps))


def _pgd_at_attack(settings: PgdAtDafaSettings, config: RunConfig) -> TwoSteps:
    eps = config.attack.eps
    return TwoSteps(with_growing_steps(training_pgd(config, "cross-entropy"), eps), eps)


_AUTHORS: Mapping[str, Any] = {
    "attack.eps": 0.031,
    "attack.step_size": 0.007,
    "optimizer.milestones": (99 / 110, 104 / 110),  # their epochs 100 and 105 have it
    "train.epochs": 110,
}
_CIFAR_100 = {"method.lambda_weight": 1.5}

DAFA = replace(
    TRADES.taking(DafaSettings),
    name="dafa",
    adds=("DAFA",),
    summary="TRADES with eps and clean weight per class by similarity of classes (Lee et al. 2024)",
    source=SOURCE,
    year=YEAR,
    plain="trades",
    kind="calibrated",
    hard_eps="larger",
    objective=lambda settings, config: trades_with_probabilities,
    attack=_trades_attack,
    rule=_around_trades,
    warm_up="dafa_warmup",
    needs_every_class=True,
    presets={
        **TRADES.presets,
        "authors": {**_AUTHORS, "method.divided": False},
        "cifar100": _CIFAR_100,
    },
    official_passes=(),
    official_arguments={},
)

PGD_AT_DAFA = replace(
    PGD_AT.taking(PgdAtDafaSettings),
    name="pgd-at-dafa",
    adds=("DAFA",),
    summary="PGD-AT with class weights by similarity of classes; eps stays near the nominal one",
    source=SOURCE,
    year=YEAR,
    plain="pgd-at",
    kind="re-weighted",
    objective=lambda settings, config: weighted_cross_entropy,
    attack=_pgd_at_attack,
    rule=_around_pgd_at,
    warm_up="dafa_warmup",
    needs_every_class=True,
    knobs={
        "eps": PGD_AT.knobs["eps"],
        "weight": KnobLabel(label="weight", summary="how much the loss of the class weighs"),
    },
    usual={"attack.start": "normal", "attack.bn_mode": "eval"},
    presets={"authors": _AUTHORS, "cifar100": _CIFAR_100},
    official_passes=(),
    official_arguments={},
)

OFFERED = (DAFA, PGD_AT_DAFA)
