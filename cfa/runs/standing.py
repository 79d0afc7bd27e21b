"""What tells one state of a run's files from the next: which they are, how large, and when they changed.

A file that is edited, replaced by another of the same size, copied over with its old time (rsync) or whose
rights change has another inode or another ``ctime``, which nobody can set. A finished evaluation changes
nothing in its grandparent, so each ``evaluation.json`` counts by itself.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property

from cfa.runs.evaluations import WHOLE
from cfa.runs.folder import RunFolder

Fact = tuple[int, ...]
"""Mode, device, inode, size, mtime and ctime in ns of what stands somewhere; the error where nothing does."""

_IDENTITY, _CHANGED = 3, 5  # so many facts say what it is; where ctime stands


@dataclass(frozen=True)
class Standing:
    """How some files of a run stand; equal for two looks between which nothing has changed.

    Attributes:
        facts: Places and what stands there; what is not there is said as well.
    """

    facts: tuple[tuple[str, Fact], ...]

    @cached_property
    def text(self) -> str:
        """The same in ASCII, to be stored."""
        return ascii(self.facts)

    @property
    def changed(self) -> int:
        """When the newest of them changed, in ns of the clock of whoever keeps the files."""
        return max((fact[_CHANGED] for _, fact in self.facts if len(fact) > _CHANGED), default=0)


def list_standing(run: RunFolder) -> Standing:
    """Say how the files stand that a list reads of a run, and which weights there are; never raises."""
    return Standing(
        (
            *_files(run, "config.json", "manifest.json", "label.json", "status.json"),
            ("weights", _fact(f"{run.path}/weights", os.stat)),  # its names alone; it may be a link
        )
    )


def results_standing(run: RunFolder) -> Standing:
    """Say how a run's evaluations, its weights and its name stand, which tables of results are made of."""
    return Standing((*_files(run, "label.json"), *_results(run)))


def history_standing(run: RunFolder) -> Standing:
    """Say how a run's rows of epochs stand, and its evaluations."""
    return Standing((*_files(run, "manifest.json", "history.jsonl"), *_results(run)))


def _files(run: RunFolder, *names: str) -> Iterator[tuple[str, Fact]]:
    path = str(run.path)
    # Of the folder itself only what it is: its times change with every file that is written in it.
    yield "", _fact(path)[:_IDENTITY]
    yield from ((name, _fact(f"{path}/{name}")) for name in names)


def _results(run: RunFolder) -> Iterator[tuple[str, Fact]]:
    weights = f"{run.path}/weights"
    yield "weights", _fact(weights)
    yield from ((f"weights/{name}", _fact(f"{weights}/{name}")) for name in _names(weights))
    for number, place in enumerate(run.evaluation_places):
        yield f"{number}", _fact(str(place))[:_IDENTITY]
        for name in _names(str(place)):
            folder = f"{place}/{name}"
            yield f"{number}/{name}", _fact(folder)[:_IDENTITY]
            yield f"{number}/{name}/{WHOLE}", _fact(f"{folder}/{WHOLE}")


def _names(folder: str) -> list[str]:
    with suppress(OSError):  # before the first there is none
        return sorted(name for name in os.listdir(folder) if not name.startswith("."))
    return []


def _fact(path: str, look: Callable[[str], os.stat_result] = os.lstat) -> Fact:
    try:
        found = look(path)
    except OSError as error:
        return (error.errno or -1,)
    identity = (found.st_mode, found.st_dev, found.st_ino)
    return (*identity, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
