"""The queue: what is to be done, in which order, and what became of it.

States: queued -> running -> done, failed, paused or cancelled; Resume puts a job back. ``interrupted`` is
never stored: a job is interrupted when it is marked running and nobody holds its locks.
"""

import os
import secrets
import shutil
import socket
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import sqlalchemy as sa

from cfa.errors import ConfigError, StoreError, UnknownName
from cfa.jobs.database import JOBS, Database
from cfa.jobs.forecast import seconds_until_empty
from cfa.jobs.job import ENDED, RESUMABLE, EndState, Job, JobState, job_of
from cfa.jobs.job_folder import JobFolder, JobProgress, read_log, read_progress
from cfa.jobs.work import Work
from cfa.progress import StopReason
from cfa.registry import unknown
from cfa.runs.folder import RunFolder, RunState, now
from cfa.runs.store import Store
from cfa.runs.trusted import Trusted
from cfa.stored import checked_id, distance

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
    "seconds_until_empty",
]

Direction = Literal["up", "down", "top", "bottom"]

LAUNCH_GRACE = 10.0  # seconds between a claim and the moment when supervisor or worker hold a lock
RECENT = 300.0  # seconds within which a report from another machine means that its worker lives
_RUN_STATES: Mapping[str, RunState] = {
    "queued": "queued",
    "paused": "paused",
    "failed": "failed",
    "cancelled": "cancelled",
}


