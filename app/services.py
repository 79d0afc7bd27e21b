"""The only door to the engine: cached singletons, snapshots for pages, and what buttons do.

Objects are shared by all sessions of the process, so pages must not change what they get. Snapshots live
about a second, frames until their file changes. Jobs are in the store, never in a session.
"""

import gc
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import wraps
from pathlib import Path
from threading import Lock
from typing import Any, ParamSpec, TypeVar

import numpy as np
import pandas as pd
import streamlit as st
import torch

from app import wording
from app.access import visitor
from app.browsers import find_browser
from app.outcomes import NOT_RUN, Column, Picture, columns
from app.tables import Condition, Member
from cfa.attacks import ATTACKS, CLEAN, passes_of
from cfa.attacks import finds_minimum as attack_finds_minimum
from cfa.attacks import named_attack as build_attack
from cfa.config import (
    AttackSettings,
    RunConfig,
    format_eps,
    parse_fraction,
    setting_names,
)
from cfa.data import DATASETS, DatasetInfo, dataset_info, load_dataset, to_float
from cfa.errors import CfaError, ConfigError, StoreError
from cfa.evaluation import (
    PLANS,
    TRANSFER,
    AdversarialIndex,
    EvaluationPlan,
    confusion,
    default_weights,
    estimate_evaluation_seconds,
    load_adversarial,
    load_model,
    requested_plan,
    requested_sweep,
    requested_threat,
    worst_case,
)
from cfa.jobs.folders import is_held
from cfa.jobs.queue import Direction, Job, JobProgress, Queue, read_log, read_progress, seconds_until_empty
from cfa.jobs.reports import make_report, write_report
from cfa.jobs.submit import (
    register_factory,
    register_weights,
    submit_demo,
    submit_evaluation,
    submit_fetch,
    submit_reproduction,
    submit_training,
)
from cfa.jobs.suites import all_published
from cfa.jobs.supervisor import Supervisors, devices, start_supervisors
from cfa.methods.presets import (
    MAIN_SETTINGS,
    PRESETS,
    SETTING_HELP,
    Preset,
    config_differences,
    configure,
    default_model,
    default_preset,
    grid,
    unused_settings,
)
from cfa.methods.recipes import METHODS, Recipe, display_name
from cfa.models import MODELS, WeightsFile
from cfa.results.comparison import shared_scores
from cfa.results.evaluations import Evaluation, outcomes_file, read_evaluations
from cfa.results.exports import csv_text, export_runs
from cfa.results.frames import (
    add_group_means,
    epochs_frame,
    evaluations_frame,
    fairness_frame,
    history_frame,
    knobs_frame,
    per_class_frame,
    summary_frame,
)
from cfa.results.leaderboard import leaderboard as make_leaderboard
from cfa.results.leaderboard import pareto_front
from cfa.results.regular_files import open_regular
from cfa.results.rows import Scores
from cfa.results.runs import Label, Manifest, RunFolder
from cfa.results.statements import Statement
from cfa.results.statements import statements as say
from cfa.results.store import Store, default_home
from cfa.results.trusted import Trusted
from cfa.statistics import GROUPS, Group, images_needed, paired_images_needed, seeds_needed
from cfa.training.estimate import Estimate, estimate_seconds
from cfa.trust import allowing

__all__ = [
    "GROUPS",
    "MAIN_SETTINGS",
    "METHODS",
    "MODELS",
    "PLANS",
    "PRESETS",
    "SETTING_HELP",
    "CfaError",
    "ConfigError",
    "Evaluation",
    "Job",
    "JobProgress",
    "Preset",
    "Recipe",
    "RunConfig",
    "config_differences",
    "configure",
    "default_model",
    "default_preset",
    "devices",
    "display_name",
    "format_eps",
    "grid",
    "images_needed",
    "paired_images_needed",
    "pareto_front",
    "seeds_needed",
    "setting_names",
    "unused_settings",
]

USUAL_ATTACKS = (
    *("fgsm", "pgd-20", "pgd-20-best", "pgd-100", "cw-20", "kl-20", "apgd-ce", "apgd-dlr", "apgd-t", "fab-t"),
    *("fab-min", "square", "autoattack", "autoattack-plus", "autoattack-rand", "noise"),
)

