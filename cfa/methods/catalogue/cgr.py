"""CGR: weights and margins of classes follow their robustness and confusion on held-out images.

Zhao et al., Confusion-Geometry Rebalancing (arXiv 2608.09688, 2026), from the authors' code
(Mengnan-Zhao-Happy/CGRm 9e6a2c9, CGR_LT.py); the paper could not be read. It contains RobustLT: eps of rare
classes is larger and grows from 0. **Their feedback comes from the test images, here it comes from those that
validate**, under the same attack. Bounds are the code's; eps follows no feedback, which is off in the code;
the weight of the hinge is 0.05 around AT-BSL, as their README trains, and else 0.1, the code's default;
centres are means of the last layer's input under attack. Their AT form also passes clean images and drops the
result; here it does not.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from cfa.config import RunConfig
from cfa.methods.attacking import AtNominalEps, RaisingOwnLoss, WithinEps, training_pgd, with_growing_steps
from cfa.methods.catalogue.at_bsl import AT_BSL, balanced
from cfa.methods.catalogue.robust_lt import RarerWider, RobustLtSettings
from cfa.methods.catalogue.trades import TRADES, TradesSettings
from cfa.methods.epochs import Epochs, epochs_of
from cfa.methods.features import features_and_logits, predictions
from cfa.methods.interface import EPS_LABEL, Attacked, Batch, KnobLabel, Loss, Model, NoSettings, Pass
from cfa.methods.knobs import Knobs, same_for_all
from cfa.methods.rules import ClassStats, Rule, State, Tally
from cfa.notation import Number, StepSize

if TYPE_CHECKING:
    from torch import Tensor

FEEDBACK, PREDICTED, FEATURES = "feedback", "predicted", "features"
WEIGHT_BOUNDS, BETA_BOUNDS = (0.25, 3.0), (0.5, 2.0)
LARGEST_EDGE = 5.0  # over the mean of those that are kept
_NEAREST = 1e-6  # centres that coincide are so far apart


class CgrSettings(RobustLtSettings, NoSettings):
    """How classes follow the feedback; the code's values where nothing else is said."""

    feedback_every: Annotated[Epochs, Field(gt=0)] = Field(
        default=10 / 110, description="CGR: epochs between two looks at validation images, or a share of all."
    )
    memory: Annotated[Number, Field(ge=0, lt=1)] = Field(
        default=0.8, description="CGR: share of the score and of the graph that stays at each look."
    )
    confusion: Annotated[Number, Field(ge=0)] = Field(
        default=0.5, description="CGR: how much a class's errors count beside its lack of robustness."
    )
    score_weight: Annotated[Number, Field(ge=0)] = Field(
        default=1.0, description="CGR: how much a class's weight follows its score."
    )
    hinge_weight: Annotated[Number, Field(ge=0)] = Field(
        default=0.05, description="CGR: weight of the margins to confused classes."
    )
    margin: Annotated[Number, Field(ge=0)] = Field(
        default=0.5, description="CGR: by how much the true logit is to exceed that of a confused class."
    )
    neighbours: Annotated[int, Field(ge=1)] = Field(
        default=3, description="CGR: classes to which a class keeps a margin."
    )


class TradesCgrSettings(CgrSettings, TradesSettings):
    """CGR's for TRADES, whose beta follows the score too."""

    beta: Annotated[Number, Field(gt=0)] = Field(
        default=4.0, description="CGR: mean over classes of the weight of the robust term."
    )
    hinge_weight: Annotated[Number, Field(ge=0)] = Field(
        default=0.1, description="CGR: weight of the margins to confused classes."
    )
    beta_weight: Annotated[Number, Field(ge=0, le=1)] = Field(
        default=0.5, description="CGR: how much a class's beta follows its score."
    )


def adjusted_cross_entropy(batch: Batch, logits: Tensor) -> Tensor:
    """Return CE(f + ln n, y), shape (images,): in CGR the attack raises it as well."""
    from torch.nn import functional as F

    return F.cross_entropy(balanced(logits, batch.class_counts), batch.y, reduction="none")


def hinges(settings: CgrSettings, batch: Batch, logits: Tensor) -> Tensor:
    """Return sum_j G_yj max(0, margin - z_y + z_j), shape (images,), G the graph of confused classes."""
    true = logits.gather(1, batch.y[:, None])
    return (batch.knobs["graph"] * (settings.margin - true + logits).relu()).sum(dim=1)


def cgr(settings: CgrSettings, model: Model, batch: Batch, attacked: Attacked) -> Loss:
    """Return w_y (CE(f(x_adv) + ln n, y) + hinge_weight times the hinges), shape (images,)."""
    logits_adv = model(attacked.x_adv)
    loss = adjusted_cross_entropy(batch, logits_adv)
    loss = loss + settings.hinge_weight * hinges(settings, batch, logits_adv)
    return Loss(per_sample=batch.knobs["weight"] * loss, logits_adv=logits_adv)


