"""Image files into one uint8 tensor: the rules for colours and sizes, and who is at fault where it fails.

- If all images are grey, there is one channel; one coloured image makes all of them RGB. Transparency is
  dropped, 16-bit grey keeps its upper eight bits, rotation marks of cameras are not applied.
- Images are brought to one square: an image is scaled so that its shorter side fits (bilinear, antialiased),
  then cropped in its centre; one that fits is left alone.
"""

import contextlib
import statistics
import struct
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import IO

import numpy as np
import psutil
import torch
from PIL import Image
from torch import Tensor

from cfa.errors import DataError

EXTENSIONS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")  # torchvision's
LARGEST_SIDE = 224  # photographs would fill the memory; what networks for photographs take
THREADS = 8

_GREY = ("1", "L", "LA", "La")
_GREY_16 = ("I;16", "I;16L", "I;16B", "I;16N")
_COLOUR = ("P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "LAB", "HSV")

# What Pillow raises for files that are not what their name says, or end too early; then what an archive does.
_UNREADABLE = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    IndexError,
    struct.error,
    Image.DecompressionBombError,
    zipfile.BadZipFile,
    zlib.error,
)


@dataclass(frozen=True)
class ZippedImage:
    """An image file within an open zip archive, from which several threads may read."""

    archive: zipfile.ZipFile
    member: str

    def __str__(self) -> str:
        """Name archive and member, for errors."""
        return f"{self.archive.filename}/{self.member}"

    def read(self) -> BytesIO:
        """Return the file's content."""
        return BytesIO(self.archive.read(self.member))


ImageFile = Path | ZippedImage


@dataclass(frozen=True)
class Format:
    """What all images of a data set are brought to: ``channels`` of ``side`` × ``side`` pixels."""

    channels: int
    side: int


def common_format(files: Sequence[ImageFile]) -> Format:
    """Read every image's header and apply the rules: the median of the shorter sides, at most 224.

    Raises:
        DataError: An image is broken; it is named.
    """
    with ThreadPoolExecutor(THREADS) as threads:
        headers = list(threads.map(_header, files))
    channels = 1 if all(grey for grey, _ in headers) else 3
    side = statistics.median_low([shorter for _, shorter in headers])
    return Format(channels, min(side, LARGEST_SIDE))


def decode_images(files: Sequence[ImageFile], shape: Format, where: Path) -> Tensor:
    """Decode images in their order: uint8, shape (images, channels, side, side).

    Args:
        files: What to decode.
        shape: What to bring them to.
        where: The folder or archive that they come from, for the error.

    Raises:
        DataError: An image is broken (it is named), or there is not enough memory for all of them.
    """
    require_memory(len(files), shape, where)
    images = np.empty((len(files), shape.channels, shape.side, shape.side), dtype=np.uint8)

    def decode_into(position: int) -> None:
        images[position] = _decoded(files[position], shape)

    with ThreadPoolExecutor(THREADS) as threads:
        for _ in threads.map(decode_into, range(len(files))):
            pass
    return torch.from_numpy(images)


def require_memory(images: int, shape: Format, where: Path) -> None:
    """Refuse what does not fit into the memory once it is decoded."""
    needed = images * shape.channels * shape.side**2
    free = psutil.virtual_memory().available
    if needed > free:
        raise DataError(
            f"{where} takes {needed / 1e9:.1f} GB once decoded ({images} images of {shape.side} × "
            f"{shape.side}) and {free / 1e9:.1f} GB of memory are free; use fewer or smaller images"
        )


def _stream(file: ImageFile) -> Path | IO[bytes]:
    return file if isinstance(file, Path) else file.read()


def _header(file: ImageFile) -> tuple[bool, int]:
    """Read whether an image is grey, and its shorter side."""
    with _named(file), Image.open(_stream(file)) as image:
        if image.mode not in (*_GREY, *_GREY_16, *_COLOUR):
            raise ValueError(f"pixels of type {image.mode}, which has no natural range")
        return image.mode in (*_GREY, *_GREY_16), min(image.size)


@contextlib.contextmanager
def _named(file: ImageFile) -> Iterator[None]:
    """Say which image it is that cannot be read."""
    try:
        yield
    except _UNREADABLE as error:
        reason = " ".join(str(error).split())[:160] or type(error).__name__
        raise DataError(f"the image {file} cannot be read ({reason}); replace or delete it") from error


def _decoded(file: ImageFile, shape: Format) -> np.ndarray:
    """Decode one image: uint8, shape (channels, side, side)."""
    with _named(file), Image.open(_stream(file)) as opened:
        opened.load()
        image: Image.Image = opened
        if image.mode in _GREY_16:
            image = Image.fromarray((np.asarray(image).astype(np.uint16) >> 8).astype(np.uint8))
        image = _square(image.convert("L" if shape.channels == 1 else "RGB"), shape.side)
        pixels = np.asarray(image)
    return pixels[None] if shape.channels == 1 else pixels.transpose(2, 0, 1)


def _square(image: Image.Image, side: int) -> Image.Image:
    """Scale an image so that its shorter side fits, then cut the square in its centre."""
    width, height = image.size
    if min(width, height) != side:
        scale = side / min(width, height)
        width, height = max(side, round(width * scale)), max(side, round(height * scale))
        image = image.resize((width, height), Image.Resampling.BILINEAR)
    left, top = (width - side) // 2, (height - side) // 2
    return image.crop((left, top, left + side, top + side)) if (width, height) != (side, side) else image
