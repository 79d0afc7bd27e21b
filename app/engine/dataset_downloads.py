"""Jobs that fetch data sets."""

from app.engine.snapshots import forget_snapshots, jobs
from app.process.opened import queue, store
from app.process.rights import acts, looks
from cfa.jobs.job import asking_for
from cfa.jobs.kinds.fetch_dataset import FetchDataset
from cfa.jobs.queue import Job
from cfa.jobs.submit import submit_fetch


@acts
def fetch_dataset(name: str) -> None:
    """Queue the download of a data set."""
    submit_fetch(store(), queue(), name)
    forget_snapshots()


@looks
def fetch_job(name: str) -> Job | None:
    """Return the newest job that fetches a data set, unless it is done."""
    found = [job for job, work in asking_for(jobs(), FetchDataset) if work.dataset == name]
    return found[-1] if found and found[-1].state != "done" else None
