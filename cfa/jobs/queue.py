"""The queue: what is to be done, in which order, and what became of it.

States: queued -> running -> done, failed, paused or cancelled; Resume puts a job back. ``interrupted`` is
never stored: a job is interrupted when it is marked running and nobody holds its locks.

Whoever asks twice for one thing asks once: pausing what is paused, or cancelling what is cancelled, is done
already and no error. Whoever asks while a job changes is answered by what has become of it.
"""

import os
import secrets
import socket
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import replace
from functools import wraps
from typing import Any, Concatenate, Literal, ParamSpec

import sqlalchemy as sa

from cfa.errors import ConfigError, StoreError
from cfa.jobs.database import JOBS
from cfa.jobs.job import ENDED, RESUMABLE, EndState, Job, JobState
from cfa.jobs.job_folder import JobProgress, read_log, read_progress
from cfa.jobs.job_list import JobList
from cfa.jobs.order import Direction, moved
from cfa.jobs.removed import RemovedJob, discard_folder, keep_in_mind, restore_folder
from cfa.jobs.work import Work
from cfa.progress import StopReason
from cfa.runs.folder import RunFolder, RunState, now
from cfa.runs.trusted import Trusted
from cfa.stored import checked_id

__all__ = [
    "ENDED",
    "RESUMABLE",
    "Direction",
    "EndState",
    "Job",
    "JobProgress",
    "JobState",
    "Queue",
    "read_log",
    "read_progress",
]

P = ParamSpec("P")
TRIES = 5  # looks at a job that changes between a look at it and what follows from that

_RUN_STATES: Mapping[str, RunState] = {
    "queued": "queued",
    "paused": "paused",
    "failed": "failed",
    "cancelled": "cancelled",
}


class _JustChanged(StoreError):
    """Somebody else changed a job between a look at it and what should follow from that."""


def _by_what_it_is_now(
    act: Callable[Concatenate["Queue", str, P], Job],
) -> Callable[Concatenate["Queue", str, P], Job]:
    """Have something done to a job by its newest state, looked at again where it has just changed."""

    @wraps(act)
    def acted(queue: "Queue", job_id: str, /, *args: P.args, **kwargs: P.kwargs) -> Job:
        for _ in range(TRIES - 1):
            with suppress(_JustChanged):
                return act(queue, job_id, *args, **kwargs)
        return act(queue, job_id, *args, **kwargs)

    return acted


