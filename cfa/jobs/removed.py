"""Jobs that were taken off the list: how much of one is kept in mind, for whoever wants it back."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cfa.errors import StoreError
from cfa.files import write_text
from cfa.jobs.job import Job
from cfa.jobs.job_folder import JobFolder, JobResult, read_log, write_json

LINES = 10_000  # of the log of a removed job that come back with it


@dataclass(frozen=True)
class RemovedJob:
    """A job that was removed, in memory alone.

    Attributes:
        job_id: Its id.
        title: What it was, for people.
        row: What the queue's table had of it; ``None`` where that could not be read.
        log: The end of what it printed.
        result: Ids of what it made.
    """

    job_id: str
    title: str
    row: Mapping[str, Any] | None
    log: str
    result: JobResult


def keep_in_mind(home: Path, job: Job, row: Mapping[str, Any] | None) -> RemovedJob:
    """Read what a job can be made from again, before it is removed.

    Args:
        home: ``CFA_HOME``.
        job: The job.
        row: Its row, as SQLite gives it: JSON as text.
    """
    if row is None or not job.can_be_done:
        return RemovedJob(job.id, job.title, None, "", JobResult())
    values = {**row, "spec": json.loads(row["spec"]), "after_jobs": json.loads(row["after_jobs"])}
    result = JobFolder.of(home, job.id).result()
    return RemovedJob(job.id, job.title, values, read_log(home, job.id, LINES), result)


def restore_folder(home: Path, removed: RemovedJob) -> None:
    """Write log and result of a job again, whose row has been written already."""
    folder = JobFolder.of(home, removed.job_id)
    if removed.log:
        write_text(folder.log_file, f"{removed.log}\n")
    if removed.result.evaluations:
        write_json(folder.result_file, asdict(removed.result))


def discard_folder(home: Path, job: Job) -> None:
    """Delete the folder of a job alone: an id that is a path names none, of a link the link goes."""
    try:
        path = JobFolder.of(home, job.id).path
    except StoreError:
        return
    if path.is_symlink() or path.is_file():
        path.unlink(missing_ok=True)
    else:
        shutil.rmtree(path, ignore_errors=True)
