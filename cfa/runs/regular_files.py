"""Files of a folder that somebody else may have filled: regular ones only, and no link is followed.

Every folder on the way is opened from the one before: a link put there meanwhile is not followed either.
"""

import errno
import os
import shutil
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from cfa.errors import StoreError
from cfa.escaping import printable

PASSING = (".tmp", ".lock")  # endings of files that mean something only to a living process
DEEPEST = 16  # folders within each other
NOT_WANTED, LINK, NOT_REGULAR = "not a file of a run", "a link", "not a regular file"

Room = Callable[[str], int | None]
"""Bytes that a file of some name may have, ``None`` where it is not wanted; a folder's name ends in ``/``."""


@dataclass(frozen=True)
class LeftOut:
    """A file or folder that was not copied: its place below the folder, and why."""

    name: str
    reason: str


def listed(left_out: Mapping[str, Sequence[LeftOut]]) -> list[str]:
    """Write what was left out of runs (by their ids), a line each."""
    return [
        printable(f"{'/'.join(filter(None, (run_id, item.name)))}: {item.reason}")
        for run_id, items in left_out.items()
        for item in items
    ]


def told(left_out: Mapping[str, Sequence[LeftOut]], most: int = 5) -> list[str]:
    """Count in a sentence a run what was left out, and name the first."""
    sentences = []
    for run_id, items in left_out.items():
        named = "; ".join(listed({run_id: items[:most]}))
        more = f"; and {len(items) - most:,} more" if len(items) > most else ""
        sentences.append(f"left out {len(items):,}: {named}{more}")
    return sentences


def copy_regular(source: Path, target: Path, room: Room) -> list[LeftOut]:
    """Copy what is wanted of a folder into another one; files keep their times.

    Args:
        source: A folder, itself no link.
        target: A folder that is there.
        room: How large which file may be.

    Returns:
        Everything that was not copied, in order; of a folder that is not wanted only its name.

    Raises:
        OSError: ``source`` cannot be read, or ``target`` not be written.
    """
    left_out: list[LeftOut] = []
    folder = _open_folder(str(source))
    try:
        _copy_folder(folder, target, "", room, left_out)
    finally:
        os.close(folder)
    return left_out


@contextmanager
def open_regular(folder: Path, name: str) -> Iterator[BinaryIO]:
    """Open a file below a folder for reading.

    Args:
        folder: The folder, itself no link.
        name: Of the file, with ``/`` between the folders on the way.

    Raises:
        StoreError: It is not there, or it or a folder on the way is a link or something else.
    """
    opened: list[int] = []
    try:
        opened.append(_open_folder(str(folder)))
        *folders, file = name.split("/")
        for part in folders:
            opened.append(_open_folder(part, opened[-1]))
        stream = os.fdopen(_open_file(file, opened[-1]), "rb")
    except OSError as error:
        raise StoreError(f"{name} of {folder.name} is not read ({_reason(error)})") from error
    finally:
        for descriptor in opened:
            os.close(descriptor)
    with stream:
        yield stream


def _copy_folder(source: int, target: Path, prefix: str, room: Room, left_out: list[LeftOut]) -> None:
    with os.scandir(source) as entries:
        names = sorted(entry.name for entry in entries if not entry.name.endswith(PASSING))
    for name in names:
        where = prefix + name
        try:
            mode = os.stat(name, dir_fd=source, follow_symlinks=False).st_mode
        except FileNotFoundError:  # deleted meanwhile
            continue
        if stat.S_ISDIR(mode):
            reason = _copy_below(source, name, target, where + "/", room, left_out)
        else:
            reason = _copy_file(source, name, target / name, mode, room(where))
        if reason:
            left_out.append(LeftOut(where, reason))


def _copy_below(
    source: int, name: str, target: Path, where: str, room: Room, left_out: list[LeftOut]
) -> str | None:
    """Copy a folder; say why not where it is left out."""
    if room(where) is None:
        return NOT_WANTED
    if where.count("/") > DEEPEST:
        return "too many folders within each other"
    try:
        below = _open_folder(name, source)
    except OSError as error:
        return _reason(error)
    try:
        (target / name).mkdir()
        _copy_folder(below, target / name, where, room, left_out)
    finally:
        os.close(below)
    return None


def _copy_file(source: int, name: str, target: Path, mode: int, most: int | None) -> str | None:
    """Copy a file; say why not where it is left out."""
    if stat.S_ISLNK(mode):
        return LINK
    if not stat.S_ISREG(mode):
        return NOT_REGULAR
    if most is None:
        return NOT_WANTED
    try:
        opened = _open_file(name, source)
    except OSError as error:
        return _reason(error)
    with os.fdopen(opened, "rb") as read:
        found = os.fstat(opened)
        if found.st_size > most:
            return f"larger than the {most:,} bytes that it may have"
        if found.st_size > shutil.disk_usage(target.parent).free:  # some say that they are large, and are not
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        with target.open("xb") as written:
            shutil.copyfileobj(read, written)
        os.utime(target, ns=(found.st_atime_ns, found.st_mtime_ns))
    return None


def _open_folder(name: str, parent: int | None = None) -> int:
    return os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=parent)


def _open_file(name: str, folder: int) -> int:
    # Without waiting: a pipe would block until somebody writes into it.
    opened = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
    if not stat.S_ISREG(os.fstat(opened).st_mode):
        os.close(opened)
        raise OSError(errno.EINVAL, NOT_REGULAR)
    return opened


def _reason(error: OSError) -> str:
    if error.errno == errno.ENOTDIR:  # so says Linux also of a link in the place of a folder
        return "a link, or no folder"
    return LINK if error.errno == errno.ELOOP else str(error.strerror or error)
