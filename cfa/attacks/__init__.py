"""Attacks on a callable: ``(model, x, y, eps) -> x_adv``. They know nothing of training or data sets."""

from cfa.attacks.geometry import NORMS, Geometry, l2_norm, per_sample
from cfa.attacks.losses import LOSSES, AttackLoss, kl_divergence
from cfa.attacks.modes import model_mode
from cfa.attacks.named import ATTACKS, CLEAN, Attack, named_attack, pgd, predict, predict_under
from cfa.attacks.pgd import PGD

__all__ = [
    "ATTACKS",
    "CLEAN",
    "LOSSES",
    "NORMS",
    "PGD",
    "Attack",
    "AttackLoss",
    "Geometry",
    "kl_divergence",
    "l2_norm",
    "model_mode",
    "named_attack",
    "per_sample",
    "pgd",
    "predict",
    "predict_under",
]
