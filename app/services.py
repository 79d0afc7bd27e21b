"""The only door to the engine: cached singletons, snapshots for pages, and what buttons do.

Objects are shared by all sessions of the process, so pages must not change what they get. Snapshots live
about a second, frames until their file changes. Jobs are in the store, never in a session.
"""

import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any

import pandas as pd
import streamlit as st
import torch

from app import wording
from app.access import visitor
from app.browsers import find_browser
from app.engine.brief import kept_for
from app.engine.calibration import DrawnKnob, drawn_knobs, varies
from app.engine.evaluating import (
    Cost,
    attack_names,
    evaluation_cost,
    measure_evaluations,
    missing_data,
    own_weights,
    plan_words,
    planned_evaluations,
    preset_images,
    start_evaluations,
)
from app.engine.images import ImageOutcomes, closed_parts, open_parts, outcomes, probabilities, test_images
from app.engine.opened import queue, store
from app.engine.outside import (
    NOT_LOOKED_AT,
    NotLookedAt,
    dataset_description,
    dataset_names,
    describe_now,
    forget_datasets,
    is_missing,
    is_outside,
    look_at,
    untrusted_code,
    waits_for_a_look,
)
from app.engine.results import (
    Results,
    averaged,
    evaluated_runs,
    evaluations,
    fairness,
    findings,
    leaderboard,
    of_old_weights,
    on_common_images,
    pairs,
    results,
    statements,
)
from app.engine.rights import MayOnlyLook, acts, looks
from app.engine.snapshots import (
    Run,
    find_run,
    forget_snapshots,
    jobs,
    method_title,
    progress,
    runs,
    usable_runs,
)
from app.engine.stamps import stamp_of
from app.outcomes import Picture
from cfa.attacks import CLEAN
from cfa.attacks import finds_minimum as attack_finds_minimum
from cfa.attacks import named_attack as build_attack
from cfa.config import RunConfig, distinct_seeds
from cfa.errors import CfaError, ConfigError, StoreError
from cfa.evaluation import (
    PLANS,
    TRANSFER,
    EvaluationRequest,
)
from cfa.foreign.references import model_of_others
from cfa.foreign.registration import register
from cfa.home import default_home
from cfa.jobs.job_folder import tail
from cfa.jobs.queue import Direction, Job, JobProgress, read_log, seconds_until_empty
from cfa.jobs.submit import (
    submit_demo,
    submit_fetch,
    submit_reproduction,
    submit_training,
)
from cfa.jobs.supervisor import devices
from cfa.methods import (
    FIRST_METHOD,
    METHODS,
    PRESETS,
    Preset,
    config_differences,
    configure,
    default_model,
    default_preset,
    display_name,
    grid,
    kind_of_setting,
    main_settings,
    plain_methods,
    settings_of,
)
from cfa.models import MODELS, WeightsFile
from cfa.notation import format_eps
from cfa.runs.evaluations import Evaluation
from cfa.runs.folder import Label, Manifest, RunFolder
from cfa.runs.regular_files import open_regular
from cfa.runs.store import Store
from cfa.runs.trusted import code_of
from cfa.statistics import GROUPS, Group, images_needed, paired_images_needed, seeds_needed
from cfa.tables.comparison import shared_scores
from cfa.tables.exports import csv_text, export_runs
from cfa.tables.frames import (
    epochs_frame,
    evaluations_frame,
    history_frame,
    knobs_frame,
    summary_frame,
)
from cfa.tables.leaderboard import pareto_front
from cfa.tables.seeds import DistinctSeeds
from cfa.tables.written import make_report, write_report
from cfa.training.estimate import Estimate, estimate_seconds
from cfa.trust import allowing

