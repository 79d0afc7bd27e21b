"""Commands that list what there is: runs and jobs."""

from collections.abc import Sequence

from cfa.commands.printing import duration, note, print_jobs, print_list
from cfa.commands.shared import AsJson, command, command_group, open_store
from cfa.errors import CfaError
from cfa.jobs.devices import served_devices
from cfa.jobs.forecast import Amounts, forecast
from cfa.jobs.job_folder import read_progress
from cfa.jobs.queue import Queue
from cfa.jobs.unfinished import without_job
from cfa.runs.listed import ReadableRun, UnreadableRun, fields_of, list_runs

group = command_group()


@command(group, "cfa runs --json")
def runs(as_json: AsJson = False) -> None:
    """List all runs."""
    store, queue = open_store()
    found = list_runs(store)
    for run in found:
        if isinstance(run, UnreadableRun):
            note(run.problem)
    rows = [fields_of(run) for run in found]
    lonely = _without_job(queue, found)
    for row in rows:
        if row["id"] in lonely:
            row["message"] = f"no job trains it; `cfa resume {row['id']}` makes one"
    shown = ("name", "id", "method", "dataset", "model", "seed", "state", "epoch", "bytes")
    print_list(rows, shown, as_json, "no runs yet; `cfa train --help` shows how to make one")


@command(group, "cfa jobs")
def jobs(as_json: AsJson = False) -> None:
    """List all jobs, in the order of the queue."""
    _, queue = open_store()
    found = queue.jobs()
    print_jobs(found, as_json)
    progress = {job.id: read_progress(queue.home, job.id) for job in found if job.state == "running"}
    left = forecast(found, progress, served_devices(), Amounts(queue.home))
    beside = f", without {len(left.unknown)} like which none was ever measured" if left.unknown else ""
    if left.seconds:
        note(f"the jobs end in about {duration(left.seconds)}{beside}")


def _without_job(queue: Queue, found: Sequence[ReadableRun | UnreadableRun]) -> set[str]:
    """Return the ids of runs that wait for a job that is not there."""
    try:
        return without_job(queue, found)
    except CfaError as error:  # runs are listed whatever is wrong with the queue
        note(str(error))
        return set()
