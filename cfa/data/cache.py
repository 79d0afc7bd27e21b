"""Decoded images in a file of their own, read by mapping it into memory.

A file is the whole one or none: it is written beside and renamed, and whoever reads it compares the
fingerprint of what was read with the one that was written.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import safetensors

from cfa.data.augmentation import Augmentation
from cfa.data.datasets import Dataset
from cfa.data.images import Format
from cfa.data.storable_names import shown
from cfa.errors import DataError, StoreError
from cfa.files import replacing

if TYPE_CHECKING:
    from torch import Tensor

SUFFIX = ".safetensors"
STALE_SECONDS = 3600.0  # a temporary file this old has no writer any more
IMAGES = "images"


@dataclass(frozen=True, eq=False)
class Decoded:
    """What a cache holds.

    Attributes:
        images: uint8, shape (images, channels, side, side), mapped from the file.
        others: Whatever else was written, labels for example.
        metadata: Texts; ``fingerprint`` is that of the data set.
    """

    images: Tensor
    others: Mapping[str, Tensor]
    metadata: Mapping[str, str]

    def vouches_for(self, dataset: Dataset) -> bool:
        """Tell whether a data set made from this is the one that was written."""
        return dataset.fingerprint == self.metadata.get("fingerprint")


@dataclass(frozen=True, eq=False)
class Content:
    """All that there is to know of a data set whose files may be gone once it was decoded.

    Attributes:
        class_names: One per class.
        images: uint8, shape (images, channels, side, side), training part first.
        train_labels: int64, shape (training images,); ``test_labels`` likewise.
    """

    class_names: tuple[str, ...]
    images: Tensor
    train_labels: Tensor
    test_labels: Tensor

    def dataset(self, name: str, augmentation: Augmentation) -> Dataset:
        """Cut the images into the two parts of a data set."""
        train = len(self.train_labels)
        return Dataset(
            name=name,
            class_names=self.class_names,
            train_images=self.images[:train],
            train_labels=self.train_labels,
            test_images=self.images[train:],
            test_labels=self.test_labels,
            augmentation=augmentation,
        )


def read_dataset(file: Path, name: str, augmentation: Augmentation) -> Dataset | None:
    """Read what :func:`keep_dataset` wrote; ``None`` where that is not there, or not whole."""
    decoded = read_decoded(file)
    if decoded is None:
        return None
    try:
        names = tuple(json.loads(decoded.metadata["class_names"]))
        labels = (decoded.others["train_labels"], decoded.others["test_labels"])
        dataset = Content(names, decoded.images, *labels).dataset(name, augmentation)
    except (KeyError, ValueError, TypeError, DataError):
        return None
    return dataset if decoded.vouches_for(dataset) else None


def keep_dataset(file: Path, content: Content, name: str, augmentation: Augmentation) -> Dataset:
    """Write a data set down, and return it as it is read from then on: mapped, what was decoded can be freed.

    Raises:
        DataError: It is no data set (a class without an image, for example), or cannot be written.
    """
    dataset = content.dataset(name, augmentation)
    labels = {"train_labels": content.train_labels, "test_labels": content.test_labels}
    write_decoded(file, content.images, dataset, labels, {"class_names": json.dumps(content.class_names)})
    return read_dataset(file, name, augmentation) or dataset


def files_digest(root: Path, header: object, parts: Iterable[Iterable[Path]]) -> str:
    """Hash names, sizes and times of files below ``root``, and whatever else decides what is decoded.

    Raises:
        DataError: A file cannot be looked at.
    """
    digest = hashlib.sha256(json.dumps(header).encode())
    for part in parts:
        digest.update(b"part\n")
        for file in part:
            try:
                state = file.stat()
            except OSError as error:
                raise DataError(f"cannot read the image {shown(file)} ({error.strerror})") from error
            line = [file.relative_to(root).as_posix(), state.st_size, state.st_mtime_ns]
            digest.update(json.dumps(line).encode())
    return digest.hexdigest()


def read_decoded(file: Path) -> Decoded | None:
    """Read decoded images; ``None`` where there are none, or the file is damaged: they are decoded anew."""
    import safetensors.torch
    import torch

    if not file.is_file():
        return None
    try:
        with safetensors.safe_open(file, framework="np") as opened:
            metadata = opened.metadata() or {}
        tensors = safetensors.torch.load_file(file)
        images = tensors.pop(IMAGES)
    except (safetensors.SafetensorError, OSError, ValueError, KeyError):
        return None
    if images.dtype != torch.uint8 or images.ndim != 4:
        return None
    return Decoded(images, tensors, metadata)


def cached_format(file: Path) -> tuple[int, Format] | None:
    """Read number and shape of decoded images without reading them."""
    try:
        with safetensors.safe_open(file, framework="np") as opened:
            count, channels, side, _ = opened.get_slice(IMAGES).get_shape()
    except (safetensors.SafetensorError, OSError, ValueError):
        return None
    return count, Format(channels, side)


def cached_text(file: Path, name: str) -> str:
    """Read one text that was kept beside decoded images; empty where there is none."""
    try:
        with safetensors.safe_open(file, framework="np") as opened:
            return str((opened.metadata() or {}).get(name, ""))
    except (safetensors.SafetensorError, OSError, ValueError):
        return ""


def write_decoded(
    file: Path,
    images: Tensor,
    dataset: Dataset,
    others: Mapping[str, Tensor] | None = None,
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write decoded images in one step, and drop what earlier states of the same source left beside it.

    Args:
        file: Where to; its folder belongs to the source alone.
        images: uint8, shape (images, channels, side, side).
        dataset: What was made from them; its fingerprint is kept.
        others: Further tensors.
        metadata: Further texts.

    Raises:
        DataError: The folder cannot be written.
    """
    import safetensors.torch

    texts = {**(metadata or {}), "fingerprint": dataset.fingerprint, "name": dataset.name}
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with replacing(file) as temporary:
            safetensors.torch.save_file({IMAGES: images, **(others or {})}, temporary, texts)
    except (OSError, StoreError, safetensors.SafetensorError) as error:
        raise DataError(
            f"the decoded images of {dataset.name} cannot be kept in {file.parent} ({error}); free "
            f"{images.numel() / 1e6:.0f} MB or choose another CFA_HOME"
        ) from error
    _drop_others(file)


def _drop_others(file: Path) -> None:
    for old in file.parent.iterdir():
        with contextlib.suppress(OSError):  # another process may be as fast
            half_written = old.suffix == ".tmp" and abs(time.time() - old.stat().st_mtime) > STALE_SECONDS
            if half_written or (old.suffix == file.suffix and old != file):
                old.unlink()
