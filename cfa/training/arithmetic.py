"""What a run trains and validates in."""

from contextlib import AbstractContextManager

import torch

from cfa.config import RunConfig
from cfa.models import float32


def arithmetic_of(config: RunConfig, device: torch.device) -> AbstractContextManager[None]:
    """Compute as a configuration says, whatever was asked of torch before.

    ``bf16`` is autocast around the passes of a step (`cfa.training.step`); what it leaves in float32, and
    validation, are computed as PyTorch does unless told otherwise.
    """
    return float32(device, convolutions="ieee" if config.train.precision == "float32" else "tf32")
