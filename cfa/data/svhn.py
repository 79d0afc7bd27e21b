"""SVHN (Netzer et al. 2011): cropped house numbers, ten digits, not balanced; without its extra part."""

import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from cfa.data.augmentation import Augmentation
from cfa.data.datasets import Dataset
from cfa.data.downloads import Download
from cfa.data.published import Parsed, Published, load_published

FILES = ("train_32x32.mat", "test_32x32.mat")
ADDRESS = "http://ufldl.stanford.edu/housenumbers"

# A mirrored digit is none, or another one: crops alone.
AUGMENTATION = Augmentation(crop_padding=4, padding_mode="reflect", flip=False)


def load_svhn(folder: Path, checksums: Mapping[str, str] | None = None) -> Dataset:
    """Load SVHN; see :func:`cfa.data.published.load_published`.

    ``checksums`` are those of ``train_32x32.mat`` and ``test_32x32.mat``.
    """
    return load_published(SVHN, folder, checksums)


def _parse(files: Mapping[str, bytes]) -> Parsed:
    (train_images, train_labels), (test_images, test_labels) = (_part(files[name]) for name in FILES)
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


# Names, addresses and checksums are those of torchvision's class, which takes seconds to import.
CHECKSUMS = dict(
    zip(FILES, ("e26dedcc434d2e4c54c9b2d4a06d8373", "eb5a983be6a315427106f1b164d9cef3"), strict=True)
)
SVHN = Published(
    name="svhn",
    title="SVHN",
    classes=10,
    side=32,
    train_images=73_257,
    test_images=26_032,
    augmentation=AUGMENTATION,
    downloads=tuple(
        Download(name, f"{ADDRESS}/{name}", CHECKSUMS[name], size)
        for name, size in zip(FILES, (182_040_794, 64_275_384), strict=True)
    ),
    place="",
    checksums=CHECKSUMS,
    parse=_parse,
)
