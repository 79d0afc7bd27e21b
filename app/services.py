"""The only door to the engine: cached singletons, snapshots for pages, and what buttons do.

Objects are shared by all sessions of the process, so pages must not change what they get. Snapshots live
about a second, frames until their file changes. Jobs are in the store, never in a session.
"""

import json
import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st
import torch

from app.tables import Member
from cfa.config import RunConfig, format_eps, parse_eps, setting_names
from cfa.data import DATASETS, DatasetInfo, dataset_info
from cfa.errors import CfaError, ConfigError, StoreError
from cfa.evaluation import EvaluationPlan, default_weights
from cfa.jobs.folders import is_held
from cfa.jobs.queue import Direction, Job, JobProgress, Queue, read_log, read_progress, seconds_until_empty
from cfa.jobs.submit import submit_demo, submit_evaluation, submit_training
from cfa.jobs.supervisor import Supervisors, devices, start_supervisors
from cfa.methods.presets import (
    MAIN_SETTINGS,
    PRESETS,
    SETTING_HELP,
    Preset,
    configure,
    default_model,
    default_preset,
    grid,
    unused_settings,
)
from cfa.methods.recipes import METHODS, Recipe, display_name
from cfa.models import MODELS
from cfa.results.exports import export_runs
from cfa.results.frames import (
    epochs_frame,
    history_frame,
    knobs_frame,
    per_class_frame,
    summary_frame,
)
from cfa.results.runs import Label, Manifest, RunFolder
from cfa.results.store import Store, default_home
from cfa.training.estimate import Estimate, estimate_seconds

__all__ = [
    "MAIN_SETTINGS",
    "METHODS",
    "MODELS",
    "PRESETS",
    "SETTING_HELP",
    "CfaError",
    "ConfigError",
    "Job",
    "JobProgress",
    "Preset",
    "Recipe",
    "RunConfig",
    "configure",
    "default_model",
    "default_preset",
    "devices",
    "display_name",
    "format_eps",
    "grid",
    "parse_eps",
    "setting_names",
    "unused_settings",
]

_Stamps = tuple[tuple[str, int, int], ...]  # name, time and size of some files


# --- singletons -----------------------------------------------------------------------------------


def store() -> Store:
    """Return the store at ``CFA_HOME``."""
    return _store(str(default_home()))


def queue() -> Queue:
    """Return the queue at ``CFA_HOME``."""
    return _queue(str(default_home()))


def supervisors() -> Supervisors:
    """Start the threads that take jobs from the queue, once a process; they need no page to stay open."""
    return _supervisors(str(default_home()))


@st.cache_resource(show_spinner=False)
def _store(home: str) -> Store:
    return Store.open(Path(home))


@st.cache_resource(show_spinner=False)
def _queue(home: str) -> Queue:
    return Queue(store().home)


@st.cache_resource(show_spinner=False)
def _supervisors(home: str) -> Supervisors:
    # "Clear cache" makes a second set; the devices' locks keep it from doing anything twice.
    return start_supervisors(Path(home))


# --- runs -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Run:
    """A run as the pages show it; ``problem`` says why a broken one cannot be read."""

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

    @property
    def title(self) -> str:
        """The method as papers write it."""
        return method_title(self.method) if self.method else "unreadable"

    @property
    def member(self) -> Member:
        """The run as a comparison sees it."""
        return Member(self.id, self.name, self.method, self.seed, self.experiment)


def runs() -> list[Run]:
    """List all runs, newest last; shared for a second."""
    return _runs(str(default_home()))


def usable_runs() -> list[Run]:
    """List the runs that can be read, newest first."""
    return [run for run in reversed(runs()) if not run.problem]


def find_run(reference: str) -> Run | None:
    """Find a run by id or name in the snapshot."""
    return next((run for run in runs() if reference in (run.id, run.name)), None)


@st.cache_resource(ttl=1, show_spinner=False)
def _runs(home: str) -> list[Run]:
    training = {job.run_id: job.state for job in jobs() if job.kind == "train"}
    return [_describe(folder, training.get(folder.id)) for folder in store().runs()]


def _describe(folder: RunFolder, job_state: str | None) -> Run:
    try:
        config, label, status, manifest = folder.config, folder.label, folder.status, folder.manifest
    except (StoreError, TypeError, KeyError) as error:
        return _broken(folder, str(error))
    state: str = status.state
    if job_state == "running":
        state = "running"  # also before its first and after its last epoch, while it loads or is tested
    elif state == "running" and not is_held(folder.lock_file):
        state = "interrupted"
    return Run(
        folder=folder,
        id=folder.id,
        name=label.name,
        method=config.method,
        dataset=config.dataset,
        model=config.model,
        preset=config.preset,
        seed=config.seed,
        experiment=config.key(without_seed=True),
        state=state,
        epoch=status.epoch,
        epochs=config.train.epochs,
        message=status.message,
        created=manifest.created if manifest else status.updated,
        updated=status.updated,
        tags=label.tags,
        notes=label.notes,
        read_only=folder.read_only,
        kept=tuple(folder.kept_weights()),
    )


