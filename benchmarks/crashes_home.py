"""One home, the commands that a user types there, and how their processes are killed: for `crashes.py`."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import psutil
from crashes_compared import half_written

from cfa.errors import CfaError
from cfa.jobs.job_folder import JobFolder, read_progress
from cfa.jobs.queue import Job, Queue

PROJECT = Path(__file__).resolve().parents[1]
COMMAND = (sys.executable, "-P", "-m", "cfa")
PATIENCE = 600.0  # seconds after which something hangs
GRACE = 20.0  # seconds in which a job whose processes are dead may still say that it runs (a launch: 10)
POLL = 0.002

Where = Literal["start", "training", "validation", "evaluation", "between", "writing"]


@dataclass(frozen=True)
class Moment:
    """When to kill: so long after the start or the first sign of work, or while a file is written."""

    after: Literal["start", "work", "write"]
    seconds: float
    writes: int

    @classmethod
    def draw(cls, rng: random.Random, seconds: float) -> "Moment":
        """Draw a moment in the life of a process that takes so many seconds when nobody kills it."""
        after = rng.choices(("start", "work", "write"), (2, 3, 3))[0]
        return cls(after, rng.uniform(0, seconds), rng.randint(1, 8))


@dataclass
class Home:
    """A home, the faults that were seen in it, and what was counted."""

    path: Path
    faults: list[str] = field(default_factory=list)
    listings: int = 0
    _commands: int = 0

    @property
    def environment(self) -> dict[str, str]:
        """Where every command of this home runs: one thread, nothing of other homes."""
        own = {"CFA_HOME": self.path, "XDG_CONFIG_HOME": self.path.parent / "configuration"}
        return os.environ | {name: str(value) for name, value in own.items()} | {"OMP_NUM_THREADS": "1"}

    def start(self, *arguments: str) -> "Started":
        """Start a command; what it prints goes to a file beside the home."""
        self._commands += 1
        log = self.path.parent / f"{self.path.name}-{self._commands:03d}.log"
        before = half_written(self.path)
        with log.open("wb") as file:
            process = subprocess.Popen(
                [*COMMAND, *arguments],
                cwd=PROJECT,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return Started(process, " ".join(arguments), log, time.time(), before)

    def finish(self, started: "Started") -> None:
        """Wait for a command that nobody kills any more, which has to end well."""
        try:
            code = started.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.faults.append(f"`cfa {started.line}` hangs: {started.tail()}")
            started.kill()
            return
        if code != 0:
            self.faults.append(f"`cfa {started.line}` ended with {code}: {started.tail()}")

    def listed(self) -> list[dict[str, Any]]:
        """List the runs as a user would; a fault where that fails, or where a run cannot be read."""
        self.listings += 1
        found = subprocess.run(
            [*COMMAND, "runs", "--json"],
            cwd=PROJECT,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        if found.returncode != 0 or "cannot be read" in found.stdout + found.stderr:
            self.faults.append(f"`cfa runs --json` ended with {found.returncode}: {found.stderr[-500:]}")
            return []
        return [run for run in json.loads(found.stdout) if not run["read_only"]]

    def jobs(self, **those: object) -> list[Job]:
        """Return the jobs with these values; one that says it runs without a process is waited for."""
        deadline = time.monotonic() + GRACE
        while True:
            found = [j for j in Queue(self.path).jobs() if all(getattr(j, k) == v for k, v in those.items())]
            if not any(job.state == "running" for job in found) or self.workers():
                return found
            if time.monotonic() > deadline:
                self.faults += [
                    f"job {j.id} says for ever that it runs" for j in found if j.state == "running"
                ]
                return found
            time.sleep(0.5)

    def workers(self) -> list[psutil.Process]:
        """Find the processes that carry out jobs of this home, whoever started them."""
        return list(_processes(self.path, ("run-job", "train", "evaluate", "resume")))

    def check_logs(self) -> None:
        """Look for tracebacks in all that was printed."""
        logs = [*self.path.parent.glob(f"{self.path.name}-*.log"), *self.path.glob("jobs/*/log.txt")]
        for log in logs:
            if "Traceback" in (text := log.read_text(encoding="utf-8", errors="replace")):
                self.faults.append(f"{log.name}: {text[text.index('Traceback') :][:2000]}")


@dataclass(frozen=True)
class Started:
    """A command that runs."""

    process: "subprocess.Popen[bytes]"
    line: str
    log: Path
    moment: float
    half_written: set[Path]

    @property
    def ended(self) -> bool:
        """Tell whether it has ended by itself."""
        return self.process.poll() is not None

    def kill(self) -> None:
        """Kill it alone, and see it dead."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def tail(self) -> str:
        """Return the end of what it printed."""
        return self.log.read_text(encoding="utf-8", errors="replace")[-500:]


def wait_for(moment: Moment, home: Path, since: float, ended: Callable[[], bool]) -> None:
    """Wait until a moment has come, or what was to be killed has ended."""
    deadline = time.monotonic() + PATIENCE
    if moment.after == "write":
        seen: set[str] = set()
        while len(seen) < moment.writes and not ended() and time.monotonic() < deadline:
            seen |= set(_being_written(home))
            time.sleep(POLL)
        return
    while moment.after == "work" and _phase(home, since) is None and not ended():
        time.sleep(0.02)
    until = time.monotonic() + moment.seconds
    while time.monotonic() < until and not ended():
        time.sleep(0.01)


def where_it_hit(home: Path, since: float, before: set[Path]) -> Where:
    """Tell from what was left what a killed process was doing (its last report is up to a second old)."""
    if half_written(home) - before:
        return "writing"
    phase = _phase(home, since)
    if phase is None:
        return "start"
    try:
        running = any(job.state in ("running", "interrupted") for job in Queue(home).jobs())
    except CfaError:
        running = True
    if not running:
        return "between"
    return {"training": "training", "validating": "validation"}.get(phase, "evaluation")  # type: ignore[return-value]


def _phase(home: Path, since: float) -> str | None:
    """Read what was last reported since a moment; ``None`` before the first report."""
    newest: tuple[float, str] | None = None
    for folder in (home / "jobs").glob("*"):
        file = JobFolder(folder).progress_file
        progress = read_progress(home, folder.name) if file.exists() else None
        changed = file.stat().st_mtime if progress else 0.0
        if progress and changed >= since and (newest is None or changed > newest[0]):
            newest = changed, progress.phase
    return newest[1] if newest else None


def _being_written(folder: Path | str) -> Iterator[str]:
    """Find files that are just being written, quickly; data sets are left out."""
    with suppress(FileNotFoundError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(".") and entry.name.endswith(".tmp"):
                yield entry.path
            elif "." not in entry.name and entry.name != "data" and entry.is_dir(follow_symlinks=False):
                yield from _being_written(entry.path)


def alive(process: psutil.Process) -> bool:
    """Tell whether a process has not ended, also where nobody has asked for its end yet."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _processes(home: Path, commands: Sequence[str]) -> Iterator[psutil.Process]:
    for process in psutil.process_iter(["cmdline"]):
        line = process.info["cmdline"] or []
        if "cfa" not in line or not set(commands).intersection(line):
            continue
        try:
            if alive(process) and process.environ().get("CFA_HOME") == str(home):
                yield process
        except psutil.Error:
            continue
