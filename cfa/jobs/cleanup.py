"""Disk space that nobody needs any more."""

import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cfa.jobs.folders import is_held
from cfa.results.store import Store

ABANDONED = 3600.0  # seconds without a change after which a temporary file belongs to nobody


@dataclass(frozen=True)
class Leftover:
    """A file or folder that can go, why, and the bytes that it holds."""

    path: Path
    reason: str
    size: int


def leftovers(store: Store) -> list[Leftover]:
    """List what can be deleted without losing a result or the way to go on with a run."""
    return [*_training_states(store), *_temporary_files(store)]


def prune(store: Store, *, dry_run: bool = False) -> list[Leftover]:
    """Delete the leftovers (or only list them) and return them."""
    found = leftovers(store)
    if not dry_run:
        for leftover in found:
            if leftover.path.is_dir():
                shutil.rmtree(leftover.path, ignore_errors=True)
            else:
                leftover.path.unlink(missing_ok=True)
    return found


def _training_states(store: Store) -> Iterator[Leftover]:
    for run in store.runs():
        ended = run.status.state in ("finished", "cancelled")
        if ended and not run.read_only and run.state_file.exists() and not is_held(run.lock_file):
            state = run.status.state
            yield Leftover(
                run.state_file, f"training state of {run.name}, which is {state}", _size(run.state_file)
            )


def _temporary_files(store: Store) -> Iterator[Leftover]:
    """Find what crashes left half-written: such names start with a dot and end in .tmp."""
    whole: set[Path] = set()
    for path in sorted([*store.home.rglob(".*.tmp"), *store.data_folder.glob(".downloading-*")]):
        if whole.isdisjoint(path.parents) and _age(path) > ABANDONED:
            whole.add(path)
            yield Leftover(path, "left half-written by a crash", _size(path))


def _age(path: Path) -> float:
    files = [path, *path.rglob("*")] if path.is_dir() else [path]
    return time.time() - max(file.lstat().st_mtime for file in files)


def _size(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.lstat().st_size for file in files if file.is_file())
