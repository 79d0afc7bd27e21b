"""Disk space that nobody needs any more."""

import os
import shutil
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cfa.locks import is_held
from cfa.runs.evaluations import SEQUENTIAL, WHOLE
from cfa.runs.folder import bytes_below
from cfa.runs.listed import readable_runs
from cfa.runs.store import Store
from cfa.stored import is_file

ABANDONED = 3600.0  # seconds without a change after which a temporary file belongs to nobody


@dataclass(frozen=True)
class Leftover:
    """A file or folder that can go, why, and the bytes that it holds."""

    path: Path
    reason: str
    size: int


@dataclass(frozen=True)
class Pruned:
    """What went, or would go, and a sentence for each that could not be deleted."""

    leftovers: tuple[Leftover, ...]
    problems: tuple[str, ...] = ()


def leftovers(store: Store) -> list[Leftover]:
    """List what can be deleted without losing a result or the way to go on with a run."""
    return [*_training_states(store), *_remembered_batches(store), *_temporary_files(store)]


def prune(store: Store, *, dry_run: bool = False) -> Pruned:
    """Delete the leftovers (or only list them); one that cannot be deleted keeps no other."""
    found = leftovers(store)
    if dry_run:
        return Pruned(tuple(found))
    deleted, problems = [], []
    for leftover in found:
        try:
            _delete(leftover.path)
        except FileNotFoundError:  # someone else was faster
            continue
        except OSError as error:
            problems.append(f"{leftover.path} cannot be deleted ({error.strerror}); see whose it is")
        else:
            deleted.append(leftover)
    return Pruned(tuple(deleted), tuple(problems))


def _delete(path: Path) -> None:
    if stat.S_ISDIR(path.lstat().st_mode):
        shutil.rmtree(path)
    else:
        path.unlink()


def _training_states(store: Store) -> Iterator[Leftover]:
    for run in readable_runs(store):
        state = run.status.state
        if state not in ("finished", "cancelled") or run.folder.read_only:
            continue
        for file in (run.folder.state_file, run.folder.helper_file):
            if not is_file(file) or file.parent.is_symlink() or is_held(run.folder.lock_file):
                continue
            yield Leftover(file, f"training state of {run.label.name}, which is {state}", file.stat().st_size)


def _remembered_batches(store: Store) -> Iterator[Leftover]:
    """Find what finished evaluations remembered on their way, where a kill kept them from deleting it."""
    for run in readable_runs(store):
        folder = run.folder.path / "evaluations"
        if run.folder.read_only or folder.is_symlink():
            continue
        for parts in sorted(folder.glob("[!.]*/parts")):
            if parts.is_symlink() or parts.parent.is_symlink() or not parts.is_dir():
                continue
            # Else the evaluation can go on from them.
            if any(is_file(parts.with_name(name)) for name in (WHOLE, SEQUENTIAL)):
                reason = f"batches of a finished evaluation of {run.label.name}"
                yield Leftover(parts, reason, bytes_below(parts))


def _temporary_files(store: Store) -> Iterator[Leftover]:
    """Find what crashes left half-written: such names start with a dot and end in .tmp."""
    whole: set[Path] = set()
    # Folders of data may be links to another disk: what lies there is left alone.
    fetched = [] if store.data_folder.is_symlink() else store.data_folder.glob(".downloading-*")
    for path in sorted([*store.home.rglob(".*.tmp"), *fetched]):
        if whole.isdisjoint(path.parents) and _age(path) > ABANDONED:
            whole.add(path)
            yield Leftover(path, "left half-written by a crash", _size(path))


def _age(path: Path) -> float:
    """Return the seconds since anything in it changed; 0 for what is just being deleted.

    A time that lies ahead counts as far back: a clock that was set back keeps nothing for ever.
    """
    try:
        times = [path.lstat().st_mtime]
        for where, folders, files in os.walk(path):
            times += [os.lstat(os.path.join(where, name)).st_mtime for name in [*folders, *files]]
    except FileNotFoundError:
        return 0.0
    return min(abs(time.time() - changed) for changed in times)


def _size(path: Path) -> int:
    return bytes_below(path) if path.is_dir() and not path.is_symlink() else path.lstat().st_size