def trades_cgr(settings: TradesCgrSettings, model: Model, batch: Batch, attacked: Attacked) -> Loss:
    """Return CE(f(x) + ln n, y) + w_y (beta_y KL(f(x) || f(x_adv)) + hinge_weight times the hinges).

    The KL's target has no gradient.
    """
    from torch.nn import functional as F

    from cfa.attacks import kl_divergence

    logits, logits_adv = model(batch.x), model(attacked.x_adv)
    moved = batch.knobs["beta"] * kl_divergence(F.log_softmax(logits.detach(), dim=1), logits_adv)
    moved = moved + settings.hinge_weight * hinges(settings, batch, logits_adv)
    loss = adjusted_cross_entropy(batch, logits) + batch.knobs["weight"] * moved
    return Loss(per_sample=loss, logits_adv=logits_adv)


def looked_at(model: Model, batch: Batch, attacked: Attacked) -> Loss:
    """Sum what is predicted under attack, and what the last layer is given."""
    features, logits_adv = features_and_logits(model, attacked.x_adv)
    sums = {PREDICTED: predictions(logits_adv), FEATURES: features}
    return Loss(per_sample=0 * logits_adv.sum(dim=1), logits_adv=logits_adv, sums=sums)


@dataclass(frozen=True, kw_only=True)
class ConfusionFeedback:
    """Score classes by their lack of robustness and their confusion, and link those that are confused.

    Every ``every`` epochs, with robust accuracy r_k and confusion P (rows sum to 1) on validation images:
    raw_k = max(0, mean r - r_k) + confusion (1 - P_kk); score = memory score + (1 - memory) raw / mean.
    w = 1 + score_weight score over its mean, cut to 0.25 ... 3, over its mean again. Graph: G_kj =
    P_kj sqrt(n_j / n_max) / |c_k - c_j| for the ``neighbours`` largest j of each k, c the normalised centres,
    over the mean of its edges, cut at 5; it is averaged over time like the score, from 0. With ``beta``:
    beta_k = beta s_k / mean s, s_k = 1 + beta_weight (score_k / mean score - 1) cut to 0.5 ... 2.

    Attributes:
        eps: The nominal budget.
        settings: The constants.
        every: Epochs between two looks.
        beta: Mean weight of the robust term; ``None`` for a loss without a clean one.
        beta_weight: How much a class's beta follows its score.
    """

    eps: float
    settings: CgrSettings
    every: int
    beta: float | None = None
    beta_weight: float = 0.5

    def initial(self, classes: int) -> tuple[State, Knobs]:
        """Return scores of 1, weights of 1, and a graph without edges."""
        import torch

        ones = torch.ones(classes, dtype=torch.float64)
        state = {"score": ones, "weight": ones.clone(), "graph": torch.zeros(classes, classes).double()}
        return state, self._knobs(state)

    def __call__(self, state: State, stats: ClassStats) -> tuple[State, Knobs]:
        """Look at what validation images were taken for, in the epochs in which they are looked at."""
        if stats.epoch == 0 or stats.epoch % self.every:
            return state, self._knobs(state)
        seen = stats.seen[FEEDBACK]
        score = self._score(state["score"], seen)
        graph = confusion_graph(seen, stats.class_counts, self.settings.neighbours)
        kept = self.settings.memory
        graph = kept * state["graph"] + (1 - kept) * graph
        weight = _to_mean_1(1 + self.settings.score_weight * score)
        weight = _to_mean_1(weight.clamp(*WEIGHT_BOUNDS))
        new = {"score": score, "weight": weight, "graph": graph}
        return new, self._knobs(new)

    def _score(self, old: Tensor, seen: Tally) -> Tensor:
        confusion = seen.mean(PREDICTED)
        lacking = (seen.accuracy.mean() - seen.accuracy).clamp_min(0)
        raw = lacking + self.settings.confusion * (1 - confusion.diag())
        mean = raw.mean()  # 0 where no image is wrong: nothing tells the classes apart
        new = raw / mean if mean > 0 else raw
        return self.settings.memory * old + (1 - self.settings.memory) * new

    def _knobs(self, state: State) -> Knobs:
        values = {"weight": state["weight"], "graph": state["graph"]}
        if self.beta is not None:
            follows = 1 + self.beta_weight * (_to_mean_1(state["score"]) - 1)
            values["beta"] = self.beta * _to_mean_1(follows.clamp(*BETA_BOUNDS))
        return Knobs(eps=same_for_all(len(state["score"]), self.eps), **values)


