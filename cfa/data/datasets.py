"""What a data set is, and the registry of those that can be named."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cfa.data.augmentation import NO_AUGMENTATION, Augmentation
from cfa.data.splits import long_tailed_counts
from cfa.data.storable_names import LONGEST_DATASET, as_seen, unstorable
from cfa.errors import DataError, UnknownName
from cfa.registry import Registry, instance_of
from cfa.typed_paths import leads_to_folder, typed_path, whole_path

if TYPE_CHECKING:
    from torch import Tensor


FOLDER = "folder"
"""The scheme of data sets that are someone's own image folders: ``folder:PATH``."""

LONG_TAIL = "-lt"
"""What a data set's name ends with where it is to be trained on with a long tail: ``cifar10-lt``."""

IMBALANCE_RATIOS: Mapping[str, float] = {"cifar10": 50.0, "cifar100": 10.0, "tiny-imagenet": 10.0}
"""Largest over smallest class, as in RobustLT (CVPR 2026), whose three sets these are."""

USUAL_IMBALANCE_RATIO = 10.0  # where nobody has set a custom: two of RobustLT's three


@dataclass(frozen=True, eq=False)
class Dataset:
    """Labelled images in two parts, on the CPU, checked once when they are put together.

    Attributes:
        name: the name by which it was asked for.
        class_names: one per class; labels are positions in it.
        train_images: uint8, shape (images, channels, side, side); ``test_images`` likewise.
        train_labels: int64, shape (images,); ``test_labels`` likewise.
        augmentation: how training images of this data set are varied.
        test_only: there are no training images, on purpose: it can be evaluated on, not trained on.
        imbalance_ratio: largest over smallest training class that training is meant to thin the classes out
            to, by ``long_tailed_split``; 1 leaves them alone. The images here are always all of them.
        notes: what was taken for what when it was read, and what was left out, for people.

    Raises:
        DataError: a tensor of another type or shape, a label outside the classes, a class without an image
            in either part (in the test part, where that is all), or a class name that cannot be stored.
    """

    name: str
    class_names: tuple[str, ...]
    train_images: Tensor
    train_labels: Tensor
    test_images: Tensor
    test_labels: Tensor
    augmentation: Augmentation = NO_AUGMENTATION
    test_only: bool = False
    imbalance_ratio: float = 1.0
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check both parts."""
        if (problem := unstorable(self.name, LONGEST_DATASET)) is not None:
            raise DataError(f"the data set's name {self.name!r:.80} {problem}; give it another")
        if len(self.class_names) < 2:
            raise DataError(f"data set {self.name!r} names {len(self.class_names)} classes; two are needed")
        for name in self.class_names:
            if (problem := unstorable(name)) is not None:
                raise DataError(f"the class {name!r:.80} of data set {self.name!r} {problem}; rename it")
        repeated = [name for name, count in Counter(map(as_seen, self.class_names)).items() if count > 1]
        if repeated:
            raise DataError(
                f"data set {self.name!r} has two classes that are both called {repeated[0]!r}; rename one"
            )
        self._check_part("train", self.train_images, self.train_labels)
        self._check_part("test", self.test_images, self.test_labels)
        if self.train_images.shape[1:] != self.test_images.shape[1:]:
            raise DataError(
                f"data set {self.name!r} trains on images of shape {tuple(self.train_images.shape[1:])} "
                f"but tests on {tuple(self.test_images.shape[1:])}; bring both to one shape"
            )

    @cached_property
    def fingerprint(self) -> str:
        """Hash images and labels of both parts; of other images it is another."""
        return fingerprint(self.train_images, self.train_labels, self.test_images, self.test_labels)

    @property
    def test_fingerprint(self) -> str:
        """Hash images and labels of the test part alone: what figures are about."""
        return fingerprint(self.test_images, self.test_labels)

    @property
    def num_classes(self) -> int:
        """Count the classes."""
        return len(self.class_names)

    @property
    def channels(self) -> int:
        """Count the colour channels: 1 for grey, 3 for RGB."""
        return self.train_images.shape[1]

    @property
    def image_size(self) -> int:
        """Return the side of an image in pixels."""
        return self.train_images.shape[-1]

    def require_training_images(self) -> None:
        """Refuse to be trained on, or to give statistics of training images, where there are none.

        Raises:
            DataError: the data set is for tests only.
        """
        if self.test_only:
            raise DataError(
                f"data set {self.name!r} has a test part only: weights can be evaluated on it, but it has no "
                "images to train on or to take statistics from; add a train/ folder with the same classes"
            )

    def _check_part(self, part: str, images: Tensor, labels: Tensor) -> None:
        import torch

        where = f"the {part} part of data set {self.name!r}"
        if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[2] != images.shape[3]:
            raise DataError(
                f"the images in {where} are {images.dtype} of shape {tuple(images.shape)}; "
                "give torch.uint8 of shape (images, channels, side, side)"
            )
        if labels.dtype != torch.int64 or labels.shape != images.shape[:1]:
            raise DataError(
                f"the labels in {where} are {labels.dtype} of shape {tuple(labels.shape)}; "
                f"give torch.int64 of shape ({len(images)},)"
            )
        if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < self.num_classes:
            raise DataError(
                f"the labels in {where} run from {int(labels.min())} to {int(labels.max())}; "
                f"with {self.num_classes} class names they must lie in 0 … {self.num_classes - 1}"
            )
        if self.test_only and part == "train":
            if len(labels):
                raise DataError(f"{where} holds {len(labels)} images, but it is said to be for tests only")
            return
        counts = torch.bincount(labels, minlength=self.num_classes)
        if int(counts.min()) == 0:
            absent = self.class_names[int(counts.argmin())]
            raise DataError(f"{where} holds no image of class {absent!r}; drop that class or add images")


def fingerprint(*tensors: Tensor) -> str:
    """Hash images and labels, shapes included, with sha256 (hexadecimal)."""
    return fingerprint_of_arrays(*(tensor.cpu().contiguous().numpy() for tensor in tensors))


def fingerprint_of_arrays(*arrays: np.ndarray) -> str:
    """Hash images and labels as :func:`fingerprint` hashes tensors of them."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"torch.{array.dtype} {tuple(array.shape)}\n".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


