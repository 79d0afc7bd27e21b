"""What jobs made."""

from cfa.jobs.job import Job
from cfa.jobs.job_folder import JobFolder
from cfa.runs.evaluations import Evaluation, read_evaluations
from cfa.runs.folder import RunFolder
from cfa.runs.sequential import SequentialEvaluation, read_sequential
from cfa.runs.store import Store


def evaluations_made(store: Store, job: Job) -> list[tuple[RunFolder, Evaluation]]:
    """List the evaluations that a job has made so far, each with its run; none of a job that is about no run.

    Raises:
        UnknownName: The run is not here any more.
    """
    if job.run_id is None:
        return []
    run = store.find(job.run_id)
    return [(run, evaluation) for evaluation in read_evaluations(run) if evaluation.id in _made(store, job)]


def sequential_made(store: Store, job: Job) -> list[tuple[RunFolder, SequentialEvaluation]]:
    """List likewise the evaluations that stopped when they were certain.

    Raises:
        UnknownName: The run is not here any more.
    """
    if job.run_id is None:
        return []
    run = store.find(job.run_id)
    return [(run, evaluation) for evaluation in read_sequential(run) if evaluation.id in _made(store, job)]


def _made(store: Store, job: Job) -> set[str]:
    return set(JobFolder.of(store.home, job.id).result().evaluations.values())