def _to_mean_1(values: Tensor) -> Tensor:
    return values / values.mean().clamp_min(1e-12)


def confusion_graph(seen: Tally, class_counts: Tensor, neighbours: int) -> Tensor:
    """Return the weight of the margin of each class to each other, shape (classes, classes).

    Args:
        seen: What images were taken for under attack, and the sums of their features.
        class_counts: Training images of each class.
        neighbours: How many edges leave a class.
    """
    import torch
    from torch.nn import functional as F

    centres = F.normalize(seen.mean(FEATURES), dim=1)
    distance = torch.cdist(centres, centres).clamp_min(_NEAREST)
    often = (class_counts.double() / class_counts.max()).sqrt()
    graph = (seen.mean(PREDICTED) * often / distance).fill_diagonal_(0)
    if neighbours < len(graph):
        strongest = graph.topk(neighbours, dim=1).indices
        graph = graph * torch.zeros_like(graph).scatter_(1, strongest, 1.0)
    edges = graph[graph > 0]
    return (graph / edges.mean()).clamp_max(LARGEST_EDGE) if len(edges) else graph


def _passes(settings: CgrSettings, config: RunConfig) -> list[Pass]:
    """Ask for PGD-20 on validation images at the nominal eps: steps of a tenth, from anywhere in the ball."""
    tenth = StepSize(value=0.003 / 0.031, relative=True)
    pgd = replace(
        training_pgd(config, "cross-entropy"), steps=20, step_size=tenth, start="uniform", bn_mode="eval"
    )
    attack = AtNominalEps(pgd, config.attack.eps)
    every = epochs_of(settings.feedback_every, config)
    return [Pass(name=FEEDBACK, over="validation", attack=attack, objective=looked_at, every=every)]


def _rule(settings: CgrSettings, config: RunConfig) -> Rule:
    of_trades = settings if isinstance(settings, TradesCgrSettings) else None
    base = ConfusionFeedback(
        eps=config.attack.eps,
        settings=settings,
        every=epochs_of(settings.feedback_every, config),
        beta=of_trades.beta if of_trades else None,
        beta_weight=of_trades.beta_weight if of_trades else 0.0,
    )
    return RarerWider(base=base, rarity=settings.rarity, rising=settings.rise * config.train.epochs)


_SHARED: dict[str, Any] = {
    "adds": ("CGR",),
    "source": "Zhao et al., Confusion-Geometry Rebalancing, 2026 (arXiv 2608.09688)",
    "year": 2026,
    "rule": _rule,
    "passes": _passes,
    "needs_every_class": True,
    "official_passes": (),
    "official_arguments": {},
}
_KNOBS = {
    "eps": EPS_LABEL,
    "weight": KnobLabel(label="weight", summary="how much the class weighs in the loss under attack"),
    "graph": KnobLabel(
        label="margins", summary="how much the class is kept from others that it is taken for"
    ),
}
_AUTHORS: dict[str, Any] = {
    "attack.eps": 0.031,
    "attack.step_size": 0.007,
    "attack.steps": 10,
    "optimizer.lr": 0.1,
    "optimizer.milestones": (100 / 110, 105 / 110),
    "optimizer.weight_decay": 5e-4,
    "train.batch_size": 128,
    "train.epochs": 110,
}

CGR = replace(
    AT_BSL.taking(CgrSettings),
    name="cgr",
    summary="AT-BSL with RobustLT's eps, and weights and margins by validation errors (Zhao et al. 2026)",
    plain="at-bsl",
    hard_eps="larger",
    objective=lambda settings, config: lambda *of_step: cgr(settings, *of_step),
    attack=lambda settings, config: RaisingOwnLoss(
        with_growing_steps(training_pgd(config, "cross-entropy"), config.attack.eps), adjusted_cross_entropy
    ),
    knobs=_KNOBS,
    usual={"attack.start": "uniform", "attack.bn_mode": "eval"},
    presets={"authors": _AUTHORS},
    **_SHARED,
)

TRADES_CGR = replace(
    TRADES.taking(TradesCgrSettings),
    name="trades-cgr",
    summary="TRADES with a prior, RobustLT's eps, and weights, betas, margins by errors (Zhao et al. 2026)",
    plain="trades",
    hard_eps="larger",
    objective=lambda settings, config: lambda *of_step: trades_cgr(settings, *of_step),
    attack=lambda settings, config: WithinEps(
        with_growing_steps(training_pgd(config, "kl"), config.attack.eps)
    ),
    knobs={**_KNOBS, "beta": TRADES.knobs["beta"]},
    presets={"authors": _AUTHORS},
    **_SHARED,
)

OFFERED = (CGR, TRADES_CGR)