__all__ = [
    "FIRST_METHOD",
    "GROUPS",
    "METHODS",
    "MODELS",
    "NOT_LOOKED_AT",
    "PLANS",
    "PRESETS",
    "CfaError",
    "ConfigError",
    "Cost",
    "DistinctSeeds",
    "DrawnKnob",
    "Evaluation",
    "EvaluationRequest",
    "ImageOutcomes",
    "Job",
    "JobProgress",
    "MayOnlyLook",
    "NotLookedAt",
    "Preset",
    "Results",
    "Run",
    "RunConfig",
    "Store",
    "attack_names",
    "averaged",
    "closed_parts",
    "code_of",
    "config_differences",
    "configure",
    "dataset_description",
    "dataset_names",
    "default_model",
    "default_preset",
    "devices",
    "display_name",
    "distinct_seeds",
    "drawn_knobs",
    "evaluated_runs",
    "evaluation_cost",
    "evaluations",
    "fairness",
    "find_run",
    "findings",
    "forget_datasets",
    "forget_snapshots",
    "format_eps",
    "grid",
    "images_needed",
    "is_missing",
    "is_outside",
    "jobs",
    "kind_of_setting",
    "leaderboard",
    "look_at",
    "main_settings",
    "measure_evaluations",
    "method_title",
    "missing_data",
    "of_old_weights",
    "on_common_images",
    "open_parts",
    "outcomes",
    "own_weights",
    "paired_images_needed",
    "pairs",
    "pareto_front",
    "plain_methods",
    "plan_words",
    "planned_evaluations",
    "preset_images",
    "probabilities",
    "progress",
    "queue",
    "results",
    "runs",
    "seeds_needed",
    "settings_of",
    "start_evaluations",
    "statements",
    "store",
    "test_images",
    "untrusted_code",
    "usable_runs",
    "varies",
    "waits_for_a_look",
]


OF_THE_ENGINE = frozenset(
    (
        *("code_of", "config_differences", "configure", "default_model", "default_preset", "devices"),
        *(
            "display_name",
            "distinct_seeds",
            "format_eps",
            "grid",
            "images_needed",
            "paired_images_needed",
            "pareto_front",
        ),
        *("kind_of_setting", "main_settings", "plain_methods", "seeds_needed", "settings_of"),
    )
)
"""Functions of the engine that pages call as they are: they compute from what they are given."""

PRINTED = (".pdf", ".zip")
"""Reports that are drawn by this machine's browser."""


# --- who may ---


@looks
def may_start() -> bool:
    """Tell whether the visitor may start, stop, change and delete."""
    return visitor().may_start


# --- singletons -----------------------------------------------------------------------------------


# --- runs -----------------------------------------------------------------------------------------


@looks
def manifest(run: Run) -> Manifest | None:
    """Return how a run was made, or ``None`` before it started."""
    return run.folder.manifest


@looks
def class_groups(run: Run) -> tuple[Group, ...]:
    """Return the group of each class, head, medium or tail; empty where classes are equally large."""
    return run.folder.class_groups


@looks
def run_log(run: Run, lines: int = 200) -> str:
    """Return the last lines of a run's log (of its last megabyte); empty before the first."""
    return tail(run.folder.log_file, lines)


@looks
def disk_use(run: Run) -> int:
    """Return the bytes that a run takes."""
    return _disk_use(str(run.folder.path), stamp_of(run.folder.history_file), run.state)


@kept_for(60, max_entries=2000)
def _disk_use(path: str, stamp: tuple[int, int], state: str) -> int:
    try:
        return RunFolder(Path(path)).bytes_used()
    except FileNotFoundError:  # deleted, or a file replaced, while it was summed up
        return 0


@acts
def relabel(run: Run, name: str, tags: Sequence[str], notes: str) -> None:
    """Change a run's name, tags and notes."""
    store().relabel(run.folder, Label(name.strip(), tuple(tags), notes))
    forget_snapshots()


@acts
def delete_runs(chosen: Sequence[Run]) -> None:
    """Delete runs for good; one that is being trained is refused."""
    for run in chosen:
        if any(job.run_id == run.id and job.state not in ("done", "failed", "cancelled") for job in jobs()):
            raise ConfigError(
                f"run {run.name!r} has a job in the queue; cancel that job, then delete the run"
            )
        run.folder.delete()
        forget_snapshots()


@looks
def without_places(text: str) -> str:
    """Name the folders of this machine by what they are: a screen may be shared, its owner's name is not."""
    for place, name in ((default_home(), "CFA_HOME"), (Path(__file__).parents[1], "…"), (Path.home(), "~")):
        if len(place.parts) > 1:  # a container's home may be /, and 8/255 is no place
            text = text.replace(str(place), name)
    return text


