"""What foreign attack code may not touch: random numbers, tracing, and the parameters' gradients."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn


@contextmanager
def own_randomness(device: torch.device) -> Iterator[None]:
    """Give back the global generators of the CPU and of ``device`` as they were: pyautoattack seeds them."""
    devices = [device] if device.type in ("cuda", "mps", "xpu") else []
    kind = device.type if devices else "cuda"
    with torch.random.fork_rng(devices=devices, device_type=kind):
        yield


@contextmanager
def own_tracing() -> Iterator[None]:
    """Give back the trace function: pyautoattack's check of dynamic models ends every tracing."""
    tracer = sys.gettrace()
    try:
        yield
    finally:
        sys.settrace(tracer)


@contextmanager
def frozen_parameters(model: object) -> Iterator[None]:
    """Switch the gradients of parameters off for a while.

    FAB calls ``backward``, which would fill them: as much work again for a model with large layers. Gradients
    with respect to the images are the same.
    """
    if not isinstance(model, nn.Module):
        yield
        return
    switched = [parameter for parameter in model.parameters() if parameter.requires_grad]
    for parameter in switched:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in switched:
            parameter.requires_grad_(True)
