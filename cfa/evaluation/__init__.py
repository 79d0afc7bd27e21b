"""Evaluation: a plan over attacks, and what became of every image."""

from cfa.evaluation.admission import admitted, require_gradient
from cfa.evaluation.adversarial import AdversarialIndex, Remade, load_adversarial, save_outcomes
from cfa.evaluation.evaluate import attack_images, evaluate_weights, summarise
from cfa.evaluation.judge import judged
from cfa.evaluation.loading import default_weights, load_model
from cfa.evaluation.named_plans import PLANS, PlanPreset
from cfa.evaluation.outcomes import AdversarialImages, Outcomes, confusion, worst_case
from cfa.evaluation.plan import TRANSFER, EvaluationPlan
from cfa.evaluation.reproduce import Reproduced, remake, reproduce
from cfa.evaluation.request import EvaluationRequest, requested_sweep, requested_threat
from cfa.evaluation.sanity import SANITY, Check, sanity_plan, verdicts
from cfa.evaluation.seconds import estimate_evaluation_seconds

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
    "evaluate_weights",
    "judged",
    "load_adversarial",
    "load_model",
    "remake",
    "reproduce",
    "requested_sweep",
    "requested_threat",
    "require_gradient",
    "sanity_plan",
    "save_outcomes",
    "summarise",
    "verdicts",
    "worst_case",
]
