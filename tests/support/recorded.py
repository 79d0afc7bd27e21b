"""A stand-in for CUDA graphs on the CPU: operators are recorded, and replayed on the very same memory.

As with a graph, Python does not run again, so that a number it had stays what it was; whatever looks at the
content of a tensor, or lets a shape depend on it, cannot be captured; and capturing changes nothing.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten

from cfa.models.replay import Recording, Tensors
from tests.support.waiting import waits

# Operators that change arguments and do not say so.
CHANGES = {"aten::native_batch_norm": (3, 4)}


def tensors_of(*nested: Any) -> list[Tensor]:
    return [leaf for leaf in tree_flatten(nested)[0] if isinstance(leaf, Tensor)]


def place(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


@dataclass
class Operator:
    """One operator that ran: replayed, its result is written to where it was."""

    function: Callable[..., Any]
    args: Sequence[Any]
    kwargs: dict[str, Any]
    made: list[Tensor]

    def again(self) -> None:
        given = {place(tensor) for tensor in tensors_of(self.args, self.kwargs)}
        found = [t for t in tensors_of(self.function(*self.args, **self.kwargs)) if place(t) not in given]
        for before, now in zip(self.made, found, strict=True):
            before.copy_(now)


class Notes(TorchDispatchMode):
    """Notes every operator that runs, and what tensors held that it changed."""

    def __init__(self) -> None:
        super().__init__()
        self.operators: list[Operator] = []
        self.before: dict[int, tuple[Tensor, Tensor]] = {}
        self.own: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = func._schema.name
        if waits(func, args):
            raise RuntimeError(f"operation not permitted when stream is capturing: {name}")
        for tensor in self._changed(func, name, args, kwargs):
            if place(tensor) not in self.own:
                self.before.setdefault(id(tensor), (tensor, tensor.clone()))
        out = func(*args, **kwargs)
        given = {place(tensor) for tensor in tensors_of(args, kwargs)}
        made = [tensor for tensor in tensors_of(out) if place(tensor) not in given]
        self.own |= {place(tensor) for tensor in made}
        self.operators.append(Operator(func, args, kwargs, made))
        return out

    @staticmethod
    def _changed(func: Any, name: str, args: Any, kwargs: Any) -> Iterable[Tensor]:
        for number, argument in enumerate(func._schema.arguments):
            value = args[number] if number < len(args) else kwargs.get(argument.name)
            writes = argument.alias_info is not None and argument.alias_info.is_write
            if writes or number in CHANGES.get(name, ()):
                yield from tensors_of(value)


@dataclass
class Recorded:
    """Work that was recorded."""

    operators: list[Operator]
    noise: torch.Generator

    def replay(self, generator: torch.Generator) -> None:
        self.noise.set_state(generator.get_state())
        with torch.no_grad():
            for operator in self.operators:
                operator.again()
        generator.set_state(self.noise.get_state())


@dataclass
class CpuRecorder:
    """Captures work on the CPU."""

    captures: int = 0
    warmed: int = 0
    refuses: list[str] = field(default_factory=list)

    def warmed_up(self, work: Callable[[], Tensors]) -> Tensors:
        self.warmed += 1
        return work()

    def captured(self, work: Callable[[torch.Generator], None]) -> Recording:
        if self.refuses:
            raise RuntimeError(self.refuses.pop())
        noise, notes = torch.Generator(), Notes()
        try:
            with torch.random.fork_rng(devices=[]), notes:
                work(noise)
        finally:
            with torch.no_grad():
                for tensor, content in notes.before.values():
                    tensor.data.copy_(content)  # unnoticed: a gradient of what was captured is taken later
        self.captures += 1
        return Recorded(notes.operators, noise)