P, T = ParamSpec("P"), TypeVar("T")
_Stamps = tuple[tuple[str, int, int], ...]  # name, time and size of some files


# --- who may ---


def may_start() -> bool:
    """Tell whether the visitor may start, stop, change and delete."""
    return visitor().may_start


def changes(function: Callable[P, T]) -> Callable[P, T]:
    """Refuse what changes something, or costs the machine's time, to visitors who may only look."""

    @wraps(function)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> T:
        who = visitor()
        if not who.may_start:
            raise ConfigError(
                f"{who.name or 'who is not signed in'} may look, and change nothing; ask whoever runs this "
                "dashboard to be named under [access] may_start"
            )
        return function(*args, **kwargs)

    return guarded


# --- singletons -----------------------------------------------------------------------------------


@st.cache_resource(show_spinner=False)
def spare_what_stays() -> None:
    """Keep what was imported out of garbage collections: Streamlit makes a full one after every script run.

    Beside torch's millions of objects each took 0.3 s, and three people's took turns.
    """
    gc.collect()
    gc.freeze()


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


def class_groups(run: Run) -> tuple[Group, ...]:
    """Return the group of each class, head, medium or tail; empty where classes are equally large."""
    return run.folder.class_groups


def run_log(run: Run, lines: int = 200) -> str:
    """Return the last lines of a run's log; empty before the first."""
    try:
        with open_regular(run.folder.path, run.folder.log_file.name) as file:
            text = file.read().decode(errors="replace")
    except StoreError:  # not there yet, or a link to some other file
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


@changes
def relabel(run: Run, name: str, tags: Sequence[str], notes: str) -> None:
    """Change a run's name, tags and notes."""
    store().relabel(run.folder, Label(name.strip(), tuple(tags), notes))
    _runs.clear()


@changes
def delete_runs(chosen: Sequence[Run]) -> None:
    """Delete runs for good; one that is being trained is refused."""
    for run in chosen:
        if any(job.run_id == run.id and job.state not in ("done", "failed", "cancelled") for job in jobs()):
            raise ConfigError(
                f"run {run.name!r} has a job in the queue; cancel that job, then delete the run"
            )
        run.folder.delete()
        _runs.clear()


def without_places(text: str) -> str:
    """Name the folders of this machine by what they are: a screen may be shared, its owner's name is not."""
    for place, name in ((store().home, "CFA_HOME"), (Path(__file__).parents[1], "…"), (Path.home(), "~")):
        if len(place.parts) > 1:  # a container's home may be /, and 8/255 is no place
            text = text.replace(str(place), name)
    return text


# --- what runs hold -------------------------------------------------------------------------------


def history(run: Run) -> pd.DataFrame:
    """Return a run's per-class scores of every epoch; cached until an epoch is added. Do not change it."""
    return _of_history(run, history_frame)


def knobs(run: Run) -> pd.DataFrame:
    """Return what the rule set per epoch and class; cached. Do not change it."""
    return _of_history(run, knobs_frame)


def epochs(run: Run) -> pd.DataFrame:
    """Return the epochs as wholes; cached. Do not change it."""
    return _of_history(run, epochs_frame)


def history_stamp(run: Run) -> tuple[int, int]:
    """Return what changes whenever a run's history does."""
    return _stamp(run.folder.history_file)


def leaderboard() -> pd.DataFrame:
    """Return our results and published ones, columns as `cfa.results.leaderboard` has them."""
    return _leaderboard(
        tuple((str(run.folder.path), _evaluations_stamp(run.folder)) for run in usable_runs())
    )


@st.cache_resource(max_entries=5, show_spinner=False)
def _leaderboard(runs_and_stamps: tuple[tuple[str, _Stamps], ...]) -> pd.DataFrame:
    readable = []
    for path, stamp in runs_and_stamps:
        try:
            _per_class(path, stamp)
        except StoreError:  # Runs and Evaluate say what is wrong with it
            continue
        readable.append(RunFolder(Path(path)))
    return make_leaderboard(readable, all_published(), display_name)


