"""Attacks on a callable: ``(model, x, y, eps) -> x_adv``. They know nothing of training or data sets."""

from cfa.attacks.autoattack import MEMBERS, AutoAttack, Member, quiet_logger
from cfa.attacks.early_stop import FirstBreak, FriendlyPGD, OfficialFriendlyPGD
from cfa.attacks.fence import frozen_parameters, own_randomness, own_tracing
from cfa.attacks.geometry import NORMS, Geometry, l2_norm, per_sample
from cfa.attacks.losses import LOSSES, AttackLoss, Model, kl_divergence
from cfa.attacks.minimum import SmallestPerturbation, perturbation_norm
from cfa.attacks.modes import model_mode
from cfa.attacks.named import (
    ATTACKS,
    Attack,
    AttackSource,
    StartsPerImage,
    check_images,
    described,
    finds_minimum,
    follows_gradients,
    named_attack,
    one_gradient_a_pass,
    passes_of,
    pgd,
    predict,
    predict_under,
    starts_per_image,
    survivors_only,
)
from cfa.attacks.noise import Noise
from cfa.attacks.pgd import PGD
from cfa.attacks.restarts import Restarts
from cfa.attacks.starts import ImageNoise, Source
from cfa.attacks.torchattacks_plugin import torchattacks_installed, torchattacks_title
from cfa.notation import CLEAN

__all__ = [
    "ATTACKS",
    "CLEAN",
    "LOSSES",
    "MEMBERS",
    "NORMS",
    "PGD",
    "Attack",
    "AttackLoss",
    "AttackSource",
    "AutoAttack",
    "FirstBreak",
    "FriendlyPGD",
    "Geometry",
    "ImageNoise",
    "Member",
    "Model",
    "Noise",
    "OfficialFriendlyPGD",
    "Restarts",
    "SmallestPerturbation",
    "Source",
    "StartsPerImage",
    "check_images",
    "described",
    "finds_minimum",
    "follows_gradients",
    "frozen_parameters",
    "kl_divergence",
    "l2_norm",
    "model_mode",
    "named_attack",
    "one_gradient_a_pass",
    "own_randomness",
    "own_tracing",
    "passes_of",
    "per_sample",
    "perturbation_norm",
    "pgd",
    "predict",
    "predict_under",
    "quiet_logger",
    "starts_per_image",
    "survivors_only",
    "torchattacks_installed",
    "torchattacks_title",
]
