"""FAIR-TAT: adversarial training on targeted attacks, towards the classes that errors end in.

Medi et al., FAIR-TAT: Improving Model Fairness Using Targeted Adversarial Training, WACV 2025; formulas as in
the authors' code (TejaswiniMedi/FAIR-TAT, target_train_new.py and Targeted_attack.py). Of the variants there
the default is the one that their README names first: PGD-AT, targets by errors, eps by robust accuracy
(``--adaptive_eps G-rob --lambda-r 0.5``). Accuracies are of the true number of images of a class, as
everywhere here, where theirs are of a balanced tenth.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from cfa.config import RunConfig
from cfa.methods.attacking import training_pgd
from cfa.methods.catalogue.pgd_at import PGD_AT, adversarial_cross_entropy
from cfa.methods.epochs import Epochs, epochs_of
from cfa.methods.features import predictions
from cfa.methods.interface import Attacked, Batch, KnobLabel, Loss, Model, NoSettings
from cfa.methods.knobs import Knobs
from cfa.methods.rules import TRAINING, ClassStats, State
from cfa.notation import Number

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from cfa.attacks import PGD

PREDICTED, TARGET = "predicted", "target"
_SHARPNESS = 2.0  # of the targets' soft-max, and of the share of errors in eps
_FEWEST = 1e-12  # a random number of 0 has no logarithm


class FairTatSettings(NoSettings):
    """What eps and targets of classes follow."""

    eps_by: Literal["robustness", "errors", "nothing"] = Field(
        default="robustness",
        description="FAIR-TAT: what the eps of a class follows: robustness, errors that end in it, nothing.",
    )
    lambda_eps: Annotated[Number, Field(ge=0, le=2)] = Field(
        default=0.5,
        description="FAIR-TAT: eps of a class is (lambda + r) times eps, or (lambda + 2 f), f its errors.",
    )
    targets: Literal["errors", "uniform"] = Field(
        default="errors",
        description="FAIR-TAT: attack towards classes that errors end in more often, or all alike.",
    )
    uniform_epochs: Annotated[Epochs, Field(gt=0)] = Field(
        default=1, description="FAIR-TAT: epochs in which all classes are treated alike."
    )


def shares_of_errors(predicted: Tensor) -> Tensor:
    """Return the share of all errors that end in each class; the same for all where there are none.

    Args:
        predicted: Images by true class (rows) and predicted class, shape (classes, classes).
    """
    errors = predicted.sum(dim=0) - predicted.diagonal()
    count = errors.sum()
    return errors / count if count > 0 else errors.new_full((len(errors),), 1 / len(errors))


@dataclass(frozen=True, kw_only=True)
class TargetsAndMargins:
    """Choose targets by softmax(2 f), f the shares of errors, and eps_k = (lambda + r_k) eps.

    Hard classes get a smaller ``eps``, as CFA's.

    Attributes:
        eps: The nominal budget.
        settings: What eps and targets follow.
        uniform_epochs: Epochs before that.
    """

    eps: float
    settings: FairTatSettings
    uniform_epochs: int

    def initial(self, classes: int) -> tuple[State, Knobs]:
        """Return no state, the nominal budget, and targets that are drawn alike."""
        import torch

        ones = torch.ones(classes, dtype=torch.float64)
        return {}, Knobs(eps=self.eps * ones, target=ones / classes)

    def __call__(self, state: State, stats: ClassStats) -> tuple[State, Knobs]:
        """Follow the predictions of the epoch that has ended."""
        uniform = self.initial(len(stats.class_counts))
        if stats.epoch < self.uniform_epochs:
            return uniform
        seen, own = stats.seen[TRAINING], self.settings
        shares = shares_of_errors(seen.sums[PREDICTED].double())
        eps, target = uniform[1]["eps"], uniform[1][TARGET]
        if own.eps_by != "nothing":
            scale = seen.accuracy if own.eps_by == "robustness" else _SHARPNESS * shares
            eps = (own.lambda_eps + scale) * self.eps
        if own.targets == "errors":
            target = (_SHARPNESS * shares).softmax(dim=0)
        return state, Knobs(eps=eps, target=target)


def drawn_targets(chances: Tensor, y: Tensor, generator: torch.Generator) -> Tensor:
    """Draw a wrong class for each image, by the chances of classes among those that are wrong for it.

    The class whose chance over an exponential number is largest is drawn by its chance; no draw is repeated,
    and a GPU is not waited for.

    Args:
        chances: Of the classes, shape (classes,).
        y: True classes, shape (batch,).
        generator: Source of the draws, on the device of ``y``.
    """
    import torch

    uniform = torch.rand(
        len(y), len(chances), generator=generator, dtype=chances.dtype, device=chances.device
    )
    race = chances / -uniform.clamp(min=_FEWEST).log()
    return race.scatter(1, y[:, None], -1).argmax(dim=1)


@dataclass(frozen=True)
class TowardsTargets:
    """PGD that lowers the cross-entropy to a drawn class.

    Attributes:
        pgd: Its steps.
    """

    pgd: PGD

    def __call__(self, model: Model, batch: Batch, generator: torch.Generator) -> Attacked:
        """Attack a batch."""
        from torch.nn import functional as F

        from cfa.attacks import model_mode, per_sample

        pgd, x, eps = self.pgd, batch.x, batch.knobs["eps"]
        targets = drawn_targets(batch.knobs_of_class[TARGET], batch.y, generator)
        with model_mode(model, training=pgd.bn_mode == "train"):
            x_adv = pgd.started(x, per_sample(eps, x), generator)
            for _ in range(pgd.steps):
                x_adv, _ = pgd.step(
                    model, lambda z: -F.cross_entropy(z, targets, reduction="none"), x, x_adv, eps, None
                )
        return Attacked(x_adv=x_adv)


def counted_cross_entropy(model: Model, batch: Batch, attacked: Attacked) -> Loss:
    """Return CE(f(x_adv), y), and what each example is predicted as."""
    loss = adversarial_cross_entropy(model, batch, attacked)
    return replace(loss, sums={PREDICTED: predictions(loss.logits_adv.detach())})


def _rule(settings: FairTatSettings, config: RunConfig) -> TargetsAndMargins:
    epochs = epochs_of(settings.uniform_epochs, config)
    return TargetsAndMargins(eps=config.attack.eps, settings=settings, uniform_epochs=epochs)


FAIR_TAT = replace(
    PGD_AT.taking(FairTatSettings),
    name="fair-tat",
    title="FAIR-TAT",
    summary="Targeted PGD-AT, towards classes that errors end in, with eps per class (Medi et al. 2025)",
    source="Medi et al., FAIR-TAT: Improving Model Fairness Using Targeted Adversarial Training, WACV 2025",
    year=2025,
    plain="pgd-at",
    kind="calibrated",
    hard_eps="smaller",
    objective=lambda settings, config: counted_cross_entropy,
    attack=lambda settings, config: TowardsTargets(training_pgd(config, "cross-entropy")),
    rule=_rule,
    warm_up="uniform_epochs",
    needs_every_class=True,
    knobs={
        "eps": PGD_AT.knobs["eps"],
        TARGET: KnobLabel(label="chance as target", summary="how often others are attacked towards it"),
    },
    usual={"attack.start": "uniform", "attack.bn_mode": "train"},
    presets={
        "authors": {
            "attack.eps": 8 / 255,
            "attack.step_size": 2 / 255,
            "attack.steps": 10,
            "optimizer.milestones": (0.5, 0.75),
            "train.epochs": 200,
        }
    },
    official_passes=("with-loss", "after-step"),
    official_arguments={},
)

OFFERED = (FAIR_TAT,)
