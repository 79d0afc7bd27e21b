"""Evaluation: a plan over attacks, and what became of every image."""

from typing import TYPE_CHECKING

from cfa.evaluation.adversarial import AdversarialIndex, Remade, load_adversarial, save_outcomes
from cfa.evaluation.outcomes import AdversarialImages, Outcomes, confusion, worst_case
from cfa.evaluation.reported_weights import default_weights
from cfa.later import imported_later
from cfa.notation import TRANSFER

if TYPE_CHECKING:
    from cfa.evaluation.admission import admitted, require_gradient
    from cfa.evaluation.evaluate import attack_images, evaluate_weights, summarise
    from cfa.evaluation.judge import judged
    from cfa.evaluation.loading import load_model
    from cfa.evaluation.named_plans import PLANS, PlanPreset
    from cfa.evaluation.plan import EvaluationPlan
    from cfa.evaluation.reproduce import Reproduced, remake
    from cfa.evaluation.request import (
        EvaluationRequest,
        requested_sweep,
        requested_targets,
        requested_threat,
    )
    from cfa.evaluation.sanity import SANITY, Check, sanity_plan, verdicts
    from cfa.evaluation.seconds import estimate_evaluation_seconds
    from cfa.evaluation.until import evaluate_until, require_stoppable

__all__ = [
    "PLANS",
    "SANITY",
    "TRANSFER",
    "AdversarialImages",
    "AdversarialIndex",
    "Check",
    "EvaluationPlan",
    "EvaluationRequest",
    "Outcomes",
    "PlanPreset",
    "Remade",
    "Reproduced",
    "admitted",
    "attack_images",
    "confusion",
    "default_weights",
    "estimate_evaluation_seconds",
    "evaluate_until",
    "evaluate_weights",
    "judged",
    "load_adversarial",
    "load_model",
    "remake",
    "requested_sweep",
    "requested_targets",
    "requested_threat",
    "require_gradient",
    "require_stoppable",
    "sanity_plan",
    "save_outcomes",
    "summarise",
    "verdicts",
    "worst_case",
]

__getattr__ = imported_later(
    __name__,
    {
        "admission": ("admitted", "require_gradient"),
        "evaluate": ("attack_images", "evaluate_weights", "summarise"),
        "judge": ("judged",),
        "loading": ("load_model",),
        "named_plans": ("PLANS", "PlanPreset"),
        "plan": ("EvaluationPlan",),
        "reproduce": ("Reproduced", "remake"),
        "request": ("EvaluationRequest", "requested_sweep", "requested_targets", "requested_threat"),
        "sanity": ("SANITY", "Check", "sanity_plan", "verdicts"),
        "seconds": ("estimate_evaluation_seconds",),
        "until": ("evaluate_until", "require_stoppable"),
    },
)
