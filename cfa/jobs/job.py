"""A job, and how it is read back from what is stored of it.

What is stored may come from another version, another program or a damaged disk. A job that cannot be read is
a job all the same, of the kind ``unreadable``, which has failed: it is listed, says why, and can be removed.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar

import pydantic
from pydantic import AfterValidator, Field

from cfa.errors import StoreError
from cfa.jobs.kinds import KINDS
from cfa.jobs.kinds.unreadable_job import UnreadableJob
from cfa.jobs.work import Work
from cfa.progress import StopReason
from cfa.stored import Count, Moment, Name, Names, Text, checked_id, convert, parse

W = TypeVar("W", bound=Work)

JobState = Literal["queued", "running", "paused", "interrupted", "done", "failed", "cancelled"]
StoredState = Literal["queued", "running", "paused", "done", "failed", "cancelled"]
EndState = Literal["done", "failed", "paused", "cancelled"]

RESUMABLE = ("paused", "interrupted", "failed", "cancelled")
ENDED = ("done", "failed", "cancelled")


def _known_kind(word: str) -> str:
    if word not in KINDS:
        raise ValueError(f"should be one of {', '.join(KINDS)}")
    return word


KindWord = Annotated[str, AfterValidator(_known_kind)]
"""The word for a kind of job, as it is stored: one of `cfa.jobs.kinds`."""


@dataclass(frozen=True)
class Job:
    """One job as it is at this moment.

    Attributes:
        id: Starts with ``j``, so that it is never taken for a run's id.
        kind: The word for what is done; ``unreadable`` where what is stored of it cannot be understood.
        title: For people.
        state: See `cfa.jobs.queue`; ``interrupted`` is derived.
        device: Where it was asked to run; ``None`` takes any.
        ran_on: Where it runs or ran.
        position: Its place in the queue; lower is earlier.
        run_id: The run that it trains or evaluates.
        spec: What it asks for, as it is stored.
        after: Jobs that must be done before.
        created: When it was submitted (ISO, UTC); so are ``started`` and ``finished``.
        started: When it last started.
        finished: When it last ended.
        message: Why it failed, or what it waits for.
        estimate_seconds: How long it was expected to take, if anyone asked.
        foreground: Runs in someone's terminal.
        pid: Of its worker.
        host: Of its worker.
        requested: What its worker was asked to do and has not done yet.
        blocked_by: Those of ``after`` that failed or were cancelled.
    """

    id: str
    kind: KindWord
    title: str
    state: JobState
    device: str | None
    ran_on: str | None
    position: float
    run_id: str | None
    spec: dict[str, Any]
    after: tuple[str, ...]
    created: str
    started: str | None
    finished: str | None
    message: str
    estimate_seconds: float | None
    foreground: bool
    pid: int | None
    host: str | None
    requested: StopReason | None = None
    blocked_by: tuple[str, ...] = ()

    @property
    def trains(self) -> bool:
        """Tell whether it trains its run."""
        return self.run_id is not None and KINDS[self.kind].trains

    @property
    def evaluates(self) -> bool:
        """Tell whether it evaluates its run."""
        return self.run_id is not None and KINDS[self.kind].evaluates

    @property
    def needs_all(self) -> bool:
        """Tell whether it is nothing without any one of the jobs that it waits for."""
        return KINDS[self.kind].needs_all

    @property
    def can_be_done(self) -> bool:
        """Tell whether a worker may take it: whether what is stored of it can be read."""
        return KINDS[self.kind].can_be_done

    def work(self) -> Work:
        """Read what the job asks for.

        Raises:
            StoreError: It does not say it.
        """
        try:
            return KINDS[self.kind].read(self.spec)
        except StoreError as error:
            raise StoreError(f"job {self.id} does not say what to do ({error}); submit it again") from error


def asking_for(jobs: Iterable[Job], kind: type[W]) -> list[tuple[Job, W]]:
    """List the jobs of a kind, each with what it asks for; one that does not say it is left out."""
    found = []
    for job in jobs:
        if KINDS[job.kind] is kind:
            try:
                found.append((job, kind.read(job.spec)))
            except StoreError:
                continue
    return found


def jobs_like(jobs: Iterable[Job], work: W) -> list[Job]:
    """List the jobs that ask for the same, whatever run they are about."""
    return [job for job, asked in asking_for(jobs, type(work)) if work.same_as(asked)]


@dataclass(frozen=True, kw_only=True)
class JobRow:
    """What is stored of a job, in the queue's table and in its folder; see :class:`Job`."""

    # SQLite has neither booleans nor tuples, so that numbers and lists are taken for them.
    __pydantic_config__ = pydantic.ConfigDict(extra="forbid", allow_inf_nan=False)

    id: Name
    kind: KindWord
    title: Text
    spec: dict[str, Any]
    after_jobs: Names
    run_id: Name | None
    created: Moment
    estimate_seconds: Annotated[float, Field(ge=0)] | None
    state: StoredState
    requested: StopReason | None
    position: float
    device: Name | None
    foreground: bool
    ran_on: Name | None
    started: Moment | None
    finished: Moment | None
    message: Text
    pid: Count | None
    host: Name | None

    def __post_init__(self) -> None:
        """Refuse ids that would become paths."""
        ids = (("job", self.id), *(("job", earlier) for earlier in self.after_jobs), ("run", self.run_id))
        try:
            for kind, text in ids:
                if text is not None:
                    checked_id(text, kind)
        except StoreError as error:
            raise ValueError(str(error)) from error

    def job(self) -> Job:
        """Return the job, its state as it is stored."""
        fields = dict(vars(self))
        return Job(after=fields.pop("after_jobs"), **fields)


def job_of(stored: Mapping[str, Any]) -> Job:
    """Read a job from a row of the queue's table, as SQLite gives it: JSON as text."""
    try:
        fields = dict(stored) | {name: parse(stored[name]) for name in ("spec", "after_jobs")}
        row: JobRow = convert(fields, JobRow)
        return row.job()
    except StoreError as error:
        return unreadable(str(stored["id"])[:80], f"it cannot be read ({error}); remove it")


def unreadable(job_id: str, message: str) -> Job:
    """Return what stands in a list for a job that cannot be read."""
    return Job(
        id=job_id,
        kind=UnreadableJob.kind,
        title=f"unreadable job {job_id}",
        state="failed",
        device=None,
        ran_on=None,
        position=0.0,
        run_id=None,
        spec={},
        after=(),
        created="",
        started=None,
        finished=None,
        message=message,
        estimate_seconds=None,
        foreground=False,
        pid=None,
        host=None,
    )
