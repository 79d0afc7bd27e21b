"""A plan unfolded: one trial per attack and budget, one step per pass over the images."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor, nn

from cfa.attacks import (
    CLEAN,
    Attack,
    AutoAttack,
    Model,
    Source,
    StartsPerImage,
    finds_minimum,
    named_attack,
    passes_of,
    starts_per_image,
    survivors_only,
)
from cfa.errors import ConfigError
from cfa.evaluation.plan import EvaluationPlan, split_eps
from cfa.notation import TRANSFER, format_eps
from cfa.runs.columns import Column, Columns

CLEAN_COLUMN = Column(name=CLEAN, holds="classes", attack=CLEAN, norm="none", eps=0.0, asked=CLEAN)


@dataclass(frozen=True)
class TrialStep:
    """One attack on the images that a trial still has.

    Attributes:
        column: Where the classes that it finds are put.
        attack: What is run; ``None`` predicts the clean images.
        passes: Forward passes that an image takes at most.
        norms: Where the norms of smallest perturbations are put; ``None`` where it looks for none.
    """

    column: Column
    attack: Attack | None
    passes: int
    norms: Column | None = None


CLEAN_STEP = TrialStep(CLEAN_COLUMN, None, 1)


@dataclass(frozen=True)
class Trial:
    """One attack at one budget.

    Attributes:
        column: Where the classes under the whole attack are put; it names the attack and its budget.
        steps: One; for a composite attack one per member.
        by: Of a composite attack, an ordered list of attacks, the column of the member that broke an image.
        everyone: Whether images that the model gets wrong without an attack are attacked as well.
        changed: What runs otherwise than asked for, as sentences.
    """

    column: Column
    steps: tuple[TrialStep, ...]
    by: Column | None = None
    everyone: bool = False
    changed: tuple[str, ...] = ()

    @property
    def columns(self) -> tuple[Column, ...]:
        """List its columns: the whole attack, then its parts."""
        members = [step.column for step in self.steps if step.column != self.column]
        norms = [step.norms for step in self.steps if step.norms is not None]
        return (self.column, *members, *([self.by] if self.by else []), *norms)


@dataclass(frozen=True)
class Transfer:
    """Make the adversarial images on another model."""

    source: nn.Module
    attack: StartsPerImage

    starts_per_image = True

    def __call__(
        self,
        model: Model,
        x: Tensor,
        y: Tensor,
        eps: float | Tensor,
        *,
        generator: Source = None,
    ) -> Tensor:
        """Attack the source; the model itself is not asked."""
        return self.attack(self.source, x, y, eps, generator=generator)

    def passes(self, num_classes: int) -> int:
        """Count the judge's forward pass; those of the source are not counted."""
        return 1


def trials(plan: EvaluationPlan, num_classes: int, transfer: nn.Module | None = None) -> tuple[Trial, ...]:
    """Unfold a plan for a number of classes; ``clean`` is not among the trials.

    Raises:
        ConfigError: An attack does not exist for so few classes, or ``transfer`` has no model.
    """
    unfolded: list[Trial] = []
    for asked in plan.attacks:
        if asked == CLEAN:
            continue
        base, own = split_eps(asked)
        after = ""
        for eps in plan.eps_sweep or (plan.eps if own is None else own,):
            at = f"@{format_eps(eps)}" if plan.eps_sweep or own is not None else ""
            column = Column(
                name=base + at,
                holds="classes",
                attack=base,
                norm=plan.norm,
                eps=eps,
                asked=asked,
                after=after,
            )
            unfolded.append(_trial(column, at, plan, num_classes, transfer))
            after = column.name
    return tuple(unfolded)


def columns_of(unfolded: Sequence[Trial]) -> Columns:
    """List the columns of a whole plan, clean images first."""
    return Columns((CLEAN_COLUMN, *(column for trial in unfolded for column in trial.columns)))


def _trial(
    column: Column, at: str, plan: EvaluationPlan, num_classes: int, transfer: nn.Module | None
) -> Trial:
    """Say how one attack runs at one budget; ``at`` is the budget where names have to tell it."""
    attack = _attack(column.attack, plan, transfer)
    if not isinstance(attack, AutoAttack):
        step = TrialStep(column, attack, passes_of(attack, num_classes), _norms(column, attack))
        return Trial(column, (step,), everyone=not column.after and not survivors_only(attack))

    def part(word: str, **what: Any) -> Column:
        name = f"{column.attack}/{word}{at}"
        return replace(column, name=name, whole=column.name, after="", **what)

    if plan.mode == "fast":
        attack = attack.faster()
    attack, changed = attack.for_classes(num_classes)
    if not attack.composite:
        (member,) = attack.members
        step = TrialStep(column, member, member.passes(num_classes), _norms(column, member))
        return Trial(column, (step,), changed=changed)
    steps = tuple(
        TrialStep(part(member.name, member=member.name), member, member.passes(num_classes))
        for member in attack.members
    )
    return Trial(column, steps, part("by", holds="members"), changed=changed)


def _norms(column: Column, attack: Attack) -> Column | None:
    if not finds_minimum(attack):
        return None
    return replace(column, name=f"{column.name}/norm", holds="norms", whole=column.name, after="")


def _attack(name: str, plan: EvaluationPlan, transfer: nn.Module | None) -> Attack:
    if name == TRANSFER:
        if transfer is None:
            raise ConfigError("transfer needs another run's model; name the run in transfer_from")
        direct = named_attack("pgd-20", plan.norm)
        assert direct is not None
        assert starts_per_image(direct)
        return Transfer(transfer, direct)
    attack = named_attack(name, plan.norm)
    assert attack is not None
    return attack