def _broken(folder: RunFolder, problem: str) -> Run:
    words = dict.fromkeys(
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


def method_title(method: str) -> str:
    """Name a method without its weights: a gated one by what it is for, "TRADES + CFA"."""
    gated = method in METHODS and METHODS[method].gated
    return display_name(method, "fawa" if gated else "online")


def own_weights(run: Run) -> str:
    """Say which weights a run is reported with: FAWA for CFA if its gate ever opened, else online."""
    return default_weights(run.folder)


def manifest(run: Run) -> Manifest | None:
    """Return how a run was made, or ``None`` before it started."""
    return run.folder.manifest


def run_log(run: Run, lines: int = 200) -> str:
    """Return the last lines of a run's log; empty before the first."""
    try:
        text = run.folder.log_file.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return ""
    return "\n".join(text.splitlines()[-lines:])


def disk_use(run: Run) -> int:
    """Return the bytes that a run takes."""
    return _disk_use(str(run.folder.path), _stamp(run.folder.history_file), run.state)


@st.cache_resource(ttl=60, max_entries=2000, show_spinner=False)
def _disk_use(path: str, stamp: tuple[int, int], state: str) -> int:
    try:
        return RunFolder(Path(path)).bytes_used()
    except FileNotFoundError:  # deleted, or a file replaced, while it was summed up
        return 0


def relabel(run: Run, name: str, tags: Sequence[str], notes: str) -> None:
    """Change a run's name, tags and notes."""
    store().relabel(run.folder, Label(name.strip(), tuple(tags), notes))
    _runs.clear()


def delete_runs(chosen: Sequence[Run]) -> None:
    """Delete runs for good; one that is being trained is refused."""
    for run in chosen:
        if any(job.run_id == run.id and job.state not in ("done", "failed", "cancelled") for job in jobs()):
            raise ConfigError(
                f"run {run.name!r} has a job in the queue; cancel that job, then delete the run"
            )
        run.folder.delete()
        _runs.clear()


# --- what runs hold -------------------------------------------------------------------------------


def history(run: Run) -> pd.DataFrame:
    """Return a run's per-class scores of every epoch; cached until an epoch is added. Do not change it."""
    return _history(str(run.folder.path), _stamp(run.folder.history_file))


def knobs(run: Run) -> pd.DataFrame:
    """Return what the rule set per epoch and class; cached. Do not change it."""
    return _knobs(str(run.folder.path), _stamp(run.folder.history_file))


def epochs(run: Run) -> pd.DataFrame:
    """Return the epochs as wholes; cached. Do not change it."""
    return _epochs(str(run.folder.path), _stamp(run.folder.history_file))


@dataclass(frozen=True)
class Results:
    """Test results of some runs; ``problems`` names those that could not be read."""

    per_class: pd.DataFrame
    summary: pd.DataFrame
    problems: tuple[str, ...] = ()


def results(chosen: Sequence[Run]) -> Results:
    """Return the newest test results of some runs, in their order; cached until one is evaluated."""
    return _results(tuple((str(run.folder.path), _evaluations_stamp(run.folder)) for run in chosen))


def findings(chosen: Sequence[Run]) -> list[str]:
    """Say what a reader must know about how checkpoints were chosen."""
    return [
        f"{run.name}: selected on test, the checkpoint was chosen on the images that it is reported on"
        for run in chosen
        if run.folder.config.train.select_on == "test"
    ]


@st.cache_resource(max_entries=60, show_spinner=False)
def _history(path: str, stamp: tuple[int, int]) -> pd.DataFrame:
    return history_frame(RunFolder(Path(path)))


@st.cache_resource(max_entries=60, show_spinner=False)
def _knobs(path: str, stamp: tuple[int, int]) -> pd.DataFrame:
    return knobs_frame(RunFolder(Path(path)))


@st.cache_resource(max_entries=60, show_spinner=False)
def _epochs(path: str, stamp: tuple[int, int]) -> pd.DataFrame:
    return epochs_frame(RunFolder(Path(path)))


@st.cache_resource(max_entries=50, show_spinner=False)
def _results(runs_and_stamps: tuple[tuple[str, _Stamps], ...]) -> Results:
    frames, problems = [], []
    for path, stamp in runs_and_stamps:
        try:
            frames.append(_per_class(path, stamp))
        except StoreError as error:
            problems.append(str(error))
    filled = [frame for frame in frames if len(frame)]
    per_class = pd.concat(filled, ignore_index=True) if filled else per_class_frame([])
    return Results(per_class, summary_frame(per_class), tuple(problems))


@st.cache_resource(max_entries=500, show_spinner=False)
def _per_class(path: str, stamp: _Stamps) -> pd.DataFrame:
    return per_class_frame([RunFolder(Path(path))])


def _stamp(file: Path) -> tuple[int, int]:
    """Tell one content of a file from the next; zeros where there is none."""
    try:
        found = file.stat()
    except FileNotFoundError:
        return 0, 0
    return found.st_mtime_ns, found.st_size


def _evaluations_stamp(folder: RunFolder) -> _Stamps:
    files = sorted((folder.path / "evaluations").glob("*/evaluation.json"))
    # The label is in the table too: a renamed run is another table.
    return tuple((file.parent.name, *_stamp(file)) for file in [*files, folder.path / "label.json"])


# --- the queue ------------------------------------------------------------------------------------


def jobs() -> list[Job]:
    """List all jobs in the queue's order; shared for a second."""
    return _jobs(str(default_home()))


def progress() -> dict[str, JobProgress]:
    """Return how far the running jobs are, by id; shared for a second."""
    return _progress(str(default_home()))


def seconds_until_queue_empty() -> float | None:
    """Estimate when nothing is left to do; 0 when nothing is, ``None`` when nobody can tell."""
    return seconds_until_empty(jobs(), progress())


def job_message(job: Job) -> str:
    """Say why a job failed or what it waits for, other jobs by their titles."""
    message = "" if job.state == "done" else job.message
    waiting = [other for other in jobs() if other.id in job.after and other.id in message]
    if len(waiting) > 2 and not job.blocked_by:
        return f"waits for {len(waiting)} other jobs"
    for other in waiting:
        message = message.replace(other.id, f"'{other.title}'")
    return message


def job_log(job: Job, lines: int = 200) -> str:
    """Return the last lines that a job printed."""
    return read_log(default_home(), job.id, lines)


def anything_active() -> bool:
    """Tell whether a job runs or is about to."""
    return any(job.state == "running" or (job.state == "queued" and not job.blocked_by) for job in jobs())


@st.cache_resource(ttl=1, show_spinner=False)
def _jobs(home: str) -> list[Job]:
    return _queue(home).jobs()


@st.cache_resource(ttl=1, show_spinner=False)
def _progress(home: str) -> dict[str, JobProgress]:
    found = {job.id: read_progress(Path(home), job.id) for job in _jobs(home) if job.state != "done"}
    return {job_id: done for job_id, done in found.items() if done is not None}


def forget_snapshots() -> None:
    """Read queue and runs anew: something was just changed."""
    for snapshot in (_jobs, _progress, _runs):
        snapshot.clear()


def pause(job_id: str) -> None:
    """Ask a running job to save and stop, or keep a queued one from starting."""
    queue().pause(job_id)
    forget_snapshots()


def resume(job_id: str) -> None:
    """Queue a paused, interrupted, failed or cancelled job again."""
    queue().resume(job_id)
    forget_snapshots()


def cancel(job_id: str) -> None:
    """Stop a job for good."""
    queue().cancel(job_id)
    forget_snapshots()


def move(job_id: str, direction: Direction) -> None:
    """Move a queued job within the queue."""
    queue().move(job_id, direction)
    forget_snapshots()


def set_device(job_id: str, device: str | None) -> None:
    """Choose where a job is to run; ``None`` takes any device."""
    queue().set_device(job_id, device)
    forget_snapshots()


def remove(job_id: str) -> None:
    """Forget a job that has ended; what it made stays."""
    queue().remove(job_id)
    forget_snapshots()


# --- starting things ------------------------------------------------------------------------------


def start_demo() -> list[Job]:
    """Queue the demo comparison: four trainings on the embedded data, then a comparison.

    ``CFA_DEMO_SETTINGS`` ("train.epochs=2 data.val_fraction=0.2") changes its settings, for tests.
    """
    words = os.environ.get("CFA_DEMO_SETTINGS", "").split()
    settings = {name: value for name, _, value in (word.partition("=") for word in words)}
    submitted = submit_demo(store(), queue(), preset_overrides=settings)
    forget_snapshots()
    return submitted


def demo_jobs() -> list[Job]:
    """Return the newest demo chain, trainings first, comparison last; empty before the first."""
    demo_runs = {run.id for run in runs() if "demo" in run.tags and not run.read_only}
    by_id = {job.id: job for job in jobs()}
    for job in reversed(jobs()):
        chain = [by_id[earlier] for earlier in job.after if earlier in by_id]
        if job.kind == "compare" and chain and all(earlier.run_id in demo_runs for earlier in chain):
            return [*chain, job]
    return []


def start_training(configs: Sequence[RunConfig], name: str, device: str | None) -> list[RunFolder]:
    """Queue trainings; several runs with a name get it with a number each."""
    seconds = {config.key(): measured.seconds for config in configs if (measured := known_estimate(config))}
    started = []
    for number, config in enumerate(configs, start=1):
        chosen = f"{name}-{number}" if name and len(configs) > 1 else name or None
        run, _ = submit_training(
            store(), queue(), config, name=chosen, device=device, estimate_seconds=seconds.get(config.key())
        )
        started.append(run)
    forget_snapshots()
    return started


@dataclass(frozen=True)
class EvaluationRequest:
    """What Evaluate asks for; ``eps`` ``None`` takes each run's own, ``limit`` ``None`` all images."""

    weights: tuple[str, ...]
    checkpoint: str
    attacks: tuple[str, ...]
    eps: float | None
    limit: int | None
    seed: int
    batch_size: int = 500


def planned_evaluations(chosen: Sequence[Run], request: EvaluationRequest) -> list[tuple[Run, str]]:
    """List the pairs of run and weights that a request comes to: only what a run kept, each pair once."""
    pairs = []
    for run in chosen:
        for wanted in request.weights:
            weights = own_weights(run) if wanted == "auto" else wanted
            if (weights, request.checkpoint) in run.kept and (run, weights) not in pairs:
                pairs.append((run, weights))
    return pairs


def start_evaluations(chosen: Sequence[Run], request: EvaluationRequest, device: str | None) -> list[Job]:
    """Queue an evaluation for every run and kind of weights asked for that the run kept."""
    submitted = []
    for run, weights in planned_evaluations(chosen, request):
        settings = run.folder.config.attack
        plan = EvaluationPlan(
            attacks=request.attacks,
            norm=settings.norm,
            eps=request.eps or settings.eps,
            limit=request.limit,
            seed=request.seed,
            batch_size=request.batch_size,
        )
        submitted.append(
            submit_evaluation(
                store(),
                queue(),
                run.folder,
                weights=weights,
                checkpoint=request.checkpoint,
                plan=plan,
                device=device,
            )
        )
    forget_snapshots()
    return submitted


def estimate(config: RunConfig) -> Estimate:
    """Measure a few real steps (on this machine's first device) and say what the run will cost."""
    measured = estimate_seconds(config, dataset_description(config.dataset), torch.device(devices()[0]))
    _estimates()[config.key(without_seed=True)] = measured
    return measured


def known_estimate(config: RunConfig) -> Estimate | None:
    """Return what :func:`estimate` measured for this configuration (any seed), if it did."""
    return _estimates().get(config.key(without_seed=True))


@st.cache_resource(show_spinner=False)
def _estimates() -> dict[str, Estimate]:
    return {}


# --- catalogues -----------------------------------------------------------------------------------


@st.cache_resource(ttl=10, show_spinner=False)
def dataset_description(name: str) -> DatasetInfo:
    """Describe a data set without decoding its images."""
    return dataset_info(name, store().data_folder)


def dataset_names() -> list[str]:
    """List the data sets that can be named."""
    return list(DATASETS)


def config_differences(config: RunConfig) -> dict[str, tuple[Any, Any]]:
    """Return the settings in which a configuration differs from its preset: ``{name: (preset, own)}``."""
    if config.method not in METHODS or config.preset not in PRESETS:
        return {}
    preset = configure(
        config.method, config.dataset, model=config.model, preset=config.preset, seed=config.seed
    )
    plain = preset.flat()
    return {
        name: (plain[name], value)
        for name, value in config.flat().items()
        if plain[name] != value and name in setting_names()
    }


# --- downloads ------------------------------------------------------------------------------------


def export_zip(chosen: Sequence[Run]) -> bytes:
    """Pack runs, folders whole, with the five tables of an export."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = export_runs([run.folder for run in chosen], Path(scratch) / "cfa-export")
        return Path(shutil.make_archive(str(folder), "zip", folder)).read_bytes()


def csv(table: pd.DataFrame) -> str:
    """Write a table as CSV, columns as they are in the contract."""
    return table.to_csv(index=False, lineterminator="\n")


def pretty_json(text_or_object: Any) -> str:
    """Write something as indented JSON for the eye."""
    return json.dumps(text_or_object, indent=2, default=str)
