"""What jobs made."""

from collections.abc import Callable
from typing import TypeVar

from cfa.jobs.job import Job
from cfa.jobs.job_folder import JobFolder
from cfa.runs.evaluations import Evaluation, read_evaluations
from cfa.runs.folder import RunFolder
from cfa.runs.sequential import SequentialEvaluation, read_sequential
from cfa.runs.store import Store

Kind = TypeVar("Kind", Evaluation, SequentialEvaluation)


def evaluations_made(store: Store, job: Job) -> list[tuple[RunFolder, Evaluation]]:
    """List the evaluations that a job has made so far, each with its run; none of a job that is about no run.

    Raises:
        UnknownName: The run is not here any more.
    """
    return _made(store, job, read_evaluations)


def sequential_made(store: Store, job: Job) -> list[tuple[RunFolder, SequentialEvaluation]]:
    """List likewise the evaluations that stopped when they were certain.

    Raises:
        UnknownName: The run is not here any more.
    """
    return _made(store, job, read_sequential)


def _made(store: Store, job: Job, read: Callable[[RunFolder], list[Kind]]) -> list[tuple[RunFolder, Kind]]:
    if job.run_id is None:
        return []
    run = store.find(job.run_id)
    ids = set(JobFolder.of(store.home, job.id).result().evaluations.values())
    return [(run, evaluation) for evaluation in read(run) if evaluation.id in ids]
