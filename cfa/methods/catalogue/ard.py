"""ARD: a student under attack answers as its robust teacher does on clean images."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from cfa.config import Settings
from cfa.methods.attacking import CountingSteps, training_pgd
from cfa.methods.distilling import answers, distance, softened, survival
from cfa.methods.interface import Attacked, Batch, Forward, Loss, Method, Model
from cfa.methods.rules import Uniform
from cfa.notation import Number


class ArdSettings(Settings):
    """ARD's temperature."""

    temperature: Annotated[Number, Field(ge=0.1, le=1000)] = Field(
        default=30.0,
        description="ARD: temperature of both predictions; the loss is multiplied with its square.",
    )


def as_the_teacher(temperature: float, model: Model, batch: Batch, attacked: Attacked) -> Loss:
    """Return T^2 KL(teacher(x) / T || student(x_adv) / T) / C: Goldblum et al. 2020 with alpha = 1."""
    logits_adv = model(attacked.x_adv)
    target = softened(answers(batch, attacked), temperature)
    loss = temperature**2 * distance(target, logits_adv / temperature)
    return Loss(per_sample=loss, logits_adv=logits_adv, sums=survival(attacked))


ARD = Method(
    name="ard",
    title="ARD",
    summary="The answers of a robust teacher on clean images, under attack (Goldblum et al. 2020)",
    source="Goldblum et al., Adversarially Robust Distillation, AAAI 2020",
    year=2020,
    settings=ArdSettings,
    forward=Forward(loss=2),
    objective=lambda settings, config: lambda *of_step: as_the_teacher(settings.temperature, *of_step),
    attack=lambda settings, config: CountingSteps(training_pgd(config, "cross-entropy")),
    rule=lambda settings, config: Uniform(eps=config.attack.eps),
    needs_teacher=True,
    usual={"attack.start": "uniform", "attack.bn_mode": "train"},
    presets={
        "authors": {
            "attack.step_size": 2 / 255,
            "optimizer.weight_decay": 2e-4,
            "optimizer.milestones": (100 / 200, 150 / 200),
            "train.epochs": 200,
        }
    },
)

OFFERED = (ARD,)
