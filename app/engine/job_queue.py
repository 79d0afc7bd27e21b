"""What Monitor says of the queue, and does with its jobs."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import streamlit as st

from app.engine.snapshots import forget_snapshots, jobs, progress
from app.process.opened import queue
from app.process.rights import acts, looks
from cfa.errors import CfaError, ConfigError
from cfa.home import default_home
from cfa.jobs import supervisor
from cfa.jobs.forecast import Amounts, forecast
from cfa.jobs.job import ENDED, RESUMABLE
from cfa.jobs.order import with_what_waits
from cfa.jobs.queue import Job, Queue, read_log
from cfa.jobs.removed import RemovedJob

devices = looks(supervisor.served_devices)

Act = Literal["pause", "resume", "cancel", "remove", "up", "down", "top", "bottom"]
MAY: Mapping[Act, tuple[str, ...]] = {
    "pause": ("queued", "running"),
    "resume": RESUMABLE,
    "cancel": ("queued", "running", "paused", "interrupted"),
    "remove": ENDED,
    **dict.fromkeys(("up", "down", "top", "bottom"), ("queued",)),
}
"""In which states something may be done to a job."""


# --- looking --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class End:
    """When some jobs end, as far as it was measured.

    Attributes:
        seconds: From now; 0 where none is left of which that is known.
        at: The moment, in UTC.
        unknown: How many jobs are left like which none was ever measured; they are not counted in.
    """

    seconds: float
    at: datetime
    unknown: int


@looks
def end_of(chosen: Collection[str] | None = None) -> End:
    """Say when some jobs end, by their ids (by default all), from the measured rates of jobs like them."""
    found = forecast(jobs(), progress(), devices(), _amounts(str(default_home())), chosen)
    return End(found.seconds, datetime.now(UTC) + timedelta(seconds=found.seconds), len(found.unknown))


@st.cache_resource(show_spinner=False)
def _amounts(home: str) -> Amounts:
    return Amounts(queue().home)


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


@looks
def chain_of(job_ids: Collection[str]) -> list[Job]:
    """Return jobs and all that wait for them, unless they have ended."""
    return [job for job in with_what_waits(jobs(), job_ids) if job.state not in ENDED]


# --- acting ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Cancelled:
    """A job that was cancelled before it had to stop, and how it stood."""

    job_id: str
    state: Literal["queued", "paused"]


@dataclass(frozen=True)
class Acted:
    """What came of doing one thing to some jobs.

    Attributes:
        done: Titles of those that it was done to.
        refused: Sentences about the others.
        undo: What :func:`undo` takes to bring back what can be brought back.
    """

    done: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()
    undo: tuple[Cancelled | RemovedJob, ...] = ()


@acts
def act_on(what: Act, job_ids: Sequence[str]) -> Acted:
    """Do one thing to some jobs: to as many as it can be done to, and the others are named."""
    found = {job.id: job for job in jobs()}
    chosen = [found[job_id] for job_id in job_ids if job_id in found]
    if what in ("up", "down", "top", "bottom"):
        queue().move_all([job.id for job in chosen], what)
        forget_snapshots()
        return Acted(tuple(job.title for job in chosen))
    if what in ("cancel", "remove"):  # the last first: nobody starts because another one has gone
        chosen = [job for job in with_what_waits(found.values(), job_ids) if job in chosen]
    act: Callable[[Queue, str], Any] = getattr(Queue, what)
    done, refused, undo_with = list[str](), list[str](), list[Cancelled | RemovedJob]()
    for job in chosen:
        try:
            came = act(queue(), job.id)
        except CfaError as error:
            refused.append(f"{job.title}: {error}")
            continue
        done.append(job.title)
        if isinstance(came, RemovedJob):
            undo_with += [came] if came.row is not None else []
        elif what == "cancel" and job.state in ("queued", "paused", "interrupted"):
            undo_with.append(Cancelled(job.id, "queued" if job.state == "queued" else "paused"))
    forget_snapshots()
    return Acted(tuple(done), tuple(refused), tuple(undo_with))


@acts
def undo(acted: Acted) -> None:
    """Bring back the jobs that were cancelled before they ran, or removed from the list.

    Raises:
        CfaError: Somebody has done something else to one of them since; the others are back.
    """
    problems = []
    for one in acted.undo:
        try:
            if isinstance(one, RemovedJob):
                queue().restore(one)
            else:
                queue().put_back(one.job_id, one.state)
        except CfaError as error:
            problems.append(str(error))
    forget_snapshots()
    if problems:
        raise ConfigError("; ".join(problems))


@acts
def set_device(job_ids: Sequence[str], device: str | None) -> None:
    """Choose where jobs are to run; ``None`` takes any device."""
    for job_id in job_ids:
        queue().set_device(job_id, device)
    forget_snapshots()
