"""Networks for tests of attacks: small, with BatchNorm, in a mixture of modes."""

from typing import Any

import torch
from torch import Tensor, nn


def batch_norm_network(classes: int = 4, seed: int = 0) -> nn.Sequential:
    """Make a network on 1x6x6 images whose running statistics differ from any batch's."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = nn.Sequential(
            nn.Conv2d(1, 6, 3, padding=1),
            nn.BatchNorm2d(6),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(6 * 36, classes),
        )
        norm: Any = network[1]
        norm.running_mean.uniform_(-0.2, 0.2)
        norm.running_var.uniform_(0.02, 0.2)
    return network


def images_and_labels(count: int = 12, classes: int = 4, seed: int = 1) -> tuple[Tensor, Tensor]:
    """Draw images, some of whose pixels are exactly 0 or 1, and labels."""
    generator = torch.Generator().manual_seed(seed)
    x = (torch.rand(count, 1, 6, 6, generator=generator) * 1.4 - 0.2).clamp(0, 1)
    return x, torch.randint(classes, (count,), generator=generator)


def buffers_of(model: nn.Module) -> dict[str, Tensor]:
    """Copy a model's parameters and buffers."""
    return {name: value.clone() for name, value in model.state_dict().items()}


def same_tensors(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    """Compare bit for bit."""
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
