"""Anyone's image folder as a data set, ``folder:PATH``, decoded once and cached.

What is taken from a folder, in full:

- ``train/<class>/…`` and ``test/<class>/…``; with ``test/`` alone it can be evaluated on only. Without
  ``test/`` a tenth of each class, drawn with a fixed seed, is the test part. Where neither is there, the
  folders in PATH are the classes, and are split likewise. Other folders beside these two are not read.
- Images lie at any depth below a class folder; classes and images are in the order of their names, as in
  torchvision's ``ImageFolder``, so that labels fit weights made with it. Hidden files and folders (and
  ``__MACOSX`` and its like), and files that are no images by their name, are ignored.
- Images are brought to one square: the median of all shorter sides, at most 224. How each is brought to it,
  and what becomes of grey and transparent ones, is said in `cfa.data.images`.
"""

import functools
import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from cfa.data.cache import SUFFIX, cached_format, files_digest, read_decoded, write_decoded
from cfa.data.datasets import FOLDER, Augmentation, Dataset, DatasetInfo, DatasetSource, full_name
from cfa.data.images import EXTENSIONS, Format, common_format, decode_images
from cfa.data.splits import stratified_split
from cfa.errors import DataError

TEST_FRACTION = 0.1
TEST_SEED = 0
RULES = 1  # raised when the rules above change: older caches are then made anew

# As for the data sets of its kind: four pixels of 32, and a mirrored object is an object of the same class.
# Whoever knows better (digits, text) switches it off with `data.augment`.
CROP_SHARE = 1 / 8

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
    files = [file for _, file in (*listing.train, *listing.test)]
    images = decode_images(files, shape, listing.path)
    dataset = _assemble(listing, images, shape.side)
    write_decoded(stored, images, dataset)
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
    return files_digest(path, [RULES, class_names], ([file for _, file in part] for part in parts))


def _split(labels: Tensor, num_classes: int) -> tuple[Tensor, Tensor]:
    split = stratified_split(labels, num_classes, TEST_FRACTION, TEST_SEED)
    return split.train, split.validation


# Decoding --------------------------------------------------------------------------------------------------


def _format(listing: Listing) -> Format:
    return _measured(listing.digest, (*listing.train, *listing.test))


@functools.lru_cache(maxsize=4)
def _measured(digest: str, files: Files) -> Format:
    """Read every image's header; the digest stands for the files' state among the arguments."""
    return common_format([file for _, file in files])


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
    return folder / "folders" / f"{listing.path.name}-{place}" / f"{listing.digest[:32]}{SUFFIX}"


def _read_cache(file: Path, listing: Listing) -> Dataset | None:
    """Read decoded images; ``None`` where there are none, or they are not what was written."""
    decoded = read_decoded(file)
    if decoded is None or len(decoded.images) != len(listing.train) + len(listing.test):
        return None
    dataset = _assemble(listing, decoded.images, decoded.images.shape[-1])
    return dataset if decoded.vouches_for(dataset) else None


# Registration ----------------------------------------------------------------------------------------------


def _describe(path: Path, cache: Path) -> DatasetInfo:
    """Describe a folder from its cache or its images' headers; one that cannot be used says why."""
    name = full_name(f"{FOLDER}:{path}")
    try:
        listing = scan_folder(path)
        cached = cached_format(_cache_file(cache, listing))
        shape = cached[1] if cached else _format(listing)
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


ANY_FOLDER = DatasetSource(_no_path, _describe_scheme)
