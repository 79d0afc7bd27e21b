"""Plans by name, for the dashboard and the command line."""

from collections.abc import Callable
from dataclasses import dataclass

from cfa.evaluation.plan import EvaluationPlan
from cfa.evaluation.sanity import sanity_plan
from cfa.notation import Norm
from cfa.registry import Registry


@dataclass(frozen=True)
class PlanPreset:
    """A plan but for its budget.

    Attributes:
        title: Its name for people.
        summary: What it is for, in a line.
        build: Makes the plan for a budget and a norm.
    """

    title: str
    summary: str
    build: Callable[[float, Norm], EvaluationPlan]


PLANS: Registry[PlanPreset] = Registry("plan")
PLANS.register(
    "quick",
    PlanPreset(
        "quick look: PGD-20, 1,000 images",
        "How robust about? A weak attack, so the number is an upper bound.",
        lambda eps, norm: EvaluationPlan(attacks=("pgd-20",), norm=norm, eps=eps, limit=1000),
    ),
)
PLANS.register(
    "paper",
    PlanPreset(
        "paper: AutoAttack standard, all images",
        "The field's yardstick, comparable with papers.",
        lambda eps, norm: EvaluationPlan(attacks=("autoattack",), norm=norm, eps=eps),
    ),
)
PLANS.register(
    "sanity",
    PlanPreset(
        "sanity checklist",
        "Can the numbers be trusted? Six comparisons that masked gradients fail.",
        sanity_plan,
    ),
)
