"""Anyone's image folder as a data set, ``folder:PATH``, decoded once and cached.

What is taken from a folder, in full:

- ``train/<class>/…`` and ``test/<class>/…``; with ``test/`` alone it can be evaluated on only. Without
  ``test/`` a tenth of each class, drawn with a fixed seed, is the test part. Where neither is there, the
  folders in PATH are the classes, and are split likewise. Other folders beside these two are not read.
- Images lie at any depth below a class folder; classes and images are in the order of their names, as in
  torchvision's ``ImageFolder``, so that labels fit weights made with it. Hidden files and folders (and
  ``__MACOSX`` and its like), and files that are no images by their name, are ignored.
- If all images are grey, there is one channel; one coloured image makes all of them RGB. Transparency is
  dropped, 16-bit grey keeps its upper eight bits, rotation marks of cameras are not applied.
- Images are brought to one square: the median of all shorter sides, at most 224. An image is scaled so that
  its shorter side fits (bilinear, antialiased), then cropped in its centre; one that fits is left alone.
"""

import contextlib
import functools
import hashlib
import json
import os
import secrets
import statistics
import struct
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
import safetensors
import safetensors.torch
import torch
from PIL import Image
from torch import Tensor

from cfa.data.datasets import DATASETS, FOLDER, Augmentation, Dataset, DatasetInfo, DatasetSource, full_name
from cfa.data.splits import stratified_split
from cfa.errors import DataError

EXTENSIONS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")  # torchvision's
LARGEST_SIDE = 224  # photographs would fill the memory; what networks for photographs take
TEST_FRACTION = 0.1
TEST_SEED = 0
RULES = 1  # raised when the rules above change: older caches are then made anew
THREADS = 8
STALE_SECONDS = 3600.0  # a temporary file this old has no writer any more

# As for the data sets of its kind: four pixels of 32, and a mirrored object is an object of the same class.
# Whoever knows better (digits, text) switches it off with `data.augment`.
CROP_SHARE = 1 / 8

_GREY = ("1", "L", "LA", "La")
_GREY_16 = ("I;16", "I;16L", "I;16B", "I;16N")
_COLOUR = ("P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "LAB", "HSV")

# What Pillow raises for files that are not what their name says, or end too early.
_UNREADABLE = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    IndexError,
    struct.error,
    Image.DecompressionBombError,
)


Files = tuple[tuple[int, Path], ...]
"""Class index and file, one pair after another."""


@dataclass(frozen=True)
class Listing:
    """The images of a folder, before any is opened.

    Attributes:
        path: The folder.
        class_names: In the order of their names.
        train: Training images, class by class.
        test: Empty where the test part is to be drawn from ``train``.
        digest: Changes with the name, size or time of any file, and with the rules above.
    """

    path: Path
    class_names: tuple[str, ...]
    train: Files
    test: Files
    digest: str

    @property
    def test_only(self) -> bool:
        """Tell whether there is nothing to train on."""
        return not self.train

    def labels(self) -> tuple[Tensor, Tensor]:
        """Return the classes of both parts' files, int64."""
        train, test = (torch.tensor([label for label, _ in part]) for part in (self.train, self.test))
        return train.long(), test.long()

    def counts(self) -> tuple[int, int]:
        """Return how many images the training and the test part will have."""
        if self.test:
            return len(self.train), len(self.test)
        labels, _ = self.labels()
        split = _split(labels, len(self.class_names))
        return len(split[0]), len(split[1])


@dataclass(frozen=True)
class Format:
    """What all images of a folder are brought to: ``channels`` of ``side`` × ``side`` pixels."""

    channels: int
    side: int


