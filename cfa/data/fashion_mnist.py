"""Fashion-MNIST (Xiao, Rasul and Vollgraf 2017): whole from a folder, and a part that is embedded."""

from __future__ import annotations

import functools
import http.client
import os
import shutil
import socket
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cfa.data.augmentation import Augmentation
from cfa.data.datasets import Dataset, DatasetInfo, DatasetSource, TestPart
from cfa.data.idx import read_idx
from cfa.data.published import how_to_get
from cfa.errors import DataError

if TYPE_CHECKING:
    from torch import Tensor

Array = np.ndarray[tuple[int, ...], np.dtype[np.uint8]]

CLASS_NAMES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
    "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip

# The background is black, so zeros continue it where reflection would grow a second sleeve. Two pixels of
# 28 are the share that four of 32 are on CIFAR-10. A mirrored garment is a garment of the same class.
AUGMENTATION = Augmentation(crop_padding=2, padding_mode="constant", flip=True)

EMBEDDED = Path(__file__).with_name("embedded") / "fashion-mnist-mini.npz"
PARTS = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
FOLDERS = ("FashionMNIST/raw", "fashion-mnist")  # torchvision's layout, and one that is easy to type
DOWNLOAD_TIMEOUT_SECONDS = 30.0
DOWNLOAD_BYTES = 30_878_645  # the four gzipped files


def load_fashion_mnist_mini(folder: Path) -> Dataset:
    """Load the embedded part: the first 1,000 training images of each class, the whole test set."""
    return _embedded()


@functools.lru_cache(maxsize=1)
def _embedded() -> Dataset:
    return _assemble(
        "fashion-mnist-mini", _read_embedded("train_images", "train_labels", "test_images", "test_labels")
    )


def _embedded_test_part(folder: Path) -> TestPart:
    images, labels = _read_embedded("test_images", "test_labels")
    return images[:, None], labels.astype(np.int64)


def _read_embedded(*names: str) -> list[Array]:
    try:
        # Opened here, because numpy leaves the file open where it turns out to be no archive.
        with EMBEDDED.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            return [arrays[name] for name in names]
    except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(
            f"the embedded {EMBEDDED.name} is damaged ({error}); install CFA Studio anew"
        ) from error


def load_fashion_mnist(folder: Path) -> Dataset:
    """Load all 70,000 images from ``folder``, downloading them first where they are missing.

    Raises:
        DataError: a file is broken, or missing and not to be had by download.
    """
    files = find_files(folder)
    if files is None:
        download_fashion_mnist(folder)
        files = find_files(folder)
    if files is None:
        raise DataError(f"fashion-mnist is not in {folder}; {_way_out(folder)}")
    return _assemble("fashion-mnist", [read_idx(path) for path in files])


def find_files(folder: Path) -> list[Path] | None:
    """Return the four idx files, in the order of ``PARTS``, of the first folder that has them all."""
    for candidate in FOLDERS:
        found = [_plain_or_gzipped(folder / candidate, part) for part in PARTS]
        whole = [path for path in found if path is not None]
        if len(whole) == len(PARTS):
            return whole
    return None


def download_fashion_mnist(folder: Path) -> None:
    """Download the four files with torchvision, which compares checksums, into ``FashionMNIST/raw``.

    The download happens in a temporary folder beside; each file is renamed into place when all four
    are whole, so an interrupted download leaves nothing that could be taken for a data set.

    Raises:
        DataError: no network, a broken reply, a full disk; it says which files to put where.
    """
    import torchvision  # here, since it takes seconds and most people never need it

    workplace: Path | None = None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        workplace = Path(tempfile.mkdtemp(prefix=".downloading-", dir=folder))
        with _socket_timeout(DOWNLOAD_TIMEOUT_SECONDS):
            torchvision.datasets.FashionMNIST(str(workplace), download=True)
        raw = Path("FashionMNIST/raw")
        (folder / raw).mkdir(parents=True, exist_ok=True)
        for part in PARTS:
            os.replace(workplace / raw / part, folder / raw / part)
    # URLError is an OSError; torchvision raises RuntimeError for a wrong checksum or when no mirror answers,
    # and ValueError or EOFError where a checksum was right and the content is not.
    except (OSError, RuntimeError, ValueError, EOFError, http.client.HTTPException) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"fashion-mnist could not be downloaded ({reason}); {_way_out(folder)}") from error
    finally:
        if workplace is not None:
            shutil.rmtree(workplace, ignore_errors=True)


def _assemble(name: str, parts: list[Array]) -> Dataset:
    import torch

    train_images, train_labels, test_images, test_labels = (torch.from_numpy(part) for part in parts)
    return Dataset(
        name=name,
        class_names=CLASS_NAMES,
        train_images=_with_channel(train_images),
        train_labels=train_labels.long(),
        test_images=_with_channel(test_images),
        test_labels=test_labels.long(),
        augmentation=AUGMENTATION,
    )


def _with_channel(images: Tensor) -> Tensor:
    return images.unsqueeze(1)


def _plain_or_gzipped(folder: Path, part: str) -> Path | None:
    for path in (folder / part, folder / f"{part}.gz"):
        if path.is_file():
            return path
    return None


def _way_out(folder: Path) -> str:
    names = ", ".join(f"{part}.gz" for part in PARTS)
    return f"put {names} (Debian: the package dataset-fashion-mnist has them) into {folder / FOLDERS[1]}"


@contextmanager
def _socket_timeout(seconds: float) -> Iterator[None]:
    # torchvision opens its connections without a timeout: behind a firewall that drops packets a job would
    # wait for minutes, on a stalled server for ever.
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _describe(
    name: str, title: str, train_images: int, available: bool, how_to_get: str, download_bytes: int = 0
) -> DatasetInfo:
    return DatasetInfo(
        name=name,
        title=title,
        classes=len(CLASS_NAMES),
        channels=1,
        image_size=28,
        train_images=train_images,
        test_images=10_000,
        available=available,
        how_to_get=how_to_get,
        download_bytes=download_bytes,
    )


def _describe_mini(folder: Path) -> DatasetInfo:
    return _describe("fashion-mnist-mini", "Fashion-MNIST mini (comes with CFA Studio)", 10_000, True, "")


def _describe_whole(folder: Path) -> DatasetInfo:
    available = find_files(folder) is not None
    way = "" if available else how_to_get(DOWNLOAD_BYTES / 1e6, _way_out(folder))
    return _describe("fashion-mnist", "Fashion-MNIST", 60_000, available, way, DOWNLOAD_BYTES)


MINI = DatasetSource(load_fashion_mnist_mini, _describe_mini, test_part=_embedded_test_part)

# Four files of 31 MB in all, fetched by torchvision, which tells nobody how far it is.
WHOLE = DatasetSource(
    load_fashion_mnist, _describe_whole, lambda folder, report: download_fashion_mnist(folder)
)
