"""Image files into one uint8 tensor: the rules for colours and sizes, and who is at fault where it fails.

- If all images are grey, there is one channel; one coloured image makes all of them RGB. Transparency is
  dropped, rotation marks of cameras are not applied. Of grey images of 16 bits the brightest pixel of all
  says how many bits were used (8, 10, 12, 14 or 16): the upper eight of these are kept.
- Images are brought to one square: an image is scaled so that its shorter side fits (bilinear, antialiased),
  then cropped in its centre; one that fits is left alone. Of one that is more than eight times as long as it
  is wide the middle is taken before, for scaled whole it would fill the memory.
- A file is what its content says; formats that programs of others would have to open are not read.
"""

from __future__ import annotations

import contextlib
import statistics
import struct
import threading
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import psutil
from PIL import Image, features

from cfa.data.storable_names import shown
from cfa.errors import DataError

if TYPE_CHECKING:
    from torch import Tensor

EXTENSIONS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")  # torchvision's
LARGEST_SIDE = 224  # photographs would fill the memory; what networks for photographs take
THREADS = 8
LONGEST_SHAPE = 8  # times its shorter side; what is scaled of an image
LARGEST_PIXELS = 89_000_000  # an image of ten thousand by nine thousand; Pillow warns from here on
LARGE_PIXELS = 16_000_000  # one at a time: eight of them at once would be gigabytes

# Pillow would hand an EPS file called x.png to Ghostscript.
_FORMATS = ("BMP", "DIB", "GIF", "JPEG", "PNG", "PPM", "TIFF", *(["WEBP"] if features.check("webp") else []))
_DEPTHS = (8, 10, 12, 14, 16)  # bits of cameras and scanners
_LOWEST_COLOUR = (
    64  # of 255: below it, colours of 16 bits use 14 at most, of which Pillow keeps the upper six
)
_ONE_LARGE_IMAGE = threading.Lock()

_GREY = ("1", "L", "LA", "La")
_GREY_16 = ("I;16", "I;16L", "I;16B", "I;16N", "I")  # the last where an older Pillow reads one of the others
_COLOUR = ("P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "LAB", "HSV")

# What Pillow raises for files that are not what their name says, or end too early; then what an archive does.
_UNREADABLE = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    ArithmeticError,
    EOFError,
    MemoryError,
    struct.error,
    Image.DecompressionBombError,
    Image.DecompressionBombWarning,
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


@dataclass(frozen=True)
class Survey:
    """What the headers of a data set's images say.

    Attributes:
        format: The median of the shorter sides, at most 224; one channel if all are grey.
        deep_grey: Those with 16 bits of grey, whose range has to be looked at.
        deep_colour: Those with 16 bits of each colour, of which Pillow gives the upper eight.
    """

    format: Format
    deep_grey: tuple[ImageFile, ...] = ()
    deep_colour: tuple[ImageFile, ...] = ()


def survey(files: Sequence[ImageFile]) -> Survey:
    """Read every image's header and apply the rules.

    Raises:
        DataError: An image is broken, or too large; it is named.
    """
    with ThreadPoolExecutor(THREADS) as threads:
        headers = list(threads.map(_header, files))
    channels = 1 if all(header.grey for header in headers) else 3
    side = statistics.median_low([header.shorter for header in headers])
    deep = [(file, header.grey) for file, header in zip(files, headers, strict=True) if header.deep]
    return Survey(
        Format(channels, min(side, LARGEST_SIDE)),
        tuple(file for file, grey in deep if grey),
        tuple(file for file, grey in deep if not grey),
    )


def bits_used(found: Survey) -> int:
    """Look how many bits the grey images of 16 bits use, over all of them; 16 where there are none.

    Raises:
        DataError: They hold numbers that are no brightness; or coloured images of 16 bits use so few that
            they would come out black.
    """
    with ThreadPoolExecutor(THREADS) as threads:
        greys = list(threads.map(_extremes, found.deep_grey))
        colours = list(threads.map(_extremes, found.deep_colour))
    for file, (lowest, highest) in zip(found.deep_grey, greys, strict=True):
        if lowest < 0 or highest >= 2 ** _DEPTHS[-1]:
            raise DataError(
                f"the image {shown(file)} has values from {lowest} to {highest}, which no rule takes for "
                "brightness; save it with 8 bits"
            )
    brightest = max((highest for _, highest in colours), default=255)
    if brightest < _LOWEST_COLOUR:
        raise DataError(
            f"the coloured images of 16 bits, such as {shown(found.deep_colour[0])}, have no value above "
            f"{256 * brightest + 255} of 65535 and would come out dark; save them with 8 bits a colour"
        )
    largest = max((highest for _, highest in greys), default=2 ** _DEPTHS[-1] - 1)
    return next(bits for bits in _DEPTHS if largest < 2**bits)


def decode_images(files: Sequence[ImageFile], shape: Format, where: Path, bits: int = _DEPTHS[-1]) -> Tensor:
    """Decode images in their order: uint8, shape (images, channels, side, side).

    Args:
        files: What to decode.
        shape: What to bring them to.
        where: The folder or archive that they come from, for the error.
        bits: Used in grey images of 16 bits, as :func:`bits_used` found.

    Raises:
        DataError: An image is broken (it is named), or there is not enough memory for all of them.
    """
    import torch

    require_memory(len(files), shape, where)
    images = np.empty((len(files), shape.channels, shape.side, shape.side), dtype=np.uint8)

    def decode_into(position: int) -> None:
        images[position] = _decoded(files[position], shape, bits)

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
            f"{shown(where)} takes {needed / 1e9:.1f} GB once decoded ({images} images of {shape.side} × "
            f"{shape.side}) and {free / 1e9:.1f} GB of memory are free; use fewer or smaller images"
        )


