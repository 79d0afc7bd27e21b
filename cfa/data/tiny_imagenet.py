"""Tiny-ImageNet (Stanford CS231n): 200 classes of 64 pixels, from the zip archive or as it unpacks.

What is read is the real layout: ``wnids.txt``, ``words.txt``, ``train/<wnid>/images/*.JPEG``, ``val/images``
and ``val/val_annotations.txt``. The validation part is the test set, as in the literature: the labels of the
true test part were never published. Classes are in the order of their wnids, as torchvision's ``ImageFolder``
has them, so that labels fit weights made with it; their names are the first words of ``words.txt``.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cfa.data.augmentation import Augmentation
from cfa.data.cache import SUFFIX, Content, files_digest, keep_dataset, read_dataset
from cfa.data.datasets import Dataset, DatasetInfo, DatasetSource, Report, no_report
from cfa.data.downloads import Download, fetch, md5_of
from cfa.data.images import EXTENSIONS, Format, ImageFile, ZippedImage, decode_images
from cfa.data.published import how_to_get
from cfa.errors import DataError

if TYPE_CHECKING:
    from torch import Tensor

NAME = "tiny-imagenet"
ROOT = "tiny-imagenet-200"
DOWNLOAD = Download(
    f"{ROOT}.zip",
    f"http://cs231n.stanford.edu/{ROOT}.zip",
    "90528d7ca1a48142e341f4ef8d21d0de",
    248_100_043,
)
SHAPE = Format(channels=3, side=64)
CLASSES, TRAIN_IMAGES, TEST_IMAGES = 200, 100_000, 10_000
RULES = 1  # raised when the rules above change: older caches are then made anew

# As RobustLT's code crops it: four pixels of black; CFA's paper does not say.
AUGMENTATION = Augmentation(crop_padding=4, padding_mode="constant", flip=True)

Labelled = tuple[tuple[int, ImageFile], ...]
"""Class index and image, one pair after another."""


@dataclass(frozen=True)
class TinyImageNetFiles:
    """The images of Tiny-ImageNet, before any is opened.

    Attributes:
        class_names: In the order of their wnids.
        train: Training images, class by class.
        test: The validation part, in the order of its annotations.
    """

    class_names: tuple[str, ...]
    train: Labelled
    test: Labelled


@dataclass(frozen=True)
class _Tree:
    """The files of the data set, wherever they are: paths as they are below its own folder."""

    where: Path
    files: dict[str, ImageFile]

    def text(self, path: str) -> str:
        """Read a small text file."""
        try:
            file = self.files[path]
            content = file.read_bytes() if isinstance(file, Path) else file.read().getvalue()
            return content.decode("utf-8", errors="replace")
        except KeyError as error:
            raise DataError(f"{self.where} holds no {path}; {_UNPACK_AGAIN}") from error
        except (OSError, zipfile.BadZipFile, zlib.error, EOFError) as error:
            raise DataError(f"{path} in {self.where} cannot be read ({error}); {_UNPACK_AGAIN}") from error


_UNPACK_AGAIN = f"put {DOWNLOAD.name} as it was downloaded into that folder's place, or unpack it again"


def load_tiny_imagenet(folder: Path, checksum: str | None = None) -> Dataset:
    """Load Tiny-ImageNet, from decoded images where it was read before and nothing has changed since.

    Args:
        folder: Where data sets live: ``tiny-imagenet-200.zip`` or ``tiny-imagenet-200/`` in it. What is not
            there is downloaded.
        checksum: The md5 of the archive, for one of one's own in the same format; by default the published
            one. A folder has none: it may hold fewer images, of each class the same number.

    Raises:
        DataError: It is missing and not to be had, its archive has another checksum or it is half unpacked;
            an image is broken (it is named); or the decoded images cannot be kept.
    """
    archive, unpacked = folder / DOWNLOAD.name, folder / ROOT
    if unpacked.is_dir() and not archive.is_file():
        listing = scan_tiny_imagenet(_unpacked_tree(unpacked))
        return _decoded_once(_cache_file(folder, _digest(unpacked, listing)), listing, unpacked)
    stored = _cache_of_archive(folder, checksum or DOWNLOAD.md5)
    known = read_dataset(stored, NAME, AUGMENTATION)
    if known is not None:
        return known
    if not archive.is_file():
        if checksum is not None:
            raise DataError(f"{NAME} is not in {folder}; {way_out(folder)}")
        download_tiny_imagenet(folder)
    _check_archive(archive, checksum or DOWNLOAD.md5)
    with _zipped_tree(archive) as tree:
        return _decoded_once(stored, scan_tiny_imagenet(tree), archive)


def download_tiny_imagenet(folder: Path, report: Report = no_report) -> None:
    """Fetch the archive into ``folder``, unless the data set can be read from there already.

    Raises:
        DataError: As for :func:`cfa.data.downloads.fetch`.
    """
    if not _is_here(folder):
        fetch((DOWNLOAD,), folder, report, NAME, way_out(folder))


def scan_tiny_imagenet(tree: _Tree) -> TinyImageNetFiles:
    """List the images and check that they are all there.

    Raises:
        DataError: A file of the layout is missing, or the classes have different numbers of training images,
            as where unpacking was interrupted.
    """
    wnids = sorted(tree.text("wnids.txt").split())
    index = {wnid: k for k, wnid in enumerate(wnids)}
    train: list[list[ImageFile]] = [[] for _ in wnids]
    for path, file in sorted(tree.files.items()):
        part, _, rest = path.partition("/")
        wnid = rest.partition("/")[0]
        if part == "train" and wnid in index and path.lower().endswith(EXTENSIONS):
            train[index[wnid]].append(file)
    counts = [len(files) for files in train]
    if len(wnids) < 2 or min(counts) != max(counts) or min(counts) == 0:
        odd = wnids[counts.index(min(counts))] if wnids else "wnids.txt"
        raise DataError(
            f"{tree.where} is not whole: the class {odd} has {min(counts, default=0)} training images and "
            f"others have {max(counts, default=0)}; {_UNPACK_AGAIN}"
        )
    names = _class_names(wnids, tree.text("words.txt"))
    labelled = tuple((k, file) for k, files in enumerate(train) for file in files)
    return TinyImageNetFiles(names, labelled, tuple(_validation(tree, index)))


def _class_names(wnids: list[str], words: str) -> tuple[str, ...]:
    """Take the first of each class's words; where two classes share it, the wnid tells them apart."""
    known = dict(line.split("\t", 1) for line in words.splitlines() if "\t" in line)
    first = [known.get(wnid, wnid).split(",")[0].strip() or wnid for wnid in wnids]
    times = Counter(first)
    return tuple(
        name if times[name] == 1 else f"{name} ({wnid})" for name, wnid in zip(first, wnids, strict=True)
    )


