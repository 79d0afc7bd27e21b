"""What tells one content of files from the next, so that what was made of them is kept until they change."""

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from cfa.runs.folder import RunFolder
from cfa.runs.standing import results_standing

Stamps = tuple[tuple[str, int, int], ...]
"""Name, time and size of some files."""

Stamped = tuple[tuple[str, str], ...]
"""Runs by their paths, each with what tells its evaluations from the next ones."""


class HasFolder(Protocol):
    """Whatever stands for a run."""

    @property
    def folder(self) -> RunFolder:
        """The run's folder."""
        ...


def stamp_of(file: Path) -> tuple[int, int]:
    """Tell one content of a file from the next; zeros where there is none that may be looked at."""
    try:
        found = file.stat()
    except OSError:
        return 0, 0
    return found.st_mtime_ns, found.st_size


def evaluations_stamp(folder: RunFolder) -> str:
    """Tell one set of finished evaluations, with the name and the weights of their run, from the next."""
    # The label is in the table too: a renamed run is another table. Other weights make evaluations old ones.
    return hashlib.sha256(results_standing(folder).text.encode()).hexdigest()


def stamped(runs: Iterable[HasFolder]) -> Stamped:
    """Name runs for a cache: by their paths, each with the stamp of its evaluations."""
    return tuple((str(run.folder.path), evaluations_stamp(run.folder)) for run in runs)
