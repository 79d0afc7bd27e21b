"""What Monitor says of the queue, and does with its jobs."""

from app.engine.snapshots import forget_snapshots, jobs, progress
from app.process.opened import queue
from app.process.rights import acts, looks
from cfa.home import default_home
from cfa.jobs import supervisor
from cfa.jobs.queue import Direction, Job, read_log, seconds_until_empty

devices = looks(supervisor.served_devices)


@looks
def seconds_until_queue_empty() -> float | None:
    """Estimate when nothing is left to do; 0 when nothing is, ``None`` when nobody can tell."""
    return seconds_until_empty(jobs(), progress())


@looks
def job_message(job: Job) -> str:
    """Say why a job failed or what it waits for, other jobs by their titles."""
    message = "" if job.state == "done" else job.message
    waiting = [other for other in jobs() if other.id in job.after and other.id in message]
    if len(waiting) > 2 and not job.blocked_by:
        return f"waits for {len(waiting)} other jobs"
    for other in waiting:
        message = message.replace(other.id, f"'{other.title}'")
    return message


@looks
def job_log(job: Job, lines: int = 200) -> str:
    """Return the last lines that a job printed."""
    return read_log(default_home(), job.id, lines)


@looks
def anything_active() -> bool:
    """Tell whether a job runs or is about to."""
    return any(job.state == "running" or (job.state == "queued" and not job.blocked_by) for job in jobs())


@acts
def pause(job_id: str) -> None:
    """Ask a running job to save and stop, or keep a queued one from starting."""
    queue().pause(job_id)
    forget_snapshots()


@acts
def resume(job_id: str) -> None:
    """Queue a paused, interrupted, failed or cancelled job again."""
    queue().resume(job_id)
    forget_snapshots()


@acts
def cancel(job_id: str) -> None:
    """Stop a job for good."""
    queue().cancel(job_id)
    forget_snapshots()


@acts
def move(job_id: str, direction: Direction) -> None:
    """Move a queued job within the queue."""
    queue().move(job_id, direction)
    forget_snapshots()


@acts
def set_device(job_id: str, device: str | None) -> None:
    """Choose where a job is to run; ``None`` takes any device."""
    queue().set_device(job_id, device)
    forget_snapshots()


@acts
def remove(job_id: str) -> None:
    """Forget a job that has ended; what it made stays."""
    queue().remove(job_id)
    forget_snapshots()
