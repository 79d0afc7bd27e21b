"""What trainings cost: from measured epochs of like runs in the store, else from batches that are timed now.

Batches are timed by a process of its own, asked by a thread, so that a page waits for neither. Of what is no
name of ours (a folder, somebody's code) nothing is timed before a person who may start asks for it.
"""

import os
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import streamlit as st

from app.engine.outside import dataset_description, describe_now, is_outside, waits_for_a_look
from app.engine.snapshots import Job, Run, find_run, jobs
from app.process.opened import store
from app.process.rights import acts, looks
from app.process.stamps import stamp_of
from cfa.config import RunConfig
from cfa.errors import CfaError
from cfa.home import default_home
from cfa.jobs.made_from import teacher_network
from cfa.jobs.supervisor import served_devices
from cfa.runs.folder import RunFolder
from cfa.runs.trusted import code_of
from cfa.training import timing
from cfa.training.estimate import Estimate, Timing, pace, scaled, timing_of
from cfa.trust import allowing

PATIENCE = 6.0  # seconds for each of a configuration's two probes
MOST_CANDIDATES = 20  # like runs that are looked at
MOST_KEPT = 1000


@dataclass(frozen=True)
class Source:
    """Where the time of a step is from.

    Attributes:
        timing: What steps take; ``None`` where that could not be measured.
        run: Name of the run whose epochs were measured; empty where batches were timed for this.
        beside: Jobs that ran meanwhile.
        busy: The machine had more to do than it has cores, whoever asked for it.
        problem: Why nothing was measured.
    """

    timing: Timing | None
    run: str = ""
    beside: int = 0
    busy: bool = False
    problem: str = ""


@dataclass(frozen=True)
class TrainingCost:
    """What trainings cost, one after the other.

    Attributes:
        seconds: ``None`` as long as it is not known of all of them.
        disk_bytes: What they keep, as far as it is known.
        sources: Where that is from, each once.
        problems: Why it is not known of some.
    """

    seconds: float | None
    disk_bytes: int
    sources: tuple[Source, ...]
    problems: tuple[str, ...]


@looks
def training_cost(configs: Sequence[RunConfig], device: str | None) -> TrainingCost:
    """Add up what is known of some trainings on a device; ``None`` stands for this machine's first."""
    found: dict[str, Source | None] = {}
    estimates = []
    for config in configs:
        if (key := _key(config, device)) not in found:
            found[key] = _source(config, device)
        source = found[key]
        if source is not None and source.timing is not None:
            estimates.append(scaled(config, dataset_description(config.dataset), source.timing))
    known = [source for source in found.values() if source is not None]
    return TrainingCost(
        seconds=sum(one.seconds for one in estimates) if len(estimates) == len(configs) else None,
        disk_bytes=sum(one.disk_bytes for one in estimates),
        sources=tuple(dict.fromkeys(source for source in known if source.timing is not None)),
        problems=tuple(dict.fromkeys(source.problem for source in known if source.problem)),
    )


@looks
def known_estimate(config: RunConfig, device: str | None = None) -> Estimate | None:
    """Return what a training is known to cost on a device, if anything is."""
    source = _source(config, device)
    if source is None or source.timing is None:
        return None
    return scaled(config, dataset_description(config.dataset), source.timing)


@looks
def to_be_timed(configs: Iterable[RunConfig], device: str | None) -> list[RunConfig]:
    """List, of each kind once, what is not known, or was timed beside jobs that have ended since."""
    idle = not any(job.state == "running" for job in jobs())
    wanted = {}
    for config in configs:
        source = _source(config, device)
        if source is None or (source.beside and not source.run and idle):
            wanted[_key(config, device)] = config
    return list(wanted.values())


@looks
def names_no_code(config: RunConfig) -> bool:
    """Tell whether a training is made of what has a name here: then it is timed without being asked."""
    return not (is_outside(config.dataset) or ":" in config.model or ":" in config.method)


@looks
def are_being_timed() -> bool:
    """Tell whether batches are being timed."""
    return _clock(str(default_home())).busy


@acts
def time_batches(configs: Sequence[RunConfig], device: str | None) -> None:
    """Have batches of some configurations timed, in place of what waits to be; the answers come later.

    Raises:
        CfaError: A data set cannot be described.
    """
    typed = tuple(name for config in configs for name in code_of(config))
    with allowing(typed):
        asked = {
            _key(config, device): timing.Question(
                config=config,
                info=describe_now(config.dataset),
                teacher=teacher_network(store(), config),
            )
            for config in configs
        }
    running = sum(job.state == "running" for job in jobs())
    wanted = _Wanted(_device(device), typed, asked, running, _is_busy())
    _clock(str(default_home())).set(wanted)


