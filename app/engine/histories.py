"""A run's history as tables, kept until there is another epoch."""

from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import Any

import pandas as pd
import streamlit as st

from app.engine.snapshots import Run
from app.process.rights import looks
from app.process.stamps import stamp_of
from cfa.runs.folder import RunFolder
from cfa.tables.frames import epochs_frame, history_frame, knobs_frame


@looks
def history(run: Run) -> pd.DataFrame:
    """Return a run's per-class scores of every epoch; cached until an epoch is added. Do not change it.

    Classes of which an epoch has seen no image have no accuracy, and no row.
    """
    return _of_history(run, _seen_history)


def _seen_history(folder: RunFolder) -> pd.DataFrame:
    frame = history_frame(folder)
    return frame[frame["total"] > 0]


@looks
def knobs(run: Run) -> pd.DataFrame:
    """Return what the rule set per epoch and class; cached. Do not change it."""
    return _of_history(run, knobs_frame)


@looks
def epochs(run: Run) -> pd.DataFrame:
    """Return the epochs as wholes; cached. Do not change it."""
    return _of_history(run, epochs_frame)


@looks
def history_stamp(run: Run) -> tuple[int, int]:
    """Return what changes whenever a run's history does."""
    return stamp_of(run.folder.history_file)


class _Newest:
    """What is made of a file, kept until the file changes: a run that goes on leaves nothing old behind."""

    def __init__(self, folder: RunFolder) -> None:
        self._folder, self._lock = folder, Lock()
        self._stamp, self._made = (0, 0), dict[Callable[[RunFolder], Any], Any]()

    def get(self, make: Callable[[RunFolder], Any], stamp: tuple[int, int]) -> Any:
        with self._lock:  # several people may ask at once; it is made for the first of them
            if stamp != self._stamp:
                self._stamp, self._made = stamp, {}
            if make not in self._made:
                self._made[make] = make(self._folder)
            return self._made[make]


def _of_history(run: Run, make: Callable[[RunFolder], pd.DataFrame]) -> pd.DataFrame:
    frame: pd.DataFrame = _made_of_history(str(run.folder.path)).get(make, history_stamp(run))
    return frame


@st.cache_resource(max_entries=60, show_spinner=False)
def _made_of_history(path: str) -> _Newest:
    return _Newest(RunFolder(Path(path)))
