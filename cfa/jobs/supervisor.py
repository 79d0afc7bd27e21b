"""Threads supervise, processes work: one daemon thread a device takes jobs off the queue and starts workers.

However many dashboards run, one thread of one process serves a device: whoever holds its dispatch lock. When
that process dies the system frees the lock and another's thread takes over. Workers are sessions of their
own: they outlive who started them.
"""

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

from filelock import Timeout

from cfa.errors import CfaError, StoreError
from cfa.files import open_to_append, require_own
from cfa.home import PROJECT
from cfa.jobs.devices import device_is_busy, served_devices
from cfa.jobs.job_folder import JobFolder, device_lock_file, tail
from cfa.jobs.queue import Job, Queue
from cfa.jobs.webhook import tell_ended
from cfa.locks import hold, lock_at

__all__ = ["WORKER_COMMAND", "Supervisors", "device_is_busy", "served_devices", "start_supervisors"]

# -P: a module that lies in the folder where somebody started us is none of ours.
WORKER_COMMAND = (sys.executable, "-P", "-m", "cfa", "run-job")
POLL = 0.5  # seconds
PATIENCE = 60.0  # seconds that a worker has to answer a request to cancel
FAREWELL = 5.0  # seconds that a worker may take to exit once its job has ended
LAST_CHANCE = 10.0  # seconds between SIGTERM and SIGKILL

_log = logging.getLogger(__name__)


class Supervisor(threading.Thread):
    """Serves one device of one home."""

    def __init__(
        self,
        home: Path,
        device: str,
        *,
        command: Sequence[str] = WORKER_COMMAND,
        poll: float = POLL,
        patience: float = PATIENCE,
    ) -> None:
        """Prepare the thread.

        Args:
            home: ``CFA_HOME``.
            device: The device to serve.
            command: What to start with a job's id appended.
            poll: Seconds between looks.
            patience: Seconds that a worker has to answer a request to cancel.
        """
        super().__init__(name=thread_name(home, device), daemon=True)
        self.home, self.device, self.command = home, device, tuple(command)
        self.poll, self.patience = poll, patience
        self.last_chance = LAST_CHANCE
        self.stopping = threading.Event()
        self.queue = Queue(home)
        self.left_alone: list[subprocess.Popen[bytes]] = []

    def run(self) -> None:
        """Serve the device whenever no other process does, until told to stop."""
        lock_file = device_lock_file(self.home, self.device, ".dispatch")
        while not self.stopping.is_set():
            try:
                with lock_at(lock_file).acquire(timeout=0):
                    self._serve()
            except Timeout:
                self.stopping.wait(self.poll)
            except (CfaError, OSError) as error:  # a full disk passes; the thread must live to see it
                _log.warning("supervisor of %s: %s", self.device, error)
                self.stopping.wait(10 * self.poll)
            # The thread's outermost frame: without it nothing would be worked on any more, and nobody told.
            except Exception:
                _log.exception("supervisor of %s", self.device)
                self.stopping.wait(10 * self.poll)

    def _serve(self) -> None:
        while not self.stopping.is_set():
            job = None if device_is_busy(self.home, self.device) else self.queue.claim(self.device)
            if job is None:
                self.stopping.wait(self.poll)
            else:
                self._work_on(job)

    def _work_on(self, job: Job) -> None:
        """Start a worker and wait for its end; a worker that cannot be started is a failed job."""
        folder = JobFolder.of(self.home, job.id)
        with ExitStack() as stack:
            try:
                require_own(folder.path)
                busy = "another supervisor still waits for its last worker; retry in a moment"
                stack.enter_context(hold(folder.launch_file, busy))
                process = self._start(job, folder)
            except OSError as error:
                self._end(job, f"cannot start a worker ({error.strerror}); free memory or disk, then retry")
                return
            except StoreError as error:
                self._end(job, str(error))
                return
            self._wait(job, process)
            if process.returncode is None:
                self.left_alone.append(process)  # told to stop: the worker goes on
                return
            self._judge(job, process.returncode, folder)

    def _start(self, job: Job, folder: JobFolder) -> "subprocess.Popen[bytes]":
        places = [*filter(None, [os.environ.get("PYTHONPATH")]), str(PROJECT)]
        environment = os.environ | {"CFA_HOME": str(self.home), "PYTHONPATH": os.pathsep.join(places)}
        with open_to_append(folder.log_file) as log:
            return subprocess.Popen(
                [*self.command, job.id],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment,
                start_new_session=True,
            )

    def _wait(self, job: Job, process: "subprocess.Popen[bytes]") -> None:
        """Wait for the worker; one that does not answer a request to cancel is ended."""
        asked: float | None = None
        told = False
        while not self.stopping.is_set():
            try:
                process.wait(self.poll)
                return
            except subprocess.TimeoutExpired:
                pass
            if not self._cancel_is_requested(job):
                continue
            asked = asked or time.monotonic()
            waited = time.monotonic() - asked
            if waited > self.patience + self.last_chance:
                os.killpg(process.pid, signal.SIGKILL)
            elif waited > self.patience and not told:
                os.killpg(process.pid, signal.SIGTERM)
                told = True
        # Told to stop supervising. A worker that has said how it ended is about to be gone: wait for that.
        if self.queue.get(job.id).state != "running":
            with suppress(subprocess.TimeoutExpired):
                process.wait(FAREWELL)

    def _cancel_is_requested(self, job: Job) -> bool:
        try:
            return self.queue.requested(job.id) == "cancel"
        except StoreError:  # the queue is busy or the disk full: ask again
            return False

    def _judge(self, job: Job, code: int, folder: JobFolder) -> None:
        """Mark what a worker left marked running: failed, cancelled, or (killed) interrupted as it stands."""
        if self.queue.requested(job.id) == "cancel":
            if self.queue.finish(job.id, "cancelled", "its worker did not answer and was ended"):
                self.queue.tell_run(job, "cancelled", "")
                tell_ended(job, "cancelled", "", _log.warning)
            return
        if code < 0:
            return
        last = tail(folder.log_file, 1).strip()
        self._end(job, last or f"its worker ended with exit code {code} and printed nothing")

    def _end(self, job: Job, message: str) -> None:
        if self.queue.finish(job.id, "failed", message):
            self.queue.tell_run(job, "failed", message)
            tell_ended(job, "failed", message, _log.warning)