def scan_folder(path: Path) -> Listing:
    """List the images of a folder by the rules above, without opening any.

    Raises:
        DataError: It is missing, holds fewer than two classes, a class without images, or parts with
            different classes; or a class is too small to be split.
    """
    path = path.expanduser().resolve()
    if not path.is_dir():
        what = "is a file" if path.exists() else "does not exist"
        raise DataError(f"{path} {what}; folder:PATH takes a folder with one folder of images per class")
    parts = {part: path / part for part in ("train", "test") if _folders(path / part)}
    roots = parts or {"train": path}
    names = {part: tuple(folder.name for folder in _folders(root)) for part, root in roots.items()}
    class_names = names.get("train", names.get("test", ()))
    _check_classes(path, names)
    files = {part: _files(root, class_names) for part, root in roots.items()}
    train, test = files.get("train", ()), files.get("test", ())
    if not test:
        _check_splittable(path, class_names, train)
    return Listing(path, class_names, train, test, _digest(path, class_names, train, test))


def load_folder(path: Path, cache: Path) -> Dataset:
    """Load a folder of images, from ``cache`` where it was decoded before and no file has changed since.

    Args:
        path: The folder.
        cache: The folder of downloaded data sets; decoded images are kept in ``folders/`` below it.

    Raises:
        DataError: As for :func:`scan_folder`; or an image is broken (it is named), the decoded images do not
            fit into the memory, or the cache cannot be written.
    """
    listing = scan_folder(path)
    stored = _cache_file(cache, listing)
    cached = _read_cache(stored, listing)
    if cached is not None:
        return cached
    shape = _format(listing)
    images = _decode(listing, shape)
    dataset = _assemble(listing, images, shape.side)
    _write_cache(stored, images, dataset)
    return dataset


# Listing ---------------------------------------------------------------------------------------------------


def _folders(path: Path) -> list[Path]:
    """Return the visible folders in a folder, by name; none where it is no folder."""
    try:
        return sorted(
            (entry for entry in path.iterdir() if entry.is_dir() and not entry.name.startswith((".", "__"))),
            key=lambda entry: entry.name,
        )
    except (NotADirectoryError, FileNotFoundError):
        return []
    except OSError as error:
        raise DataError(f"cannot read the folder {path} ({error.strerror})") from error


def _files(root: Path, class_names: tuple[str, ...]) -> Files:
    found = []
    for label, name in enumerate(class_names):
        files = sorted(_images_below(root / name))
        if not files:
            kinds = ", ".join(EXTENSIONS)
            raise DataError(f"{root / name} holds no image ({kinds}); remove that folder or add images")
        found += [(label, file) for file in files]
    return tuple(found)


def _images_below(folder: Path) -> Iterator[Path]:
    for place, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in files:
            if name.lower().endswith(EXTENSIONS) and not name.startswith("."):
                yield Path(place, name)


def _check_classes(path: Path, names: dict[str, tuple[str, ...]]) -> None:
    smallest = min(len(classes) for classes in names.values())
    if smallest < 2:
        raise DataError(
            f"{path} holds {smallest} class folders where two are needed; "
            "it should look like train/<class>/image.png and test/<class>/image.png, or <class>/image.png"
        )
    train, test = (set(names.get(part, names.get("test", ()))) for part in ("train", "test"))
    if "train" in names and "test" in names and train != test:
        part, other = ("train", "test") if train - test else ("test", "train")
        absent = min((train - test) or (test - train))
        raise DataError(
            f"{path} has the class {absent!r} in {part}/ but not in {other}/; both need the same classes"
        )


def _check_splittable(path: Path, class_names: tuple[str, ...], train: Files) -> None:
    counts = np.bincount([label for label, _ in train], minlength=len(class_names))
    if counts.min() < 2:
        raise DataError(
            f"{path} has no test/ folder, so that a tenth of each class is the test part, and the class "
            f"{class_names[int(counts.argmin())]!r} has one image only; add images or a test/ folder"
        )


def _digest(path: Path, class_names: tuple[str, ...], *parts: Files) -> str:
    digest = hashlib.sha256(json.dumps([RULES, class_names]).encode())
    for part in parts:
        digest.update(b"part\n")
        for _, file in part:
            try:
                state = file.stat()
            except OSError as error:
                raise DataError(f"cannot read the image {file} ({error.strerror})") from error
            line = [file.relative_to(path).as_posix(), state.st_size, state.st_mtime_ns]
            digest.update(json.dumps(line).encode())
    return digest.hexdigest()


