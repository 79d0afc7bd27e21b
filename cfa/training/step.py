"""One training step: attack, loss, update. The same for every method."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from cfa.errors import ConfigError
from cfa.methods import Alone, Attacked, Batch, Knobs, Loss, Parts, Ranks
from cfa.methods.interface import Model
from cfa.models.replay import Call, Carrier, Tensors, eagerly

KNOB, SUM = "knob ", "sum "  # before the names of such tensors


def as_tensors(x: Tensor, y: Tensor, index: Tensor, knobs: Knobs) -> dict[str, Tensor]:
    """Name all that a batch is made of, and that changes from one to the next."""
    return {"x": x, "y": y, "index": index, **{f"{KNOB}{name}": value for name, value in knobs.items()}}


@dataclass(frozen=True, kw_only=True)
class StepResult:
    """What a step came to; nothing here has a gradient.

    Attributes:
        loss: The batch's loss, a scalar on the device.
        correct: Which adversarial examples were classified correctly before the update, shape (batch,).
        sums: What the objective sums besides, for each image: shape (batch,) or (batch, values).
    """

    loss: Tensor
    correct: Tensor
    sums: Mapping[str, Tensor]


@dataclass(frozen=True, kw_only=True)
class Step:
    """A method's training step for one configuration.

    Attributes:
        parts: The method's parts.
        model: What is called (the network, possibly compiled).
        network: The network itself.
        class_counts: Training images of each class, on the device.
        autocast: Arithmetic of the forward passes (bf16 on GPUs, if asked for).
        official_passes: Forward passes of the official code that only move BatchNorm statistics.
        pieces: Attack and gradients are computed for the batch in so many pieces.
        teacher: A trained network in eval mode, for methods that learn from one.
        companions: Networks that are trained beside the model.
        everyone: The processes that share a batch.
        carry: Carries out the attack and the passes of a batch, on a GPU as a captured graph.
    """

    parts: Parts
    model: Callable[[Tensor], Tensor]
    network: nn.Module
    class_counts: Tensor
    autocast: bool = False
    official_passes: tuple[str, ...] = ()
    pieces: int = 1
    teacher: Model | None = None
    companions: Mapping[str, nn.Module] = field(default_factory=dict)
    everyone: Ranks = field(default_factory=Alone)
    carry: Carrier = eagerly

    @classmethod
    def of(
        cls,
        parts: Parts,
        model: nn.Module,
        class_counts: Tensor,
        *,
        teacher: Model | None = None,
        companions: Mapping[str, nn.Module] | None = None,
        carry: Carrier = eagerly,
    ) -> "Step":
        """Put together the parts of a method, a network, and what belongs to its images.

        Raises:
            ConfigError: The method divides by how many training images a class has, and a class has none.
        """
        if parts.method.needs_every_class and not bool(class_counts.all()):
            raise ConfigError(
                f"{parts.method.name} divides by the number of training images of each class, and class "
                f"{int(class_counts.argmin())} has none; add images of it, or leave the class out"
            )
        settings = parts.config.train
        called: Callable[[Tensor], Tensor] = torch.compile(model) if settings.compile else model
        return cls(
            parts=parts,
            model=called,
            network=model,
            class_counts=class_counts,
            autocast=settings.precision == "bf16",
            official_passes=parts.method.official_passes if settings.official_passes else (),
            pieces=settings.batch_parts,
            teacher=teacher,
            companions=companions or {},
            carry=carry,
        )

    @property
    def networks(self) -> list[nn.Module]:
        """The networks that are trained."""
        return [self.network, *self.companions.values()]

    def __call__(
        self,
        optimizer: torch.optim.Optimizer,
        x: Tensor,
        y: Tensor,
        index: Tensor,
        knobs: Knobs,
        generator: torch.Generator,
    ) -> StepResult:
        """Train on one batch.

        Args:
            optimizer: Takes the step.
            x: Images, values in [0, 1].
            y: Their classes.
            index: Which training images they are.
            knobs: The epoch's, on the device of ``x``.
            generator: Source of the attack's start, on that device.
        """
        tensors = as_tensors(x, y, index, knobs)
        found = self.carry(Call("step", self._gradients, self.networks, tensors, generator))
        optimizer.step()
        if "after-step" in self.official_passes:
            self._statistics_pass(x)
        sums = {name.removeprefix(SUM): value for name, value in found.items() if name.startswith(SUM)}
        return StepResult(loss=found["loss"], correct=found["correct"], sums=sums)

    def _gradients(self, tensors: Tensors, generator: torch.Generator) -> dict[str, Tensor]:
        """Attack a batch and set the gradients of its loss; everything that changes is among the tensors."""
        for network in self.networks:
            network.zero_grad(set_to_none=True)
        batch = self.batch_of(tensors)
        batches = self._pieces(batch)
        attacked = [self._attacked(batch, generator) for batch in batches]
        losses: list[Loss] = []

        def add_gradients() -> Tensor:
            losses[:] = [
                self._add(piece, found, len(batch.y)) for piece, found in zip(batches, attacked, strict=True)
            ]
            return torch.stack([loss.per_sample for loss in losses]).sum()

        loss = self.parts.gradients(self.networks, add_gradients, batch.knobs_of_class)
        logits = torch.cat([one.logits_adv for one in losses])
        names = losses[0].sums
        sums = {f"{SUM}{name}": torch.cat([one.sums[name] for one in losses]).detach() for name in names}
        return {"loss": loss.detach(), "correct": logits.argmax(dim=1) == batch.y, **sums}

    def batch_of(self, tensors: Tensors) -> Batch:
        """Put images together with what belongs to them: knobs of their classes, teacher, companions.

        Args:
            tensors: As :func:`as_tensors` gives them.
        """
        x, y, index = (tensors[name] for name in ("x", "y", "index"))
        knobs = Knobs(**{name.removeprefix(KNOB): v for name, v in tensors.items() if name.startswith(KNOB)})
        more: dict[str, Any] = {} if self.teacher is None else {"teacher": self.teacher}
        return Batch(
            x=x,
            y=y,
            index=index,
            knobs=knobs.at(y),
            knobs_of_class=knobs,
            class_counts=self.class_counts,
            whole_y=y,
            everyone=self.everyone,
            companions=self.companions,
            **more,
        )

    def _pieces(self, batch: Batch) -> list[Batch]:
        """Cut a batch; what needs all of it still has ``whole_y``."""
        if self.pieces == 1:
            return [batch]
        rows = zip(*(column.chunk(self.pieces) for column in (batch.x, batch.y, batch.index)), strict=True)
        return [
            replace(batch, x=x, y=y, index=index, knobs=batch.knobs_of_class.at(y)) for x, y, index in rows
        ]

    def _attacked(self, batch: Batch, generator: torch.Generator) -> Attacked:
        with self._arithmetic(batch.x):
            return self.parts.attack(self.model, batch, generator)

    def _add(self, batch: Batch, attacked: Attacked, whole: int) -> Loss:
        """Add a piece's gradients; return its loss with its share in that of the batch."""
        with self._arithmetic(batch.x):
            loss = self.parts.objective(self.model, batch, attacked)
            if "with-loss" in self.official_passes:
                self._statistics_pass(batch.x)
        share = loss.per_sample.mean() * (len(batch.y) / whole)
        torch.autograd.backward(share)
        return replace(loss, per_sample=share.detach(), logits_adv=loss.logits_adv.detach())

    def _arithmetic(self, x: Tensor) -> torch.autocast:
        return torch.autocast(x.device.type, torch.bfloat16, enabled=self.autocast)

    def _statistics_pass(self, x: Tensor) -> None:
        with torch.no_grad():
            self.model(x)
