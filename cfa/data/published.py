"""Data sets as their authors publish them: files with checksums, read once and then kept decoded.

The files may lie in the folder of data sets as the archive that is downloaded, or unpacked as torchvision
leaves them. Whichever it is, the checksum of every file that is read is compared before it is parsed: an
archive that is truncated or was changed is never taken for whole. Once decoded, the files are not needed.
"""

import dataclasses
import hashlib
import json
import lzma
import posixpath
import tarfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cfa.data.augmentation import Augmentation
from cfa.data.cache import SUFFIX, Content, keep_dataset, read_dataset
from cfa.data.datasets import Dataset, DatasetInfo, DatasetSource, Report, no_report
from cfa.data.downloads import Download, fetch
from cfa.errors import DataError

RULES = 1  # raised when the way in which files are parsed changes: older caches are then made anew
ARCHIVES = (".tar.gz", ".tgz", ".tar")

# What a truncated or damaged archive makes tarfile and what is below it raise.
_DAMAGED = (tarfile.TarError, OSError, EOFError, zlib.error, lzma.LZMAError)

# What a parser stumbles over in a file that is not in the format; its checksum was right all the same, where
# the checksums are those of someone's own files.
UNPARSABLE = (KeyError, ValueError, TypeError, IndexError, AttributeError, EOFError, zlib.error)


@dataclass(frozen=True, eq=False)
class Parsed:
    """What a parser makes of the files.

    Attributes:
        class_names: One per class.
        train_images: uint8, shape (images, channels, side, side); ``test_images`` likewise.
        train_labels: Whole numbers, shape (images,); ``test_labels`` likewise.
    """

    class_names: tuple[str, ...]
    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray


Parser = Callable[[Mapping[str, bytes]], Parsed]
"""Takes the content of each file by its name, without folders."""


@dataclass(frozen=True, kw_only=True)
class Published:
    """A data set and its files.

    Attributes:
        name: The name to ask for it by.
        title: Its name for people.
        classes: Number of classes.
        side: Side of an image in pixels.
        train_images: Number of them; ``test_images`` likewise.
        augmentation: How training images are varied.
        downloads: What is fetched: an archive of the files, or the files.
        place: The folder, below that of data sets, in which the files lie unpacked.
        checksums: The md5 of each file that is read, by its name.
        parse: Makes images and labels of them.
    """

    name: str
    title: str
    classes: int
    side: int
    train_images: int
    test_images: int
    augmentation: Augmentation
    downloads: tuple[Download, ...]
    place: str
    checksums: Mapping[str, str]
    parse: Parser

    @property
    def download_bytes(self) -> int:
        """Return the size of everything that is downloaded."""
        return sum(item.size for item in self.downloads)

    def way_out(self, folder: Path) -> str:
        """Say what to put where."""
        names = " and ".join(item.name for item in self.downloads)
        unpacked = f", or its files into {folder / self.place}" if self.place else ""
        return f"put {names} into {folder}{unpacked}"

    def cache_file(self, folder: Path) -> Path:
        """Name the file of decoded images; other checksums are another data set."""
        state = json.dumps([RULES, self.name, sorted(self.checksums.items())])
        digest = hashlib.sha256(state.encode()).hexdigest()
        return folder / "decoded" / self.name / f"{digest[:32]}{SUFFIX}"

    def is_here(self, folder: Path) -> bool:
        """Tell whether it can be read without a download, by the files' names."""
        return (
            self.cache_file(folder).is_file()
            or self._unpacked(folder) is not None
            or all((folder / item.name).is_file() for item in self.downloads)
        )

    def _unpacked(self, folder: Path) -> dict[str, Path] | None:
        files = {name: folder / self.place / name for name in self.checksums}
        return files if all(file.is_file() for file in files.values()) else None