@dataclass(frozen=True)
class Supervisors:
    """The threads of one process."""

    home: Path
    threads: tuple[threading.Thread, ...]

    def alive(self) -> bool:
        """Tell whether every thread still runs."""
        return all(thread.is_alive() for thread in self.threads)

    def stop(self, timeout: float = 10.0) -> None:
        """Stop supervising; workers go on."""
        for thread in self.threads:
            thread.stopping.set()  # type: ignore[attr-defined]
        for thread in self.threads:
            thread.join(timeout)


def thread_name(home: Path, device: str) -> str:
    """Name the thread that serves a device of a home."""
    return f"cfa supervisor {device} {home}"


def start_supervisors(
    home: Path, *, command: Sequence[str] = WORKER_COMMAND, names: Sequence[str] | None = None
) -> Supervisors:
    """Serve the queue at ``home`` with one daemon thread a device.

    Threads that this process already runs are found by name and kept: a cleared cache or reloaded module adds
    none.

    Args:
        home: ``CFA_HOME``.
        command: What starts a worker, a job's id appended.
        names: The devices, by default all of :func:`served_devices`.
    """
    running = {
        thread.name: thread
        for thread in threading.enumerate()
        if thread.name.startswith("cfa supervisor ") and not getattr(thread, "stopping", _NEVER).is_set()
    }
    threads = []
    for device in names if names is not None else served_devices():
        thread = running.get(thread_name(home, device))
        if thread is None:
            thread = Supervisor(home, device, command=command)
            thread.start()
        threads.append(thread)
    return Supervisors(home, tuple(threads))


_NEVER = threading.Event()
