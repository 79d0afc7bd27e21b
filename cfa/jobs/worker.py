"""A worker carries out one job: in a process of its own, or in someone's terminal."""

import errno
import sys
import traceback
from pathlib import Path

from cfa.errors import CfaError, StoreError
from cfa.files import require_own
from cfa.jobs.devices import choose_device, device_use, occupied
from cfa.jobs.job_folder import JobFolder
from cfa.jobs.observer import JobObserver, Listener, StopSignal, stop_on_signals
from cfa.jobs.queue import EndState, Job, Queue
from cfa.jobs.task import Task
from cfa.jobs.webhook import tell_ended
from cfa.locks import hold
from cfa.progress import Stopped
from cfa.runs.store import Store
from cfa.runs.trusted import Trusted


def run_job(home: Path, job_id: str, listener: Listener | None = None) -> int:
    """Carry out a job that is marked running, and write down what became of it.

    Args:
        home: ``CFA_HOME``.
        job_id: The job's id.
        listener: Hears log lines and progress; by default lines are printed (into the job's log).

    Returns:
        0 when the job is done, 1 when it failed or was stopped.
    """
    listener = listener or Listener()
    queue = Queue(home)
    folder = JobFolder.of(home, job_id)
    job = queue.get(job_id)
    try:
        require_own(folder.path)
        device = choose_device(home, job.ran_on or job.device)
    except StoreError as error:  # nothing of it is begun
        if queue.finish(job_id, "failed", str(error)):
            _tell_run(queue, job, "failed", str(error))
            tell_ended(job, "failed", str(error), listener.log)
        listener.failed(str(error))
        return 1
    with stop_on_signals() as stop, hold(folder.lock_file, f"job {job_id} already has a worker; wait for it"):
        job = queue.register_worker(job_id, device)
        observer = JobObserver(queue, job_id, listener, stop, use=lambda: device_use(device))
        task = Task(
            store=Store.open(home),
            job_id=job_id,
            run_id=job.run_id,
            device=device,
            observer=observer,
            log_into=observer.log_into,
        )
        state, message = _outcome(queue, job, task, stop)
        if state == "failed":
            listener.failed(message)
        ended = queue.finish(job_id, state, message)
        _tell_run(queue, job, state, message)
    if ended:  # after its locks are free: the next job need not wait for a chat room
        tell_ended(job, state, message, observer.log)
    return 0 if state == "done" else 1


def _outcome(queue: Queue, job: Job, task: Task, stop: StopSignal) -> tuple[EndState, str]:
    """Carry out the job and say how it ended."""
    observer = task.observer

    def announce(message: str) -> None:
        queue.announce(job.id, message)
        if message:
            observer.log(message)

    try:
        work = job.work()
        with (
            occupied(task.store.home, task.device, observer, announce),
            Trusted.of(task.store).allowing(job.id, job.run_id, *work.runs_read()),
        ):
            work.run(task)
    except Stopped as stopped:
        state: EndState = "paused" if stopped.reason == "pause" else "cancelled"
        message = f"stopped by {stop.received}" if stop.received else ""
        observer.log(f"{state} {message}".strip())
        return state, message
    except SystemExit as error:
        observer.log(traceback.format_exc())
        return "failed", f"code that it calls ended the program (sys.exit({error.code!r})); mend that code"
    # The worker's outermost frame: whatever happened, the queue has to hear of it and go on.
    except Exception as error:
        message = _sentence(error)
        if not isinstance(error, CfaError):
            observer.log(traceback.format_exc())
        return "failed", message
    return "done", ""


def _tell_run(queue: Queue, job: Job, state: EndState, message: str) -> None:
    """Correct the run's status where training did not get to write it (an error outside of `fit`)."""
    if state != "done":
        queue.tell_run(job, state, message)


def _sentence(error: Exception) -> str:
    """Say in one sentence what happened and what to do."""
    if isinstance(error, CfaError):
        return str(error)
    torch = sys.modules.get("torch")
    out_of_memory = isinstance(error, MemoryError) or (
        torch is not None and isinstance(error, torch.OutOfMemoryError)
    )
    if out_of_memory or "can't allocate memory" in str(error):
        return "out of memory; lower train.batch_size (or free memory on the device), then retry"
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "the disk is full; free space (`cfa prune` deletes what is not needed), then resume"
    return f"unexpected {type(error).__name__}: {error}; the log has the details"
