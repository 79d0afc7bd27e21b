"""Networks take images in [0, 1]; normalisation is their first layer, so attacks never know of it."""

import math

import torch
from torch import Tensor, nn


class Normalise(nn.Module):
    """Subtract the mean and divide by the standard deviation of each channel.

    Both are persistent buffers of shape (1, channels, 1, 1): a weights file says by itself how its
    network wants images.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).view(1, -1, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(1, -1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Normalise a batch of shape (batch, channels, height, width)."""
        return (x - self.mean) / self.std


class NormalisedModel(nn.Module):
    """A network behind its normalisation: images in [0, 1] to logits of shape (batch, classes)."""

    def __init__(self, normalise: Normalise, network: nn.Module) -> None:
        super().__init__()
        self.normalise = normalise
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits for a batch in [0, 1]."""
        logits: Tensor = self.network(self.normalise(x))
        return logits


def channel_statistics(images: Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Compute mean and standard deviation of each channel in [0, 1], from uint8 images (N, C, H, W).

    They come from a histogram in whole numbers, so that neither threads nor devices change a digit.
    A channel that never varies gets 1/255 instead of 0, which nothing can be divided by.
    """
    means, stds = [], []
    for channel in range(images.shape[1]):
        histogram = torch.bincount(images[:, channel].reshape(-1), minlength=256).tolist()
        pixels = sum(histogram)
        total = sum(value * count for value, count in enumerate(histogram))
        squares = sum(value * value * count for value, count in enumerate(histogram))
        variance = (squares * pixels - total * total) / (pixels * pixels)
        means.append(total / pixels / 255)
        stds.append(max(math.sqrt(variance), 1.0) / 255)
    return tuple(means), tuple(stds)
