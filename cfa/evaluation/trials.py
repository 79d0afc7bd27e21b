"""A plan unfolded: one trial per attack and budget, one step per pass over the images."""

from dataclasses import dataclass

from torch import Tensor, nn

from cfa.attacks import (
    CLEAN,
    Attack,
    AutoAttack,
    Model,
    Source,
    StartsPerImage,
    named_attack,
    passes_of,
    starts_per_image,
    survivors_only,
)
from cfa.errors import ConfigError
from cfa.evaluation.columns import by_of, part_of
from cfa.evaluation.plan import TRANSFER, EvaluationPlan, split_eps
from cfa.notation import format_eps


@dataclass(frozen=True)
class TrialStep:
    """One attack on the images that a trial still has.

    Attributes:
        column: Its column in the outcomes.
        attack: What is run; ``None`` predicts the clean images.
        passes: Forward passes that an image takes at most.
    """

    column: str
    attack: Attack | None
    passes: int


@dataclass(frozen=True)
class Trial:
    """One attack at one budget.

    Attributes:
        column: Its column in the outcomes.
        attack: Its name in the results.
        eps: Budget.
        steps: One; for a composite attack one per member.
        composite: Whether it is an ordered list of attacks.
        everyone: Whether images that the model gets wrong without an attack are attacked as well.
        after: Column of the next smaller budget of a sweep.
        changed: What runs otherwise than asked for, as sentences.
    """

    column: str
    attack: str
    eps: float
    steps: tuple[TrialStep, ...]
    composite: bool = False
    everyone: bool = False
    after: str | None = None
    changed: tuple[str, ...] = ()

    @property
    def by(self) -> str:
        """Return the column that names the member that broke an image."""
        return by_of(self.column)


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
    for name in plan.attacks:
        if name == CLEAN:
            continue
        base, own = split_eps(name)
        after = None
        for eps in plan.eps_sweep or (plan.eps if own is None else own,):
            suffix = f"@{format_eps(eps)}" if plan.eps_sweep or own is not None else ""
            trial = _trial(base, suffix, eps, plan, num_classes, after, transfer)
            unfolded.append(trial)
            after = trial.column
    return tuple(unfolded)


def _trial(
    name: str,
    suffix: str,
    eps: float,
    plan: EvaluationPlan,
    num_classes: int,
    after: str | None,
    transfer: nn.Module | None,
) -> Trial:
    column = name + suffix
    attack = _attack(name, plan, transfer)
    if not isinstance(attack, AutoAttack):
        step = TrialStep(column, attack, passes_of(attack, num_classes))
        everyone = after is None and not survivors_only(attack)
        return Trial(column, name, eps, (step,), everyone=everyone, after=after)
    if plan.mode == "fast":
        attack = attack.faster()
    attack, changed = attack.for_classes(num_classes)
    steps = tuple(
        TrialStep(
            part_of(column, member.name) if attack.composite else column,
            member,
            member.passes(num_classes),
        )
        for member in attack.members
    )
    return Trial(column, name, eps, steps, attack.composite, after=after, changed=changed)


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