def load_published(published: Published, folder: Path, checksums: Mapping[str, str] | None = None) -> Dataset:
    """Load a published data set, from decoded images where it was read before.

    Args:
        published: Which.
        folder: Where data sets live. What is in neither of its places there is downloaded.
        checksums: The md5 of each file by its name, for files of one's own in the same format (which nobody
            can download); by default the published ones.

    Raises:
        DataError: A file is missing and not to be had, has another checksum, or is in another format; or the
            decoded images cannot be kept.
    """
    import torch

    if checksums is not None:
        published = dataclasses.replace(published, checksums=dict(checksums))
    stored = published.cache_file(folder)
    known = read_dataset(stored, published.name, published.augmentation)
    if known is not None:
        return known
    if not published.is_here(folder):
        if checksums is not None:
            raise DataError(f"{published.name} is not in {folder}; {published.way_out(folder)}")
        download_published(published, folder)
    parsed = _parse(published, folder, _read_files(published, folder))
    images = np.ascontiguousarray(np.concatenate([parsed.train_images, parsed.test_images]))
    labels = [torch.from_numpy(part.astype(np.int64)) for part in (parsed.train_labels, parsed.test_labels)]
    content = Content(parsed.class_names, torch.from_numpy(images), *labels)
    return keep_dataset(stored, content, published.name, published.augmentation)


def download_published(published: Published, folder: Path, report: Report = no_report) -> None:
    """Fetch the files of a published data set, unless it can be read already.

    Raises:
        DataError: As for :func:`cfa.data.downloads.fetch`.
    """
    if published.is_here(folder):
        return
    fetch(published.downloads, folder, report, published.name, published.way_out(folder))


def published_source(published: Published) -> DatasetSource:
    """Make a published data set loadable by name."""
    return DatasetSource(
        lambda folder: load_published(published, folder),
        lambda folder: _describe(published, folder),
        lambda folder, report: download_published(published, folder, report),
    )


def how_to_get(megabytes: float, way_out: str) -> str:
    """Say that something is downloaded when it is needed, and what to do offline."""
    return f"It is downloaded when first used ({megabytes:,.0f} MB); offline, {way_out}."


def _describe(published: Published, folder: Path) -> DatasetInfo:
    available = published.is_here(folder)
    way_out = how_to_get(published.download_bytes / 1e6, published.way_out(folder))
    return DatasetInfo(
        name=published.name,
        title=published.title,
        classes=published.classes,
        channels=3,
        image_size=published.side,
        train_images=published.train_images,
        test_images=published.test_images,
        available=available,
        how_to_get="" if available else way_out,
        download_bytes=published.download_bytes,
    )


def _parse(published: Published, folder: Path, files: Mapping[str, bytes]) -> Parsed:
    try:
        return published.parse(files)
    except UNPARSABLE as error:
        reason = " ".join(str(error).split())[:160] or type(error).__name__
        raise DataError(
            f"the files of {published.name} in {folder} are not in the format in which it is published "
            f"({reason}); fetch them again"
        ) from error


# Reading files ---------------------------------------------------------------------------------------------


def _read_files(published: Published, folder: Path) -> dict[str, bytes]:
    """Read every file that is needed, from the folder or the archive, and compare its checksum."""
    unpacked = published._unpacked(folder)
    if unpacked is not None:
        contents = {name: _read(file) for name, file in unpacked.items()}
        where = {name: str(file) for name, file in unpacked.items()}
    else:
        archive = folder / published.downloads[0].name
        contents = _read_archive(archive, set(published.checksums))
        where = {name: f"{name} in {archive}" for name in contents}
    for name, content in contents.items():
        found = hashlib.md5(content, usedforsecurity=False).hexdigest()
        if found != published.checksums[name]:
            raise DataError(
                f"{where[name]} has the checksum {found} instead of {published.checksums[name]}: it is "
                "damaged, or another version; delete it and fetch it again"
            )
    return contents


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise DataError(f"cannot read {file} ({error.strerror or error})") from error


def _read_archive(archive: Path, wanted: set[str]) -> dict[str, bytes]:
    """Read the files of these names from an archive, in whatever folder they are in it."""
    contents: dict[str, bytes] = {}
    try:
        with tarfile.open(archive) as opened:
            for member in opened:
                name = posixpath.basename(member.name)
                if name not in wanted or not member.isfile():
                    continue
                stream = opened.extractfile(member)
                contents[name] = stream.read() if stream is not None else b""
                if len(contents) == len(wanted):
                    return contents  # STL-10 has 2 GB more, which are not labelled
    except _DAMAGED as error:
        reason = " ".join(str(error).split())[:160] or type(error).__name__
        raise DataError(
            f"{archive} is truncated or damaged ({reason}); delete it and fetch it again"
        ) from error
    missing = ", ".join(sorted(wanted - contents.keys()))
    raise DataError(f"{archive} holds no {missing}; delete it and fetch it again")
