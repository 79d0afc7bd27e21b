"""The networks that can be named, and how one is built."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from cfa.errors import ConfigError
from cfa.models.normalise import Normalise, NormalisedModel
from cfa.models.preact_resnet import PreActResNet18
from cfa.models.small_cnn import SmallCNN
from cfa.registry import Registry

SMALLEST_IMAGE = 8  # three halvings leave one pixel


@dataclass(frozen=True)
class ModelSpec:
    """What the data ask of a network.

    Attributes:
        channels: colour channels of an image.
        num_classes: length of the logits.
        image_size: side of an image in pixels.
        mean: of each channel, in [0, 1].
        std: standard deviation of each channel, above 0.

    Raises:
        ConfigError: a number that no network can be built for.
    """

    channels: int
    num_classes: int
    image_size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __post_init__(self) -> None:
        """Check the numbers against each other."""
        if self.channels < 1 or self.num_classes < 2 or self.image_size < 1:
            raise ConfigError(
                f"a network for {self.channels} channels, {self.num_classes} classes and images of "
                f"{self.image_size} pixels cannot be built; at least 1, 2 and 1 are needed"
            )
        if not len(self.mean) == len(self.std) == self.channels:
            raise ConfigError(
                f"normalisation has {len(self.mean)} means and {len(self.std)} standard deviations; "
                f"give one of each per channel ({self.channels})"
            )
        if min(self.std) <= 0:
            raise ConfigError(f"normalisation divides by std={self.std}; each must be above 0")


ModelBuilder = Callable[[ModelSpec], nn.Module]
"""Builds the network behind the normalisation: it sees normalised images and returns logits."""

MODELS: Registry[ModelBuilder] = Registry("model")


def build_model(name: str, spec: ModelSpec, seed: int) -> NormalisedModel:
    """Build the network called ``name`` on the CPU, weights drawn from ``seed``, behind its normalisation.

    The global random state is left as found.

    Raises:
        UnknownName: nothing is registered or importable under this name.
        ConfigError: the images are too small for it, or a user's builder returned no network.
    """
    builder = MODELS[name]
    # Devices are left alone: `torch.manual_seed` would reseed every GPU, which fork_rng then has to save.
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        network: object = builder(spec)
    if not isinstance(network, nn.Module):
        raise ConfigError(
            f"the model builder {name!r} returned {type(network).__name__}; return an nn.Module"
        )
    return NormalisedModel(Normalise(spec.mean, spec.std), network)


def small_cnn(spec: ModelSpec) -> nn.Module:
    """Build ``small-cnn``, for CPU and tests."""
    _require_size("small-cnn", spec)
    return SmallCNN(spec.channels, spec.num_classes, spec.image_size)


def preact_resnet18(spec: ModelSpec) -> nn.Module:
    """Build ``preact-resnet18``, the network of the CFA paper."""
    _require_size("preact-resnet18", spec)
    return PreActResNet18(spec.channels, spec.num_classes)


def _require_size(name: str, spec: ModelSpec) -> None:
    if spec.image_size < SMALLEST_IMAGE:
        raise ConfigError(
            f"{name} needs images of at least {SMALLEST_IMAGE} pixels a side, these have {spec.image_size}; "
            "choose a data set with larger images or a model of your own"
        )


MODELS.register("small-cnn", small_cnn)
MODELS.register("preact-resnet18", preact_resnet18)