DatasetLoader = Callable[[Path], Dataset]
"""Takes the folder in which downloaded data sets live."""

TestPart = tuple[np.ndarray, np.ndarray]
"""Images of a test part, uint8, shape (images, channels, side, side), and their classes, int64."""


@dataclass(frozen=True)
class DatasetInfo:
    """What a list of data sets shows of one of them, known without decoding its images.

    Attributes:
        name: the name to ask for it by.
        title: its name for people.
        classes: the number of classes.
        channels: 1 for grey, 3 for RGB.
        image_size: side in pixels.
        train_images: number of images in the training part, validation images included; of a long tail, how
            many its usual ratio leaves.
        test_images: number of images in the test part.
        available: whether it can be loaded without a download.
        how_to_get: one sentence; empty where nothing has to be done.
        download_bytes: size of the download; 0 where there is none, or it is not known.
        imbalance_ratio: largest over smallest training class, as long as no setting says otherwise.
        notes: what is taken for what, and what is left out; sentences without their full stops.
        train_counts: images of each class before a long tail is made of them; empty where nobody counted.
    """

    name: str
    title: str
    classes: int
    channels: int
    image_size: int
    train_images: int
    test_images: int
    available: bool
    how_to_get: str
    download_bytes: int = 0
    imbalance_ratio: float = 1.0
    notes: tuple[str, ...] = ()
    train_counts: tuple[int, ...] = ()


Report = Callable[[int, int], None]
"""Is told of a download: bytes that are here, and bytes in all (0: not known). What it raises ends it."""


def no_report(done: int, total: int) -> None:
    """Tell nobody."""


@dataclass(frozen=True)
class DatasetSource:
    """A data set that can be asked for by name; itself a ``DatasetLoader``.

    Somebody's own one is made by writing ``@DatasetSource`` above its loader.

    Attributes:
        load: reads it, with the folder of downloaded data sets as its argument.
        describe: tells what it holds, cheaply; None where it has to be loaded for that.
        download: fetches it into the folder and reports how far it is; None where there is nothing to fetch.
        check: raises, with the sentence that loading would end with, where one look shows that it cannot be
            loaded; None where that takes more than a look.
        test_part: reads the test part alone, without torch; None where all of it has to be loaded for that.
    """

    load: DatasetLoader
    describe: Callable[[Path], DatasetInfo] | None = None
    download: Callable[[Path, Report], None] | None = None
    check: Callable[[], None] | None = None
    test_part: Callable[[Path], TestPart] | None = None

    def __call__(self, folder: Path) -> Dataset:
        """Load the data set."""
        return self.load(folder)


class Datasets(Registry[DatasetSource]):
    """The registry of data sets, which also knows the long tail of each: ``NAME-lt``.

    What is registered under a name that ends so is that; a folder of that name is a folder.
    """

    def __getitem__(self, name: str) -> DatasetSource:
        """Return the data set called ``name``, or the long tail of the one whose name this continues."""
        base = name.removesuffix(LONG_TAIL)
        twice = base.endswith(LONG_TAIL) and not _names_a_folder(base)
        if base == name or twice or name in self or _names_a_folder(name):
            return super().__getitem__(name)
        try:
            return _long_tail(base, super().__getitem__(base))
        except UnknownName:
            return super().__getitem__(name)  # whose error names what was asked for


