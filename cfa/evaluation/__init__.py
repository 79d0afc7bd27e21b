"""Evaluation: a plan over attacks, and what became of every image."""

from cfa.evaluation.evaluate import Outcomes, attack_images, evaluate_weights, summarise
from cfa.evaluation.loading import default_weights, load_model
from cfa.evaluation.plan import EvaluationPlan

__all__ = [
    "EvaluationPlan",
    "Outcomes",
    "attack_images",
    "default_weights",
    "evaluate_weights",
    "load_model",
    "summarise",
]