@dataclass(frozen=True)
class Results:
    """Test results of some runs.

    Attributes:
        per_class: In the contracted columns, as is ``summary``.
        summary: One row per run, weights and attack.
        grouped: The summary with the means over head, medium and tail classes, where a run has a long tail.
        problems: Names what could not be read.
    """

    per_class: pd.DataFrame
    summary: pd.DataFrame
    grouped: pd.DataFrame
    problems: tuple[str, ...] = ()


def results(chosen: Sequence[Run]) -> Results:
    """Return the newest test results of some runs, in their order; cached until one is evaluated."""
    return _results(tuple((str(run.folder.path), _evaluations_stamp(run.folder)) for run in chosen))


def findings(chosen: Sequence[Run]) -> list[str]:
    """Say what a reader must know about how these runs were made."""
    return [f"{run.name}: {mark}" for run in chosen for mark in run.folder.config.marks()]


def fairness(chosen: Sequence[Run], baseline: Sequence[str]) -> pd.DataFrame:
    """Return the fairness metrics of some runs' newest test results, rho against the runs of a baseline."""
    frame = results(chosen).per_class
    return fairness_frame(frame, baseline, {run.id: run.folder for run in chosen})


def statements(baseline: Sequence[Run], others: Sequence[Run], condition: Condition) -> list[Statement]:
    """Say what is certain about the difference of two runs, or of two methods with several seeds each.

    Args:
        baseline: The runs of the baseline: one, or its seeds.
        others: The runs that are compared with it, likewise.
        condition: What was measured.
    """
    stamps = tuple((str(run.folder.path), _evaluations_stamp(run.folder)) for run in [*baseline, *others])
    wanted = (condition.dataset, condition.attack, condition.norm, condition.eps)
    return [
        said
        for said in _statements(stamps, len(baseline))
        if (said.dataset, said.attack, said.norm, said.eps) == wanted
    ]


@st.cache_resource(max_entries=200, show_spinner=False)
def _statements(runs_and_stamps: tuple[tuple[str, _Stamps], ...], of_baseline: int) -> list[Statement]:
    folders = [RunFolder(Path(path)) for path, _ in runs_and_stamps]
    return say(folders[:of_baseline], folders[of_baseline:], default_weights)


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
    summary = summary_frame(per_class)
    groups = {
        folder.id: folder.class_groups for path, _ in runs_and_stamps if (folder := RunFolder(Path(path)))
    }
    return Results(per_class, summary, add_group_means(summary, per_class, groups), tuple(problems))


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


# --- evaluations, image by image -------------------------------------------------------------------


def evaluations(run: Run) -> list[Evaluation]:
    """List a run's evaluations, newest first; cached until there is another.

    Raises:
        StoreError: One of them cannot be read.
    """
    return _evaluations(str(run.folder.path), _evaluations_stamp(run.folder))


def evaluated_runs() -> list[Run]:
    """List the runs that have evaluations, newest first."""
    return [run for run in usable_runs() if any(run.folder.path.glob("evaluations/*/evaluation.json"))]


@st.cache_resource(max_entries=500, show_spinner=False)
def _evaluations(path: str, stamp: _Stamps) -> list[Evaluation]:
    return list(reversed(read_evaluations(RunFolder(Path(path)))))


