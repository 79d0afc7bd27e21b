"""A checklist for a model: comparisons that come out one way only if gradients tell the truth.

After Carlini et al. 2019 (On evaluating adversarial robustness) and Athalye et al. 2018 (Obfuscated
gradients): where one of them fails, the robust accuracy is probably the attack's failure.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from cfa.evaluation.outcomes import Outcomes
from cfa.evaluation.plan import EvaluationPlan
from cfa.notation import TRANSFER, Norm, format_eps
from cfa.runs.evaluations import Verdict

SLACK = 0.005  # of all images: random starts differ by as much
NOISE_SLACK = 0.05
WHOLE = {"linf": 1.0, "l2": 100.0}  # budgets beyond which nothing of an image is left
SANITY_IMAGES = 500
MASKING = "the gradients are masked (obfuscated), so that robust accuracy is overestimated"


@dataclass(frozen=True)
class Check:
    """One comparison of two accuracies.

    Attributes:
        name: What should hold.
        lower: The column whose accuracy should not be above ...
        upper: ... the accuracy of this one (or ``None``: zero), by more than ...
        slack: ... this.
        meaning: What a failure means.
    """

    name: str
    lower: str
    upper: str | None
    slack: float
    meaning: str


_EVERYTHING = "everything"  # stands for pgd-100 with the largest budget

SANITY: tuple[Check, ...] = (
    Check(
        "PGD-20 is no weaker than FGSM", "pgd-20", "fgsm", SLACK, f"more steps help less than one: {MASKING}"
    ),
    Check(
        "PGD-100 is no weaker than PGD-20", "pgd-100", "pgd-20", SLACK, f"more steps make it worse: {MASKING}"
    ),
    Check(
        "with any perturbation allowed, nothing holds",
        _EVERYTHING,
        None,
        SLACK,
        f"the attack cannot follow the gradients even where everything is allowed: {MASKING}",
    ),
    Check(
        "black-box attacks are no stronger than white-box ones",
        "pgd-100",
        "square",
        SLACK,
        f"Square finds without gradients what PGD does not find with them: {MASKING}",
    ),
    Check(
        "images made on another model are no stronger than the direct attack",
        "pgd-20",
        TRANSFER,
        SLACK,
        f"another model's gradients lead further than its own: {MASKING}",
    ),
    Check(
        "random noise does little",
        "clean",
        "noise",
        NOISE_SLACK,
        "noise alone breaks images, so the model is fragile; this is not a sign of masked gradients",
    ),
)


def sanity_plan(
    eps: float, norm: Norm = "linf", *, limit: int = SANITY_IMAGES, transfer_from: str | None = None
) -> EvaluationPlan:
    """Build the plan that answers the checklist; ``transfer_from`` is the id of another run."""
    transfer = (TRANSFER,) if transfer_from is not None else ()
    return EvaluationPlan(
        attacks=("fgsm", "pgd-20", "pgd-100", _with_everything(norm), "noise", "square", *transfer),
        norm=norm,
        eps=eps,
        limit=limit,
        transfer_from=transfer_from,
    )


def is_checklist(plan: EvaluationPlan) -> bool:
    """Tell whether a plan has all that the checklist needs (another model is optional)."""
    if plan.norm not in WHOLE or plan.eps_sweep:
        return False
    needed = {_column(name, plan) for check in SANITY for name in (check.lower, check.upper) if name}
    return needed - {TRANSFER} <= set(plan.attacks)


def verdicts(outcomes: Outcomes, plan: EvaluationPlan) -> tuple[Verdict, ...]:
    """Compare the accuracies; a check whose attack was not run has no verdict."""
    accuracy = {
        column: float((predicted == outcomes.label).mean())
        for column, predicted in outcomes.predictions.items()
    }
    return tuple(_verdict(check, accuracy, plan) for check in SANITY)


def _verdict(check: Check, accuracy: Mapping[str, float], plan: EvaluationPlan) -> Verdict:
    columns = [_column(name, plan) for name in (check.lower, check.upper) if name is not None]
    numbers = {column: accuracy[column] for column in columns if column in accuracy}
    passed = None
    if len(numbers) == len(columns):
        lower, upper = [*numbers.values(), 0.0][:2] if len(columns) == 1 else numbers.values()
        passed = lower <= upper + check.slack
    return Verdict(name=check.name, passed=passed, numbers=numbers, meaning=check.meaning)


def _with_everything(norm: Norm) -> str:
    return f"pgd-100@{format_eps(WHOLE[norm])}"


def _column(name: str, plan: EvaluationPlan) -> str:
    return _with_everything(plan.norm) if name == _EVERYTHING else name
