"""How files are written here: beside their place, flushed to the disk, and then renamed into it.

A reader, a crash or a power cut finds the old file or the new one, never half of one. Nothing else in the
project replaces a file; what grows line by line (``history.jsonl``, logs) is appended to instead.
"""

import errno
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from cfa.errors import StoreError
from cfa.stored import require_regular

TEMPORARY = ".*.tmp"
"""What half-written files and folders are called: a dot before, ``.tmp`` behind; `cfa prune` looks for it."""

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_REFUSED = (errno.EACCES, errno.EPERM, errno.EROFS)
_GONE = (errno.ENOENT, errno.ENOTDIR)


def temporary_path(path: Path) -> Path:
    """Name a file or folder beside ``path`` that nobody else writes, to be renamed to it later."""
    # The beginning of the name is enough for a person who finds it; a long one would not fit any more.
    return path.with_name(f".{path.name[:40]}.{secrets.token_hex(4)}.tmp")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a path to write to; when the block ends well, what was written there takes the place of ``path``.

    The content is on the disk before the name changes, and the name before the block is left. When the block
    raises, nothing is left of it and ``path`` is what it was.

    Raises:
        StoreError: The file system refuses: full, read-only, or the folder is gone.
    """
    temporary = temporary_path(path)
    try:
        yield temporary
        _flush(temporary, os.O_RDONLY)
        os.replace(temporary, path)
    except OSError as error:
        _discard(temporary)
        raise cannot_write(path, error) from error
    except BaseException:
        _discard(temporary)
        raise
    # Some file systems know no flush of folders; the file is whole there without it.
    with suppress(OSError):
        _flush(path.parent, os.O_RDONLY)


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """Give a new folder to fill; when the block ends well it is renamed to ``path``, else nothing is left.

    Folders above ``path`` must be there, and ``path`` itself must not, or be empty.

    Raises:
        StoreError: As for :func:`replacing`.
    """
    temporary = temporary_path(path)
    try:
        temporary.mkdir()
        yield temporary
        for found in temporary.rglob("*"):
            if found.is_file() and not found.is_symlink():
                _flush(found, os.O_RDONLY)
        os.replace(temporary, path)
    except OSError as error:
        raise cannot_write(path, error) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    with suppress(OSError):
        _flush(path.parent, os.O_RDONLY)


def write_bytes(path: Path, content: bytes) -> None:
    """Replace a file's content.

    Raises:
        StoreError: As for :func:`replacing`.
    """
    with replacing(path) as temporary, temporary.open("xb") as file:
        file.write(content)


def write_text(path: Path, text: str) -> None:
    """Replace a file's content by text in UTF-8.

    Raises:
        StoreError: As for :func:`replacing`.
    """
    write_bytes(path, text.encode())


def open_to_append(path: Path) -> BinaryIO:
    """Open a file to add to its end, and make it where there is none; follows no link and never waits.

    Raises:
        StoreError: The file system refuses, or a link, a pipe or a device stands there.
    """
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        if os.path.lexists(path):
            _require_own_file(path)
        descriptor = os.open(path, flags, 0o666)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):  # put there since
            os.close(descriptor)
            raise OSError(errno.EINVAL, "no regular file stands there")
    except OSError as error:
        raise cannot_write(path, error) from error
    return os.fdopen(descriptor, "ab+")


def append_line(path: Path, line: str) -> None:
    """Add a line to a log, which nobody waits for: it is not flushed to the disk.

    Raises:
        StoreError: As for :func:`open_to_append`.
    """
    with open_to_append(path) as file:
        try:
            file.write(f"{line}\n".encode(errors="replace"))
            file.flush()
        except OSError as error:
            raise cannot_write(path, error) from error


def refuse_link(folder: Path) -> None:
    """Refuse to write into a folder that is a link: what is written there would land somewhere else.

    Raises:
        StoreError: It is one.
    """
    if folder.is_symlink():
        raise StoreError(f"nothing is written to {folder} (it is a link); put the folder itself in its place")


def require_own(folder: Path) -> None:
    """Refuse to write into a folder from which a link, a pipe or a device leads somewhere else.

    Runs and jobs are copied from others. Whoever is about to write into one asks here first, and need not
    know by which names it will write.

    Raises:
        StoreError: The folder, or the first thing in it that is neither a file nor a folder.
    """
    refuse_link(folder)
    for where, folders, files in os.walk(folder):
        for path in (Path(where, name) for name in sorted([*folders, *files])):
            with suppress(FileNotFoundError):  # deleted meanwhile
                if not stat.S_ISDIR(path.lstat().st_mode):
                    _require_own_file(path)


def _require_own_file(path: Path) -> None:
    try:
        require_regular(path.lstat().st_mode)
    except StoreError as error:
        raise StoreError(
            f"nothing is written to {path.parent} ({path.name}: {error}); delete it, or put what it stands "
            "for in its place"
        ) from error


def make_folder(folder: Path, *, parents: bool = False) -> None:
    """Make a folder if it is not there.

    Args:
        folder: What to make.
        parents: Make those above it as well. Else they must be there: a run that was deleted stays deleted.

    Raises:
        StoreError: The file system refuses.
    """
    try:
        folder.mkdir(parents=parents, exist_ok=True)
    except OSError as error:
        raise cannot_write(folder, error) from error


def cannot_write(path: Path, error: OSError) -> StoreError:
    """Say in a sentence why a file or folder could not be written, and the way out."""
    reason = error.strerror or str(error)
    if isinstance(error, shutil.Error):  # its text lists every file of a folder
        reason = "some files could not be copied"
    if error.errno in _FULL:
        way_out = "free disk space, then retry or resume"
    elif error.errno in _REFUSED:
        way_out = "choose a place that you may write to"
    elif error.errno in _GONE:
        way_out = "its folder is not there any more; make it again or choose another place"
    else:
        way_out = "check the disk, then retry or resume"
    return StoreError(f"cannot write {path} ({reason}); {way_out}")


def _flush(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _discard(temporary: Path) -> None:
    with suppress(OSError):
        temporary.unlink()
