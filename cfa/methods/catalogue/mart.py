"""MART: a boosted cross-entropy on PGD examples, and more consistency where clean images are wrong.

Wang et al., Improving Adversarial Robustness Requires Revisiting Misclassified Examples, ICLR 2020. The term
1.0001 is that of the authors' code (YisenWang/MART, mart.py), whose other guards of logarithms (1e-12, 1e-7)
are left out. The paper's lambda is beta here, as in the code. Their learning rate of 0.01 and weight decay of
0.0035 stand in the preset `authors`: under the others MART trains as all methods do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from cfa.config import RunConfig, Settings
from cfa.methods.attacking import WithinEps, training_pgd
from cfa.methods.catalogue.trades import clean_and_robust_logits
from cfa.methods.interface import Attacked, Batch, Forward, Loss, Method, Model, Objective
from cfa.methods.rules import Uniform
from cfa.notation import Number

if TYPE_CHECKING:
    from torch import Tensor

_ABOVE_ONE = 1.0001  # so that the logarithm of one minus a probability of 1 is finite


class MartSettings(Settings):
    """MART's one constant."""

    beta: Annotated[Number, Field(gt=0)] = Field(
        default=5.0,  # their ResNet-18 script; the function's own default is 6
        description="MART: weight of the consistency of clean and adversarial predictions.",
    )


def boosted_cross_entropy(logits_adv: Tensor, y: Tensor) -> Tensor:
    """Return CE(f(x_adv), y) - ln(1.0001 - the largest wrong probability), shape (batch,)."""
    from torch.nn import functional as F

    probabilities = logits_adv.softmax(dim=1)
    wrong = probabilities.scatter(1, y[:, None], 0).amax(dim=1)
    return F.cross_entropy(logits_adv, y, reduction="none") - (_ABOVE_ONE - wrong).log()


def mart(beta: float, model: Model, batch: Batch, attacked: Attacked) -> Loss:
    """Return the boosted cross-entropy plus beta KL(f(x) || f(x_adv)) (1 - p_y(x)).

    The clean prediction keeps its gradient in both places, as in the authors' code.
    """
    from torch.nn import functional as F

    from cfa.attacks import kl_divergence

    logits, logits_adv = clean_and_robust_logits(model, batch, attacked)
    log_p = F.log_softmax(logits, dim=1)
    missing = 1 - log_p.gather(1, batch.y[:, None]).squeeze(1).exp()
    consistency = kl_divergence(log_p, logits_adv) * missing
    return Loss(
        per_sample=boosted_cross_entropy(logits_adv, batch.y) + beta * consistency, logits_adv=logits_adv
    )


def _objective(settings: MartSettings, config: RunConfig) -> Objective:
    return lambda model, batch, attacked: mart(settings.beta, model, batch, attacked)


MART = Method(
    name="mart",
    title="MART",
    summary="PGD-AT with a margin term, and a KL that weighs misclassified images more (Wang et al. 2020)",
    source=(
        "Wang et al., Improving Adversarial Robustness Requires Revisiting Misclassified Examples, ICLR 2020"
    ),
    year=2020,
    settings=MartSettings,
    forward=Forward(loss=2),
    objective=_objective,
    attack=lambda settings, config: WithinEps(training_pgd(config, "cross-entropy")),
    rule=lambda settings, config: Uniform(eps=config.attack.eps),
    plain="pgd-at",
    usual={"attack.start": "normal", "attack.bn_mode": "eval"},
    presets={
        "authors": {
            "attack.eps": 0.031,
            "attack.step_size": 0.007,
            "optimizer.lr": 0.01,
            "optimizer.weight_decay": 3.5e-3,
            "optimizer.milestones": (75 / 120, 90 / 120, 100 / 120),
            "train.epochs": 120,
        }
    },
)

OFFERED = (MART,)
