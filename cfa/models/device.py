"""What is asked of a device: the same numbers every time, all digits of float32, and to be done."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Literal

import torch


@contextmanager
def repeatable() -> Iterator[None]:
    """Let cuDNN take only algorithms that give the same numbers every time for the same input.

    Some of the others add up in whatever order threads come along. A resumed run might then not be the run
    that never stopped, and an attack made again not the attack. On the CPU nothing changes.
    """
    before = torch.backends.cudnn.deterministic
    torch.backends.cudnn.deterministic = True
    try:
        yield
    finally:
        torch.backends.cudnn.deterministic = before


@contextmanager
def ieee_float32(device: torch.device) -> Iterator[None]:
    """Compute in float32 as IEEE 754 has it, whatever was asked of torch before.

    On NVIDIA GPUs convolutions round their inputs to TF32 (10 bits) unless told otherwise, matrix products do
    where someone asked for speed, and on some CPUs both may use bfloat16. Autocast around the call is off
    inside of it; what a model casts by itself it still casts.

    Args:
        device: Where is computed, for autocast.
    """
    with float32(device, convolutions="ieee"):
        yield


@contextmanager
def float32(device: torch.device, *, convolutions: Literal["ieee", "tf32"]) -> Iterator[None]:
    """Compute in float32, and choose what convolutions and recurrent layers of NVIDIA GPUs round to before.

    Args:
        device: Where is computed, for autocast, which is off inside.
        convolutions: ``tf32`` is what PyTorch does unless told otherwise; elsewhere it changes nothing.
    """
    # Only torch's newer switches: after one of them is set, reading the older (`allow_tf32`) is an error.
    backends: Any = torch.backends
    general: list[Any] = [backends, backends.cudnn]
    exact: list[Any] = [
        *(backends.cuda.matmul, backends.mkldnn.matmul, backends.mkldnn.conv, backends.mkldnn.rnn),
    ]
    chosen: list[Any] = [backends.cudnn.conv, backends.cudnn.rnn]
    wanted_of = [
        *((switch, "none") for switch in general),
        *((switch, "ieee") for switch in exact),
        *((switch, convolutions) for switch in chosen),
    ]
    with ExitStack() as stack:
        # The general first: as long as they say something, an operation that says nothing repeats it.
        for switch, wanted in wanted_of:
            stack.callback(setattr, switch, "fp32_precision", switch.fp32_precision)
            switch.fp32_precision = wanted
        stack.enter_context(torch.autocast(device.type, enabled=False))
        yield


def wait_for(device: torch.device) -> None:
    """Wait until a GPU has done what it was given; the CPU has when a call returns."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
