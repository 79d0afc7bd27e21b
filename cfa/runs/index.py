"""An index over run folders: what is made of a run's files is kept until they change.

The folders are the truth. An entry is taken only where every file that it may have been made from stands as
it stood (:mod:`cfa.runs.standing`), and it is kept only once they have stood still: the clock of a file
system ticks in steps, and what is written twice within one of them cannot be told apart by its times. How
long they stood still is measured here, so that the clock of whoever keeps them may differ from ours.
"""

import hashlib
import json
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from cfa.errors import StoreError
from cfa.home import cache_folder
from cfa.runs.folder import RunFolder
from cfa.runs.index_file import IndexFile, Row
from cfa.runs.standing import Standing
from cfa.stored import decode

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

STILL = 2.0  # seconds: the coarsest step of a file system's clock (FAT's)
LONG_AGO = 3600.0  # seconds after which no clock is taken to be so far from ours

T = TypeVar("T", bound="DataclassInstance")


@dataclass(frozen=True)
class Made(Generic[T]):
    """What was made of a run, and whether all that it is made of could be read: else it is not kept."""

    value: T
    whole: bool = True


@dataclass(frozen=True)
class Derived(Generic[T]):
    """One thing that is made of runs.

    Attributes:
        name: What it is kept under.
        type: A dataclass that comes back equal from JSON; one that does not is kept in memory alone.
        standing: Says how all files stand that it is made of.
        make: Makes it of these files and nothing else.
    """

    name: str
    type: type[T]
    standing: Callable[[RunFolder], Standing]
    make: Callable[[RunFolder], Made[T]]


@dataclass(frozen=True)
class _Entry:
    """A value in memory.

    Attributes:
        standing: How the files stood.
        since: Since when they have been seen to stand so, in seconds of our own clock.
        settled: Whether it was made after they had stood still.
    """

    standing: Standing
    since: float
    value: Any
    settled: bool


class Index:
    """What was made of runs, in memory and, where there is a file, between processes."""

    def __init__(self, file: Path | None = None) -> None:
        """Name the file; ``None`` keeps everything in memory."""
        self._file = IndexFile(file) if file is not None else None
        self._entries: dict[tuple[str, str], _Entry] = {}
        self._lock = Lock()

    @classmethod
    def of(cls, home: Path) -> "Index":
        """Open the index of a store on this machine, in this user's own cache."""
        folder = cache_folder()
        if folder is None:
            return cls()
        of_home = hashlib.sha256(f"{socket.gethostname()} {home.resolve()}".encode(errors="replace"))
        return cls(folder / f"index-{of_home.hexdigest()[:16]}.sqlite")

    def values(self, kind: Derived[T], runs: Sequence[RunFolder]) -> list[T]:
        """Return what a kind makes of some runs, in their order, as their files are now.

        Raises:
            Exception: What making it raises; nothing of that run is kept.
        """
        with self._lock:  # several people may ask at once; it is made for the first of them
            began = time.monotonic()
            standings = [kind.standing(run) for run in runs]
            looked = time.monotonic()
            stored = self._stored(kind, runs, standings)
            fresh, found = list[Row](), list[T]()
            for run, standing in zip(runs, standings, strict=True):
                key = kind.name, str(run.path)
                before = self._entries.get(key)
                if before is None or before.standing != standing:
                    before = stored.get(key[1])
                if before is None or not before.settled:
                    since = before.since if before is not None else looked
                    before = self._make(kind, run, standing, since, began)
                    fresh += _rows(kind, run, before) if before.settled and self._file else []
                self._entries[key] = before
                found.append(before.value)
            if fresh and self._file is not None:
                self._file.write(fresh)
            return found

    def _stored(
        self, kind: Derived[T], runs: Sequence[RunFolder], standings: Sequence[Standing]
    ) -> dict[str, _Entry]:
        """Read from the file what memory lacks, as far as it is of the files as they stand."""
        wanted = {
            str(run.path): standing
            for run, standing in zip(runs, standings, strict=True)
            if (known := self._entries.get((kind.name, str(run.path)))) is None or known.standing != standing
        }
        if not wanted or self._file is None:
            return {}
        found: dict[str, _Entry] = {}
        for path, row in self._file.read(kind.name, wanted).items():
            if row.standing != wanted[path].text:
                continue
            try:
                value = decode(row.content.encode(), kind.type)
            except StoreError:
                continue
            found[path] = _Entry(wanted[path], 0.0, value, settled=True)
        return found

    @staticmethod
    def _make(kind: Derived[T], run: RunFolder, standing: Standing, since: float, began: float) -> _Entry:
        long_ago = time.time() - standing.changed / 1e9 > LONG_AGO
        made = kind.make(run)
        stood_still = made.whole and (long_ago or began - since >= STILL)
        return _Entry(standing, since, made.value, stood_still and kind.standing(run) == standing)


def _rows(kind: Derived[T], run: RunFolder, entry: _Entry) -> list[Row]:
    """Write an entry for the file; none where it does not come back as it was."""
    content = json.dumps(entry.value, default=vars)
    try:
        same = decode(content.encode(), kind.type) == entry.value
    except StoreError:
        same = False
    return [Row(kind.name, str(run.path), entry.standing.text, content)] if same else []