def _validation(tree: _Tree, index: dict[str, int]) -> Iterator[tuple[int, ImageFile]]:
    for line in tree.text("val/val_annotations.txt").splitlines():
        if not line.strip():
            continue
        file, _, rest = line.partition("\t")
        wnid = rest.partition("\t")[0].strip()
        if wnid not in index:
            raise DataError(
                f"val_annotations.txt in {tree.where} gives {file} the class {wnid!r}, which wnids.txt does "
                f"not have; {_UNPACK_AGAIN}"
            )
        # Many people's scripts have sorted the images into folders of their classes.
        places = (f"val/images/{file}", f"val/{wnid}/{file}", f"val/{wnid}/images/{file}")
        found = next((tree.files[place] for place in places if place in tree.files), None)
        if found is None:
            raise DataError(f"{tree.where} is not whole: it holds no {places[0]}; {_UNPACK_AGAIN}")
        yield index[wnid], found


# The archive and the folder --------------------------------------------------------------------------------


def _unpacked_tree(root: Path) -> _Tree:
    files: dict[str, ImageFile] = {}
    for part in ("", "train", "val"):
        top = root / part
        for place, folders, names in os.walk(top):
            if not part:
                folders.clear()
            relative = Path(place).relative_to(root).as_posix()
            prefix = "" if relative == "." else f"{relative}/"
            files |= {f"{prefix}{name}": Path(place, name) for name in names if not name.startswith(".")}
    return _Tree(root, files)


