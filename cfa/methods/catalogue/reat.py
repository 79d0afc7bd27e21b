"""REAT: the balanced soft-max loss, an attack that weighs classes, and features of rare classes kept apart.

Li, Xu and Zhang, Adversarial Training Over Long-Tailed Distribution (arXiv 2307.10205), from the authors'
code (GuanlinLee/REAT a7909fd, loss_functions.py). Two things there are not what they look like. Their attack
weighs the cross-entropy of an image by its class, which changes the length of an image's gradient and never
its direction: in eval mode it is PGD on the plain cross-entropy. And their term for features (TAIL) reduces
each divergence to one mean over batch and features, because ``size_average='none'`` counts as true, so that
signs and weights of pairs only scale it. Both are kept, since the published numbers were made so; a setting
lets each pair have its own divergence, as the signs suggest, which is ours. Tail classes are the last third
of the classes in order of size; they take the order of labels, which in their data is the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from cfa.config import RunConfig, Settings
from cfa.methods.attacking import RaisingOwnLoss, training_pgd
from cfa.methods.catalogue.at_bsl import balanced
from cfa.methods.features import features_and_logits, predictions
from cfa.methods.interface import EPS_LABEL, Attacked, Batch, KnobLabel, Loss, Method, Model, Objective
from cfa.methods.knobs import Knobs, constant, same_for_all
from cfa.methods.rules import TRAINING, ClassStats, State
from cfa.notation import Number

if TYPE_CHECKING:
    from torch import Tensor

PREDICTED, ATTACK_WEIGHT = "predicted", "attack_weight"
_NEVER_PREDICTED = 1e-5  # added to the effective number, which is 0 for a class that was never predicted


class ReatSettings(Settings):
    """The term for features."""

    tail: Annotated[Number, Field(ge=0)] = Field(
        default=1.0, description="REAT: weight of the term that keeps features of rare classes apart."
    )
    of_pairs: bool = Field(
        default=False, description="REAT: each pair of images has its own divergence (ours), not their mean."
    )


def apart(settings: ReatSettings, features: Tensor, batch: Batch) -> Tensor:
    """Return TAIL, a scalar: the mean over images i of tail classes of mean_j s_ij (v_i + v_j) D_i.

    s_ij is -1 where i and j are of one class, else 1; v_i = sqrt(N / n_i); D_i the mean over images and
    features of p_i ln(p_i / p_j), p the soft-max of features, p_i without gradient; with ``of_pairs`` the
    mean over features alone, D_ij. Without an image of a tail class it is 0.

    Args:
        settings: How divergences are reduced.
        features: Of the whole batch, shape (images, features).
        batch: The whole batch.
    """
    from torch.nn import functional as F

    y, counts = batch.y, batch.class_counts.to(features.dtype)
    log_p = F.log_softmax(features, dim=1)
    target = log_p.detach()
    own = (target.exp() * target).sum(dim=1, keepdim=True)
    divergence = (own - target.exp() @ log_p.T) / features.shape[1]  # of i from j
    rare = (counts.sum() / counts).sqrt()[y]
    sign = 1 - 2 * (y[:, None] == y).to(features.dtype)
    scale = sign * (rare[:, None] + rare)
    of_image = (scale * divergence).mean(1) if settings.of_pairs else scale.mean(1) * divergence.mean(1)
    in_tail = tail_classes(batch.class_counts)[y].to(features.dtype)
    return (in_tail * of_image).sum() / in_tail.sum().clamp_min(1)


def tail_classes(class_counts: Tensor) -> Tensor:
    """Tell which classes are of the tail, shape (classes,): the smallest C - 2 floor(C / 3) - 1 of C.

    Args:
        class_counts: Training images of each class; of equal ones the later is the smaller.
    """
    import torch

    classes = len(class_counts)
    order = class_counts.argsort(descending=True, stable=True)
    place = torch.empty_like(order).scatter_(0, order, torch.arange(classes, device=order.device))
    return place > classes // 3 * 2


def reat(settings: ReatSettings, model: Model, batch: Batch, attacked: Attacked) -> Loss:
    """Return CE(f(x_adv) + ln n, y) plus the batch's TAIL, shape (images,); sums: what is predicted."""
    from torch.nn import functional as F

    features, logits_adv = features_and_logits(model, attacked.x_adv)
    adjusted = balanced(logits_adv, batch.class_counts)
    loss = F.cross_entropy(adjusted, batch.y, reduction="none")
    return Loss(
        per_sample=loss + settings.tail * apart(settings, features, batch),
        logits_adv=logits_adv,
        sums={PREDICTED: predictions(logits_adv.detach())},
    )


def weighed_cross_entropy(batch: Batch, logits: Tensor) -> Tensor:
    """Return w_y CE, what the attack raises, shape (images,)."""
    from torch.nn import functional as F

    weighed: Tensor = batch.knobs[ATTACK_WEIGHT] * F.cross_entropy(logits, batch.y, reduction="none")
    return weighed


@dataclass(frozen=True, kw_only=True)
class EffectiveNumbers:
    """Weigh a class in the attack by 1 / E_k, E_k = n_k (1 - (1 - 1 / n_k)^q_k), scaled to a mean of 1.

    q_k is how often k was predicted under the training attack in the epoch that has ended. In epoch 1, for
    which their code takes q = n, all classes weigh the same.

    Attributes:
        eps: The nominal budget.
    """

    eps: float

    def initial(self, classes: int) -> tuple[State, Knobs]:
        """Return no state and weights of 1."""
        return {}, constant(classes, eps=self.eps, **{ATTACK_WEIGHT: 1.0})

    def __call__(self, state: State, stats: ClassStats) -> tuple[State, Knobs]:
        """Weigh the classes by what was predicted."""
        predicted = stats.seen[TRAINING].sums[PREDICTED].double().sum(dim=0)
        counts = stats.class_counts.double()
        effective = counts * (1 - (1 - 1 / counts) ** predicted)
        weight = 1 / (effective + _NEVER_PREDICTED)
        knobs = {ATTACK_WEIGHT: weight * len(weight) / weight.sum()}
        return state, Knobs(eps=same_for_all(len(weight), self.eps), **knobs)


def _objective(settings: ReatSettings, config: RunConfig) -> Objective:
    return lambda model, batch, attacked: reat(settings, model, batch, attacked)


REAT = Method(
    name="reat",
    title="REAT",
    summary="Balanced soft-max loss, and features of rare classes kept apart (Li et al. 2023)",
    source="Li et al., Adversarial Training Over Long-Tailed Distribution, 2023 (arXiv 2307.10205)",
    year=2023,
    settings=ReatSettings,
    objective=_objective,
    attack=lambda settings, config: RaisingOwnLoss(
        training_pgd(config, "cross-entropy"), weighed_cross_entropy
    ),
    rule=lambda settings, config: EffectiveNumbers(eps=config.attack.eps),
    plain="pgd-at",
    knobs={
        "eps": EPS_LABEL,
        ATTACK_WEIGHT: KnobLabel(
            label="attack weight", summary="how much the attack raises the class's loss"
        ),
    },
    usual={"attack.start": "uniform", "attack.bn_mode": "eval"},
    presets={
        "authors": {
            "attack.eps": 8 / 255,
            "attack.step_size": 2 / 255,
            "attack.steps": 10,
            "optimizer.lr": 0.1,
            "optimizer.milestones": (60 / 80, 75 / 80),
            "optimizer.weight_decay": 5e-4,
            "train.batch_size": 128,
            "train.epochs": 80,
        }
    },
    needs_every_class=True,
    whole_batch=True,
)

OFFERED = (REAT,)