# --- measured epochs ------------------------------------------------------------------------------


def _source(config: RunConfig, device: str | None) -> Source | None:
    """Prefer measured epochs of the newest like run to batches that were timed."""
    if waits_for_a_look(config.dataset):
        return None
    return _of_like_run(config, _device(device)) or _clock(str(default_home())).found.get(
        _key(config, device)
    )


def _of_like_run(config: RunConfig, device: str) -> Source | None:
    for job, run in _like(config, device):
        try:
            info = dataset_description(config.dataset)
            seconds = (_moment(job.finished) - _moment(job.started)).total_seconds()
            stamp = stamp_of(run.folder.history_file)
            measured = _timing_of(str(run.folder.path), stamp, seconds, info.train_images, config.dataset)
        except CfaError:  # Runs says what is wrong with it
            continue
        if measured is not None:
            return Source(measured, run.name, _beside(job))
    return None


def _like(config: RunConfig, device: str) -> list[tuple[Job, Run]]:
    """List the trainings of this store whose steps are those of a configuration, the newest first."""
    wanted, found = pace(config), []
    ended = [j for j in jobs() if j.trains and j.state == "done" and j.ran_on == device and j.finished]
    for job in reversed(ended):
        run = find_run(job.run_id or "")
        if run is None or run.problem or run.read_only:
            continue
        if (run.method, run.dataset, run.model) == (config.method, config.dataset, config.model):
            found.append((job, run))
    return [(job, run) for job, run in found[:MOST_CANDIDATES] if pace(run.folder.config) == wanted]


@st.cache_resource(max_entries=200, show_spinner=False)
def _timing_of(
    path: str, stamp: tuple[int, int], wall_seconds: float, images: int, dataset: str
) -> Timing | None:
    return timing_of(RunFolder(Path(path)), dataset_description(dataset), wall_seconds)


def _beside(job: Job) -> int:
    """Count the jobs that ran at some time while a job did."""
    others = [other for other in jobs() if other.id != job.id and other.started]
    return sum(
        _moment(other.started) < _moment(job.finished) and _moment(other.finished) > _moment(job.started)
        for other in others
    )


def _moment(iso: str | None) -> datetime:
    return datetime.fromisoformat(iso) if iso else datetime.now(UTC)


# --- timed batches --------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Wanted:
    """What is to be timed: the questions, each with its key."""

    device: str
    typed: tuple[str, ...]
    asked: dict[str, timing.Question]
    running: int
    busy: bool


@dataclass
class _Clock:
    """What was timed, and the thread that asks for more; what is asked last comes first."""

    found: dict[str, Source] = field(default_factory=dict)
    wanted: _Wanted | None = None
    busy: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)

    def set(self, wanted: _Wanted) -> None:
        """Time this next, and nothing else that waits."""
        with self.lock:
            self.wanted = wanted
            if not self.busy:
                self.busy = True
                threading.Thread(target=self._work, name="timing", daemon=True).start()

    def _work(self) -> None:
        while (wanted := self._next()) is not None:
            questions = timing.Questions(
                device=wanted.device,
                patience=PATIENCE,
                typed=wanted.typed,
                asked=tuple(wanted.asked.values()),
            )
            for key, answer in zip(wanted.asked, timing.ask(questions), strict=True):
                self.found[key] = Source(
                    answer.timing, beside=wanted.running, busy=wanted.busy, problem=answer.problem
                )
                if self.wanted is not None:
                    break  # the form says something else by now
            for key in list(self.found)[:-MOST_KEPT]:
                del self.found[key]

    def _next(self) -> _Wanted | None:
        with self.lock:
            wanted, self.wanted = self.wanted, None
            if wanted is not None:  # asked again by several who look, while it was timed
                asked = {key: one for key, one in wanted.asked.items() if self._is_new(key, wanted.running)}
                wanted = replace(wanted, asked=asked) if asked else None
            self.busy = wanted is not None
            return wanted

    def _is_new(self, key: str, running: int) -> bool:
        known = self.found.get(key)
        return known is None or known.beside > running


@st.cache_resource(show_spinner=False)
def _clock(home: str) -> _Clock:
    return _Clock()


def _is_busy() -> bool:
    """Tell whether more processes want to run than there are cores."""
    return os.getloadavg()[0] > (os.cpu_count() or 1)


def _device(device: str | None) -> str:
    return device or served_devices()[0]


def _key(config: RunConfig, device: str | None) -> str:
    return f"{_device(device)} {pace(config)}"