class Queue:
    """The jobs under one ``CFA_HOME``, shared by every process that opens it."""

    def __init__(self, home: Path) -> None:
        """Open the queue at ``home``."""
        self.home = home
        self._database = Database(home)

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

    def jobs(self) -> list[Job]:
        """List all jobs in the order of the queue, newest last; one that cannot be read says so."""
        with self._database.reading() as connection:
            rows = self._database.rows(connection)
        states = {str(row["id"]): row["state"] for row in rows}
        return [self._job(row, states) for row in rows]

    def get(self, job_id: str) -> Job:
        """Return the job with exactly this id."""
        for job in self.jobs():
            if job.id == job_id:
                return job
        raise unknown("job", job_id, [job.id for job in self.jobs()])

    def find(self, reference: str) -> Job:
        """Find a job by id, by a unique prefix of it (4 characters or more), or as the newest of a RUN."""
        jobs = self.jobs()
        matches = [job for job in jobs if job.id == reference] or [
            job for job in jobs if len(reference) >= 4 and job.id.startswith(reference)
        ]
        if len(matches) == 1:
            return matches[0]
        if matches:
            listed = ", ".join(f"{job.id} ({job.title})" for job in matches)
            raise UnknownName(f"job {reference!r} is ambiguous; write more of one of {listed}")
        try:
            run = Store(self.home).find(reference)
        except UnknownName as error:
            names = [job.id for job in jobs] + [run.name for run in Store(self.home).runs()]
            raise unknown("job or run", reference, names) from error
        of_run = [job for job in jobs if job.run_id == run.id]
        if not of_run:
            raise UnknownName(f"run {run.name!r} has no job here; `cfa jobs` lists those that there are")
        return max(of_run, key=lambda job: (job.created, job.position))

    def claim(self, device: str) -> Job | None:
        """Take the first job that may run on ``device``, marked running; ``None`` when there is none."""
        # Supervisors ask twice a second: an empty queue must not cost a write lock each time.
        with self._database.reading() as connection:
            if (
                connection.execute(sa.select(JOBS.c.id).where(JOBS.c.state == "queued").limit(1)).scalar()
                is None
            ):
                return None
        # Under the lock of all writers, so that two supervisors never take the same job.
        with self._database.writing() as connection:
            job = self._next(self._database.rows(connection), device)
            if job is None:
                return None
            started = {"state": "running", "ran_on": device, "started": now(), "host": socket.gethostname()}
            _update(connection, job.id, {**started, **_FRESH})
            self._database.mirror(connection, job.id)
        return self.get(job.id)

    @staticmethod
    def _next(rows: Sequence[Mapping[str, Any]], device: str) -> Job | None:
        """Pick the first job that may start; one that cannot be read is passed over."""
        states = {row["id"]: row["state"] for row in rows}
        for row in rows:
            if row["state"] != "queued" or row["device"] not in (None, device):
                continue
            job = job_of(row)
            # A dependency that was removed counts as met.
            ready = all(states.get(earlier, "done") == "done" for earlier in job.after)
            if job.can_be_done and ready:
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
        return self._set(job_id, values, only_if="running")

    def pause(self, job_id: str) -> Job:
        """Ask a running job to save and stop, or keep a queued one from starting."""
        job = self.get(job_id)
        if job.state == "queued":
            return self._move_to(job, "paused", "paused before it started")
        if job.state == "running":
            self._request(job, "pause")
            return self.get(job_id)
        raise ConfigError(f"job {job.id} is {job.state}; only queued and running jobs can be paused")

    def cancel(self, job_id: str) -> Job:
        """Ask a running job to stop for good, or take a job that does not run off the queue."""
        job = self.get(job_id)
        if not job.can_be_done:
            self.remove(job_id)
            return replace(job, state="cancelled", message="it could not be read, and is removed")
        if job.state == "running":
            self._request(job, "cancel")
            return self.get(job_id)
        if job.state in ENDED:
            raise ConfigError(f"job {job.id} is already {job.state}; there is nothing to cancel")
        return self._move_to(job, "cancelled", "")

    def resume(self, job_id: str, *, foreground: bool = False) -> Job:
        """Queue a paused, interrupted, failed or cancelled job again, or mark it running in a terminal."""
        job = self.get(job_id)
        if not job.can_be_done:
            raise ConfigError(f"job {job.id} cannot be read, nor resumed; `cfa cancel` removes it")
        may = RESUMABLE + (("queued",) if foreground else ())
        if job.state not in may:
            raise ConfigError(
                f"job {job.id} is {job.state}; paused, interrupted, failed and cancelled jobs can be resumed"
            )
        if foreground and job.after and not self._is_ready(job):
            raise ConfigError(f"job {job.id} waits for {', '.join(job.after)}; resume those first")
        return self._move_to(job, "running" if foreground else "queued", "")

    def move(self, job_id: str, direction: Direction) -> Job:
        """Move a queued job up, down, to the top or to the bottom of those that are queued."""
        job = self.get(job_id)
        if job.state != "queued":
            raise ConfigError(f"job {job.id} is {job.state}; only queued jobs have a place in the queue")
        with self._database.writing() as connection:
            waiting = sa.select(JOBS.c.id, JOBS.c.position).where(JOBS.c.state == "queued")
            queued = connection.execute(waiting.order_by(JOBS.c.position)).all()
            order = [row.id for row in queued if row.id != job_id]
            place = [row.id for row in queued].index(job_id)
            target = {"up": max(place - 1, 0), "down": place + 1, "top": 0, "bottom": len(order)}[direction]
            order.insert(target, job_id)
            for moved, position in zip(order, sorted(row.position for row in queued), strict=True):
                _update(connection, moved, {"position": position})
                self._database.mirror(connection, moved)
        return self.get(job_id)

    def set_device(self, job_id: str, device: str | None) -> Job:
        """Choose the device of a job that does not run (``None``: any)."""
        job = self.get(job_id)
        if job.state == "running":
            raise ConfigError(f"job {job.id} runs on {job.ran_on}; pause it before choosing another device")
        self._set(job_id, {"device": device})
        return self.get(job_id)

    def remove(self, job_id: str) -> None:
        """Forget a job that has ended, log included; what it made stays."""
        job = self.get(job_id)
        if job.state not in ENDED:
            raise ConfigError(f"job {job.id} is {job.state}; cancel it before removing it")
        waiting = [other.id for other in self.jobs() if job.id in other.blocked_by]
        if waiting:
            raise ConfigError(f"job {job.id} is waited for by {', '.join(waiting)}; cancel those first")
        with self._database.writing() as connection:
            shown = sa.func.substr(sa.cast(JOBS.c.id, sa.String), 1, 80)  # whatever stands there, as listed
            connection.execute(JOBS.delete().where(shown == job_id))
            self._discard_folder(job)

    def _discard_folder(self, job: Job) -> None:
        """Delete the folder of a job alone: an id that is a path names none, of a link the link goes."""
        try:
            path = JobFolder.of(self.home, job.id).path
        except StoreError:
            return
        if path.is_symlink() or path.is_file():
            path.unlink(missing_ok=True)
        else:
            shutil.rmtree(path, ignore_errors=True)

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
        states = {other.id: other.state for other in self.jobs()}
        return all(states.get(earlier, "done") == "done" for earlier in job.after)

    def _request(self, job: Job, reason: StopReason) -> None:
        if not self._set(job.id, {"requested": reason}, only_if="running"):
            raise StoreError(f"job {job.id} has just ended; look again")

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
            raise StoreError(f"job {job.id} has just changed; look again")
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

    def _job(self, row: Mapping[str, Any], states: Mapping[str, Any]) -> Job:
        job = job_of(row)
        if job.state == "queued":
            blocked = tuple(e for e in job.after if states.get(e) in _PAST)
            waiting = [e for e in job.after if states.get(e, "done") != "done"]
            if blocked:
                what = ", ".join(f"{e}, which {_PAST[states[e]]}" for e in blocked)
                message = f"waits for {what}; resume that one or cancel this one"
                return replace(job, blocked_by=blocked, message=message)
            if waiting:
                return replace(job, message=f"waits for {', '.join(waiting)}")
        if job.state == "running":
            try:
                if self._is_interrupted(job):
                    return replace(
                        job, state="interrupted", message="its worker ended unexpectedly; resume it"
                    )
            except StoreError as error:  # nobody can say
                return replace(job, message=str(error))
        return job

    def _is_interrupted(self, job: Job) -> bool:
        """Tell whether nobody runs a job that is marked running."""
        if job.pid is None and distance(job.started) < LAUNCH_GRACE:
            return False
        if JobFolder.of(self.home, job.id).is_alive():
            return False
        # Not every shared file system carries locks from machine to machine: believe a recent report too.
        progress = read_progress(self.home, job.id)
        elsewhere = job.host not in (None, socket.gethostname())
        if elsewhere and progress and distance(progress.updated) < RECENT:
            return False
        # Its worker may have ended well between the look at the row and the look at the locks.
        with self._database.reading() as connection:
            row = next(iter(self._database.rows(connection, job.id)), None)
        return row is not None and (row["state"], row["pid"]) == ("running", job.pid)


_FRESH = {"requested": None, "finished": None, "pid": None, "message": ""}
_PAST = {"failed": "failed", "cancelled": "was cancelled"}


def _update(connection: sa.Connection, job_id: str, values: Mapping[str, Any]) -> None:
    connection.execute(JOBS.update().where(JOBS.c.id == job_id).values(dict(values)))
