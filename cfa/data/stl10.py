"""STL-10 (Coates, Lee and Ng 2011): its 5,000 labelled training images and its test set, at 96 pixels."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torchvision

from cfa.data.datasets import Augmentation, Dataset
from cfa.data.downloads import Download
from cfa.data.published import Parsed, Published, load_published

CLASS_NAMES = ("airplane", "bird", "car", "cat", "deer", "dog", "horse", "monkey", "ship", "truck")
SIDE = 96

# Twelve pixels of 96 are the share that four of 32 are on CIFAR-10, whose kind of objects these are.
AUGMENTATION = Augmentation(crop_padding=12, padding_mode="reflect", flip=True)


def load_stl10(folder: Path, checksums: Mapping[str, str] | None = None) -> Dataset:
    """Load STL-10; see :func:`cfa.data.published.load_published`.

    ``checksums`` are those of ``train_X.bin``, ``train_y.bin``, ``test_X.bin`` and ``test_y.bin``.
    """
    return load_published(STL10, folder, checksums)


def _parse(files: Mapping[str, bytes]) -> Parsed:
    images, labels = (
        {part: convert(files[f"{part}_{letter}.bin"]) for part in ("train", "test")}
        for letter, convert in (("X", _images), ("y", _labels))
    )
    return Parsed(CLASS_NAMES, images["train"], labels["train"], images["test"], labels["test"])


def _images(content: bytes) -> np.ndarray:
    # Each channel is stored column by column.
    return np.frombuffer(content, np.uint8).reshape(-1, 3, SIDE, SIDE).transpose(0, 1, 3, 2)


def _labels(content: bytes) -> np.ndarray:
    return np.frombuffer(content, np.uint8).astype(np.int64) - 1  # 1 … 10


_theirs = torchvision.datasets.STL10
STL10 = Published(
    name="stl10",
    title="STL-10",
    classes=10,
    side=SIDE,
    train_images=5_000,
    test_images=8_000,
    augmentation=AUGMENTATION,
    downloads=(Download(_theirs.filename, _theirs.url, _theirs.tgz_md5, 2_640_397_119),),
    place=_theirs.base_folder,
    checksums={
        file: md5
        for file, md5 in (*_theirs.train_list, *_theirs.test_list)
        if not file.startswith("unlabeled")
    },
    parse=_parse,
)
