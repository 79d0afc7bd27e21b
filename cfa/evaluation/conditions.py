"""The conditions under which reported numbers are computed, whatever the caller had set."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch
from torch import nn

from cfa.attacks import frozen_parameters, model_mode
from cfa.models import ieee_float32, repeatable

ARITHMETIC = "float32"  # as IEEE 754 has it: results say so


@contextmanager
def reported(device: torch.device, *models: nn.Module | None) -> Iterator[None]:
    """Hold models in eval mode without gradients of parameters, the device to repeatable float32.

    Args:
        device: Where is computed.
        models: Those that take part; afterwards they are as they were.
    """
    with ExitStack() as stack:
        stack.enter_context(repeatable())
        stack.enter_context(ieee_float32(device))
        for model in models:
            stack.enter_context(model_mode(model, training=False))
            stack.enter_context(frozen_parameters(model))
        yield
