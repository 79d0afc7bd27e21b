"""AT-BSL: the balanced soft-max loss on PGD examples, for training sets with a long tail.

Yue et al., Revisiting Adversarial Training under Long-Tailed Distributions, CVPR 2024: of RoBal's parts the
balanced soft-max alone carries the gain. Paper and code (NISPLab/AT-BSL 23f433e, at_bsl_loss.py) agree: the
attack raises the plain cross-entropy, and the loss adds the logarithm of each class's training images to its
logit. Their code chooses the epoch on test images; here it is chosen on validation. AT-BSL + CFA is ours: the
papers with a row of that name ship no code for it, and it is CFA's rule and gate around this method.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from cfa.methods.attacking import WithinEps, training_pgd
from cfa.methods.catalogue.cfa_calibration import CcmSettings, calibrated_margins
from cfa.methods.interface import Attacked, Batch, Loss, Method, Model, NoSettings
from cfa.methods.rules import Uniform

if TYPE_CHECKING:
    from torch import Tensor


def balanced(logits: Tensor, class_counts: Tensor) -> Tensor:
    """Return logits plus the logarithm of the training images of each class, shape (batch, classes).

    Their soft-max is the prediction where classes are as frequent as in training; the cross-entropy of it is
    the balanced soft-max loss (Ren et al. 2020).
    """
    return logits + class_counts.to(logits.dtype).log()


def balanced_cross_entropy(model: Model, batch: Batch, attacked: Attacked) -> Loss:
    """Return CE(f(x_adv) + ln n, y), shape (batch,) (Yue et al. 2024)."""
    from torch.nn import functional as F

    logits_adv = model(attacked.x_adv)
    adjusted = balanced(logits_adv, batch.class_counts)
    return Loss(per_sample=F.cross_entropy(adjusted, batch.y, reduction="none"), logits_adv=logits_adv)


SCHEDULE = {
    "attack.eps": 8 / 255,
    "attack.step_size": 2 / 255,
    "attack.steps": 10,
    "optimizer.lr": 0.1,
    "optimizer.milestones": (0.75, 0.9),
    "optimizer.weight_decay": 5e-4,
    "train.batch_size": 128,
    "train.epochs": 100,
}
"""How its authors train, on long-tailed CIFAR-10 and CIFAR-100."""

AT_BSL = Method(
    name="at-bsl",
    title="AT-BSL",
    summary="PGD-AT with the balanced soft-max loss, for long tails (Yue et al. 2024)",
    source="Yue et al., Revisiting Adversarial Training under Long-Tailed Distributions, CVPR 2024",
    year=2024,
    settings=NoSettings,
    objective=lambda settings, config: balanced_cross_entropy,
    attack=lambda settings, config: WithinEps(training_pgd(config, "cross-entropy")),
    rule=lambda settings, config: Uniform(eps=config.attack.eps),
    plain="pgd-at",
    usual={"attack.start": "normal", "attack.bn_mode": "eval"},
    presets={"authors": SCHEDULE},
    needs_every_class=True,
)


class AtBslCfaSettings(CcmSettings, NoSettings):
    """AT-BSL with CCM."""


_HALF = {"method.lambda_eps": 0.5}

AT_BSL_CFA = replace(
    AT_BSL.taking(AtBslCfaSettings),
    name="at-bsl-cfa",
    summary="AT-BSL with calibrated eps per class (CCM); putting them together is ours",
    source="Yue et al., CVPR 2024, with the rule and the gate of Wei et al., CFA, CVPR 2023",
    plain="at-bsl",
    adds=("CCM",),
    kind="calibrated",
    hard_eps="smaller",
    reported_with="fawa",
    reported_title="AT-BSL + CFA (ours)",
    rule=calibrated_margins,
    warm_up="warmup_epochs",
    presets={
        "paper": _HALF,
        "official-code": _HALF,
        "authors": SCHEDULE,
        "protocol": {"method.warmup_epochs": 10 / 200},
        "demo": {**_HALF, "method.warmup_epochs": 4},
    },
)

OFFERED = (AT_BSL, AT_BSL_CFA)
