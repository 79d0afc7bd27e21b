"""A data set that is needed now: fetched by a job where it is missing and can be downloaded."""

from collections.abc import Callable

from cfa.errors import DataError
from cfa.jobs.queue import Job, Queue
from cfa.jobs.submit import submit_fetch
from cfa.runs.store import Store


def fetch_missing(store: Store, queue: Queue, dataset: str, carry_out: Callable[[Queue, Job], int]) -> None:
    """Fetch a data set that is not here, and come back when it is.

    Args:
        store: Where it goes.
        queue: Where the job stands.
        dataset: Its name; one that needs no download is left alone.
        carry_out: Runs the job here, and returns 0 when it was done.

    Raises:
        UnknownName: No data set has this name.
        DataError: It could not be fetched.
    """
    from cfa.data import dataset_info

    info = dataset_info(dataset, store.data_folder)
    if info.available or not info.download_bytes:
        return
    job = submit_fetch(store, queue, dataset, foreground=True)
    if carry_out(queue, job) != 0:
        raise DataError(f"data set {dataset!r} was not fetched: {queue.get(job.id).message}")
