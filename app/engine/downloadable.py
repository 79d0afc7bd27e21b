"""What pages hand out as files: runs packed, weights, and tables as CSV. Links are not followed."""

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from app.engine.snapshots import Run
from app.process.rights import looks
from cfa.runs.folder import is_linked
from cfa.runs.regular_files import open_regular
from cfa.tables.exports import csv_text, export_runs


@looks
def export_zip(chosen: Sequence[Run]) -> bytes:
    """Pack runs, folders whole, with the five tables of an export."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "cfa-export"
        export_runs([run.folder for run in chosen], folder)
        return Path(shutil.make_archive(str(folder), "zip", folder)).read_bytes()


@looks
def weights_bytes(run: Run, weights: str, checkpoint: str) -> bytes:
    """Return a run's weights file for a download.

    Raises:
        StoreError: It is not there, or a link to some other file.
    """
    file = run.folder.weights_file(weights, checkpoint)
    with open_regular(run.folder.path, file.relative_to(run.folder.path).as_posix()) as opened:
        return opened.read()


@looks
def is_link(run: Run, weights: str = "", checkpoint: str = "") -> bool:
    """Tell whether a run, or a weights file of it, is a link, which downloads do not follow."""
    linked = run.folder.path.is_symlink()
    return linked or (bool(weights) and is_linked(run.folder.weights_file(weights, checkpoint)))


@looks
def csv(table: pd.DataFrame) -> str:
    """Write a table as CSV, columns as they are in the contract; no spreadsheet runs a text in it."""
    return csv_text(table)
