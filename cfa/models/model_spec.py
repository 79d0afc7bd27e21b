"""What the data ask of a network: its sizes, and the normalisation before it."""

from dataclasses import dataclass

from cfa.errors import ConfigError
from cfa.models.heads import HEADS, LINEAR


@dataclass(frozen=True)
class ModelSpec:
    """What the data ask of a network.

    Attributes:
        channels: colour channels of an image.
        num_classes: length of the logits.
        image_size: side of an image in pixels.
        mean: of each channel, in [0, 1].
        std: standard deviation of each channel, above 0.
        head: what the network ends with, one of ``HEADS``.

    Raises:
        ConfigError: a number that no network can be built for.
    """

    channels: int
    num_classes: int
    image_size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    head: str = LINEAR

    def __post_init__(self) -> None:
        """Check the numbers against each other."""
        if self.head not in HEADS:
            raise ConfigError(f"a network has no head {self.head!r}; choose from {', '.join(HEADS)}")
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
