"""Training attacks made of PGD: every image of a batch within the eps of its class."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

from cfa.config import RunConfig
from cfa.methods.interface import Attacked, Batch, Model
from cfa.notation import StepSize

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from cfa.attacks import PGD
    from cfa.attacks.losses import SampleLoss

Kind = TypeVar("Kind", bound="PGD")


def training_pgd(config: RunConfig, loss: str) -> PGD:
    """Build PGD with a run's settings of its training attack."""
    from cfa.attacks import PGD

    return around_pgd(PGD, config, loss)


def around_pgd(kind: type[Kind], config: RunConfig, loss: str, **more: Any) -> Kind:
    """Build an attack around PGD's step, with a run's settings of its training attack and its own."""
    own = config.attack
    return kind(
        norm=own.norm,
        steps=own.steps,
        step_size=own.step_size,
        loss=loss,
        start=own.start,
        bn_mode=own.bn_mode,
        **more,
    )


def with_growing_steps(pgd: Kind, eps: float) -> Kind:
    """Return the same attack with steps that grow with the ``eps`` of each image.

    Args:
        pgd: The attack.
        eps: The nominal budget, at which its steps stay as they are.
    """
    if pgd.step_size.relative:
        return pgd
    return replace(pgd, step_size=StepSize(value=pgd.step_size.value / eps, relative=True))


@dataclass(frozen=True)
class WithinEps:
    """Attack every image within its own ``eps``.

    Attributes:
        pgd: The attack.
    """

    pgd: PGD

    def __call__(self, model: Model, batch: Batch, generator: torch.Generator) -> Attacked:
        """Attack a batch."""
        x_adv = self.pgd(model, batch.x, batch.y, batch.knobs["eps"], generator=generator)
        return Attacked(x_adv=x_adv)


@dataclass(frozen=True)
class AtNominalEps:
    """Attack every image within one ``eps``, whatever that of its class is: for passes that compare classes.

    Attributes:
        pgd: The attack.
        eps: The budget of all.
    """

    pgd: PGD
    eps: float

    def __call__(self, model: Model, batch: Batch, generator: torch.Generator) -> Attacked:
        """Attack a batch."""
        return Attacked(x_adv=self.pgd(model, batch.x, batch.y, self.eps, generator=generator))


@dataclass(frozen=True)
class RaisingOwnLoss:
    """Attack every image within its own ``eps``, raising a loss that is the method's own.

    Attributes:
        pgd: Its start, steps and mode; the loss that it names is not read.
        loss: What is raised, of a batch and of its logits: shape (images,).
    """

    pgd: PGD
    loss: Callable[[Batch, Tensor], Tensor]

    def __call__(self, model: Model, batch: Batch, generator: torch.Generator) -> Attacked:
        """Attack a batch."""
        from cfa.attacks import model_mode, per_sample

        x, eps = batch.x, batch.knobs["eps"]
        with model_mode(model, training=self.pgd.bn_mode == "train"):
            x_adv = self.pgd.started(x, per_sample(eps, x), generator)
            for _ in range(self.pgd.steps):
                x_adv, _ = self.pgd.step(model, lambda logits: self.loss(batch, logits), x, x_adv, eps, None)
        return Attacked(x_adv=x_adv)


@dataclass(frozen=True)
class WithinEpsBySharedSteps:
    """The same, with a relative step that is relative to the largest ``eps`` in the whole batch (FRL).

    Attributes:
        pgd: The attack.
    """

    pgd: PGD

    def __call__(self, model: Model, batch: Batch, generator: torch.Generator) -> Attacked:
        """Attack a batch, or a part of one."""
        largest = batch.everyone.maximum(batch.knobs_of_class["eps"][batch.whole_y].max())
        x_adv = self.pgd(model, batch.x, batch.y, batch.knobs["eps"], generator=generator, unit=largest)
        return Attacked(x_adv=x_adv)


@dataclass(frozen=True)
class CountingSteps:
    """The attack, which also counts before how many of its steps each image was still right (Fair-ARD).

    Attributes:
        pgd: The attack.
    """

    pgd: PGD

    def __call__(self, model: Model, batch: Batch, generator: torch.Generator) -> Attacked:
        """Attack a batch; an image that is right before each of n steps has survived n."""
        import torch

        from cfa.attacks import model_mode, per_sample

        x, y, eps, pgd = batch.x, batch.y, batch.knobs["eps"].to(batch.x.dtype), self.pgd
        survived = torch.zeros_like(y)
        with model_mode(model, training=pgd.bn_mode == "train"):
            loss, also = self.against(model, batch)
            x_adv = pgd.started(x, per_sample(eps, x), generator)
            for _ in range(pgd.steps):
                x_adv, logits = pgd.step(model, loss, x, x_adv, eps, None)
                survived = survived + (logits.argmax(dim=1) == y)
        return Attacked(x_adv=x_adv, also=also, steps_survived=survived)

    def against(self, model: Model, batch: Batch) -> tuple[SampleLoss, Mapping[str, Tensor]]:
        """Return the loss of logits that is raised, and what else the attack hands on."""
        from cfa.attacks import LOSSES

        return LOSSES[self.pgd.loss](model, batch.x, batch.y), {}
