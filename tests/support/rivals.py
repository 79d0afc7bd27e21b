"""Methods of others, written against the interface alone: what it has to carry.

Formulas from their papers and their authors' code; they are here to test the interface, and are not offered.
"""

import math
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from cfa.attacks import PGD, kl_divergence, model_mode, per_sample
from cfa.config import RunConfig
from cfa.methods import (
    Attacked,
    Batch,
    ClassStats,
    KnobLabel,
    Knobs,
    Loss,
    Method,
    NoSettings,
    Pass,
    State,
    constant,
)
from cfa.methods.attacking import WithinEps, training_pgd
from cfa.methods.catalogue.absld import ABSLD
from cfa.methods.catalogue.pgd_at import PGD_AT
from cfa.methods.catalogue.trades import TRADES, clean_and_robust
from cfa.methods.interface import Model

PLAIN: Method[Any] = replace(PGD_AT, settings=NoSettings)

# WAT (AAAI 2023): weights of classes and of the mean follow the cumulated validation losses ----------------


def wat_objective(model: Model, batch: Batch, attacked: Attacked) -> Loss:
    clean, robust, logits = clean_and_robust(model, batch, attacked)
    weight = batch.knobs["weight"] + batch.knobs["mean_weight"]
    return Loss(per_sample=weight * (clean + 6 * robust), logits_adv=logits)


def wat_costs(model: Model, batch: Batch, attacked: Attacked) -> Loss:
    clean, robust, logits = clean_and_robust(model, batch, attacked)
    return Loss(per_sample=clean + 6 * robust, logits_adv=logits)


@dataclass(frozen=True)
class WatRule:
    eps: float
    eta: float = 0.1

    def initial(self, classes: int) -> tuple[State, Knobs]:
        state = {"cost": torch.zeros(classes + 1, dtype=torch.float64)}
        return state, constant(classes, eps=self.eps, weight=1.0, mean_weight=1.0)

    def __call__(self, state: State, stats: ClassStats) -> tuple[State, Knobs]:
        seen = stats.seen["kl-10"]
        classes, images = len(seen.total), seen.total.sum()
        costs = classes / images * seen.sums["loss"]
        cost = state["cost"] + torch.cat([costs, costs.mean().reshape(1)])
        arms = classes * (self.eta * cost).softmax(0)
        eps = torch.full((classes,), self.eps, dtype=torch.float64)
        return {"cost": cost}, Knobs(eps=eps, weight=arms[:-1], mean_weight=arms[-1].expand(classes).clone())


def kl_pass(settings: object, config: RunConfig) -> list[Pass]:
    attack = WithinEps(replace(training_pgd(config, "kl"), bn_mode="eval"))
    return [Pass(name="kl-10", over="validation", attack=attack, objective=wat_costs)]


WAT: Method[Any] = replace(
    TRADES,
    name="wat",
    title="WAT",
    settings=NoSettings,
    presets={},
    objective=lambda settings, config: wat_objective,
    rule=lambda settings, config: WatRule(config.attack.eps),
    passes=kl_pass,
    knobs={"weight": KnobLabel(label="weight", summary="how much the class weighs")},
)

# CSR (ICLR 2025): a weight for each pair of classes, from the spectrum of the confusion --------------------


def csr_objective(model: Model, batch: Batch, attacked: Attacked) -> Loss:
    clean, robust, logits = clean_and_robust(model, batch, attacked)
    predicted = logits.argmax(dim=1, keepdim=True)
    weight = batch.knobs["confusion"].gather(1, predicted).squeeze(1)  # row: true class, column: predicted
    cross_entropy = F.cross_entropy(logits, batch.y, reduction="none")
    third = weight * (weight.log() + cross_entropy)
    return Loss(per_sample=0.7 * clean + 6 * robust + 0.3 * third, logits_adv=logits)


def csr_confusion(model: Model, batch: Batch, attacked: Attacked) -> Loss:
    logits = model(attacked.x_adv)
    true = F.one_hot(batch.y, logits.shape[1])
    predicted = (logits - 0.1 * logits.abs() * true).argmax(dim=1)
    zero = logits.new_zeros(len(logits))
    return Loss(per_sample=zero, logits_adv=logits, sums={"predicted": F.one_hot(predicted, logits.shape[1])})


def spectral_weights(confusion: Tensor) -> Tensor:
    """Return G[pred][true] of K[pred][true], whose diagonal is 0."""
    u, _, v = torch.linalg.svd(confusion)
    g = torch.outer(u[:, 0], v[0])
    return 2 * (g - g.min()) / (g.max() - g.min()) + 0.01