def _split(labels: Tensor, num_classes: int) -> tuple[Tensor, Tensor]:
    split = stratified_split(labels, num_classes, TEST_FRACTION, TEST_SEED)
    return split.train, split.validation


# Decoding --------------------------------------------------------------------------------------------------


def _format(listing: Listing) -> Format:
    return _measured(listing.path, listing.digest, (*listing.train, *listing.test))


@functools.lru_cache(maxsize=4)
def _measured(path: Path, digest: str, files: Files) -> Format:
    """Read every image's header; the digest stands for the files' state among the arguments."""
    with ThreadPoolExecutor(THREADS) as threads:
        headers = list(threads.map(_header, (file for _, file in files)))
    channels = 1 if all(grey for grey, _ in headers) else 3
    side = statistics.median_low([shorter for _, shorter in headers])
    return Format(channels, min(side, LARGEST_SIDE))


def _header(file: Path) -> tuple[bool, int]:
    """Read whether an image is grey, and its shorter side."""
    with _named(file), Image.open(file) as image:
        if image.mode not in (*_GREY, *_GREY_16, *_COLOUR):
            raise ValueError(f"pixels of type {image.mode}, which has no natural range")
        return image.mode in (*_GREY, *_GREY_16), min(image.size)


@contextlib.contextmanager
def _named(file: Path) -> Iterator[None]:
    """Say which image it is that cannot be read."""
    try:
        yield
    except _UNREADABLE as error:
        reason = " ".join(str(error).split())[:160] or type(error).__name__
        raise DataError(f"the image {file} cannot be read ({reason}); replace or delete it") from error


def _decode(listing: Listing, shape: Format) -> Tensor:
    """Decode all images, training part first: uint8, shape (images, channels, side, side)."""
    files = [file for _, file in (*listing.train, *listing.test)]
    needed = len(files) * shape.channels * shape.side**2
    free = psutil.virtual_memory().available
    if needed > free:
        raise DataError(
            f"{listing.path} takes {needed / 1e9:.1f} GB once decoded ({len(files)} images of {shape.side} × "
            f"{shape.side}) and {free / 1e9:.1f} GB of memory are free; use fewer or smaller images"
        )
    images = np.empty((len(files), shape.channels, shape.side, shape.side), dtype=np.uint8)

    def decode_into(position: int) -> None:
        images[position] = _decoded(files[position], shape)

    with ThreadPoolExecutor(THREADS) as threads:
        for _ in threads.map(decode_into, range(len(files))):
            pass
    return torch.from_numpy(images)


def _decoded(file: Path, shape: Format) -> np.ndarray:
    """Decode one image: uint8, shape (channels, side, side)."""
    with _named(file), Image.open(file) as opened:
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


def _assemble(listing: Listing, images: Tensor, side: int) -> Dataset:
    train_labels, test_labels = listing.labels()
    train, test = images[: len(train_labels)], images[len(train_labels) :]
    if not listing.test:
        kept, held_out = _split(train_labels, len(listing.class_names))
        train, test = images[kept], images[held_out]
        train_labels, test_labels = train_labels[kept], train_labels[held_out]
    return Dataset(
        name=f"{FOLDER}:{listing.path}",
        class_names=listing.class_names,
        train_images=train,
        train_labels=train_labels,
        test_images=test,
        test_labels=test_labels,
        augmentation=Augmentation(crop_padding=round(side * CROP_SHARE), padding_mode="reflect", flip=True),
        test_only=listing.test_only,
    )


# Cache -----------------------------------------------------------------------------------------------------


def _cache_file(folder: Path, listing: Listing) -> Path:
    place = hashlib.sha256(str(listing.path).encode()).hexdigest()[:12]
    return folder / "folders" / f"{listing.path.name}-{place}" / f"{listing.digest[:32]}.safetensors"


