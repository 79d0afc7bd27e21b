"""Runs out of the store: folders whole, and tables that need nothing of ours to be read."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from cfa.errors import ConfigError
from cfa.escaping import csv_cell
from cfa.files import make_folder, replacing_folder, write_text
from cfa.runs.folder import RunFolder
from cfa.runs.regular_files import LINK, LeftOut, copy_regular, listed
from cfa.tables.frames import (
    EPOCHS_COLUMNS,
    KNOBS_COLUMNS,
    PER_CLASS_COLUMNS,
    epochs_frame,
    history_frame,
    knobs_frame,
    per_class_frame,
    summary_frame,
)
from cfa.typed_paths import exists, leads_to_folder

LEFT_OUT = "left-out.txt"


@dataclass(frozen=True)
class Exported:
    """What came of an export: the runs that were copied, and what of each run, by its id, was not."""

    runs: tuple[RunFolder, ...]
    left_out: Mapping[str, Sequence[LeftOut]]


def write_csv(frame: pd.DataFrame, file: Path) -> None:
    """Write a table as CSV atomically, as :func:`csv_text` does."""
    write_text(file, csv_text(frame))


def csv_text(frame: pd.DataFrame) -> str:
    """Write a table as CSV: floats read back to the same number, and no spreadsheet runs a text.

    Pandas before 3 reads them so with ``float_precision="round_trip"`` only.
    An apostrophe stands before texts that a spreadsheet would run; how to take it away again says
    `cfa.escaping.csv_cell`.
    """
    columns = [_harmless(frame.iloc[:, place]) for place in range(frame.shape[1])]
    table = pd.concat(columns, axis=1) if columns else frame
    return table.set_axis([csv_cell(str(name)) for name in frame.columns], axis=1).to_csv(
        index=False, lineterminator="\n"
    )


def _harmless(column: pd.Series) -> pd.Series:
    if pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column):
        return column
    return column.map(lambda value: csv_cell(value) if isinstance(value, str) else value)


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


def export_runs(runs: Sequence[RunFolder], folder: Path) -> Exported:
    """Copy runs whole into ``folder/runs/``, with their tables beside; nothing or everything is written.

    Links are not followed, wherever they point: they would take somebody's other files along. They, and what
    is no regular file, are left out and listed in ``folder/left-out.txt``.

    Raises:
        ConfigError: ``folder`` holds something already, or every run is a link.
        StoreError: It cannot be written.
    """
    if exists(folder) and (not leads_to_folder(folder) or any(folder.iterdir())):
        raise ConfigError(f"{folder} is not empty; name a new folder to export to")
    unique = {run.id: run for run in runs}
    linked = [name for name, run in unique.items() if run.path.is_symlink()]
    taken = [run for name, run in unique.items() if name not in linked]
    if linked and not taken:
        raise ConfigError(f"run {linked[0]} is a link to another folder; export from where that folder is")
    left_out = {name: [LeftOut("", LINK)] for name in linked}
    make_folder(folder.parent, parents=True)
    with replacing_folder(folder) as temporary:
        for run in taken:
            copy = temporary / "runs" / run.id
            copy.mkdir(parents=True)
            if missing := copy_regular(run.path, copy, _anything):
                left_out[run.id] = missing
            if run.aside is not None and run.aside.is_dir() and not run.aside.is_symlink():
                missing = copy_regular(run.aside, copy / "evaluations", _anything)
                left_out[run.id] = [*left_out.get(run.id, []), *missing]
        copies = [RunFolder(temporary / "runs" / run.id) for run in taken]
        # From the copies: tables do not follow links either.
        write_tables([copy for copy in copies if (copy.path / "config.json").is_file()], temporary)
        if left_out:
            write_text(temporary / LEFT_OUT, "".join(f"{line}\n" for line in listed(left_out)))
    return Exported(tuple(taken), left_out)


def _anything(name: str) -> int:
    return sys.maxsize


def _joined(frames: list[pd.DataFrame], columns: list[str]) -> pd.DataFrame:
    filled = [frame for frame in frames if len(frame)]
    if not filled:
        return pd.DataFrame(columns=columns)
    joined = pd.concat(filled, ignore_index=True)
    return joined[[*columns, *(name for name in joined if name not in columns)]]