def _check_archive(archive: Path, checksum: str) -> None:
    found = md5_of(archive)
    if found != checksum:
        raise DataError(
            f"{archive} has the checksum {found} instead of {checksum}: it is truncated, or another version; "
            f"delete it and fetch it again, or unpack it to {ROOT}/ and remove it to use it as it is"
        )


@contextlib.contextmanager
def _zipped_tree(archive: Path) -> Iterator[_Tree]:
    try:
        opened = zipfile.ZipFile(archive)
    except (zipfile.BadZipFile, OSError, EOFError, ValueError) as error:
        raise DataError(f"{archive} is truncated or damaged ({error}); fetch it again") from error
    with opened:
        prefix = f"{ROOT}/"
        yield _Tree(
            archive,
            {
                name.removeprefix(prefix): ZippedImage(opened, name)
                for name in opened.namelist()
                if name.startswith(prefix) and not name.endswith("/")
            },
        )


def _digest(root: Path, listing: TinyImageNetFiles) -> str:
    parts = ([file for _, file in part if isinstance(file, Path)] for part in (listing.train, listing.test))
    return files_digest(root, [RULES, listing.class_names, [label for label, _ in listing.test]], parts)


# Decoding and the cache ------------------------------------------------------------------------------------


def _cache_file(folder: Path, digest: str) -> Path:
    return folder / "decoded" / NAME / f"{digest[:32]}{SUFFIX}"


def _cache_of_archive(folder: Path, checksum: str) -> Path:
    return _cache_file(folder, hashlib.sha256(f"{RULES} {checksum}".encode()).hexdigest())


def _decoded_once(stored: Path, listing: TinyImageNetFiles, where: Path) -> Dataset:
    known = read_dataset(stored, NAME, AUGMENTATION)
    if known is not None:
        return known
    images = decode_images([file for _, file in (*listing.train, *listing.test)], SHAPE, where)
    content = Content(listing.class_names, images, _labels(listing.train), _labels(listing.test))
    return keep_dataset(stored, content, NAME, AUGMENTATION)


def _labels(part: Labelled) -> Tensor:
    import torch

    return torch.tensor([label for label, _ in part], dtype=torch.int64)


def way_out(folder: Path) -> str:
    """Say what to put where."""
    return f"put {DOWNLOAD.name}, or {ROOT}/ as it unpacks, into {folder}"


def _is_here(folder: Path) -> bool:
    known = _cache_of_archive(folder, DOWNLOAD.md5).is_file()
    return known or (folder / DOWNLOAD.name).is_file() or (folder / ROOT).is_dir()


@functools.lru_cache(maxsize=1)
def _counted(unpacked: Path, changed: float) -> tuple[int, int, int]:
    listing = scan_tiny_imagenet(_unpacked_tree(unpacked))
    return len(listing.class_names), len(listing.train), len(listing.test)


def _describe(folder: Path) -> DatasetInfo:
    classes, train, test, problem = CLASSES, TRAIN_IMAGES, TEST_IMAGES, ""
    available, unpacked = _is_here(folder), folder / ROOT
    if available and unpacked.is_dir() and not (folder / DOWNLOAD.name).is_file():
        try:
            classes, train, test = _counted(unpacked, unpacked.stat().st_mtime)
        except DataError as error:
            available, problem = False, f"{error}."
    if not available and not problem:
        problem = how_to_get(DOWNLOAD.size / 1e6, way_out(folder))
    return DatasetInfo(
        name=NAME,
        title="Tiny-ImageNet",
        classes=classes,
        channels=SHAPE.channels,
        image_size=SHAPE.side,
        train_images=train,
        test_images=test,
        available=available,
        how_to_get=problem,
        download_bytes=DOWNLOAD.size,
    )


TINY_IMAGENET = DatasetSource(load_tiny_imagenet, _describe, download_tiny_imagenet)