def usual_imbalance_ratio(name: str) -> float:
    """Return the ratio of largest to smallest class that a data set is trained with where none is set."""
    base = name.removesuffix(LONG_TAIL)
    return 1.0 if base == name or _names_a_folder(name) else IMBALANCE_RATIOS.get(base, USUAL_IMBALANCE_RATIO)


def _names_a_folder(name: str) -> bool:
    scheme, colon, path = name.partition(":")
    return scheme == FOLDER and bool(colon) and leads_to_folder(typed_path(path))


def _long_tail(base: str, source: DatasetSource) -> DatasetSource:
    """Make the data set that is ``source`` in all but the ratio that it asks training for."""
    ratio = IMBALANCE_RATIOS.get(base, USUAL_IMBALANCE_RATIO)

    def load(folder: Path) -> Dataset:
        data = _loaded(base, source, folder)
        data.require_training_images()
        return replace(data, name=data.name + LONG_TAIL, imbalance_ratio=ratio)

    def describe(folder: Path) -> DatasetInfo:
        info = _describe(base, source, folder)
        counts = info.train_counts or (info.train_images // max(1, info.classes),) * info.classes
        left = sum(long_tailed_counts(counts, ratio)) if any(counts) else info.train_images
        name, title = info.name + LONG_TAIL, f"{info.title}, long-tailed 1:{ratio:g}"
        return replace(info, name=name, title=title, train_images=left, imbalance_ratio=ratio)

    return DatasetSource(load, describe, source.download, source.check, source.test_part)


DATASETS = Datasets(
    "data set",
    instance_of(DatasetSource, "write @cfa.data.DatasetSource above the function that loads your data set"),
)


def full_name(name: str) -> str:
    """Return the name that means the same wherever it is read: ``folder:pets`` with its whole path."""
    scheme, colon, path = name.partition(":")
    if scheme != FOLDER or not colon or not path.strip():  # no path is no folder, not the working one
        return name
    return f"{FOLDER}:{whole_path(path)}"


def load_dataset(name: str, folder: Path) -> Dataset:
    """Load the data set called ``name``; ``folder`` is where downloaded ones live.

    Raises:
        UnknownName: nothing is registered or importable under this name.
        DataError: it is missing or broken, or a user's loader returned something else.
    """
    return _loaded(name, DATASETS[name], folder)


def read_test_part(name: str, folder: Path) -> TestPart:
    """Read the test images of the data set called ``name``, and their classes, to be looked at.

    Raises:
        UnknownName: nothing is registered or importable under this name.
        DataError: it is missing or broken, or a user's loader returned something else.
    """
    source = DATASETS[name]
    if source.test_part is not None:
        return source.test_part(folder)
    loaded = _loaded(name, source, folder)
    return loaded.test_images.numpy(), loaded.test_labels.numpy()


def refuse_missing(name: str) -> None:
    """Refuse a data set of which one look shows that it cannot be loaded, before anything waits for it.

    Nothing is decoded; somebody's own code is imported.

    Raises:
        UnknownName: nothing is registered under this name.
        DataError: as loading it would.
    """
    check = DATASETS[name].check
    if check is not None:
        check()


def dataset_info(name: str, folder: Path) -> DatasetInfo:
    """Describe the data set called ``name`` without decoding images (a user's own one is loaded)."""
    return _describe(name, DATASETS[name], folder)


def download_dataset(name: str, folder: Path, report: Report = no_report) -> None:
    """Fetch the data set called ``name`` into ``folder``; one that needs no download is left alone.

    Args:
        name: Of the data set.
        folder: Where downloaded data sets live.
        report: Called with bytes that are here and bytes in all; to stop the download, let it raise: what
            was fetched so far is then removed.

    Raises:
        DataError: the download failed; the sentence says which files to put where instead.
    """
    source = DATASETS[name]
    if source.download is not None:
        source.download(folder, report)


def _describe(name: str, source: DatasetSource, folder: Path) -> DatasetInfo:
    if source.describe is not None:
        return source.describe(folder)
    data = _loaded(name, source, folder)
    return DatasetInfo(
        name=name,
        title=data.name,
        classes=data.num_classes,
        channels=data.channels,
        image_size=data.image_size,
        train_images=len(data.train_images),
        test_images=len(data.test_images),
        available=True,
        how_to_get="",
        notes=data.notes,
        train_counts=tuple(data.train_labels.bincount().tolist()),  # each class occurs, or none
    )


def _loaded(name: str, source: DatasetSource, folder: Path) -> Dataset:
    try:
        loaded: object = source(folder)
    except SystemExit as error:  # of somebody's own code: it would end the program, and look like success
        raise DataError(
            f"the data set loader {name!r} ends the program (sys.exit({error.code!r})); let it raise an error"
        ) from error
    if not isinstance(loaded, Dataset):
        raise DataError(
            f"the data set loader {name!r} returned {type(loaded).__name__}; it must return cfa.data.Dataset"
        )
    return loaded