@dataclass(frozen=True)
class _Header:
    grey: bool
    deep: bool
    shorter: int


def _header(file: ImageFile) -> _Header:
    with _opened(file) as image:
        if image.mode not in (*_GREY, *_GREY_16, *_COLOUR):
            raise ValueError(f"pixels of type {image.mode}, which has no natural range")
        deep = image.mode in _GREY_16 or any(";16" in str(tile[3]) for tile in getattr(image, "tile", ()))
        return _Header(image.mode in (*_GREY, *_GREY_16), deep, min(image.size))


@contextlib.contextmanager
def _opened(file: ImageFile) -> Iterator[Image.Image]:
    """Open an image without decoding it; say which it is that cannot be read."""
    try:
        with Image.open(file if isinstance(file, Path) else file.read(), formats=_FORMATS) as image:
            if (pixels := image.width * image.height) > LARGEST_PIXELS:
                raise ValueError(
                    f"{image.width} × {image.height} are more than {LARGEST_PIXELS / 1e6:.0f} million pixels"
                )
            with _ONE_LARGE_IMAGE if pixels > LARGE_PIXELS else contextlib.nullcontext():
                yield image
    except _UNREADABLE as error:
        reason = " ".join(str(error).split())[:160] or type(error).__name__
        raise DataError(f"the image {shown(file)} cannot be read ({reason}); replace or delete it") from error


def _extremes(file: ImageFile) -> tuple[int, int]:
    """Decode one image and return its lowest and highest value."""
    with _opened(file) as image:
        values = np.asarray(image)
        return int(values.min()), int(values.max())


def _decoded(file: ImageFile, shape: Format, bits: int) -> np.ndarray:
    """Decode one image: uint8, shape (channels, side, side)."""
    with _opened(file) as opened:
        opened.load()
        image: Image.Image = opened
        if image.mode in _GREY_16:
            image = Image.fromarray((np.asarray(image).astype(np.uint16) >> (bits - 8)).astype(np.uint8))
        image = _square(image.convert("L" if shape.channels == 1 else "RGB"), shape.side)
        pixels = np.asarray(image)
    return pixels[None] if shape.channels == 1 else pixels.transpose(2, 0, 1)


def _square(image: Image.Image, side: int) -> Image.Image:
    """Scale an image so that its shorter side fits, then cut the square in its centre."""
    shorter = min(image.size)
    image = _cut(image, *(min(length, LONGEST_SHAPE * shorter) for length in image.size))
    width, height = image.size
    if shorter != side:
        scale = side / shorter
        width, height = max(side, round(width * scale)), max(side, round(height * scale))
        image = image.resize((width, height), Image.Resampling.BILINEAR)
    return _cut(image, side, side)


def _cut(image: Image.Image, width: int, height: int) -> Image.Image:
    """Cut the middle out of an image."""
    if image.size == (width, height):
        return image
    left, top = (image.width - width) // 2, (image.height - height) // 2
    return image.crop((left, top, left + width, top + height))
