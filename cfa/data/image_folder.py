"""Anyone's image folder as a data set, ``folder:PATH``, decoded once and cached.

What is taken from a folder is said in `cfa.data.listing`. Images are brought to one square: the median of all
shorter sides, at most 224. How each is brought to it, and what becomes of grey, transparent and deep ones, is
said in `cfa.data.images`.
"""

from __future__ import annotations

import functools
import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING

from cfa.data.augmentation import Augmentation
from cfa.data.cache import SUFFIX, cached_format, cached_text, files_digest, read_decoded, write_decoded
from cfa.data.datasets import FOLDER, Dataset, DatasetInfo, DatasetSource, full_name
from cfa.data.images import Survey, bits_used, decode_images, survey
from cfa.data.listing import Listing, may_hold_images, require_folder, scan_folder
from cfa.data.splits import stratified_split
from cfa.errors import DataError

if TYPE_CHECKING:
    from torch import Tensor

TEST_FRACTION = 0.1
TEST_SEED = 0
RULES = 2  # raised when rules of listing or decoding change: older caches are then made anew

# As for the data sets of its kind: four pixels of 32, and a mirrored object is an object of the same class.
# Whoever knows better (digits, text) switches it off with `data.augment`.
CROP_SHARE = 1 / 8


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
    digest = _digest(listing)
    stored = _cache_file(cache, listing, digest)
    cached = _read_cache(stored, listing)
    if cached is not None:
        return cached
    found = _surveyed(digest, listing)
    bits = bits_used(found)
    images = decode_images(_files(listing), found.format, listing.path, bits)
    dataset = _assemble(listing, images, _depth_notes(found, bits))
    write_decoded(stored, images, dataset, metadata={_DEPTH: json.dumps(_depth_notes(found, bits))})
    return dataset


# Decoding --------------------------------------------------------------------------------------------------

_DEPTH = "depth_notes"  # in the cache's metadata


def _files(listing: Listing) -> list[Path]:
    return [file for _, file in (*listing.train, *listing.test)]


def _digest(listing: Listing) -> str:
    """Hash what decides what is decoded: the rules, and names, sizes and times of the files of each part."""
    parts = ([file for _, file in part] for part in (listing.train, listing.test))
    return files_digest(listing.path, [RULES, listing.class_names], parts)


def _surveyed(digest: str, listing: Listing) -> Survey:
    return _survey(digest, tuple(_files(listing)))


@functools.lru_cache(maxsize=4)
def _survey(digest: str, files: tuple[Path, ...]) -> Survey:
    """Read every image's header; the digest stands for the files' state among the arguments."""
    return survey(files)


def _depth_notes(found: Survey, bits: int) -> list[str]:
    """Say what was made of images of 16 bits."""
    notes = []
    if found.deep_grey:
        use = "all of these" if bits == 16 else f"{bits} of these, over the whole set"
        notes.append(f"{len(found.deep_grey):,} grey images of 16 bits use {use}: the upper eight are kept")
    if found.deep_colour:
        notes.append(f"{len(found.deep_colour):,} coloured images of 16 bits: the upper eight are kept")
    return notes


def _split(labels: Tensor, num_classes: int) -> tuple[Tensor, Tensor]:
    split = stratified_split(labels, num_classes, TEST_FRACTION, TEST_SEED)
    return split.train, split.validation


def _assemble(listing: Listing, images: Tensor, depth_notes: list[str]) -> Dataset:
    train_labels, test_labels = listing.labels()
    train, test = images[: len(train_labels)], images[len(train_labels) :]
    if not listing.test:
        kept, held_out = _split(train_labels, len(listing.class_names))
        train, test = images[kept], images[held_out]
        train_labels, test_labels = train_labels[kept], train_labels[held_out]
    padding = round(images.shape[-1] * CROP_SHARE)
    return Dataset(
        name=f"{FOLDER}:{listing.path}",
        class_names=listing.class_names,
        train_images=train,
        train_labels=train_labels,
        test_images=test,
        test_labels=test_labels,
        augmentation=Augmentation(crop_padding=padding, padding_mode="reflect", flip=True),
        test_only=listing.test_only,
        notes=(*listing.notes, *depth_notes),
    )


# Cache -----------------------------------------------------------------------------------------------------


def _cache_file(folder: Path, listing: Listing, digest: str) -> Path:
    place = hashlib.sha256(str(listing.path).encode()).hexdigest()[:12]
    return folder / "folders" / f"{listing.path.name}-{place}" / f"{digest[:32]}{SUFFIX}"


def _read_cache(file: Path, listing: Listing) -> Dataset | None:
    """Read decoded images; ``None`` where there are none, or they are not what was written."""
    decoded = read_decoded(file)
    if decoded is None or len(decoded.images) != len(listing.train) + len(listing.test):
        return None
    dataset = _assemble(listing, decoded.images, _read_notes(decoded.metadata.get(_DEPTH, "")))
    return dataset if decoded.vouches_for(dataset) else None


def _read_notes(text: str) -> list[str]:
    try:
        notes = json.loads(text)
    except (ValueError, RecursionError):
        return []
    return [str(note) for note in notes] if isinstance(notes, list) else []


# Registration ----------------------------------------------------------------------------------------------


def _describe(path: Path, cache: Path) -> DatasetInfo:
    """Describe a folder from its cache or its images' headers; one that cannot be used says why."""
    name = full_name(f"{FOLDER}:{path}")
    try:
        listing = scan_folder(path)
        digest = _digest(listing)
        stored = _cache_file(cache, listing, digest)
        cached = cached_format(stored)
        shape = cached[1] if cached else _surveyed(digest, listing).format
        notes = _described_depth(digest, listing, stored if cached else None)
        train_counts, test = _counts(listing)
    except DataError as error:
        return DatasetInfo(name, path.name, 0, 0, 0, 0, 0, available=False, how_to_get=f"{error}.")
    return DatasetInfo(
        name=name,
        title=f"{listing.path.name} (image folder)",
        classes=len(listing.class_names),
        channels=shape.channels,
        image_size=shape.side,
        train_images=sum(train_counts),
        test_images=test,
        available=True,
        how_to_get="",
        notes=(*listing.notes, *notes),
        train_counts=train_counts,
    )


def _described_depth(digest: str, listing: Listing, cached: Path | None) -> list[str]:
    """Say what becomes of images of 16 bits: what became of them, or that nobody has looked yet."""
    if cached is not None:
        return _read_notes(cached_text(cached, _DEPTH))
    found = _surveyed(digest, listing)
    deep = len(found.deep_grey) + len(found.deep_colour)
    return [f"{deep:,} images of 16 bits: how many they use is looked at when they are read"] if deep else []


def _counts(listing: Listing) -> tuple[tuple[int, ...], int]:
    """Count the images that each class of the training part will have, and those of the test part."""
    classes = len(listing.class_names)
    labels, tested = listing.labels()
    if not listing.test:
        kept, held_out = _split(labels, classes)
        labels, tested = labels[kept], labels[held_out]
    return tuple(labels.bincount(minlength=classes).tolist()) if len(labels) else (), len(tested)


def folder_source(path: str) -> DatasetSource:
    """Make the data set ``folder:PATH``."""
    if not path.strip():
        raise DataError(_USAGE)
    place = Path(path)

    def check() -> None:
        require_folder(place)
        if not may_hold_images(place):
            scan_folder(place)  # which says what is wrong with it

    return DatasetSource(
        lambda cache: load_folder(place, cache), lambda cache: _describe(place, cache), check=check
    )


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
