"""Batches are cut from a uint8 tensor that lives on the device, and augmented there, whole."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from cfa.data.augmentation import Augmentation


@dataclass(frozen=True, eq=False)
class Images:
    """Labelled images on one device.

    Attributes:
        images: uint8, shape (images, channels, side, side).
        labels: int64, shape (images,).
    """

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        """Count the images."""
        return len(self.labels)

    def to(self, device: torch.device | str) -> "Images":
        """Return the same images on ``device``."""
        return Images(self.images.to(device), self.labels.to(device))

    def subset(self, indices: Tensor) -> "Images":
        """Return the images at ``indices`` (int64), in that order."""
        indices = indices.to(self.labels.device)
        return Images(self.images[indices], self.labels[indices])

    def counts(self, num_classes: int) -> Tensor:
        """Count the images of each class: int64, shape (classes,), on the images' device."""
        return torch.bincount(self.labels, minlength=num_classes)


@dataclass(frozen=True, eq=False)
class Offsets:
    """One crop position and one flip decision per image.

    Attributes:
        top: int64, shape (batch,), in 0 … 2 * crop_padding; ``left`` likewise.
        flipped: bool, shape (batch,).
    """

    top: Tensor
    left: Tensor
    flipped: Tensor


def to_float(images: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """Map uint8 images from 0 … 255 to [0, 1]."""
    return images.to(dtype).div_(255)


def augment(images: Tensor, augmentation: Augmentation, generator: torch.Generator) -> Tensor:
    """Crop and flip every image of a uint8 batch at random; ``generator`` lives on its device.

    Equal draws for equal generator states: a batch consumes the same numbers whatever it shows.
    """
    return apply_offsets(images, augmentation, draw_offsets(len(images), augmentation, generator))


def draw_offsets(batch: int, augmentation: Augmentation, generator: torch.Generator) -> Offsets:
    """Draw uniform crop positions and fair flips for ``batch`` images on the generator's device."""
    device, places = generator.device, 2 * augmentation.crop_padding + 1
    top, left = torch.randint(places, (2, batch), generator=generator, device=device)
    flips = torch.randint(2, (batch,), generator=generator, device=device)
    flipped = flips.bool() if augmentation.flip else torch.zeros_like(flips, dtype=torch.bool)
    return Offsets(top, left, flipped)


def apply_offsets(images: Tensor, augmentation: Augmentation, offsets: Offsets) -> Tensor:
    """Pad, crop at ``offsets`` and flip where they say so; the shape stays."""
    if augmentation.crop_padding:
        side = images.shape[-1]
        padded = _pad(images, augmentation)
        # Every crop is a view; picking one per image copies the batch once, without a loop.
        windows = padded.unfold(2, side, 1).unfold(3, side, 1)
        each = torch.arange(len(images), device=images.device)
        images = windows[each, :, offsets.top, offsets.left]
    if augmentation.flip:
        images = torch.where(offsets.flipped.view(-1, 1, 1, 1), images.flip(3), images)
    return images


def batch_slices(order: Tensor, batch_size: int) -> list[Tensor]:
    """Cut ``order`` (int64 positions) into batches; a smaller last one is kept."""
    return list(torch.split(order, batch_size))


def _pad(images: Tensor, augmentation: Augmentation) -> Tensor:
    padding, side = augmentation.crop_padding, images.shape[-1]
    if augmentation.padding_mode == "constant":
        return F.pad(images, (padding,) * 4)
    # F.pad reflects only floating point images; picking rows and columns costs less than converting.
    # `period - |…|` folds -1, -2, … back to 1, 2, … and side, side + 1, … to side - 2, side - 3, …
    positions = torch.arange(-padding, side + padding, device=images.device).abs()
    mirrored = (side - 1) - ((side - 1) - positions).abs()
    return images.index_select(2, mirrored).index_select(3, mirrored)


def clean_batches(images: Images, batch_size: int) -> Iterator[Tensor]:
    """Give images in file order, unvaried, as float batches in [0, 1]; the last may be smaller."""
    for indices in batch_slices(torch.arange(len(images), device=images.labels.device), batch_size):
        yield to_float(images.subset(indices).images)
