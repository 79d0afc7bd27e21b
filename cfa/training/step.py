"""One training step: attack, loss, update. The same for every method."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from cfa.attacks import PGD
from cfa.config import RunConfig
from cfa.errors import ConfigError
from cfa.methods import ClassKnobs, Objective, Terms
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
        has_clean_term: Whether the objective has a clean term.
        batch_weights: Divide each loss term by the sum of its weights in the batch.
        parts: Attack and gradients are computed for the batch in so many parts.
        model: What is called (the network, possibly compiled).
    """

    attack: PGD
    objective: Objective
    autocast: bool
    extra_passes: tuple[str, ...]
    has_clean_term: bool
    batch_weights: bool
    parts: int
    model: Callable[[Tensor], Tensor]

    @classmethod
    def of(cls, recipe: Recipe, config: RunConfig, model: nn.Module) -> "Step":
        """Put the parts of a recipe together."""
        called: Callable[[Tensor], Tensor] = torch.compile(model) if config.train.compile else model
        extra = recipe.official_passes if config.train.official_passes else ()
        return cls(
            attack=recipe.attack(config),
            objective=recipe.objective,
            autocast=config.train.precision == "bf16",
            extra_passes=extra,
            has_clean_term=recipe.uses_beta,
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
        # Sums and maxima over the batch are taken here, where all of it is, and not in its parts.
        clean, robust = (self._weights(of, y) for of in (knobs.clean_weight, knobs.robust_weight))
        whole = _Samples(x, y, knobs.eps[y], clean, robust)
        largest = whole.eps.max()
        parts = [self._add_gradients(part, len(y), largest, generator) for part in whole.chunk(self.parts)]
        optimizer.step()
        if "logging" in self.extra_passes:
            self._statistics_pass(x)
        losses, correct = zip(*parts, strict=True)
        return torch.stack(losses).sum(), torch.cat(correct)

    def _add_gradients(
        self, part: "_Samples", batch: int, largest_eps: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Add a part of a batch to the gradients; return its share of the loss and who was right."""
        x, y = part.x, part.y
        with torch.autocast(x.device.type, torch.bfloat16, enabled=self.autocast):
            x_adv = self.attack(self.model, x, y, part.eps, generator=generator, largest_eps=largest_eps)
            terms = self.objective(self.model, x, x_adv, y)
            if "clean" in self.extra_passes:
                self._statistics_pass(x)
        self._refuse_other_terms(terms)
        loss = part.robust_weight * terms.robust
        if terms.clean is not None:
            loss = loss + part.clean_weight * terms.clean
        loss = loss.mean() * (len(y) / batch)
        torch.autograd.backward(loss)
        return loss.detach(), terms.logits_adv.detach().argmax(dim=1) == y

    def _refuse_other_terms(self, terms: Terms) -> None:
        """Refuse a clean term that would weigh nothing, and a beta that has none to weigh against."""
        if (terms.clean is not None) != self.has_clean_term:
            says, has = self.has_clean_term, "no clean term" if terms.clean is None else "a clean term"
            raise ConfigError(f"the recipe says uses_beta={says} and its objective has {has}; set {not says}")

    def _weights(self, of_class: Tensor, y: Tensor) -> Tensor:
        """Weigh the samples, with ``batch_weights`` so that their mean in the batch is that over classes."""
        weights = of_class[y]
        return weights * (of_class.mean() / weights.mean()) if self.batch_weights else weights

    def _statistics_pass(self, x: Tensor) -> None:
        with torch.no_grad():
            self.model(x)


@dataclass(frozen=True)
class _Samples:
    """A batch, and for each sample the knobs of its class."""

    x: Tensor
    y: Tensor
    eps: Tensor
    clean_weight: Tensor
    robust_weight: Tensor

    def chunk(self, parts: int) -> "list[_Samples]":
        columns = (column.chunk(parts) for column in vars(self).values())
        return [_Samples(*row) for row in zip(*columns, strict=True)]
