"""STL-10 (Coates, Lee and Ng 2011): its 5,000 labelled training images and its test set, at 96 pixels."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from cfa.data.augmentation import Augmentation
from cfa.data.datasets import Dataset
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


# Names, addresses and checksums are those of torchvision's class, which takes seconds to import.
STL10 = Published(
    name="stl10",
    title="STL-10",
    classes=10,
    side=SIDE,
    train_images=5_000,
    test_images=8_000,
    augmentation=AUGMENTATION,
    downloads=(
        Download(
            "stl10_binary.tar.gz",
            "http://ai.stanford.edu/~acoates/stl10/stl10_binary.tar.gz",
            "91f7769df0f17e558f3565bffb0c7dfb",
            2_640_397_119,
        ),
    ),
    place="stl10_binary",
    checksums={
        "train_X.bin": "918c2871b30a85fa023e0c44e0bee87f",
        "train_y.bin": "5a34089d4802c674881badbb80307741",
        "test_X.bin": "7f263ba9f9e0b06b93213547f721ac82",
        "test_y.bin": "36f9794fa4beb8a2c72628de14fa638e",
    },
    parse=_parse,
)
