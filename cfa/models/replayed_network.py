"""A network whose passes a GPU repeats as captured graphs, for attacks that call it like any other.

An attack calls a network thousands of times, each time with a few hundred kernels that take longer to start
than to compute. Here a pass and its input gradient are captured once for each of a few batch sizes, and
batches in between are filled up: in eval mode the answer to an image depends on that image alone.
"""

from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from cfa.models.replay import FIRST_EAGER, CudaRecorder, Recorder, Recording, not_captured

SIZES = 8
"""Batch sizes that are captured, in equal steps up to the largest: on average a sixteenth is filled up."""


@dataclass
class _Pass:
    """A pass that was captured, with the memory that it reads and writes."""

    forward: Recording
    backward: Recording | None
    x: Tensor
    logits: Tensor
    of_logits: Tensor
    of_x: Tensor | None


class ReplayedNetwork(nn.Module):
    """Answers as a network does, by replays where that was asked for (:meth:`replaying`).

    Of a pass that is replayed one gradient may be taken, before the next pass: its memory is written over
    then. Whoever asks for more is refused.

    Attributes:
        network: Whose passes they are; in eval mode, its parameters without gradients.
        replayed: How many passes were replays.
    """

    def __init__(
        self,
        network: nn.Module,
        recorder: Recorder,
        largest: int,
        say: Callable[[str], None] = lambda sentence: None,
    ) -> None:
        """Take the network.

        Args:
            network: On the device of the recorder.
            recorder: Captures there.
            largest: The largest batch that is replayed.
            say: Takes a sentence for people, where the network cannot be captured.
        """
        super().__init__()
        self.network = network
        self.replayed = 0
        self.turn = 0  # of passes and gradients: tells whether memory still holds what a pass left there
        self._recorder, self._say = recorder, say
        self._largest, self._step = largest, -(-largest // SIZES)
        self._asked = self._refused = False
        self._warm: dict[Hashable, int] = {}
        self._passes: dict[Hashable, _Pass] = {}

    @contextmanager
    def replaying(self, wanted: bool) -> Iterator[None]:
        """Replay passes for a while, for what takes one gradient at most of a pass before the next."""
        before, self._asked = self._asked, wanted
        try:
            yield
        finally:
            self._asked = before

    def forward(self, x: Tensor) -> Tensor:
        """Return the network's answers."""
        if not self._asked or self._refused or len(x) > self._largest or not len(x):
            return self._as_it_is(x)
        if any(module.training for module in self.network.modules()):
            return self._as_it_is(x)
        with_gradient = torch.is_grad_enabled() and x.requires_grad
        filled = _filled_up(x, -(-len(x) // self._step) * self._step)
        key = (tuple(filled.shape), x.dtype, with_gradient)
        captured = self._passes.get(key)
        if captured is None:
            calls = self._warm[key] = self._warm.get(key, 0) + 1
            captured = self._capture(key, filled.detach(), with_gradient) if calls > FIRST_EAGER else None
        if captured is None:
            return self._as_it_is(x) if self._refused else self._warmed_up(filled)[: len(x)]
        self.replayed += 1
        replayed: Tensor = (
            _Replay.apply(filled, self, captured) if with_gradient else self.run(captured, filled)
        )
        return replayed[: len(x)]

    def run(self, captured: _Pass, x: Tensor) -> Tensor:
        """Replay a pass."""
        self.turn += 1
        captured.x.copy_(x.detach())
        captured.forward.replay(torch.default_generator)
        return captured.logits.clone()

    def _as_it_is(self, x: Tensor) -> Tensor:
        answers: Tensor = self.network(x)
        return answers

    def _warmed_up(self, x: Tensor) -> Tensor:
        return self._recorder.warmed_up(lambda: {"logits": self._as_it_is(x)})["logits"]

    def _capture(self, key: Hashable, x: Tensor, with_gradient: bool) -> _Pass | None:
        """Capture a pass, and its gradient where one is taken; ``None`` if that cannot be done."""
        made: dict[str, Tensor] = {}
        x = x.clone().requires_grad_(with_gradient)

        def ahead(noise: torch.Generator) -> None:
            with torch.set_grad_enabled(with_gradient):
                made["logits"] = self._as_it_is(x)

        def back(noise: torch.Generator) -> None:
            (made["of_x"],) = torch.autograd.grad(made["logits"], x, made["of_logits"])

        try:
            forward = self._recorder.captured(ahead)
            made["of_logits"] = torch.zeros_like(made["logits"])
            backward = self._recorder.captured(back) if with_gradient else None
        except RuntimeError as error:
            self._refused = True
            self._say(not_captured("network", error))
            return None
        memory = (x.detach(), made["logits"].detach(), made["of_logits"], made.get("of_x"))
        self._passes[key] = _Pass(forward, backward, *memory)
        return self._passes[key]


class _Replay(torch.autograd.Function):
    """A replayed pass as a step of automatic differentiation."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, owner: ReplayedNetwork, captured: _Pass) -> Tensor:
        """Replay the pass."""
        answers = owner.run(captured, x)
        ctx.owner, ctx.captured, ctx.turn = owner, captured, owner.turn
        return answers

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        """Replay the gradient, if the pass's memory is still there."""
        captured, owner = ctx.captured, ctx.owner
        if ctx.turn != owner.turn:
            raise RuntimeError("a gradient is taken of a replayed pass after another one, or a second time")
        owner.turn += 1
        captured.of_logits.copy_(gradient)
        captured.backward.replay(torch.default_generator)
        return captured.of_x.clone(), None, None


def _filled_up(x: Tensor, size: int) -> Tensor:
    """Repeat the last image until there are so many; its gradient comes from the first time alone."""
    if size == len(x):
        return x
    return torch.cat((x, x[-1:].detach().expand(size - len(x), *x.shape[1:])))


def replayed(
    network: nn.Module, device: torch.device, largest: int, say: Callable[[str], None]
) -> ReplayedNetwork | None:
    """Make a network replay its passes where the device can; ``None`` where it cannot.

    Args:
        network: One of ours: what a captured pass computes must depend on its images alone. A network of
            others may count its calls or draw numbers in Python, which a replay does not.
        device: Where it is.
        largest: The largest batch that it will be given.
        say: Takes a sentence for people.
    """
    if device.type != "cuda":
        return None
    return ReplayedNetwork(network, CudaRecorder(device), largest, say)
