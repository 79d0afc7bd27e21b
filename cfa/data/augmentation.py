"""How training images are varied."""

from dataclasses import dataclass
from typing import Literal

from cfa.errors import DataError


@dataclass(frozen=True)
class Augmentation:
    """How training images are varied: a random crop after padding, and a random left-right flip.

    Attributes:
        crop_padding: pixels added on each side before cropping back; 0 means no crop.
        padding_mode: ``constant`` pads with zeros (black), ``reflect`` mirrors the image.
        flip: whether each image is mirrored left to right with probability 1/2.
    """

    crop_padding: int
    padding_mode: Literal["constant", "reflect"]
    flip: bool

    def __post_init__(self) -> None:
        """Refuse what no image can be padded by."""
        if self.crop_padding < 0:
            raise DataError(f"crop_padding={self.crop_padding} is negative; use 0 for no crop")
        if self.padding_mode not in ("constant", "reflect"):
            raise DataError(f"padding_mode={self.padding_mode!r} is unknown; use 'constant' or 'reflect'")


NO_AUGMENTATION = Augmentation(crop_padding=0, padding_mode="constant", flip=False)