@dataclass(frozen=True)
class Outcomes:
    """One evaluation of a run, image by image."""

    run: Run
    evaluation: Evaluation
    index: AdversarialIndex
    columns: list[Column]
    stamp: _Stamps

    @property
    def class_names(self) -> tuple[str, ...]:
        """Name the classes."""
        count = len(self.evaluation.scores[0].total)
        names = self.evaluation.class_names or self.run.folder.class_names
        return names if len(names) == count else tuple(f"class {index}" for index in range(count))

    @property
    def weights_kept(self) -> bool:
        """Tell whether the model is there to be asked."""
        return (self.evaluation.weights, self.evaluation.checkpoint) in self.run.kept

    @property
    def repeatable(self) -> bool:
        """Tell whether adversarial images can be made again."""
        return bool(self.evaluation.plan and self.index.batches and not self.run.read_only) and (
            self.weights_kept
        )

    def predicted(self, column: Column) -> np.ndarray:
        """Return the predicted class of every image; -1 where a member was not run."""
        table = self.index.outcomes
        if not column.worst:
            return table[column.name]
        return worst_case(table["label"], {part: table[part] for part in (CLEAN, *column.parts)})

    def confusion(self, column: Column) -> np.ndarray:
        """Count images by true class (rows) and predicted class (columns)."""
        return confusion(self.index.outcomes["label"], self.predicted(column), len(self.class_names))

    def cell(self, column: Column, true: int, predicted: int) -> np.ndarray:
        """Return the rows of the images of a cell, ascending."""
        label = self.index.outcomes["label"]
        return np.flatnonzero((label == true) & (self.predicted(column) == predicted))

    def scores(self, columns: Sequence[Column]) -> pd.DataFrame:
        """Tabulate accuracy per class in the contracted columns, one block a column."""
        return evaluations_frame(
            [(self.run.folder, replace(self.evaluation, scores=tuple(map(self._scores, columns))))]
        )

    def per_image(self) -> pd.DataFrame:
        """Tabulate all outcomes, one row an image; classes are numbers, and named for the label."""
        table = pd.DataFrame(dict(self.index.outcomes))
        names = [self.class_names[label] for label in table["label"]]
        table.insert(list(table.columns).index("label") + 1, "class_name", names)
        return table

    def _scores(self, column: Column) -> Scores:
        table = self.index.outcomes
        counts, predicted = len(self.class_names), self.predicted(column)
        ran = predicted != NOT_RUN
        label = table["label"]
        norm, eps = self.threat(column)
        return Scores(
            epoch=self.evaluation.epoch,
            split=self.evaluation.split,
            weights=self.evaluation.weights,
            attack=column.attack,
            norm=norm,
            eps=eps,
            correct=tuple(np.bincount(label[ran & (predicted == label)], minlength=counts).tolist()),
            total=tuple(np.bincount(label[ran], minlength=counts).tolist()),
        )

    def threat(self, column: Column) -> tuple[str, float]:
        """Return norm and budget of a column."""
        if column.name == CLEAN:
            return "none", 0.0
        attacked = [row for row in self.evaluation.scores if row.attack != CLEAN]
        named = [row for row in attacked if row.attack in (column.attack, column.parent.partition("@")[0])]
        own = parse_fraction(column.eps) if column.eps else None
        whole = self.evaluation.plan.get("eps", max(row.eps for row in attacked))
        eps = own if isinstance(own, float) else named[0].eps if named else float(whole)
        return attacked[0].norm, eps


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


