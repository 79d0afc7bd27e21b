"""SVHN (Netzer et al. 2011): cropped house numbers, ten digits, not balanced; without its extra part."""

import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torchvision

from cfa.data.datasets import Augmentation, Dataset
from cfa.data.downloads import Download
from cfa.data.published import Parsed, Published, load_published

PARTS = ("train", "test")

# A mirrored digit is none, or another one: crops alone.
AUGMENTATION = Augmentation(crop_padding=4, padding_mode="reflect", flip=False)


def load_svhn(folder: Path, checksums: Mapping[str, str] | None = None) -> Dataset:
    """Load SVHN; see :func:`cfa.data.published.load_published`.

    ``checksums`` are those of ``train_32x32.mat`` and ``test_32x32.mat``.
    """
    return load_published(SVHN, folder, checksums)


def _parse(files: Mapping[str, bytes]) -> Parsed:
    (train_images, train_labels), (test_images, test_labels) = (
        _part(files[_theirs.split_list[part][1]]) for part in PARTS
    )
    names = tuple(str(digit) for digit in range(10))
    return Parsed(names, train_images, train_labels, test_images, test_labels)


def _part(content: bytes) -> tuple[np.ndarray, np.ndarray]:
    import scipy.io  # here, since it takes a while and most people never need it
    import scipy.io.matlab

    try:
        arrays = scipy.io.loadmat(io.BytesIO(content), variable_names=("X", "y"))
    except (scipy.io.matlab.MatReadError, NotImplementedError, OSError) as error:
        raise ValueError(str(error)) from error
    images, labels = arrays["X"], arrays["y"].ravel()
    if images.dtype != np.uint8 or images.shape != (32, 32, 3, len(labels)):
        raise ValueError(f"images of type {images.dtype} and shape {images.shape}, {len(labels)} labels")
    return images.transpose(3, 2, 0, 1), np.where(labels == 10, 0, labels)  # zero is written as 10


_theirs = torchvision.datasets.SVHN
_SIZES = {"train": 182_040_794, "test": 64_275_384}
SVHN = Published(
    name="svhn",
    title="SVHN",
    classes=10,
    side=32,
    train_images=73_257,
    test_images=26_032,
    augmentation=AUGMENTATION,
    downloads=tuple(
        Download(file, url, md5, _SIZES[part])
        for part in PARTS
        for url, file, md5 in [_theirs.split_list[part]]
    ),
    place="",
    checksums={_theirs.split_list[part][1]: _theirs.split_list[part][2] for part in PARTS},
    parse=_parse,
)