def _read_cache(file: Path, listing: Listing) -> Dataset | None:
    """Read decoded images; ``None`` where there are none, or they are not what was written."""
    if not file.is_file():
        return None
    try:
        with safetensors.safe_open(file, framework="pt") as opened:
            metadata = opened.metadata() or {}
        images = safetensors.torch.load_file(file)["images"]
    except (safetensors.SafetensorError, OSError, ValueError, KeyError):
        return None  # damaged: it is made anew
    wanted = len(listing.train) + len(listing.test)
    if images.dtype != torch.uint8 or images.ndim != 4 or len(images) != wanted:
        return None
    dataset = _assemble(listing, images, images.shape[-1])
    return dataset if dataset.fingerprint == metadata.get("fingerprint") else None


def _cached_format(file: Path) -> Format | None:
    """Read the shape of decoded images without reading them."""
    try:
        with safetensors.safe_open(file, framework="pt") as opened:
            _, channels, side, _ = opened.get_slice("images").get_shape()
    except (safetensors.SafetensorError, OSError, ValueError):
        return None
    return Format(channels, side)


def _write_cache(file: Path, images: Tensor, dataset: Dataset) -> None:
    """Write decoded images in one step, and drop what the folder's earlier states left behind."""
    temporary = file.with_name(f".{file.name}.{secrets.token_hex(4)}.tmp")
    metadata = {"fingerprint": dataset.fingerprint, "name": dataset.name}
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        safetensors.torch.save_file({"images": images}, temporary, metadata)
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        os.replace(temporary, file)
    except (OSError, safetensors.SafetensorError) as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        reason = getattr(error, "strerror", None) or str(error)
        raise DataError(
            f"the decoded images of {dataset.name} cannot be kept in {file.parent} ({reason}); free "
            f"{images.numel() / 1e6:.0f} MB or choose another CFA_HOME"
        ) from error
    for old in file.parent.iterdir():
        with contextlib.suppress(OSError):  # another process may be as fast
            half_written = old.suffix == ".tmp" and time.time() - old.stat().st_mtime > STALE_SECONDS
            if half_written or (old.suffix == file.suffix and old != file):
                old.unlink()


# Registration ----------------------------------------------------------------------------------------------


def _describe(path: Path, cache: Path) -> DatasetInfo:
    """Describe a folder from its cache or its images' headers; one that cannot be used says why."""
    name = full_name(f"{FOLDER}:{path}")
    try:
        listing = scan_folder(path)
        shape = _cached_format(_cache_file(cache, listing)) or _format(listing)
        train, test = listing.counts()
    except DataError as error:
        return DatasetInfo(name, path.name, 0, 0, 0, 0, 0, available=False, how_to_get=f"{error}.")
    return DatasetInfo(
        name=name,
        title=f"{listing.path.name} (image folder)",
        classes=len(listing.class_names),
        channels=shape.channels,
        image_size=shape.side,
        train_images=train,
        test_images=test,
        available=True,
        how_to_get="",
    )


def folder_source(path: str) -> DatasetSource:
    """Make the data set ``folder:PATH``."""
    if not path.strip():
        raise DataError(_USAGE)
    place = Path(path)
    return DatasetSource(lambda cache: load_folder(place, cache), lambda cache: _describe(place, cache))


_USAGE = (
    "folder needs a path: write folder:PATH, a folder with train/<class>/image.png and "
    "test/<class>/image.png, or <class>/image.png"
)


def _no_path(cache: Path) -> Dataset:
    raise DataError(_USAGE)


def _describe_scheme(cache: Path) -> DatasetInfo:
    title = "Any folder of images (folder:PATH)"
    return DatasetInfo(FOLDER, title, 0, 0, 0, 0, 0, available=False, how_to_get=f"{_USAGE}.")


DATASETS.register(FOLDER, DatasetSource(_no_path, _describe_scheme))
DATASETS.register_scheme(FOLDER, folder_source)
