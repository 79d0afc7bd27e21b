"""RobustLT: more perturbation for classes with few training images, and none at all at first.

Taming the Long Tail: Rebalancing Adversarial Training via Adaptive Perturbation, CVPR 2026 (arXiv
2605.13395); formulas as in the authors' code (zhang-lilin/RobustLT 2d63979, core/methods/robustlt.py). It is
made of another method: all of that one's parts stay, eps and steps of each class are scaled. Paper and code
agree but for alpha on CIFAR-100 (0.5 and 0.4). Their attack uses a batch's own BatchNorm statistics and
leaves the running ones alone; in train mode here it moves those as well.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, Protocol, TypeVar, cast

from pydantic import Field

from cfa.config import RunConfig, Settings
from cfa.errors import ConfigError
from cfa.methods.attacking import with_growing_steps
from cfa.methods.catalogue.at_bsl import AT_BSL
from cfa.methods.catalogue.pgd_at import PGD_AT
from cfa.methods.catalogue.reat import REAT, ReatSettings
from cfa.methods.catalogue.robal import ROBAL, RobalSettings
from cfa.methods.catalogue.taet import TAET, TaetSettings
from cfa.methods.interface import Method, NoSettings, TrainingAttack
from cfa.methods.knobs import Knobs
from cfa.methods.rules import ClassStats, Rule, State
from cfa.notation import Number

if TYPE_CHECKING:
    from torch import Tensor

    from cfa.attacks import PGD

SOURCE = "Zhang et al., Taming the Long Tail: Rebalancing Adversarial Training, CVPR 2026"
S = TypeVar("S", bound="RobustLtSettings")


class RobustLtSettings(Settings):
    """How far the perturbation of classes differs, and how long it grows; the code's values for CIFAR-10."""

    rarity: Annotated[Number, Field(ge=0, le=1)] = Field(
        default=0.3, description="RobustLT: share of eps that goes by the rarity of classes (its alpha)."
    )
    rise: Annotated[Number, Field(gt=0, le=1)] = Field(
        default=0.8, description="RobustLT: share of the epochs in which eps grows from 0 (its beta)."
    )


class AloneSettings(RobustLtSettings, NoSettings):
    """RobustLT around a method without settings."""


class ReatRobustLtSettings(RobustLtSettings, ReatSettings):
    """REAT with RobustLT."""


class RobalRobustLtSettings(RobustLtSettings, RobalSettings):
    """RoBal with RobustLT."""


class TaetRobustLtSettings(RobustLtSettings, TaetSettings):
    """TAET with RobustLT."""


def tail_factors(class_counts: Tensor, rarity: float) -> Tensor:
    """Return by what eps of each class is multiplied, shape (classes,).

    1 - a + a s_k / sum_j (n_j / N) s_j with s_k = sqrt(ln(n_max / n_k)): the mean over training
    images is 1. Where all classes have as many images, every factor is 1.

    Args:
        class_counts: Training images of each class, all above 0.
        rarity: How much classes differ, a in [0, 1].
    """
    import torch

    counts = class_counts.double()
    rare = (counts.max() / counts).log().sqrt()
    mean = (counts * rare).sum() / counts.sum()
    return 1 - rarity + rarity * rare / mean if mean > 0 else torch.ones_like(counts)


@dataclass(frozen=True, kw_only=True)
class RarerWider:
    """Another rule's knobs, with eps_k times :func:`tail_factors` times min((epoch - 1) / rising, 1).

    In epoch 1 no image is moved.

    Attributes:
        base: The rule of the method that it is made of, whose ``eps`` is scaled.
        rarity: How much classes differ, in [0, 1].
        rising: Epochs until ``eps`` is whole.
    """

    base: Rule
    rarity: float
    rising: float

    def initial(self, classes: int) -> tuple[State, Knobs]:
        """Return the base's state, and its knobs with an ``eps`` of 0."""
        state, knobs = self.base.initial(classes)
        return state, _scaled(knobs, 0 * knobs["eps"])

    def __call__(self, state: State, stats: ClassStats) -> tuple[State, Knobs]:
        """Ask the base, and scale the ``eps`` that it gives."""
        state, knobs = self.base(state, stats)
        grown = min(stats.epoch / self.rising, 1)
        return state, _scaled(knobs, grown * tail_factors(stats.class_counts, self.rarity) * knobs["eps"])


def _scaled(knobs: Knobs, eps: Tensor) -> Knobs:
    return knobs.changed(eps=eps)


class _AroundPgd(Protocol):
    pgd: PGD


def growing_steps(attack: TrainingAttack, config: RunConfig) -> TrainingAttack:
    """Make another method's attack start in the nominal ball, with steps that grow with the eps of a class.

    Raises:
        ConfigError: It is made of no PGD.
    """
    from cfa.attacks import PGD

    pgd = getattr(attack, "pgd", None)
    if not isinstance(pgd, PGD):
        raise ConfigError(
            f"the training attack {type(attack).__name__} is not made of PGD; RobustLT scales steps of PGD"
        )
    eps = config.attack.eps
    remade = replace(cast(Any, attack), pgd=replace(with_growing_steps(pgd, eps), start_eps=eps))
    return cast(TrainingAttack, remade)


def robust_lt(base: Method[Any], settings: type[S], name: str, **changes: Any) -> Method[S]:
    """Make RobustLT of another method.

    Args:
        base: What its loss, attack and knobs are.
        settings: The base's own and RobustLT's.
        name: The result's.
        changes: Other attributes of the result.
    """

    def rule(own: S, config: RunConfig) -> Rule:
        rising = own.rise * config.train.epochs
        return RarerWider(base=base.rule(own, config), rarity=own.rarity, rising=rising)

    return replace(
        base.taking(settings),
        **{
            "name": name,
            "summary": f"{base.title} with larger eps for rare classes, grown from 0 (RobustLT, 2026)",
            "source": SOURCE,
            "year": 2026,
            "plain": base.name,
            "adds": ("RobustLT",),
            "hard_eps": "larger",
            "attack": lambda own, config: growing_steps(base.attack(own, config), config),
            "rule": rule,
            "usual": {"attack.start": "uniform", "attack.bn_mode": "train"},
            "presets": {**base.presets, "authors": schedule(base)},
            "needs_every_class": True,
            "official_passes": (),
            "official_arguments": {},
            **changes,
        },
    )


def schedule(base: Method[Any]) -> dict[str, Any]:
    """Return how RobustLT's authors train around a method: as that one alone, with Nesterov's momentum."""
    where_none_is_said = {
        "attack.eps": 8 / 255,
        "attack.step_size": 2 / 255,
        "attack.steps": 10,
        "optimizer.lr": 0.1,
        "optimizer.milestones": (0.75, 0.9),
        "optimizer.weight_decay": 5e-4,
        "train.batch_size": 128,
        "train.epochs": 100,
    }
    return {**where_none_is_said, **base.presets.get("authors", {}), "optimizer.nesterov": True}


ROBUST_LT = robust_lt(AT_BSL, AloneSettings, "robust-lt")

OFFERED: tuple[Method[Any], ...] = (
    ROBUST_LT,
    robust_lt(PGD_AT, AloneSettings, "pgd-at-robust-lt"),
    robust_lt(ROBAL, RobalRobustLtSettings, "robal-robust-lt"),
    robust_lt(REAT, ReatRobustLtSettings, "reat-robust-lt"),
    robust_lt(TAET, TaetRobustLtSettings, "taet-robust-lt", values={"method.rise": 1.0}),
)