def sweep_scores(chosen: Sequence[tuple[Run, Evaluation]]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Tabulate sweeps: per class, and reduced to mean and worst class, in the contracted columns."""
    per_class = evaluations_frame([(run.folder, evaluation) for run, evaluation in chosen])
    return per_class, summary_frame(per_class)


def smallest_perturbations(found: Outcomes) -> pd.DataFrame:
    """Tabulate the smallest perturbation found of every image.

    Returns:
        Columns ``image, class_index, class_name, attack, length``; 0 where the image is wrong without a
        perturbation, infinite where none was found.
    """
    table = found.index.outcomes
    lengths = [name for name, values in table.items() if name.endswith("/norm") and values.dtype.kind == "f"]
    # In a sweep the smallest budget's attack saw every image.
    name = lengths[0]
    return pd.DataFrame(
        {
            "image": table["image"],
            "class_index": table["label"],
            "class_name": [found.class_names[label] for label in table["label"]],
            "attack": name.removesuffix("/norm").partition("@")[0],
            "length": table[name].astype(float),
        }
    )


def outcomes(run: Run, evaluation: Evaluation) -> Outcomes:
    """Read what became of every image of an evaluation; cached until one of its files changes.

    Raises:
        StoreError: A file is missing or damaged.
    """
    folder = outcomes_file(run.folder, evaluation.id).parent
    stamp = tuple((file.name, *_stamp(file)) for file in sorted(folder.glob("*.*")))
    index = _index(str(run.folder.path), evaluation.id, stamp)
    return Outcomes(run, evaluation, index, columns(index.outcomes), stamp)


@st.cache_resource(max_entries=12, show_spinner=False)
def _index(path: str, evaluation_id: str, stamp: _Stamps) -> AdversarialIndex:
    return load_adversarial(RunFolder(Path(path)), evaluation_id)


def test_images(found: Outcomes, images: Sequence[int]) -> np.ndarray:
    """Return original test images, float32 in [0, 1], shape (images, channels, side, side).

    Raises:
        CfaError: The data set is not here, or is another than the one that was evaluated.
    """
    with Trusted.of(store()).allowing(found.run.id):
        stored, labels = _test_part(found.evaluation.dataset_to_load)
    table = found.index.outcomes
    rows = np.searchsorted(table["image"], images)
    known = len(images) == 0 or max(images) < len(labels)
    if not known or (labels[list(images)] != table["label"][rows]).any():
        raise StoreError(
            f"the test images of {found.evaluation.dataset} are not those that were evaluated; "
            "evaluate again to see images"
        )
    return to_float(torch.from_numpy(stored[list(images)])).numpy()


@st.cache_resource(max_entries=3, show_spinner="Loading test images")
def _test_part(dataset: str) -> tuple[np.ndarray, np.ndarray]:
    loaded = load_dataset(dataset, store().data_folder)
    return loaded.test_images.numpy(), loaded.test_labels.numpy()


def probabilities(found: Outcomes, images: np.ndarray) -> np.ndarray:
    """Ask the evaluated model on the CPU, shape (images, classes); cached.

    Raises:
        CfaError: Its weights are missing or damaged.
    """
    weights, checkpoint = found.evaluation.weights, found.evaluation.checkpoint
    stamp = _stamp(found.run.folder.weights_file(weights, checkpoint))
    with Trusted.of(store()).allowing(found.run.id):
        return _probabilities(str(found.run.folder.path), weights, checkpoint, stamp, images)


@st.cache_data(max_entries=200, show_spinner=False)
def _probabilities(
    path: str, weights: str, checkpoint: str, stamp: tuple[int, int], images: np.ndarray
) -> np.ndarray:
    with torch.no_grad():
        logits = _model(path, weights, checkpoint, stamp)(torch.from_numpy(images))
    answer: np.ndarray = logits.softmax(dim=1).numpy()
    return answer


@st.cache_resource(max_entries=3, show_spinner="Loading the model")
def _model(path: str, weights: str, checkpoint: str, stamp: tuple[int, int]) -> torch.nn.Module:
    return load_model(RunFolder(Path(path)), weights, checkpoint)


@changes
def make_again(found: Outcomes, wanted: Sequence[Picture]) -> list[Job]:
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


def reproductions(found: Outcomes) -> list[Job]:
    """List the jobs that make images of an evaluation again, oldest first."""
    return [
        job for job in jobs() if job.kind == "reproduce" and job.spec.get("evaluation") == found.evaluation.id
    ]


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


@changes
def pause(job_id: str) -> None:
    """Ask a running job to save and stop, or keep a queued one from starting."""
    queue().pause(job_id)
    forget_snapshots()


@changes
def resume(job_id: str) -> None:
    """Queue a paused, interrupted, failed or cancelled job again."""
    queue().resume(job_id)
    forget_snapshots()


@changes
def cancel(job_id: str) -> None:
    """Stop a job for good."""
    queue().cancel(job_id)
    forget_snapshots()


@changes
def move(job_id: str, direction: Direction) -> None:
    """Move a queued job within the queue."""
    queue().move(job_id, direction)
    forget_snapshots()


@changes
def set_device(job_id: str, device: str | None) -> None:
    """Choose where a job is to run; ``None`` takes any device."""
    queue().set_device(job_id, device)
    forget_snapshots()


@changes
def remove(job_id: str) -> None:
    """Forget a job that has ended; what it made stays."""
    queue().remove(job_id)
    forget_snapshots()


# --- starting things ------------------------------------------------------------------------------


@changes
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


@changes
def fetch_dataset(name: str) -> None:
    """Queue the download of a data set."""
    submit_fetch(store(), queue(), name)
    forget_snapshots()


def fetch_job(name: str) -> Job | None:
    """Return the newest job that fetches a data set, unless it is done."""
    found = [job for job in jobs() if job.kind == "fetch" and job.spec.get("dataset") == name]
    return found[-1] if found and found[-1].state != "done" else None


@changes
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


@dataclass(frozen=True, kw_only=True)
class EvaluationRequest:
    """What Evaluate asks for.

    Attributes:
        weights: Kinds, ``auto`` for each run's own.
        checkpoint: ``best`` or ``last``.
        preset: A plan's name, or "" for ``attacks``.
        attacks: Names, where there is no preset.
        norm: ``None`` takes each run's own.
        eps: As typed; "" takes each run's own.
        sweep: Budgets as typed, or "".
        limit: ``None`` takes the preset's, or all images.
        mode: How AutoAttack runs.
        keep_megabytes: Room for adversarial images.
        transfer_from: Id of the run whose images ``transfer`` uses.
        seed: Of random starts.
        batch_size: Images per batch.
    """

    weights: tuple[str, ...] = ("auto",)
    checkpoint: str = "best"
    preset: str = ""
    attacks: tuple[str, ...] = ()
    norm: str | None = None
    eps: str = ""
    sweep: str = ""
    limit: int | None = None
    mode: str = "reference"
    keep_megabytes: float = 20.0
    transfer_from: str | None = None
    seed: int = 0
    batch_size: int = 500

    def plan(self, own: AttackSettings) -> EvaluationPlan:
        """Build the plan for a run with these attack settings.

        Raises:
            CfaError: Something in it cannot be carried out.
        """
        if not self.preset and not self.attacks:
            raise ConfigError("no attack is chosen; choose at least one, such as pgd-20")
        options: dict[str, Any] = {
            "seed": self.seed,
            "batch_size": self.batch_size,
            "mode": self.mode,
            "keep_megabytes": self.keep_megabytes,
        }
        options |= {"limit": self.limit} if self.limit is not None else {}
        norm, eps = requested_threat(self.norm, self.eps or None, own)
        options |= {"eps_sweep": requested_sweep(self.sweep, norm)} if self.sweep.strip() else {}
        return requested_plan(
            self.preset or None,
            self.attacks,
            norm,
            eps,
            transfer_from=self.transfer_from,
            options=options,
        )


def planned_evaluations(chosen: Sequence[Run], request: EvaluationRequest) -> list[tuple[Run, str]]:
    """List the pairs of run and weights that a request comes to: only what a run kept, each pair once."""
    pairs = []
    for run in chosen:
        for wanted in request.weights:
            weights = own_weights(run) if wanted == "auto" else wanted
            if (weights, _checkpoint(weights, request)) in run.kept and (run, weights) not in pairs:
                pairs.append((run, weights))
    return pairs


def _checkpoint(weights: str, request: EvaluationRequest) -> str:
    return "file" if weights == "file" else request.checkpoint


@changes
def start_evaluations(chosen: Sequence[Run], request: EvaluationRequest, device: str | None) -> list[Job]:
    """Queue an evaluation for every run and kind of weights asked for that the run kept."""
    pairs = planned_evaluations(chosen, request)
    plans = [request.plan(run.folder.config.attack) for run, _ in pairs]  # all, before the first is queued
    submitted = [
        submit_evaluation(
            store(),
            queue(),
            run.folder,
            weights=weights,
            checkpoint=_checkpoint(weights, request),
            plan=plan,
            device=device,
        )
        for (run, weights), plan in zip(pairs, plans, strict=True)
    ]
    forget_snapshots()
    return submitted


@dataclass(frozen=True)
class Cost:
    """What evaluations come to if every image holds; seconds are ``None`` before they are measured."""

    images: int
    passes: int
    seconds: float | None


def evaluation_cost(chosen: Sequence[Run], request: EvaluationRequest) -> Cost:
    """Count images and forward passes, and add up what :func:`measure_evaluations` measured.

    Raises:
        CfaError: The plan cannot be carried out.
    """
    images, passes, seconds = 0, 0, []
    for run, _ in planned_evaluations(chosen, request):
        plan = request.plan(run.folder.config.attack)
        info = dataset_description(run.dataset)
        count = plan.count_images(info.test_images, info.classes)
        images += count
        passes += count * _passes(plan, info.classes)
        seconds.append(_evaluation_times().get(_cost_key(run, plan)))
    known = [value for value in seconds if value is not None]
    return Cost(images, passes, sum(known) if known and len(known) == len(seconds) else None)


def missing_data(chosen: Sequence[Run]) -> list[tuple[str, str]]:
    """Name the data sets of some runs that are not here, each with why a job cannot have it either, or ""."""
    found = []
    for name in dict.fromkeys(run.dataset for run in chosen):
        try:
            info = dataset_description(name)
        except CfaError as error:
            found.append((name, str(error)))
            continue
        if not info.available:
            found.append((name, ""))
    return found


@changes
def measure_evaluations(chosen: Sequence[Run], request: EvaluationRequest) -> None:
    """Time a few steps of every attack on this machine's first device, once per network and plan.

    Raises:
        CfaError: The plan cannot be carried out, or the weights cannot be read.
    """
    device = torch.device(devices()[0])
    for run, weights in planned_evaluations(chosen, request):
        plan = request.plan(run.folder.config.attack)
        if (key := _cost_key(run, plan)) in _evaluation_times():
            continue
        info = dataset_description(run.dataset)
        # Small batches on the CPU, where time is proportional to them: a page must not wait for minutes.
        small = replace(plan, batch_size=min(plan.batch_size, 32 if device.type == "cpu" else 500))
        with Trusted.of(store()).allowing(run.id):
            model = load_model(run.folder, weights, _checkpoint(weights, request), device)
        shape = (info.channels, info.image_size, info.image_size)
        _evaluation_times()[key] = estimate_evaluation_seconds(
            model, shape, plan.count_images(info.test_images, info.classes), info.classes, small, device
        )


@st.cache_resource(show_spinner=False)
def _evaluation_times() -> dict[str, float]:
    return {}


def _cost_key(run: Run, plan: EvaluationPlan) -> str:
    return f"{run.model} {run.dataset} {replace(plan, seed=0, keep_megabytes=0)}"


def _passes(plan: EvaluationPlan, classes: int) -> int:
    """Count the forward passes that an image takes at most, its clean one included."""
    count = 1
    for name in plan.attacks:
        base = name.partition("@")[0]
        attack = None if base in (CLEAN, TRANSFER) else build_attack(base, plan.norm)
        count += (0 if name == CLEAN else passes_of(attack, classes)) * max(1, len(plan.eps_sweep))
    return count


def plan_words(run: Run, request: EvaluationRequest) -> str:
    """Say in a line what a request comes to for a run.

    Raises:
        CfaError: The plan cannot be carried out.
    """
    plan = request.plan(run.folder.config.attack)
    attacks = ", ".join(wording.attack_title(name) for name in plan.attacks if name != CLEAN)
    budgets = ", ".join(wording.budget(plan.norm, eps) for eps in plan.eps_sweep or (plan.eps,))
    info = dataset_description(run.dataset)
    fast = ", AutoAttack in the fast mode" if plan.mode == "fast" else ""
    images = plan.count_images(info.test_images, info.classes)
    return f"{attacks or 'No attack'} at {budgets} on {images:,} images of {run.dataset}{fast}"


def preset_images(preset: str) -> str:
    """Say how many images a plan takes that is not told otherwise."""
    limit = PLANS[preset].build(AttackSettings().eps, "linf").limit if preset else None
    return "all" if limit is None else f"{limit:,}"


def is_sweep(evaluation: Evaluation) -> bool:
    """Tell whether an evaluation is one of several budgets."""
    return bool(evaluation.plan.get("eps_sweep"))


def attack_names() -> list[str]:
    """List the attacks that can be chosen by name; others can be typed."""
    first = [name for name in USUAL_ATTACKS if name in ATTACKS or name.partition("-")[0] in ("pgd", "cw")]
    return [*first, *(name for name in ATTACKS if name not in first)]


@changes
def add_model(source: str, dataset: str, model: str, normalize: str, name: str) -> RunFolder:
    """Take someone's own model into the store: ``FILE``, ``FILE#branch``, or ``package.module:factory``.

    Raises:
        CfaError: It cannot be read, or does not fit.
    """
    if not source.strip():
        raise ConfigError("no model is given; choose a file, or write its path or package.module:factory")
    file = WeightsFile.of(source.strip())
    factory = ":" in source and "/" not in source and not file.path.exists()
    with allowing([source.strip(), dataset, model.strip()]):
        if factory:
            run = register_factory(
                store(), source.strip(), dataset, normalize or "none", name.strip() or None
            )
        else:
            if not file.path.is_file():
                raise ConfigError(f"there is no file {source.strip()!r}; write the path of a weights file")
            run = register_weights(
                store(), file, dataset, model.strip() or None, normalize or "none", name.strip() or None
            )
    forget_snapshots()
    return run


@changes
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


@changes
def estimate(config: RunConfig) -> Estimate:
    """Measure a few real steps (on this machine's first device) and say what the run will cost."""
    measured = estimate_seconds(config, dataset_description(config.dataset), torch.device(devices()[0]))
    _estimates()[config.key(without_seed=True)] = measured
    return measured


def never_happens(config: RunConfig) -> list[str]:
    """Say which parts of a method a run is too short for."""
    epochs, warmup, start = config.train.epochs, config.rule.warmup_epochs, config.averaging.start_epoch
    calibrates = config.rule.lambda_eps is not None or config.rule.lambda_beta is not None
    said = []
    if calibrates and epochs <= warmup:
        said.append(f"all epochs are warm-up (rule.warmup_epochs={warmup}): nothing will be calibrated")
    if epochs < start:
        said.append(f"averaging.start_epoch={start} is never reached: there will be no EMA or FAWA weights")
    return [f"With {wording.count(epochs, 'epoch')}, {text}." for text in said]


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


def is_missing(name: str) -> bool:
    """Tell whether a data set is known, and not here."""
    try:
        return not dataset_description(name).available
    except CfaError:
        return False  # whoever wants to use it says what is wrong with it


def forget_datasets() -> None:
    """Look anew which data sets are here."""
    dataset_description.clear()


def dataset_names() -> list[str]:
    """List the data sets that can be named."""
    return list(DATASETS)


# --- downloads ------------------------------------------------------------------------------------


def export_zip(chosen: Sequence[Run]) -> bytes:
    """Pack runs, folders whole, with the five tables of an export."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "cfa-export"
        export_runs([run.folder for run in chosen], folder)
        return Path(shutil.make_archive(str(folder), "zip", folder)).read_bytes()


def weights_bytes(run: Run, weights: str, checkpoint: str) -> bytes:
    """Return a run's weights file for a download.

    Raises:
        StoreError: It is not there, or a link to some other file.
    """
    file = run.folder.weights_file(weights, checkpoint)
    with open_regular(run.folder.path, file.relative_to(run.folder.path).as_posix()) as opened:
        return opened.read()


def is_link(run: Run, weights: str = "", checkpoint: str = "") -> bool:
    """Tell whether a run, or a weights file of it, is a link, which downloads do not follow."""
    file = run.folder.weights_file(weights, checkpoint)
    return run.folder.path.is_symlink() or (weights != "" and (file.is_symlink() or file.parent.is_symlink()))


def report(chosen: Sequence[Run], baseline: str, ending: str) -> bytes:
    """Write a comparison as a document; ``ending`` is ``.html``, ``.pdf``, ``.tex``, ``.md`` or ``.zip``.

    Args:
        chosen: The runs.
        baseline: Id of the run that the others are measured against, with its other seeds among them.
        ending: The format.
    """
    folders = {run.id: run.folder for run in chosen}
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / f"report{ending}"
        write_report(make_report(list(folders.values()), folders[baseline]), file)
        return file.read_bytes()


def report_problem(chosen: Sequence[Run]) -> str:
    """Say why these runs make no report; empty where they do."""
    try:
        shared_scores([run.folder for run in chosen], results(chosen).per_class)
    except ConfigError as error:
        return str(error)
    return ""


def has_browser() -> bool:
    """Tell whether there is a Chromium on this machine, which PDF and pictures are drawn with."""
    return find_browser() is not None


def csv(table: pd.DataFrame) -> str:
    """Write a table as CSV, columns as they are in the contract; no spreadsheet runs a text in it."""
    return csv_text(table)


def pretty_json(text_or_object: Any) -> str:
    """Write something as indented JSON for the eye."""
    return json.dumps(text_or_object, indent=2, default=str)
