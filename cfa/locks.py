"""Locks that say who lives: held by a process as long as it lives, freed by the system when it dies."""

import errno
import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from cfa.errors import StoreError
from cfa.files import make_folder
from cfa.stored import open_file, require_regular

_HELD = (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES)


def is_held(lock_file: Path) -> bool:
    """Tell whether a living process (this one included) holds the lock.

    The file is only read, so that anyone who may look at a store can tell, also where nothing can be written.

    Raises:
        StoreError: It cannot be opened, or is no lock.
    """
    try:
        with open_file(lock_file) as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError as error:
        if error.errno in _HELD:
            return True
        if error.errno == errno.ENOSYS:  # filelock then marks a held lock by a file that goes with it
            return True
        raise _cannot_open(lock_file, error.strerror or str(error)) from error
    except StoreError as error:
        raise _cannot_open(lock_file, str(error)) from error
    return False


@contextmanager
def hold(lock_file: Path, busy: str, timeout: float = 10) -> Iterator[None]:
    """Hold a lock; who only asks whether it is free holds it for an instant, so waiting a little is right.

    Args:
        lock_file: The lock's file; its folder is made, and those above it must be there.
        busy: The sentence to fail with when the lock is not free in time.
        timeout: Seconds to wait.

    Raises:
        StoreError: Somebody else holds it, or it cannot be opened.
    """
    lock = lock_at(lock_file)
    try:
        lock.acquire(timeout=timeout)
    except Timeout as error:
        raise StoreError(busy) from error
    except OSError as error:
        if error.errno == errno.EROFS:
            raise StoreError(
                f"cannot open {lock_file} ({error.strerror}); set CFA_HOME to a folder that you may write to"
            ) from error
        raise _cannot_open(lock_file, error.strerror or str(error)) from error
    try:
        yield
    finally:
        lock.release()


def lock_at(lock_file: Path) -> FileLock:
    """Give a lock to be taken, whose folder is made; those above it must be there.

    Taking a lock empties its file: of what somebody else left there only a regular file is taken for one.

    Raises:
        StoreError: A link or anything else stands in its place, or its folder cannot be made.
    """
    make_folder(lock_file.parent)
    try:
        require_regular(lock_file.lstat().st_mode)
    except FileNotFoundError:
        pass
    except StoreError as error:
        raise _cannot_open(lock_file, str(error)) from error
    # Not tied to the thread that takes it: a job may go through several.
    return FileLock(lock_file, thread_local=False)


def _cannot_open(lock_file: Path, reason: str) -> StoreError:
    return StoreError(f"cannot open {lock_file} ({reason}); check whose it is, or delete it")
