"""Runs that are not trained to their end and have no job: copied ones, and those whose maker was killed."""

from collections.abc import Iterable

from cfa.errors import ConfigError, UnknownName
from cfa.jobs.kinds.train_run import TrainRun
from cfa.jobs.queue import Job, Queue
from cfa.runs.folder import RunFolder
from cfa.runs.listed import ReadableRun, UnreadableRun, look_at
from cfa.runs.store import Store
from cfa.runs.trusted import Trusted, code_of


def go_on_with(
    store: Store, queue: Queue, reference: str, *, foreground: bool = False, vouched: bool = False
) -> Job:
    """Go on with a job that stopped, or with a run that no job trains, for which one is made.

    Args:
        store: Where runs are.
        queue: Where jobs are.
        reference: A job's id or the start of one, or a run.
        foreground: The caller carries out the job itself.
        vouched: A person says that the code may run that the run names.

    Raises:
        UnknownName: There is neither.
        ConfigError: The run is trained to its end, or ships with the project; the job does not stand still.
        Untrusted: The run names somebody's code that nobody typed or vouches for here.
    """
    stopped = _stopped(store, queue, reference)
    run_id = stopped.run_id if isinstance(stopped, Job) else stopped.id
    if run_id is not None:
        Trusted.of(store).admit(store.find(run_id), vouched=vouched)
    if isinstance(stopped, Job):
        return queue.resume(stopped.id, foreground=foreground)
    with Trusted.of(store).allowing(run_id):
        return submit_unfinished(store, queue, stopped, foreground=foreground)


def _stopped(store: Store, queue: Queue, reference: str) -> Job | RunFolder:
    """Find what is to go on: a job, or a run that no job trains."""
    try:
        job = queue.find(reference)
    except UnknownName as error:
        try:
            run = store.find(reference)
        except UnknownName:
            raise error from None
    else:
        if job.trains or job.run_id is None or job.id.startswith(reference):
            return job
        run = store.find(job.run_id)
        if not needs_job(queue, run):
            return job
    if run.read_only:
        raise ConfigError(f"run {run.name!r} ships with CFA Studio, and is not trained here")
    if run.status.state == "finished":
        raise ConfigError(f"run {run.name!r} is trained to its end; nothing is left to resume")
    return run


def needs_job(queue: Queue, run: RunFolder) -> bool:
    """Tell whether a run is not trained to its end, and no job will."""
    return run.id in without_job(queue, [look_at(run)])


def without_job(queue: Queue, runs: Iterable[ReadableRun | UnreadableRun]) -> set[str]:
    """Return the ids of those runs that are not trained to their end, and that no job trains."""
    runs = list(runs)
    trained = {job.run_id for job in queue.of_runs(run.folder.id for run in runs) if job.trains}
    return {
        run.folder.id
        for run in runs
        if isinstance(run, ReadableRun)
        and not run.folder.read_only
        and run.state in ("queued", "interrupted", "paused")
        and run.folder.id not in trained
    }


def submit_unfinished(
    store: Store, queue: Queue, run: RunFolder, *, device: str | None = None, foreground: bool = False
) -> Job:
    """Make a job that trains a run from where it stands to its end, and tests it.

    Raises:
        Untrusted: The run names somebody's code that nobody typed here.
    """
    work = TrainRun()
    return queue.submit(
        work,
        work.title(store, run.name),
        device=device,
        run_id=run.id,
        foreground=foreground,
        typed=code_of(run.config),
    )
