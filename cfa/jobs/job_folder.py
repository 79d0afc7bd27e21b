"""A job is a folder: what it is, what it printed, how far it is, and the locks that say who lives.

CFA_HOME/jobs/<id>/job.json       what is to be done; never changes
                   state.json     a copy of the queue's row, from which a lost queue is rebuilt
                   log.txt        what the worker printed
                   progress.json  how far it is; rewritten at most once a second
                   result.json    ids of what it made
                   job.lock       held by the worker as long as it lives
                   launch.lock    held by the supervisor until its worker has ended
"""

import json
import os
import re
import socket
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from cfa.errors import StoreError
from cfa.files import write_text
from cfa.locks import is_held
from cfa.stored import STRICT, Count, Moment, Name, checked_id, open_file, read_stored

T = TypeVar("T")


@dataclass(frozen=True)
class JobProgress:
    """How far a job is; ``rate`` is units per second in this phase, ``seconds_left`` may be unknown.

    ``memory_used`` and ``memory_total`` are bytes of its device, ``busy`` the share of time that it computes.
    """

    __pydantic_config__ = STRICT

    done: float
    total: float
    unit: Name
    phase: Name
    epoch: Count | None
    epochs: Count | None
    rate: float | None
    seconds_left: float | None
    updated: Moment
    memory_used: Count | None = None
    memory_total: Count | None = None
    busy: float | None = None


@dataclass(frozen=True)
class JobResult:
    """Ids of what a job made so far: evaluations, by ``WEIGHTS CHECKPOINT``."""

    __pydantic_config__ = STRICT

    evaluations: dict[str, Name] = field(default_factory=dict)


@dataclass(frozen=True)
class JobFolder:
    """The files of one job."""

    path: Path

    @classmethod
    def of(cls, home: Path, job_id: str) -> "JobFolder":
        """Say where the folder of a job is; a StoreError where the id is none."""
        return cls(home / "jobs" / checked_id(job_id, "job"))

    @property
    def spec_file(self) -> Path:
        """What is to be done."""
        return self.path / "job.json"

    @property
    def state_file(self) -> Path:
        """The copy of the queue's row."""
        return self.path / "state.json"

    @property
    def log_file(self) -> Path:
        """What the worker printed."""
        return self.path / "log.txt"

    @property
    def progress_file(self) -> Path:
        """How far it is."""
        return self.path / "progress.json"

    @property
    def result_file(self) -> Path:
        """Ids of what it made."""
        return self.path / "result.json"

    @property
    def lock_file(self) -> Path:
        """Held by the worker."""
        return self.path / "job.lock"

    @property
    def launch_file(self) -> Path:
        """Held by the supervisor of the worker."""
        return self.path / "launch.lock"

    def is_alive(self) -> bool:
        """Tell whether a worker runs this job, or is being started or ended by its supervisor."""
        return is_held(self.lock_file) or is_held(self.launch_file)

    def result(self) -> JobResult:
        """Read the ids of what the job made so far; none where they cannot be read."""
        return _read(self.result_file, JobResult) or JobResult()


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Replace a JSON file atomically."""
    write_text(path, json.dumps(content, indent=1))


def read_progress(home: Path, job_id: str) -> JobProgress | None:
    """Read how far a job is; ``None`` before its first report, and where that cannot be read."""
    try:
        return _read(JobFolder.of(home, job_id).progress_file, JobProgress)
    except StoreError:
        return None


def _read(path: Path, kind: type[T]) -> T | None:
    # What only tells how far a job is must keep nobody from anything.
    try:
        return read_stored(path, kind)
    except StoreError:
        return None


def write_progress(folder: JobFolder, progress: JobProgress) -> None:
    """Store how far a job is."""
    write_json(folder.progress_file, asdict(progress))


def read_log(home: Path, job_id: str, lines: int = 200) -> str:
    """Read the last lines that a job printed; empty before the first."""
    try:
        return tail(JobFolder.of(home, job_id).log_file, lines)
    except StoreError:  # it is none
        return ""


def tail(path: Path, lines: int) -> str:
    """Read the last lines of a text file (of its last megabyte); empty where there is none."""
    try:
        with open_file(path) as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - 1_000_000))
            text = file.read().decode(errors="replace")
    except (OSError, StoreError):
        return ""
    return "\n".join(text.splitlines()[-lines:])


def device_lock_file(home: Path, device: str, purpose: str = "") -> Path:
    """Say which lock stands for a device of this machine (homes may be shared between machines)."""
    host = re.sub(r"[^\w.-]", "-", socket.gethostname())
    return home / "locks" / f"{host}-{device.replace(':', '-')}{purpose}.lock"
