"""Functions of tensors that a GPU repeats as one captured graph, where it would start thousands of kernels.

A step of adversarial training is about ten passes over a network, two hundred kernels each, and starting them
takes longer than computing them. A captured graph is started once. It reads and writes the same memory each
time, so everything that may change is handed over as a tensor and copied to where the graph reads it; what is
a Python number when the graph is captured stays that number for ever.
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor, nn

Tensors = Mapping[str, Tensor]
Function = Callable[[Tensors, torch.Generator], Tensors]
"""Maps tensors and a source of noise to tensors; what it changes besides: weights, buffers and gradients."""

FIRST_EAGER = 3
"""Calls of a shape that run as they are before one is captured: libraries choose and take memory then."""

MOST_GRAPHS = 8
"""Shapes that are captured; the memory of each is kept."""


@dataclass(frozen=True)
class Call:
    """A call of a function of tensors that is carried out again and again, with new tensors each time.

    Attributes:
        name: What tells the function from the others that are carried out there.
        function: It may not depend on anything that changes but its tensors and noise, and the weights,
            buffers and modes of the networks.
        networks: Whose gradients it may set.
        inputs: Its tensors, on one device.
        generator: Its noise, on that device.
    """

    name: Hashable
    function: Function
    networks: Sequence[nn.Module]
    inputs: Tensors
    generator: torch.Generator

    def __call__(self) -> Tensors:
        """Do it as it is."""
        return self.function(self.inputs, self.generator)

    @property
    def shape(self) -> Hashable:
        """What a captured graph is good for: the function, networks in their modes, and shapes of tensors."""
        shapes = ((name, tuple(one.shape), one.dtype, one.device) for name, one in self.inputs.items())
        modes = (
            (id(network), tuple(module.training for module in network.modules())) for network in self.networks
        )
        return self.name, tuple(shapes), tuple(modes)


Carrier = Callable[[Call], Tensors]
"""Carries out calls, and gives their tensors, without gradients."""


def eagerly(call: Call) -> Tensors:
    """Carry out a call as it is."""
    return call()


class Recording(Protocol):
    """Work that was captured."""

    def replay(self, generator: torch.Generator) -> None:
        """Do it again on the same memory, with the noise of a generator."""
        ...


class Recorder(Protocol):
    """Captures work on a device."""

    def warmed_up(self, work: Callable[[], Tensors]) -> Tensors:
        """Do work as it is, in the place where it will be captured."""
        ...

    def captured(self, work: Callable[[torch.Generator], None]) -> Recording:
        """Capture work without doing it.

        Raises:
            RuntimeError: It cannot be captured.
        """
        ...


def not_captured(what: str, error: RuntimeError) -> str:
    """Say for people that a step or a network cannot be captured, and why."""
    reason = " ".join(str(error).split())[:200]
    return f"this {what} cannot be captured as a graph, so the GPU is handed its kernels one by one: {reason}"


@dataclass
class _Shape:
    """One function on tensors of one shape."""

    calls: int = 0
    eager_for_good: bool = False
    graph: "_Graph | None" = None


@dataclass
class _Graph:
    """A captured function and the memory that it reads and writes."""

    recording: Recording
    inputs: dict[str, Tensor]
    outputs: dict[str, Tensor]
    gradients: list[tuple[nn.Parameter, Tensor | None]]

    def __call__(self, inputs: Tensors, generator: torch.Generator) -> Tensors:
        for name, value in inputs.items():
            self.inputs[name].copy_(value)
        self.recording.replay(generator)
        # A step that ran as it is may have put its own gradients there since.
        for parameter, gradient in self.gradients:
            parameter.grad = gradient
        # Copies: the next replay writes over the originals.
        return {name: value.clone() for name, value in self.outputs.items()}


@dataclass
class Replaying:
    """Carries out functions as captured graphs, one for each shape; a :class:`Carrier`.

    The first calls of a shape run as they are. What cannot be captured runs so for good, which is said once.

    Attributes:
        recorder: Captures on the device.
        say: Takes a sentence for people.
        replayed: How many calls were replays.
    """

    recorder: Recorder
    say: Callable[[str], None] = lambda sentence: None
    replayed: int = 0
    _shapes: dict[Hashable, _Shape] = field(default_factory=dict)
    _graphs: int = 0

    def __call__(self, call: Call) -> Tensors:
        """Carry out a call, as a replay where it has been captured on tensors of these shapes."""
        shape = self._shapes.setdefault(call.shape, _Shape())
        if shape.graph is None and not shape.eager_for_good and shape.calls >= FIRST_EAGER:
            self._capture(shape, call)
        shape.calls += 1
        if shape.graph is not None:
            self.replayed += 1
            return shape.graph(call.inputs, call.generator)
        return call() if shape.eager_for_good else self.recorder.warmed_up(call)

    def _capture(self, shape: _Shape, call: Call) -> None:
        """Capture a function, or note that it cannot be."""
        if self._graphs == MOST_GRAPHS:
            shape.eager_for_good = True
            return
        held = {name: value.clone() for name, value in call.inputs.items()}
        outputs: dict[str, Tensor] = {}
        parameters = [parameter for network in call.networks for parameter in network.parameters()]
        before = [parameter.grad for parameter in parameters]
        for parameter in parameters:
            parameter.grad = None  # so that the captured pass back writes gradients, and does not add to them

        def work(noise: torch.Generator) -> None:
            outputs.update(call.function(held, noise))

        try:
            recording = self.recorder.captured(work)
        except RuntimeError as error:
            shape.eager_for_good = True
            for parameter, gradient in zip(parameters, before, strict=True):
                parameter.grad = gradient
            self.say(not_captured("step", error))
            return
        self._graphs += 1
        gradients = [(parameter, parameter.grad) for parameter in parameters]
        shape.graph = _Graph(recording, held, outputs, gradients)


class CudaRecorder:
    """Captures work as CUDA graphs, all of which share their memory."""

    def __init__(self, device: torch.device) -> None:
        """Take the device, with a stream beside the usual one: graphs are captured there."""
        self._device = device
        self._stream: torch.cuda.Stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._pool = torch.cuda.graph_pool_handle()

    def warmed_up(self, work: Callable[[], Tensors]) -> Tensors:
        """Do work on the stream of the captures, where its libraries then have what they need."""
        usual = torch.cuda.current_stream(self._device)
        self._stream.wait_stream(usual)
        with torch.cuda.stream(self._stream):
            done = work()
        usual.wait_stream(self._stream)
        return done

    def captured(self, work: Callable[[torch.Generator], None]) -> Recording:
        """Capture work; its noise comes from a generator that the graph knows."""
        noise = torch.Generator(device=self._device)
        graph = torch.cuda.CUDAGraph()
        graph.register_generator_state(noise)
        with torch.cuda.graph(graph, pool=self._pool, stream=self._stream):
            work(noise)
        return _CudaRecording(graph, noise)


@dataclass
class _CudaRecording:
    graph: torch.cuda.CUDAGraph
    noise: torch.Generator

    def replay(self, generator: torch.Generator) -> None:
        self.noise.set_state(generator.get_state())
        self.graph.replay()
        generator.set_state(self.noise.get_state())


def carrier_for(device: torch.device, say: Callable[[str], None], *, graphs: bool) -> Carrier:
    """Choose how functions are carried out on a device.

    Args:
        device: Where their tensors are.
        say: Takes a sentence for people, where something cannot be captured.
        graphs: Whether graphs are wanted.
    """
    if device.type != "cuda" or not graphs:
        return eagerly
    return Replaying(CudaRecorder(device), say)