class Queue(JobList):
    """The jobs under one ``CFA_HOME``, shared by every process that opens it."""

    def submit(
        self,
        work: Work,
        title: str,
        *,
        after: Sequence[str] = (),
        device: str | None = None,
        estimate_seconds: float | None = None,
        run_id: str | None = None,
        foreground: bool = False,
        typed: Sequence[str] = (),
    ) -> Job:
        """Add a job at the end; a foreground job counts as running from the start.

        Import names among ``typed`` are remembered as this store's own, of the run or else of the job, before
        anybody can take the job; an Untrusted where nobody typed them here.
        """
        job_id = f"j{secrets.token_hex(4)}"
        Trusted(self.home).remember(run_id or job_id, typed)
        row = dict.fromkeys(column.name for column in JOBS.columns) | {
            "id": job_id,
            "kind": work.kind,
            "title": title,
            "spec": work.spec,
            "after_jobs": list(after),
            "run_id": run_id,
            "created": now(),
            "estimate_seconds": estimate_seconds,
            "device": device,
            "foreground": foreground,
            "state": "running" if foreground else "queued",
            "started": now() if foreground else None,
            "host": socket.gethostname() if foreground else None,
            "message": "",
        }
        with self._database.writing() as connection:
            last = connection.execute(sa.select(sa.func.max(JOBS.c.position))).scalar()
            row["position"] = (last or 0.0) + 1
            connection.execute(JOBS.insert(), row)
            self._database.mirror(connection, job_id)
        return self.get(job_id)

    def claim(self, device: str) -> Job | None:
        """Take the first job that may run on ``device``, marked running; ``None`` when there is none."""
        # Supervisors ask twice a second: where nothing may start that must not cost a write lock each time.
        with self._database.reading() as connection:
            if self._next(connection, device) is None:
                return None
        # Under the lock of all writers, so that two supervisors never take the same job.
        with self._database.writing() as connection:
            job = self._next(connection, device)
            if job is None:
                return None
            started = {"state": "running", "ran_on": device, "started": now(), "host": socket.gethostname()}
            _update(connection, job.id, {**started, **_FRESH})
            self._database.mirror(connection, job.id)
        return self.get(job.id)

    def _next(self, connection: sa.Connection, device: str) -> Job | None:
        """Pick the first job that may start; one that cannot be read is passed over."""
        states: dict[str, Any] = {}
        with closing(self._database.queued(connection, device)) as rows:
            for job in map(self._read, rows):
                new = [earlier for earlier in job.after if earlier not in states]
                states |= dict.fromkeys(new, "done")  # one that was removed counts as met
                states |= self._database.states(connection, new)
                if job.can_be_done and all(states[earlier] == "done" for earlier in job.after):
                    return job
        return None

    def register_worker(self, job_id: str, device: str) -> Job:
        """Note who runs a job; a StoreError unless it is still marked running."""
        values = {"pid": os.getpid(), "host": socket.gethostname(), "ran_on": device}
        if not self._set(job_id, values, only_if="running"):
            job = self.get(job_id)
            raise StoreError(f"job {job_id} is {job.state} and does not run; resume it first")
        return self.get(job_id)

    def announce(self, job_id: str, message: str) -> None:
        """Say in one line what a running job waits for (empty: nothing any more)."""
        self._set(job_id, {"message": message}, only_if="running")

    def requested(self, job_id: str) -> StopReason | None:
        """Say what the worker of a job was asked to do; a job that is gone asks it to cancel."""
        with self._database.reading() as connection:
            found = connection.execute(sa.select(JOBS.c.requested).where(JOBS.c.id == job_id)).one_or_none()
        if found is None:
            return "cancel"
        reason: StopReason | None = found[0]
        return reason

    def finish(self, job_id: str, state: EndState, message: str = "") -> bool:
        """Mark a running job's end; ``False`` when it was no longer marked running."""
        values = {"state": state, "message": message, "finished": now(), "pid": None, "requested": None}
        finished = self._set(job_id, values, only_if="running")
        if finished and state == "cancelled":
            self._cancel_with(job_id)
        return finished

    @_by_what_it_is_now
    def pause(self, job_id: str) -> Job:
        """Ask a running job to save and stop, or keep a queued one from starting."""
        job = self.get(job_id)
        if job.state == "queued":
            return self._move_to(job, "paused", "paused before it started")
        if job.state == "running":
            return self._request(job, "pause")
        if job.state == "paused":
            return job
        raise ConfigError(f"job {job.id} is {job.state}; only queued and running jobs can be paused")

    @_by_what_it_is_now
    def cancel(self, job_id: str) -> Job:
        """Ask a running job to stop for good, or take a job that does not run off the queue."""
        job = self.get(job_id)
        if not job.can_be_done:
            self.remove(job_id)
            return replace(job, state="cancelled", message="it could not be read, and is removed")
        if job.state == "running":
            return self._request(job, "cancel")
        if job.state == "cancelled":
            return job
        if job.state in ENDED:
            raise ConfigError(f"job {job.id} is already {job.state}; there is nothing to cancel")
        cancelled = self._move_to(job, "cancelled", "")
        self._cancel_with(job_id)
        return cancelled

    @_by_what_it_is_now
    def resume(self, job_id: str, *, foreground: bool = False) -> Job:
        """Queue a paused, interrupted, failed or cancelled job again, or mark it running in a terminal.

        What was cancelled with it comes back as well.
        """
        job = self.get(job_id)
        if not job.can_be_done:
            raise ConfigError(f"job {job.id} cannot be read, nor resumed; `cfa cancel` removes it")
        if job.state == "running" and job.requested is not None:
            raise ConfigError(f"job {job.id} was asked to {job.requested}; resume it once it has stopped")
        if job.state in ("queued", "running") and not foreground:
            return job
        may = RESUMABLE + (("queued",) if foreground else ())
        if job.state not in may:
            raise ConfigError(
                f"job {job.id} is {job.state}; paused, interrupted, failed and cancelled jobs can be resumed"
            )
        if foreground and job.after and not self._is_ready(job):
            raise ConfigError(f"job {job.id} waits for {', '.join(job.after)}; resume those first")
        resumed = self._move_to(job, "running" if foreground else "queued", "")
        for other in self.waiting_for(job_id):
            if (other.state, other.message) == ("cancelled", _WITH.format(job_id)):
                self._move_to(other, "queued", "")
        return resumed

    @_by_what_it_is_now
    def put_back(self, job_id: str, state: Literal["queued", "paused"]) -> Job:
        """Undo that a job was cancelled: it is as it was before, at its place in the queue."""
        job = self.get(job_id)
        if job.state == state:
            return job
        if job.state != "cancelled":
            raise ConfigError(f"job {job.id} is {job.state}; only a cancelled job can be put back")
        return self.resume(job_id) if state == "queued" else self._move_to(job, "paused", "")

    def move(self, job_id: str, direction: Direction) -> Job:
        """Move a queued job up, down, to the top or to the bottom of those that are queued."""
        job = self.get(job_id)
        if job.state != "queued":
            raise ConfigError(f"job {job.id} is {job.state}; only queued jobs have a place in the queue")
        self.move_all([job_id], direction)
        return self.get(job_id)

    def move_all(self, job_ids: Collection[str], direction: Direction) -> None:
        """Move queued jobs, which keep their order among themselves; what is not queued has no place."""
        with self._database.writing() as connection:
            waiting = sa.select(JOBS.c.id, JOBS.c.position).where(JOBS.c.state == "queued")
            queued = connection.execute(waiting.order_by(JOBS.c.position)).all()
            order = moved([row.id for row in queued], job_ids, direction)
            for row, job_id in zip(queued, order, strict=True):
                if row.id != job_id:
                    _update(connection, job_id, {"position": row.position})
                    self._database.mirror(connection, job_id)

    def set_device(self, job_id: str, device: str | None) -> Job:
        """Choose the device of a job that does not run (``None``: any)."""
        job = self.get(job_id)
        if job.state == "running":
            raise ConfigError(f"job {job.id} runs on {job.ran_on}; pause it before choosing another device")
        self._set(job_id, {"device": device})
        return self.get(job_id)

    def remove(self, job_id: str) -> RemovedJob:
        """Forget a job that has ended, log included; what it made stays.

        Returns:
            What :meth:`restore` makes it from again, as long as somebody keeps it.
        """
        job = self.get(job_id)
        if job.state not in ENDED:
            raise ConfigError(f"job {job.id} is {job.state}; cancel it before removing it")
        waiting = [other.id for other in self.waiting_for(job.id) if job.id in other.blocked_by]
        if waiting:
            raise ConfigError(f"job {job.id} is waited for by {', '.join(waiting)}; cancel those first")
        with self._database.writing() as connection:
            row = next(iter(self._database.rows(connection, job_id)), None)
            removed = keep_in_mind(self.home, job, row)
            shown = sa.func.substr(sa.cast(JOBS.c.id, sa.String), 1, 80)  # whatever stands there, as listed
            connection.execute(JOBS.delete().where(shown == job_id))
            discard_folder(self.home, job)
        return removed

    def restore(self, removed: RemovedJob) -> Job:
        """Bring a job back that was removed, with its log."""
        if removed.row is None:
            raise ConfigError(f"job {removed.job_id} could not be read, and cannot be brought back")
        with self._database.writing() as connection:
            if next(iter(self._database.rows(connection, removed.job_id)), None) is not None:
                raise ConfigError(f"job {removed.job_id} is in the queue; there is nothing to bring back")
            connection.execute(JOBS.insert(), dict(removed.row))
            self._database.mirror(connection, removed.job_id)
            restore_folder(self.home, removed)
        return self.get(removed.job_id)

    def tell_run(self, job: Job, state: EndState | Literal["queued"], message: str) -> None:
        """Write what became of a training job into its run, unless the run has finished."""
        if job.run_id is None or not job.trains or state not in _RUN_STATES:
            return
        run = RunFolder(self.home / "runs" / checked_id(job.run_id, "run"))
        if not os.path.exists(run.path / "config.json"):
            return
        # A full disk must not keep the queue from saying what happened.
        with suppress(StoreError):
            status = run.status
            if status.state != "finished":
                run.write_status(_RUN_STATES[state], status.epoch, message)

    def _is_ready(self, job: Job) -> bool:
        with self._database.reading() as connection:
            return set(self._database.states(connection, job.after).values()) <= {"done"}

    def _cancel_with(self, job_id: str) -> None:
        """Cancel what is nothing without a job that was cancelled: nobody is left to wait for."""
        for other in self.waiting_for(job_id):
            if other.state in ("queued", "paused") and other.needs_all:
                with suppress(_JustChanged):
                    self._move_to(other, "cancelled", _WITH.format(job_id))

    def _request(self, job: Job, reason: StopReason) -> Job:
        if job.requested != reason and not self._set(job.id, {"requested": reason}, only_if="running"):
            raise _JustChanged(f"job {job.id} has just ended; look again")
        return self.get(job.id)

    def _move_to(self, job: Job, state: JobState, message: str) -> Job:
        """Change the state of a job that nobody runs; a StoreError if someone else was faster."""
        stored = "running" if job.state == "interrupted" else job.state
        running = state == "running"
        values = {
            "state": state,
            "message": message,
            "requested": None,
            "pid": None,
            "foreground": running,
            "host": socket.gethostname() if running else job.host,
            "started": now() if running else job.started,
            "finished": now() if state == "cancelled" else None,
        }
        if not self._set(job.id, values, only_if=stored, unchanged=job):
            raise _JustChanged(f"job {job.id} has just changed; look again")
        if state in ("queued", "paused", "cancelled"):
            self.tell_run(job, state, message)
        return self.get(job.id)

    def _set(
        self,
        job_id: str,
        values: Mapping[str, Any],
        *,
        only_if: str | None = None,
        unchanged: Job | None = None,
    ) -> bool:
        """Change a row; ``False`` if it is not in state ``only_if``, or started again since ``unchanged``."""
        with self._database.writing() as connection:
            row = next(iter(self._database.rows(connection, job_id)), None)
            if row is None or (only_if is not None and row["state"] != only_if):
                return False
            if unchanged is not None and (row["started"], row["pid"]) != (unchanged.started, unchanged.pid):
                return False
            _update(connection, job_id, values)
            self._database.mirror(connection, job_id)
        return True


_WITH = "cancelled with {}, which it waited for"  # as it is stored, so that both come back together
_FRESH = {"requested": None, "finished": None, "pid": None, "message": ""}


def _update(connection: sa.Connection, job_id: str, values: Mapping[str, Any]) -> None:
    connection.execute(JOBS.update().where(JOBS.c.id == job_id).values(dict(values)))
