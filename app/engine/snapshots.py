"""What all pages draw from: runs and jobs as they were within the last second, shared by all sessions."""

from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import streamlit as st

from app.engine.described import DESCRIBED, Described, reported_kind
from app.process.brief import kept_for
from app.process.opened import index, queue, store
from app.process.rights import looks
from app.tables import ComparedRun
from cfa.config import EXTERNAL
from cfa.errors import StoreError
from cfa.home import default_home
from cfa.jobs.queue import Job as Job
from cfa.jobs.queue import JobProgress as JobProgress
from cfa.jobs.queue import read_progress
from cfa.methods import display_name, display_name_of_method
from cfa.runs.folder import RunFolder
from cfa.runs.listed import state_now
from cfa.tables.comparability import NOT_KNOWN, Protocol


@dataclass(frozen=True)
class Run:
    """A run as the pages show it; ``problem`` says why a broken one cannot be read.

    ``name`` is the id where another run has the name as well, which is ``shared_name`` then.
    """

    folder: RunFolder
    id: str
    name: str
    method: str
    dataset: str
    model: str
    preset: str
    seed: int
    experiment: str
    state: str
    epoch: int
    epochs: int
    message: str
    created: str
    updated: str
    tags: tuple[str, ...]
    notes: str
    read_only: bool
    kept: tuple[tuple[str, str], ...]
    problem: str = ""
    shared_name: str = ""
    protocol: Protocol = NOT_KNOWN

    @property
    def title(self) -> str:
        """The method as papers write it, with the weights that the run is shown with.

        While it is not finished those are the weights that its method is reported with: its gate may open.
        """
        if not self.method:
            return "unreadable"
        if self.state != "finished" or self.is_external:
            return display_name_of_method(self.method)
        return display_name(self.method, self._own_weights)

    @property
    def gate_note(self) -> str:
        """Say that FAWA weights were to be had and are not; empty where there is nothing to say."""
        expected = display_name_of_method(self.method) if self.method else ""
        if self.state != "finished" or self.is_external or self.title == expected:
            return ""
        return f"FAWA's gate never opened: {self.name} is shown with online weights, as {self.title}"

    @property
    def _own_weights(self) -> str:
        try:
            return reported_kind(self.folder)
        except StoreError:  # Runs and Evaluate say what is wrong with it
            return "online"

    @property
    def is_external(self) -> bool:
        """Whether it is a model of others, which was not trained here."""
        return self.method == EXTERNAL

    @property
    def member(self) -> ComparedRun:
        """The run as a comparison sees it."""
        return ComparedRun(self.id, self.name, self.method, self.seed, self.experiment)


@looks
def runs() -> list[Run]:
    """List all runs, newest last; shared for a second."""
    return _runs(str(default_home())).listed


@looks
def usable_runs() -> list[Run]:
    """List the runs that can be read, newest first."""
    return [run for run in reversed(runs()) if not run.problem]


@looks
def find_run(reference: str) -> Run | None:
    """Find a run by id or name in the snapshot."""
    return _runs(str(default_home())).called.get(reference)


@dataclass(frozen=True)
class _Runs:
    """All runs, and by id and name the first that is called so."""

    listed: list[Run]
    called: dict[str, Run]


@kept_for(1)
def _runs(home: str) -> _Runs:
    training = {job.run_id: job.state for job in jobs() if job.trains}
    known, folders = _folders(home), store().runs()
    found = list[Run]()
    for folder, described in zip(folders, index().values(DESCRIBED, folders), strict=True):
        before = known.get(str(folder.path))
        if before is None or before[0] is not described:  # its files may have changed
            before = known[str(folder.path)] = (described, folder)
        found.append(_as_it_is_now(before[1], described, training.get(folder.id)))
    listed, called = _told_apart(found), dict[str, Run]()
    for run in listed:
        called.setdefault(run.id, run)
        called.setdefault(run.name, run)
    return _Runs(listed, called)


@st.cache_resource(show_spinner=False)
def _folders(home: str) -> dict[str, tuple[Described, RunFolder]]:
    """Keep the folders of runs, and with them their settings, as long as their files stand still."""
    return {}


def _told_apart(found: list[Run]) -> list[Run]:
    """Call runs by their ids where a name stands for two: folders that were copied here bring their names."""
    meant = Counter(run.name for run in found) + Counter(run.id for run in found if run.id != run.name)
    return [replace(run, name=run.id, shared_name=run.name) if meant[run.name] > 1 else run for run in found]


def _as_it_is_now(folder: RunFolder, found: Described, job_state: str | None) -> Run:
    """Add what no file says: whether somebody trains it at this moment."""
    if found.problem:
        return _broken(folder, found.problem)
    try:
        # Also before its first and after its last epoch, while it loads or is tested.
        state = "running" if job_state == "running" else state_now(folder, found.state)
    except StoreError as error:
        return _broken(folder, str(error))
    return Run(
        folder=folder,
        id=folder.id,
        name=found.name,
        method=found.method,
        dataset=found.dataset,
        model=found.model,
        preset=found.preset,
        seed=found.seed,
        experiment=found.experiment,
        state=state,
        epoch=found.epoch,
        epochs=found.epochs,
        message=found.message,
        created=found.created,
        updated=found.updated,
        tags=found.tags,
        notes=found.notes,
        read_only=folder.read_only,
        kept=found.kept,
        protocol=Protocol(found.chosen_on, found.conditions),
    )


def _broken(folder: RunFolder, problem: str) -> Run:
    words: dict[str, Any] = dict.fromkeys(
        ("method", "dataset", "model", "preset", "experiment", "created", "updated", "notes"), ""
    )
    return Run(
        folder=folder,
        id=folder.id,
        name=folder.id,
        seed=0,
        state="unreadable",
        epoch=0,
        epochs=0,
        message=problem,
        tags=(),
        read_only=folder.read_only,
        kept=(),
        problem=problem,
        **words,
    )


@looks
def jobs() -> list[Job]:
    """List all jobs in the queue's order; shared for a second."""
    return _jobs(str(default_home()))


@looks
def progress() -> dict[str, JobProgress]:
    """Return how far the running jobs are, by id; shared for a second."""
    return _progress(str(default_home()))


@kept_for(1)
def _jobs(home: str) -> list[Job]:
    return queue().jobs()


@kept_for(1)
def _progress(home: str) -> dict[str, JobProgress]:
    found = {
        job.id: read_progress(Path(home), job.id)
        for job in _jobs(home)
        if job.started and job.state != "done"
    }
    return {job_id: done for job_id, done in found.items() if done is not None}


@looks
def forget_snapshots() -> None:
    """Read queue and runs anew: something was just changed."""
    for snapshot in (_jobs, _progress, _runs):
        snapshot.clear()
