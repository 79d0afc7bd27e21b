"""RSLAD: a student answers as its robust teacher does, clean and under an attack away from the teacher."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from cfa.config import Settings
from cfa.methods.attacking import training_pgd
from cfa.methods.distilling import AwayFromTeacher, answers, distance, softened, survival
from cfa.methods.interface import Attacked, Batch, Forward, Loss, Method, Model
from cfa.methods.rules import Uniform
from cfa.notation import Number

if TYPE_CHECKING:
    from torch import Tensor


class RsladSettings(Settings):
    """The share of the term under attack."""

    robust_share: Annotated[Number, Field(gt=0, le=1)] = Field(
        default=5 / 6, description="RSLAD: share of the term under attack; the clean one has the rest."
    )


def as_it_answers(batch: Batch, logits: Tensor) -> Tensor:
    """Return the teacher's log-probabilities as they are."""
    return softened(logits, 1.0)


def soft_labels(robust_share: float, model: Model, batch: Batch, attacked: Attacked) -> Loss:
    """Return s KL(teacher(x) || f(x_adv)) / C + (1 - s) KL(teacher(x) || f(x)) / C (Zi et al. 2021)."""
    target = softened(answers(batch, attacked), 1.0)
    logits_adv, logits = model(attacked.x_adv), model(batch.x)
    loss = robust_share * distance(target, logits_adv) + (1 - robust_share) * distance(target, logits)
    return Loss(per_sample=loss, logits_adv=logits_adv, sums=survival(attacked))


RSLAD = Method(
    name="rslad",
    title="RSLAD",
    summary="The soft labels of a robust teacher, clean and under attack (Zi et al. 2021)",
    source="Zi et al., Revisiting Adversarial Robustness Distillation, ICCV 2021",
    year=2021,
    settings=RsladSettings,
    forward=Forward(target=1, loss=2),
    objective=lambda settings, config: lambda *of_step: soft_labels(settings.robust_share, *of_step),
    attack=lambda settings, config: AwayFromTeacher(training_pgd(config, "kl"), as_it_answers),
    rule=lambda settings, config: Uniform(eps=config.attack.eps),
    needs_teacher=True,
    usual={"attack.start": "normal", "attack.bn_mode": "eval"},
    presets={
        "authors": {
            "attack.step_size": 2 / 255,
            "optimizer.weight_decay": 2e-4,
            "optimizer.milestones": (215 / 300, 260 / 300, 285 / 300),
            "train.epochs": 300,
        }
    },
)

OFFERED = (RSLAD,)
