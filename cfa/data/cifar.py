"""CIFAR-10 and CIFAR-100 (Krizhevsky 2009), in the Python version that torchvision reads as well.

Its batches are pickles, and a pickle can run code when it is read. They are read all the same, rather than
the binary version, because they are what torchvision downloads and publishes checksums of, so that most
people have them. Two things make it safe: a batch is opened only if its checksum is the expected one, and
then by an unpickler that knows nothing but numpy's arrays beside Python's own numbers, texts and lists.
"""

import io
import pickle
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from cfa.data.augmentation import Augmentation
from cfa.data.datasets import Dataset
from cfa.data.downloads import Download
from cfa.data.published import Parsed, Parser, Published, load_published

# As the official code of CFA: four pixels, mirrored at the border.
AUGMENTATION = Augmentation(crop_padding=4, padding_mode="reflect", flip=True)
SHAPE = (3, 32, 32)
ROW = 3 * 32 * 32


def load_cifar10(folder: Path, checksums: Mapping[str, str] | None = None) -> Dataset:
    """Load CIFAR-10; see :func:`cfa.data.published.load_published`.

    ``checksums`` are those of ``data_batch_1`` … ``data_batch_5``, ``test_batch`` and ``batches.meta``.
    """
    return load_published(CIFAR10, folder, checksums)


def load_cifar100(folder: Path, checksums: Mapping[str, str] | None = None) -> Dataset:
    """Load CIFAR-100 with its 100 fine labels; see :func:`cfa.data.published.load_published`.

    ``checksums`` are those of ``train``, ``test`` and ``meta``.
    """
    return load_published(CIFAR100, folder, checksums)


def unpickle(content: bytes) -> dict[str, Any]:
    """Read a pickled dictionary of numbers, texts, lists and numpy arrays.

    Raises:
        ValueError: It holds, or calls, anything else, or is damaged.
    """
    try:
        loaded = _ArraysOnly(io.BytesIO(content), encoding="latin1").load()
    except (pickle.UnpicklingError, EOFError, IndexError, ImportError, AttributeError) as error:
        raise ValueError(str(error) or type(error).__name__) from error
    if not isinstance(loaded, dict):
        raise ValueError(f"a pickled {type(loaded).__name__} instead of a dictionary")
    return loaded


def _encode(text: str, encoding: str) -> bytes:
    """Stand in for the codec by which Python 3 writes bytes in protocol 2."""
    if encoding != "latin1":
        raise ValueError(f"bytes in the encoding {encoding!r}")
    return text.encode("latin1")


def _dtype(name: str, align: object = False, copy: object = False) -> np.dtype[Any]:
    """Stand in for numpy's, which warns of the 0 and 1 that Python 2 wrote in place of booleans."""
    return np.dtype(name, align=bool(align), copy=bool(copy))


_RECONSTRUCT: Callable[..., Any] = np.empty(0).__reduce__()[0]  # type: ignore[assignment]
_KNOWN: dict[tuple[str, str], Any] = {
    ("numpy.core.multiarray", "_reconstruct"): _RECONSTRUCT,  # numpy 1, as in the published files
    ("numpy._core.multiarray", "_reconstruct"): _RECONSTRUCT,  # numpy 2
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): _dtype,
    ("_codecs", "encode"): _encode,
}


class _ArraysOnly(pickle.Unpickler):
    """Refuses every name but those that arrays are made of, so that nothing can be called."""

    def find_class(self, module: str, name: str) -> Any:
        """Look a name up in a table instead of importing it."""
        try:
            return _KNOWN[module, name]
        except KeyError as error:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which could run code") from error


class _Names(NamedTuple):
    """Where the names of the classes are."""

    file: str
    key: str


def _parser(names_in: _Names, train: list[str], test: list[str], labels_key: str) -> Parser:
    def parse(files: Mapping[str, bytes]) -> Parsed:
        names = unpickle(files[names_in.file])[names_in.key]
        train_part, test_part = ([_batch(files[name], labels_key) for name in part] for part in (train, test))
        return Parsed(
            class_names=tuple(str(name) for name in names),
            train_images=np.concatenate([images for images, _ in train_part]),
            train_labels=np.concatenate([labels for _, labels in train_part]),
            test_images=np.concatenate([images for images, _ in test_part]),
            test_labels=np.concatenate([labels for _, labels in test_part]),
        )

    return parse


def _batch(content: bytes, labels_key: str) -> tuple[np.ndarray, np.ndarray]:
    batch = unpickle(content)
    images, labels = batch["data"], np.asarray(batch[labels_key])
    if not isinstance(images, np.ndarray) or images.dtype != np.uint8 or images.shape[1:] != (ROW,):
        raise ValueError(f"its data are no rows of {ROW} bytes")
    if labels.shape != images.shape[:1] or not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(f"{len(images)} images and {labels.shape} labels of type {labels.dtype}")
    return images.reshape(-1, *SHAPE), labels


# Names, addresses and checksums are those of torchvision's classes, which take seconds to import.
CIFAR10 = Published(
    name="cifar10",
    title="CIFAR-10",
    classes=10,
    side=32,
    train_images=50_000,
    test_images=10_000,
    augmentation=AUGMENTATION,
    downloads=(
        Download(
            "cifar-10-python.tar.gz",
            "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
            "c58f30108f718f92721af3b95e74349a",
            170_498_071,
        ),
    ),
    place="cifar-10-batches-py",
    checksums={
        "data_batch_1": "c99cafc152244af753f735de768cd75f",
        "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
        "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
        "data_batch_4": "634d18415352ddfa80567beed471001a",
        "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
        "test_batch": "40351d587109b95175f43aff81a1287e",
        "batches.meta": "5ff9c542aee3614f3951f8cda6e48888",
    },
    parse=_parser(
        _Names("batches.meta", "label_names"),
        [f"data_batch_{i}" for i in range(1, 6)],
        ["test_batch"],
        "labels",
    ),
)
CIFAR100 = Published(
    name="cifar100",
    title="CIFAR-100",
    classes=100,
    side=32,
    train_images=50_000,
    test_images=10_000,
    augmentation=AUGMENTATION,
    downloads=(
        Download(
            "cifar-100-python.tar.gz",
            "https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz",
            "eb9058c3a382ffc7106e4002c42a8d85",
            169_001_437,
        ),
    ),
    place="cifar-100-python",
    checksums={
        "train": "16019d7e3df5f24257cddd939b257f8d",
        "test": "f0ef6b0ae62326f3e7ffdfab6717acfc",
        "meta": "7973b15100ade9c7d40fb424638fde48",
    },
    parse=_parser(_Names("meta", "fine_label_names"), ["train"], ["test"], "fine_labels"),
)
