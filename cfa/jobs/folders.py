"""A job is a folder: what it is, what it printed, how far it is, and the locks that say who lives.

CFA_HOME/jobs/<id>/job.json       what is to be done; never changes
                   state.json     a copy of the queue's row, from which a lost queue is rebuilt
                   log.txt        what the worker printed
                   progress.json  how far it is; rewritten at most once a second
                   result.json    ids of what it made
                   job.lock       held by the worker as long as it lives
                   launch.lock    held by the supervisor until its worker has ended
"""

import dataclasses
import json
import os
import re
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from cfa.errors import StoreError
from cfa.files import write_text
from cfa.results.runs import RunFolder


@dataclass(frozen=True)
class JobProgress:
    """How far a job is; ``rate`` is units per second in this phase, ``seconds_left`` may be unknown.

    ``memory_used`` and ``memory_total`` are bytes of its device, ``busy`` the share of time that it computes.
    """

    done: float
    total: float
    unit: str
    phase: str
    epoch: int | None
    epochs: int | None
    rate: float | None
    seconds_left: float | None
    updated: str
    memory_used: int | None = None
    memory_total: int | None = None
    busy: float | None = None


@dataclass(frozen=True)
class JobFolder:
    """The files of one job."""

    path: Path

    @classmethod
    def of(cls, home: Path, job_id: str) -> "JobFolder":
        """Say where the folder of a job is."""
        return cls(home / "jobs" / job_id)

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

    def result(self) -> dict[str, Any]:
        """Read the ids of what the job made so far."""
        return read_json(self.result_file) or {}


def read_json(path: Path) -> dict[str, Any] | None:
    """Read an object from a JSON file; ``None`` where it is missing or no JSON."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Replace a JSON file atomically."""
    write_text(path, json.dumps(content, indent=1))


def read_progress(home: Path, job_id: str) -> JobProgress | None:
    """Read how far a job is; ``None`` before its first report."""
    content = read_json(JobFolder.of(home, job_id).progress_file)
    fields = dataclasses.fields(JobProgress)
    needed = {field.name for field in fields if field.default is dataclasses.MISSING}
    if content is None or not needed <= set(content) <= {field.name for field in fields}:
        return None
    return JobProgress(**content)


def write_progress(folder: JobFolder, progress: JobProgress) -> None:
    """Store how far a job is."""
    write_json(folder.progress_file, asdict(progress))


def read_log(home: Path, job_id: str, lines: int = 200) -> str:
    """Read the last lines that a job printed; empty before the first."""
    return tail(JobFolder.of(home, job_id).log_file, lines)


def tail(path: Path, lines: int) -> str:
    """Read the last lines of a text file (of its last megabyte); empty where there is none."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - 1_000_000))
            text = file.read().decode(errors="replace")
    except OSError:
        return ""
    return "\n".join(text.splitlines()[-lines:])


def is_held(lock_file: Path) -> bool:
    """Tell whether a living process (this one included) holds the lock."""
    if not lock_file.exists():
        return False
    lock = FileLock(lock_file)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return True
    except OSError as error:
        raise StoreError(f"cannot open {lock_file} ({error.strerror}); check its owner") from error
    lock.release()
    return False


def run_state(run: RunFolder) -> str:
    """Return a run's state for people: ``interrupted`` where it says ``running`` and nobody trains it."""
    state = run.status.state
    return "interrupted" if state == "running" and not is_held(run.lock_file) else state


@contextmanager
def hold(lock_file: Path, busy: str, timeout: float = 10) -> Iterator[None]:
    """Hold a lock; who only asks whether it is free holds it for an instant, so waiting a little is right.

    Args:
        lock_file: The lock's file.
        busy: The sentence to fail with when the lock is not free in time.
        timeout: Seconds to wait.
    """
    lock = FileLock(lock_file, thread_local=False)
    try:
        lock_file.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=timeout)
    except Timeout as error:
        raise StoreError(busy) from error
    except OSError as error:
        raise StoreError(f"cannot open {lock_file} ({error.strerror}); check its owner") from error
    try:
        yield
    finally:
        lock.release()


def device_lock_file(home: Path, device: str, purpose: str = "") -> Path:
    """Say which lock stands for a device of this machine (homes may be shared between machines)."""
    host = re.sub(r"[^\w.-]", "-", socket.gethostname())
    return home / "locks" / f"{host}-{device.replace(':', '-')}{purpose}.lock"
