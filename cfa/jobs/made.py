"""What jobs made."""

from cfa.jobs.job import Job
from cfa.jobs.job_folder import JobFolder
from cfa.runs.evaluations import Evaluation, read_evaluations
from cfa.runs.folder import RunFolder
from cfa.runs.store import Store


def evaluations_made(store: Store, job: Job) -> list[tuple[RunFolder, Evaluation]]:
    """List the evaluations that a job has made so far, each with its run; none of a job that is about no run.

    Raises:
        UnknownName: The run is not here any more.
    """
    if job.run_id is None:
        return []
    run = store.find(job.run_id)
    ids = set(JobFolder.of(store.home, job.id).result().evaluations.values())
    return [(run, evaluation) for evaluation in read_evaluations(run) if evaluation.id in ids]
