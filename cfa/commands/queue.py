"""Commands that steer jobs: cancel, pause, work; and run-job, which supervisors call."""

import time
from collections.abc import Iterator
from typing import Annotated

import typer

from cfa.commands.printing import note, print_jobs
from cfa.commands.shared import FAILED, AsJson, Reference, command, command_group, open_store
from cfa.errors import CfaError
from cfa.jobs.devices import served_devices
from cfa.jobs.forecast import works_on
from cfa.jobs.queue import Queue
from cfa.jobs.supervisor import start_supervisors
from cfa.jobs.worker import run_job

group = command_group()


@command(group, "cfa cancel my-run")
def cancel(job: Reference, as_json: AsJson = False) -> None:
    """Stop a job for good (`cfa resume` still brings it back until `cfa prune`)."""
    _, queue = open_store()
    print_jobs([queue.cancel(queue.find(job).id)], as_json, alone=True)


@command(group, "cfa pause my-run")
def pause(job: Reference, as_json: AsJson = False) -> None:
    """Ask a job to save and stop; `cfa resume` goes on exactly there."""
    _, queue = open_store()
    print_jobs([queue.pause(queue.find(job).id)], as_json, alone=True)


@command(group, "cfa work --until-empty")
def work(
    until_empty: Annotated[
        bool, typer.Option("--until-empty", help="End when nothing is left to do.")
    ] = False,
) -> None:
    """Work through the queue without the dashboard, on every device; Ctrl-C leaves running jobs alone."""
    _, queue = open_store()
    supervisors = start_supervisors(queue.home)
    note(f"working through the queue on {', '.join(served_devices())}; Ctrl-C stops this, not running jobs")
    try:
        for change in _changes(queue):
            if change is not None:
                note(change)
            elif until_empty and not works_on(queue.jobs(), served_devices()):
                return
    except KeyboardInterrupt:
        note("stopped; running jobs go on")
    finally:
        supervisors.stop()


@group.command(name="run-job", hidden=True)
def run_job_command(job: str) -> None:
    """Carry out a job that a supervisor claimed."""
    try:
        store, _ = open_store()
        code = run_job(store.home, job)
    except CfaError as error:  # the store is gone, for example: the last line of the log says so
        note(f"error: {error}")
        code = FAILED
    raise typer.Exit(code)


def _changes(queue: Queue) -> Iterator[str | None]:
    """Give a line for every job that changed its state, then ``None``, once a second."""
    before = {job.id: job.state for job in queue.jobs()}
    while True:
        time.sleep(1.0)
        for job in queue.jobs():
            if before.get(job.id) != job.state:
                before[job.id] = job.state
                yield f"{job.state}: {job.title} ({job.id}) {job.message}".rstrip()
        yield None
