"""Random numbers for starts: of a whole batch from one generator, or of every image from its own."""

from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor


class ImageNoise:
    """Random numbers that belong to images: neither the rest of the batch nor the device changes them.

    So two attacks with the same start begin alike for every image, also where one of them leaves images out.
    """

    def __init__(self, generators: Sequence[torch.Generator]) -> None:
        """Take a generator on the CPU for each image of a batch, in its order."""
        self._generators = generators

    @classmethod
    def seeded(cls, seeds: Iterable[int]) -> "ImageNoise":
        """Start from one seed for each image."""
        return cls([torch.Generator().manual_seed(seed) for seed in seeds])

    def of(self, rows: Tensor) -> "ImageNoise":
        """Return the numbers of some images, which go on from where they are."""
        return ImageNoise([self._generators[row] for row in rows.tolist()])

    def draw(self, kind: Callable[..., Tensor], like: Tensor) -> Tensor:
        """Draw by ``kind`` (``torch.rand``, ``torch.randn``) in shape, dtype and device of ``like``."""
        rows = [kind(like.shape[1:], dtype=like.dtype, generator=one) for one in self._generators]
        return torch.stack(rows).to(like.device)


Source = torch.Generator | ImageNoise | None


def uniform(like: Tensor, source: Source) -> Tensor:
    """Draw numbers in [0, 1) in shape, dtype and device of ``like``, whose first dimension are the images."""
    return _drawn(torch.rand, like, source)


def normal(like: Tensor, source: Source) -> Tensor:
    """Draw normal numbers, likewise."""
    return _drawn(torch.randn, like, source)


def of_rows(source: Source, rows: Tensor) -> Source:
    """Return the source for some images of a batch; a generator of the whole batch goes on for them."""
    return source.of(rows) if isinstance(source, ImageNoise) else source


def _drawn(kind: Callable[..., Tensor], like: Tensor, source: Source) -> Tensor:
    if isinstance(source, ImageNoise):
        return source.draw(kind, like)
    return kind(like.shape, dtype=like.dtype, device=like.device, generator=source)