# --- what runs hold -------------------------------------------------------------------------------


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


# --- evaluations, image by image -------------------------------------------------------------------


@looks
def finds_minimum(evaluation: Evaluation) -> bool:
    """Tell whether an evaluation looked for the smallest perturbation of every image."""
    return any(_is_minimum(row.attack, row.norm) for row in evaluation.scores if row.attack != CLEAN)


@st.cache_resource(max_entries=500, show_spinner=False)
def _is_minimum(attack: str, norm: str) -> bool:
    if attack == TRANSFER:
        return False
    try:
        return attack_finds_minimum(build_attack(attack.partition("@")[0], norm))  # type: ignore[arg-type]
    except CfaError:  # someone's own, or a package that is not here any more
        return False


@looks
def swept_runs() -> list[Run]:
    """List the runs with a sweep or smallest perturbations, newest first; unreadable ones are left out."""
    found = []
    for run in evaluated_runs():
        try:
            if any(is_sweep(evaluation) or finds_minimum(evaluation) for evaluation in evaluations(run)):
                found.append(run)
        except StoreError:
            continue  # Evaluate and Runs say what is wrong with it
    return found


@looks
def sweep_scores(chosen: Sequence[tuple[Run, Evaluation]]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Tabulate sweeps: per class, and reduced to mean and worst class, in the contracted columns."""
    per_class = evaluations_frame([(run.folder, evaluation) for run, evaluation in chosen])
    return per_class, summary_frame(per_class)


@looks
def smallest_perturbations(found: ImageOutcomes) -> pd.DataFrame:
    """Tabulate the smallest perturbation found of every image.

    Returns:
        Columns ``image, class_index, class_name, attack, length``; 0 where the image is wrong without a
        perturbation, infinite where none was found.

    Raises:
        StoreError: The evaluation says that it looked for them, and has none.
    """
    table = found.index.outcomes
    lengths = [name for name, values in table.items() if name.endswith("/norm") and values.dtype.kind == "f"]
    if not lengths:
        raise StoreError(f"evaluation {found.evaluation.id} has no lengths of perturbations; evaluate again")
    name = lengths[0]  # in a sweep the smallest budget's attack saw every image
    return pd.DataFrame(
        {
            "image": table["image"],
            "class_index": table["label"],
            "class_name": [found.class_names[label] for label in table["label"]],
            "attack": name.removesuffix("/norm").partition("@")[0],
            "length": table[name].astype(float),
        }
    )


@acts
def make_again(found: ImageOutcomes, wanted: Sequence[Picture]) -> list[Job]:
    """Queue jobs that make adversarial images again, one per attack."""
    sources: dict[str, list[int]] = {}
    for picture in wanted:
        sources.setdefault(picture.source, []).append(picture.image)
    submitted = [
        submit_reproduction(store(), queue(), found.run.folder, found.evaluation.id, source, sorted(images))
        for source, images in sources.items()
    ]
    forget_snapshots()
    return submitted


@looks
def reproductions(found: ImageOutcomes) -> list[Job]:
    """List the jobs that make images of an evaluation again, oldest first."""
    return [
        job for job in jobs() if job.kind == "reproduce" and job.spec.get("evaluation") == found.evaluation.id
    ]


# --- the queue ------------------------------------------------------------------------------------


@looks
def seconds_until_queue_empty() -> float | None:
    """Estimate when nothing is left to do; 0 when nothing is, ``None`` when nobody can tell."""
    return seconds_until_empty(jobs(), progress())


@looks
def job_message(job: Job) -> str:
    """Say why a job failed or what it waits for, other jobs by their titles."""
    message = "" if job.state == "done" else job.message
    waiting = [other for other in jobs() if other.id in job.after and other.id in message]
    if len(waiting) > 2 and not job.blocked_by:
        return f"waits for {len(waiting)} other jobs"
    for other in waiting:
        message = message.replace(other.id, f"'{other.title}'")
    return message


@looks
def job_log(job: Job, lines: int = 200) -> str:
    """Return the last lines that a job printed."""
    return read_log(default_home(), job.id, lines)


@looks
def anything_active() -> bool:
    """Tell whether a job runs or is about to."""
    return any(job.state == "running" or (job.state == "queued" and not job.blocked_by) for job in jobs())


@acts
def pause(job_id: str) -> None:
    """Ask a running job to save and stop, or keep a queued one from starting."""
    queue().pause(job_id)
    forget_snapshots()


@acts
def resume(job_id: str) -> None:
    """Queue a paused, interrupted, failed or cancelled job again."""
    queue().resume(job_id)
    forget_snapshots()


@acts
def cancel(job_id: str) -> None:
    """Stop a job for good."""
    queue().cancel(job_id)
    forget_snapshots()


@acts
def move(job_id: str, direction: Direction) -> None:
    """Move a queued job within the queue."""
    queue().move(job_id, direction)
    forget_snapshots()


@acts
def set_device(job_id: str, device: str | None) -> None:
    """Choose where a job is to run; ``None`` takes any device."""
    queue().set_device(job_id, device)
    forget_snapshots()


@acts
def remove(job_id: str) -> None:
    """Forget a job that has ended; what it made stays."""
    queue().remove(job_id)
    forget_snapshots()


# --- starting things ------------------------------------------------------------------------------


@acts
def start_demo() -> list[Job]:
    """Queue the demo comparison: four trainings on the embedded data, then a comparison.

    ``CFA_DEMO_SETTINGS`` ("train.epochs=2 data.val_fraction=0.2") changes its settings, for tests.
    """
    words = os.environ.get("CFA_DEMO_SETTINGS", "").split()
    settings = {name: value for name, _, value in (word.partition("=") for word in words)}
    submitted = submit_demo(store(), queue(), preset_overrides=settings)
    forget_snapshots()
    return submitted


@looks
def demo_jobs() -> list[Job]:
    """Return the newest demo chain, trainings first, comparison last; empty before the first."""
    demo_runs = {run.id for run in runs() if "demo" in run.tags and not run.read_only}
    by_id = {job.id: job for job in jobs()}
    for job in reversed(jobs()):
        chain = [by_id[earlier] for earlier in job.after if earlier in by_id]
        if job.kind == "compare" and chain and all(earlier.run_id in demo_runs for earlier in chain):
            return [*chain, job]
    return []


@acts
def fetch_dataset(name: str) -> None:
    """Queue the download of a data set."""
    submit_fetch(store(), queue(), name)
    forget_snapshots()


@looks
def fetch_job(name: str) -> Job | None:
    """Return the newest job that fetches a data set, unless it is done."""
    found = [job for job in jobs() if job.kind == "fetch" and job.spec.get("dataset") == name]
    return found[-1] if found and found[-1].state != "done" else None


@acts
def start_training(configs: Sequence[RunConfig], name: str, device: str | None) -> list[RunFolder]:
    """Queue trainings, with the code that they name; several runs with a name get it with a number each."""
    seconds = {config.key(): measured.seconds for config in configs if (measured := known_estimate(config))}
    started = []
    with allowing(name for config in configs for name in code_of(config)):
        for config, chosen in zip(configs, store().names_for(name, len(configs)), strict=True):
            known = seconds.get(config.key())
            run, _ = submit_training(
                store(), queue(), config, name=chosen, device=device, estimate_seconds=known
            )
            started.append(run)
    forget_snapshots()
    return started


@looks
def is_sweep(evaluation: Evaluation) -> bool:
    """Tell whether an evaluation is one of several budgets."""
    return bool(evaluation.plan.get("eps_sweep")) and any(row.attack != CLEAN for row in evaluation.scores)


@acts
def add_model(source: str, dataset: str, model: str, normalize: str, name: str) -> RunFolder:
    """Take someone's own model into the store: ``FILE``, ``FILE#branch``, or ``package.module:factory``.

    Raises:
        CfaError: It cannot be read, or does not fit.
    """
    found = model_of_others(source)
    with allowing([source.strip(), dataset, model.strip()]):
        run = register(
            store(), found, dataset, model.strip() or None, normalize or "none", name.strip() or None
        )
    forget_snapshots()
    return run


@acts
def add_uploaded_model(
    file_name: str, content: bytes, dataset: str, model: str, normalize: str, name: str, key: str = ""
) -> RunFolder:
    """Take an uploaded weights file, or a branch of it, into the store; see :func:`add_model`.

    Of the name that the visitor's browser sends only what may stand in a run's name is kept.
    """
    last = re.split(r"[/\\]", file_name)[-1]
    kept = re.sub(r"[^\w.+-]+", "-", last)[-60:].strip("-.") or "weights"
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / kept
        file.write_bytes(content)
        try:
            return add_model(str(WeightsFile(file, key)), dataset, model, normalize, name)
        except CfaError as error:  # it names a path that nobody knows
            raise type(error)(str(error).replace(str(file), file.name)) from error


@acts
def estimate(config: RunConfig) -> Estimate:
    """Measure a few real steps (on this machine's first device) and say what the run will cost."""
    with allowing(code_of(config)):
        measured = estimate_seconds(config, describe_now(config.dataset), torch.device(devices()[0]))
    _estimates()[config.key(without_seed=True)] = measured
    return measured


@looks
def never_happens(config: RunConfig) -> list[str]:
    """Say which parts of a method a run is too short for."""
    epochs, start = config.train.epochs, config.averaging.start_epoch
    warmup = config.method_settings.get("warmup_epochs")
    said = []
    if isinstance(warmup, int) and epochs <= warmup:
        said.append(f"all epochs are warm-up (method.warmup_epochs={warmup}): nothing will be calibrated")
    if epochs < start:
        said.append(f"averaging.start_epoch={start} is never reached: there will be no EMA or FAWA weights")
    return [f"With {wording.count(epochs, 'epoch')}, {text}." for text in said]


@looks
def known_estimate(config: RunConfig) -> Estimate | None:
    """Return what :func:`estimate` measured for this configuration (any seed), if it did."""
    return _estimates().get(config.key(without_seed=True))


@st.cache_resource(show_spinner=False)
def _estimates() -> dict[str, Estimate]:
    return {}


# --- catalogues -----------------------------------------------------------------------------------


# --- downloads ------------------------------------------------------------------------------------


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
    if not weights:
        return run.folder.path.is_symlink()
    file = run.folder.weights_file(weights, checkpoint)
    return any(path.is_symlink() for path in (run.folder.path, file, file.parent))


@looks
def report(chosen: Sequence[Run], baseline: str, ending: str) -> bytes:
    """Write a comparison as a document: ``.html``, ``.tex`` or ``.md``.

    Args:
        chosen: The runs.
        baseline: Id of the run that the others are measured against, with its other seeds among them.
        ending: The format.
    """
    if ending in PRINTED:
        raise ConfigError(f"a report as {ending} takes a browser; ask for it with print_report")
    return _report(chosen, baseline, ending)


@acts
def print_report(chosen: Sequence[Run], baseline: str, ending: str) -> Callable[[], bytes]:
    """Return what starts this machine's browser and draws a comparison: ``.pdf``, or a ``.zip`` of pictures.

    It is called once the document is asked for, when nobody can tell any more who does.
    """
    return partial(_report, chosen, baseline, ending)


def _report(chosen: Sequence[Run], baseline: str, ending: str) -> bytes:
    folders = {run.id: run.folder for run in chosen}
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / f"report{ending}"
        write_report(make_report(list(folders.values()), folders[baseline]), file)
        return file.read_bytes()


@looks
def report_problem(chosen: Sequence[Run]) -> str:
    """Say why these runs make no report; empty where they do."""
    try:
        shared_scores([run.folder for run in chosen], results(chosen).per_class)
    except ConfigError as error:
        return str(error)
    return ""


@looks
def has_browser() -> bool:
    """Tell whether there is a Chromium on this machine, which PDF and pictures are drawn with."""
    return find_browser() is not None


@looks
def csv(table: pd.DataFrame) -> str:
    """Write a table as CSV, columns as they are in the contract; no spreadsheet runs a text in it."""
    return csv_text(table)


@looks
def pretty_json(text_or_object: Any) -> str:
    """Write something as indented JSON for the eye."""
    return json.dumps(text_or_object, indent=2, default=str)
