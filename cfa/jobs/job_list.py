"""The queue as a list: which jobs there are, how each of them stands at this moment, and who runs it."""

import socket
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from cfa.errors import StoreError, UnknownName
from cfa.jobs.database import Database
from cfa.jobs.job import Job, job_of
from cfa.jobs.job_folder import JobFolder, read_progress
from cfa.registry import unknown
from cfa.runs.store import Store
from cfa.stored import distance

LAUNCH_GRACE = 10.0  # seconds between a claim and the moment when supervisor or worker hold a lock
RECENT = 300.0  # seconds within which a report from another machine means that its worker lives


class JobList:
    """The jobs under one ``CFA_HOME``, to be looked at."""

    def __init__(self, home: Path) -> None:
        """Open the queue at ``home``."""
        self.home = home
        self._database = Database(home)
        self._known: dict[Any, tuple[Mapping[str, Any], Job]] = {}

    def jobs(self) -> list[Job]:
        """List all jobs in the order of the queue, newest last; one that cannot be read says so."""
        with self._database.reading() as connection:
            rows = self._database.rows(connection)
        states = {str(row["id"]): row["state"] for row in rows}
        self._known = {row_id: known for row_id, known in self._known.items() if row_id in states}
        return [self._as_it_is_now(self._read(row), states) for row in rows]

    def get(self, job_id: str) -> Job:
        """Return the job with exactly this id."""
        found = self._some(lambda connection: self._database.rows(connection, job_id))
        # One that cannot be read may be listed by a part of what stands there as its id.
        for job in found or self.jobs():
            if job.id == job_id:
                return job
        raise unknown("job", job_id, [job.id for job in self.jobs()])

    def of_runs(self, run_ids: Iterable[str]) -> list[Job]:
        """List the jobs about some runs, in the order of the queue."""
        wanted = set(run_ids)
        return (
            self._some(lambda connection: self._database.rows_of_runs(connection, wanted)) if wanted else []
        )

    def waiting_for(self, job_id: str) -> list[Job]:
        """List the jobs that are to start after a job, in the order of the queue."""
        found = self._some(lambda connection: self._database.rows_after(connection, job_id))
        return [job for job in found if job_id in job.after]

    def _some(self, choose: Callable[[sa.Connection], Iterable[Mapping[str, Any]]]) -> list[Job]:
        """Read some jobs, and of the others only how those stand that these wait for."""
        with self._database.reading() as connection:
            jobs = [self._read(row) for row in choose(connection)]
            states = self._database.states(connection, (earlier for job in jobs for earlier in job.after))
        return [self._as_it_is_now(job, states) for job in jobs]

    def _read(self, row: Mapping[str, Any]) -> Job:
        """Read a row, once as long as it stays as it is."""
        known = self._known.get(row["id"])
        if known is None or known[0] != row:
            known = self._known[row["id"]] = (row, job_of(row))
        return known[1]

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

    def _as_it_is_now(self, job: Job, states: Mapping[str, Any]) -> Job:
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


_PAST = {"failed": "failed", "cancelled": "was cancelled"}
