"""ABSLD: RSLAD whose teacher is sharper for classes with a large loss and softer for those with a small one.

In the authors' code (zhaoshiji123/ABSLD, 7407c3a, ``resnet18_absld_cifar10.py``) both tempered answers of the
teacher share memory: in both terms, and in the attack, its logits are divided by both temperatures. The
default is the paper's form; ``method.shared_temperatures=true`` is the code's.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from cfa.config import RunConfig
from cfa.methods.attacking import training_pgd
from cfa.methods.catalogue.rslad import RSLAD, RsladSettings
from cfa.methods.distilling import AwayFromTeacher, answers, distance, softened
from cfa.methods.interface import EPS_LABEL, Attacked, Batch, KnobLabel, Loss, Model
from cfa.methods.knobs import Knobs, constant
from cfa.methods.rules import TRAINING, ClassStats, State
from cfa.notation import Number

if TYPE_CHECKING:
    from torch import Tensor

ADVERSARIAL, NATURAL = "adversarial_temperature", "natural_temperature"
LOSSES = {ADVERSARIAL: "cross_entropy_adversarial", NATURAL: "cross_entropy_natural"}


class AbsldSettings(RsladSettings):
    """RSLAD's share, and how the temperatures of classes move."""

    temperature_rate: Annotated[Number, Field(gt=0)] = Field(
        default=0.1,
        description="ABSLD: how far temperatures move in an epoch; drops with the learning rate.",
    )
    coldest: Annotated[Number, Field(gt=0)] = Field(
        default=0.5, description="ABSLD: smallest temperature of a class."
    )
    warmest: Annotated[Number, Field(gt=0)] = Field(
        default=5.0, description="ABSLD: largest temperature of a class."
    )
    shared_temperatures: bool = Field(
        default=False,
        description="ABSLD: divide the teacher's logits by both temperatures, as the authors' code does.",
    )


@dataclass(frozen=True)
class AntiBias:
    """Objective and attack; both read the teacher at the temperatures of the classes.

    Attributes:
        settings: ABSLD's.
    """

    settings: AbsldSettings

    def target(self, batch: Batch, logits: Tensor, knob: str = ADVERSARIAL) -> Tensor:
        """Return the teacher's log-probabilities at the temperature of each image's class."""
        both = batch.knobs[ADVERSARIAL] * batch.knobs[NATURAL]
        return softened(logits, both if self.settings.shared_temperatures else batch.knobs[knob])

    def __call__(self, model: Model, batch: Batch, attacked: Attacked) -> Loss:
        """Return RSLAD's loss with one target for each term (Zhao et al. 2024)."""
        from torch.nn import functional as F

        share, taught = self.settings.robust_share, answers(batch, attacked)
        logits_adv, logits = model(attacked.x_adv), model(batch.x)
        robust = distance(self.target(batch, taught, ADVERSARIAL), logits_adv)
        clean = distance(self.target(batch, taught, NATURAL), logits)
        sums = {
            LOSSES[knob]: F.cross_entropy(found.detach(), batch.y, reduction="none")
            for knob, found in ((ADVERSARIAL, logits_adv), (NATURAL, logits))
        }
        return Loss(per_sample=share * robust + (1 - share) * clean, logits_adv=logits_adv, sums=sums)


def moved(temperature: Tensor, losses: Tensor, rate: float, settings: AbsldSettings) -> Tensor:
    """Return t_k - rate (L_k - mean L) / max |L - mean L|, cut to its bounds (Zhao et al. 2024).

    Args:
        temperature: Of each class.
        losses: Cross-entropies summed over the epoch's images of each class.
        rate: The largest step.
        settings: The bounds.
    """
    gap = losses - losses.mean()
    largest = gap.abs().max().clamp_min(1e-12)  # all losses may be equal
    return (temperature - rate * gap / largest).clamp(settings.coldest, settings.warmest)


@dataclass(frozen=True)
class CoolsHardClasses:
    """Move the temperatures of the teacher's answers after every epoch.

    Attributes:
        settings: ABSLD's.
        config: The run's: budget, and where the learning rate drops.
    """

    settings: AbsldSettings
    config: RunConfig

    def initial(self, classes: int) -> tuple[State, Knobs]:
        """Return temperatures of 1, which are the state as well."""
        knobs = constant(classes, eps=self.config.attack.eps, **{ADVERSARIAL: 1.0, NATURAL: 1.0})
        return {name: knobs[name] for name in LOSSES}, knobs

    def __call__(self, state: State, stats: ClassStats) -> tuple[State, Knobs]:
        """Move both by the losses of the epoch that has ended."""
        sums, rate = stats.seen[TRAINING].sums, self._rate(stats.epoch)
        new = {
            knob: moved(state[knob], sums[summed].double(), rate, self.settings)
            for knob, summed in LOSSES.items()
        }
        return new, Knobs(eps=self.config.attack.eps + 0 * new[NATURAL], **new)

    def _rate(self, epoch: int) -> float:
        """Return the rate after an epoch; it drops before the temperatures move, as in the authors' code."""
        optimizer, epochs = self.config.optimizer, self.config.train.epochs
        passed = sum(epoch / epochs >= milestone for milestone in optimizer.milestones)
        return self.settings.temperature_rate * optimizer.gamma**passed


ABSLD = replace(
    RSLAD.taking(AbsldSettings),
    name="absld",
    title="ABSLD",
    summary="RSLAD with a sharper teacher for classes with a large loss (Zhao et al. 2024)",
    source=(
        "Zhao et al., Improving Adversarial Robust Fairness via Anti-Bias Soft Label Distillation, "
        "NeurIPS 2024"
    ),
    year=2024,
    objective=lambda settings, config: AntiBias(settings),
    attack=lambda settings, config: AwayFromTeacher(training_pgd(config, "kl"), AntiBias(settings).target),
    rule=lambda settings, config: CoolsHardClasses(settings, config),
    plain="rslad",
    knobs={
        "eps": EPS_LABEL,
        ADVERSARIAL: KnobLabel(
            label="temperature under attack", summary="how soft the teacher's answer is, under attack"
        ),
        NATURAL: KnobLabel(label="clean temperature", summary="how soft the teacher's clean answer is"),
    },
)

OFFERED = (ABSLD,)
