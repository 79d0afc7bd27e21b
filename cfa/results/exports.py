"""Runs out of the store and into it: folders whole, and tables that need nothing of ours to be read."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from cfa.errors import ConfigError
from cfa.files import make_folder, replacing_folder, write_text
from cfa.results.frames import (
    EPOCHS_COLUMNS,
    KNOBS_COLUMNS,
    PER_CLASS_COLUMNS,
    epochs_frame,
    history_frame,
    knobs_frame,
    per_class_frame,
    summary_frame,
)
from cfa.results.runs import Label, RunFolder
from cfa.results.store import Store

_PASSING = ("*.tmp", "*.lock")  # files that mean something only to a living process


@dataclass(frozen=True)
class Imported:
    """What came of an import: new runs, and the ids of those that were there already."""

    runs: tuple[RunFolder, ...]
    skipped: tuple[str, ...]


def write_csv(frame: pd.DataFrame, file: Path) -> None:
    """Write a table as CSV atomically; floats read back to the same number."""
    write_text(file, frame.to_csv(index=False, lineterminator="\n"))


def write_tables(runs: Sequence[RunFolder], folder: Path) -> None:
    """Write the five tables of runs into ``folder``.

    ``per_class.csv`` and ``summary.csv`` hold the newest test scores, ``history.csv``, ``knobs.csv`` and
    ``epochs.csv`` every epoch.
    """
    per_class = per_class_frame(runs)
    write_csv(per_class, folder / "per_class.csv")
    write_csv(summary_frame(per_class), folder / "summary.csv")
    write_csv(_joined([history_frame(run) for run in runs], PER_CLASS_COLUMNS), folder / "history.csv")
    write_csv(_joined([knobs_frame(run) for run in runs], KNOBS_COLUMNS), folder / "knobs.csv")
    write_csv(_joined([epochs_frame(run) for run in runs], EPOCHS_COLUMNS), folder / "epochs.csv")


def export_runs(runs: Sequence[RunFolder], folder: Path) -> Path:
    """Copy runs whole into ``folder/runs/``, with their tables beside; nothing or everything is written.

    Raises:
        ConfigError: ``folder`` holds something already.
        StoreError: It cannot be written.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError(f"{folder} is not empty; name a new folder to export to")
    unique = list({run.id: run for run in runs}.values())
    make_folder(folder.parent, parents=True)
    with replacing_folder(folder) as temporary:
        for run in unique:
            shutil.copytree(run.path, temporary / "runs" / run.id, ignore=shutil.ignore_patterns(*_PASSING))
        write_tables(unique, temporary)
    return folder


def import_runs(store: Store, folder: Path) -> Imported:
    """Copy the runs found in ``folder`` into the store.

    Runs are looked for in the folder itself, directly below it, and in its ``runs/`` (an export, another
    ``CFA_HOME``). An id that is here already is the same run: skipped. A taken name gets a number.

    Raises:
        ConfigError: There is no run in ``folder``.
        StoreError: A run there cannot be read, or this store cannot be written.
    """
    found = [RunFolder(path.resolve()) for path in (folder, *_below(folder), *_below(folder / "runs"))]
    found = [run for run in found if (run.path / "config.json").is_file()]
    if not found:
        raise ConfigError(f"{folder} holds no run; name a run's folder, or one made by `cfa export`")
    for run in found:
        _ = run.config  # a broken one is an error before anything is copied
    known = {run.id for run in store.runs()}
    skipped = tuple(run.id for run in found if run.id in known)
    return Imported(tuple(_adopt(store, run) for run in found if run.id not in known), skipped)


def _adopt(store: Store, source: RunFolder) -> RunFolder:
    run = RunFolder(store.runs_folder / source.id)
    label = source.label
    with replacing_folder(run.path) as temporary:
        shutil.copytree(source.path, temporary, ignore=_passing_and_links, dirs_exist_ok=True, symlinks=True)
        for part in ("weights", "state", "evaluations"):
            (temporary / part).mkdir(exist_ok=True)
        # Invisible to the store until it is renamed, so its own name does not count as taken.
        names = {other.name for other in store.runs()} | {other.id for other in store.runs()}
        free = (label.name, *(f"{label.name}-{i}" for i in range(2, len(names) + 3)))
        chosen = next(name for name in free if name not in names)
        RunFolder(temporary).write_label(Label(chosen, label.tags, label.notes))
    return run


def _passing_and_links(folder: str, names: list[str]) -> set[str]:
    """Leave out what belongs to a process, and links, which would point out of a foreign folder."""
    passing = shutil.ignore_patterns(*_PASSING)(folder, names)
    return passing | {name for name in names if (Path(folder) / name).is_symlink()}


def _below(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(p for p in folder.iterdir() if not p.name.startswith(".") and p.is_dir())


def _joined(frames: list[pd.DataFrame], columns: list[str]) -> pd.DataFrame:
    filled = [frame for frame in frames if len(frame)]
    return pd.concat(filled, ignore_index=True)[columns] if filled else pd.DataFrame(columns=columns)
