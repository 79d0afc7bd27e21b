"""One training step: attack, loss, update. The same for every method."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from cfa.attacks import PGD
from cfa.config import RunConfig
from cfa.methods import ClassKnobs, Objective
from cfa.methods.recipes import Recipe


@dataclass(frozen=True)
class DeviceKnobs:
    """A rule's knobs where training reads them: float32 on its device, shape (classes,)."""

    eps: Tensor
    clean_weight: Tensor
    robust_weight: Tensor

    @classmethod
    def of(cls, knobs: ClassKnobs, device: torch.device) -> "DeviceKnobs":
        """Copy knobs to the device, once an epoch."""
        values = (knobs.eps, knobs.clean_weight, knobs.robust_weight)
        dtype, cuda = torch.get_default_dtype(), device.type == "cuda"
        return cls(*(value.to(dtype).to(device, non_blocking=cuda) for value in values))


@dataclass(frozen=True)
class Step:
    """A method's training step for one configuration.

    Attributes:
        attack: The training attack.
        objective: The loss terms.
        autocast: Arithmetic of the forward passes (bf16 on GPUs, if asked for).
        extra_passes: Forward passes of the official code that only move BatchNorm statistics.
        batch_weights: Divide each loss term by the sum of its weights in the batch.
        parts: Attack and gradients are computed for the batch in so many parts.
        model: What is called (the network, possibly compiled).
    """

    attack: PGD
    objective: Objective
    autocast: bool
    extra_passes: tuple[str, ...]
    batch_weights: bool
    parts: int
    model: Callable[[Tensor], Tensor]

    @classmethod
    def of(cls, recipe: Recipe, config: RunConfig, model: nn.Module) -> "Step":
        """Put the parts of a recipe together."""
        called: Callable[[Tensor], Tensor] = torch.compile(model) if config.train.compile else model
        extra = (*recipe.official_passes, "logging") if config.train.official_passes else ()
        return cls(
            attack=recipe.attack(config),
            objective=recipe.objective,
            autocast=config.train.precision == "bf16",
            extra_passes=extra,
            batch_weights=recipe.batch_weights,
            parts=config.train.batch_parts,
            model=called,
        )

    def __call__(
        self,
        optimizer: torch.optim.Optimizer,
        x: Tensor,
        y: Tensor,
        knobs: DeviceKnobs,
        generator: torch.Generator,
    ) -> tuple[Tensor, Tensor]:
        """Train on one batch.

        Returns:
            The loss (a scalar on the device, detached) and which adversarial examples were classified
            correctly before the update, shape (batch,), boolean.
        """
        optimizer.zero_grad(set_to_none=True)
        parts = [
            self._add_gradients(xs, ys, len(y), knobs, generator)
            for xs, ys in zip(x.chunk(self.parts), y.chunk(self.parts), strict=True)
        ]
        optimizer.step()
        if "logging" in self.extra_passes:
            self._statistics_pass(x)
        losses, correct = zip(*parts, strict=True)
        return torch.stack(losses).sum(), torch.cat(correct)

    def _add_gradients(
        self, x: Tensor, y: Tensor, batch: int, knobs: DeviceKnobs, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Add a part of a batch to the gradients; return its share of the loss and who was right."""
        with torch.autocast(x.device.type, torch.bfloat16, enabled=self.autocast):
            x_adv = self.attack(self.model, x, y, knobs.eps[y], generator=generator)
            terms = self.objective(self.model, x, x_adv, y)
            if "clean" in self.extra_passes:
                self._statistics_pass(x)
        loss = self._weights(knobs.robust_weight, y) * terms.robust
        if terms.clean is not None:
            loss = loss + self._weights(knobs.clean_weight, y) * terms.clean
        loss = loss.mean() * (len(y) / batch)
        torch.autograd.backward(loss)
        return loss.detach(), terms.logits_adv.detach().argmax(dim=1) == y

    def _weights(self, of_class: Tensor, y: Tensor) -> Tensor:
        """Weigh the samples, with ``batch_weights`` so that their mean in the batch is that over classes."""
        weights = of_class[y]
        return weights * (of_class.mean() / weights.mean()) if self.batch_weights else weights

    def _statistics_pass(self, x: Tensor) -> None:
        with torch.no_grad():
            self.model(x)