@dataclass(frozen=True)
class CsrRule:
    eps: float

    def initial(self, classes: int) -> tuple[State, Knobs]:
        eps = torch.full((classes,), self.eps, dtype=torch.float64)
        return {}, Knobs(eps=eps, confusion=torch.ones(classes, classes, dtype=torch.float64))

    def __call__(self, state: State, stats: ClassStats) -> tuple[State, Knobs]:
        of_true = stats.seen["confusion"].sums["predicted"].double()
        errors = (of_true - of_true.diag().diag()).T
        eps = torch.full((len(errors),), self.eps, dtype=torch.float64)
        if not errors.any():
            return self.initial(len(errors))
        return state, Knobs(eps=eps, confusion=spectral_weights(errors).T.contiguous())


def confusion_pass(settings: object, config: RunConfig) -> list[Pass]:
    attack = WithinEps(replace(training_pgd(config, "cross-entropy"), bn_mode="eval", start="uniform"))
    return [Pass(name="confusion", over="training", attack=attack, objective=csr_confusion, from_epoch=0)]


CSR: Method[Any] = replace(
    TRADES,
    name="csr",
    title="CSR",
    settings=NoSettings,
    presets={},
    objective=lambda settings, config: csr_objective,
    rule=lambda settings, config: CsrRule(config.attack.eps),
    passes=confusion_pass,
    fine_tunes=True,
    knobs={"confusion": KnobLabel(label="confusion weight")},
)

# CFOL (TMLR 2023): classes are drawn, those that are often wrong more often --------------------------------


@dataclass(frozen=True)
class CfolSampler:
    gamma: float = 0.5
    eta: float = 0.05

    def initial(self, labels: Tensor) -> State:
        counts = labels.bincount()
        weights = torch.zeros(len(counts), dtype=torch.float64, device=labels.device)
        return {"w": weights, "order": labels.argsort(stable=True), "counts": counts}

    def chances(self, state: State) -> Tensor:
        weights = state["w"]
        return self.gamma / len(weights) + (1 - self.gamma) * weights.softmax(0)

    def draw(self, state: State, labels: Tensor, size: int, generator: torch.Generator) -> Tensor:
        drawn = torch.multinomial(self.chances(state), size, replacement=True, generator=generator)
        counts = state["counts"]
        share = torch.rand(size, generator=generator, dtype=torch.float64, device=labels.device)
        within = (share * counts[drawn]).long()
        return state["order"][(counts.cumsum(0) - counts)[drawn] + within]

    def after(self, state: State, y: Tensor, correct: Tensor) -> State:
        wrong = torch.zeros_like(state["w"]).index_add_(0, y, (~correct).double())
        return {**state, "w": state["w"] + self.eta * wrong / self.chances(state)}


CFOL: Method[Any] = replace(PLAIN, name="cfol", title="CFOL", sampler=lambda settings, config: CfolSampler())

# BAT (AAAI 2023): two examples of each image, on both sides of the boundary --------------------------------


@dataclass(frozen=True)
class BothSides:
    pgd: PGD

    def __call__(self, model: Model, batch: Batch, generator: torch.Generator) -> Attacked:
        x, y, eps = batch.x, batch.y, batch.knobs["eps"]
        with model_mode(model, training=False):
            with torch.no_grad():
                clean = F.log_softmax(model(x), dim=1)
            now = self.pgd.started(x, per_sample(eps, x), generator)
            inner, outer = now, now
            left = torch.zeros(len(y), dtype=torch.long, device=x.device)  # steps since the first wrong one
            for _ in range(self.pgd.steps):
                moved, logits = self.pgd.step(model, lambda z: kl_divergence(clean, z), x, now, eps, None)
                wrong = logits.argmax(dim=1) != y
                inner = torch.where(per_sample((left == 0) & ~wrong, x) > 0, now, inner)
                left = left + (wrong | (left > 0)).long()
                outer = torch.where(per_sample(left <= 1, x) > 0, moved, outer)
                now = moved
        return Attacked(x_adv=outer, also={"inner": inner})


def bat_objective(model: Model, batch: Batch, attacked: Attacked) -> Loss:
    logits, inner, outer = model(batch.x), model(attacked.also["inner"]), model(attacked.x_adv)
    uniform = math.log(logits.shape[1])

    def from_uniform(z: Tensor) -> Tensor:
        log_p = F.log_softmax(z, dim=1)
        return (log_p.exp() * log_p).sum(1) + uniform

    terms = F.cross_entropy(inner, batch.y, reduction="none")
    terms = terms + 6 * kl_divergence(F.log_softmax(logits, dim=1), outer)
    return Loss(per_sample=terms + from_uniform(inner) + from_uniform(outer), logits_adv=outer)


BAT: Method[Any] = replace(
    PLAIN,
    name="bat",
    title="BAT",
    objective=lambda settings, config: bat_objective,
    attack=lambda settings, config: BothSides(training_pgd(config, "kl")),
    usual=TRADES.usual,
)

RIVALS = {method.name: method for method in (WAT, CSR, CFOL, BAT, ABSLD)}
IMPORTED = tuple(f"{__name__}:{name.upper()}" for name in RIVALS)  # as somebody types their methods
