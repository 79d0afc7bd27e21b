"""What the queue has left to do, and when it will be empty, as far as anyone can tell."""

import statistics
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime

from cfa.jobs.job import Job
from cfa.jobs.job_folder import JobProgress


def works_on(jobs: Iterable[Job], devices: Collection[str]) -> bool:
    """Tell whether a job runs, or will start on one of these devices without anyone's help."""
    jobs = list(jobs)
    states = {job.id: job.state for job in jobs}
    return any(
        job.state == "running"
        or (
            job.state == "queued"
            and (job.device is None or job.device in devices)
            and all(states.get(earlier, "done") in ("done", "queued", "running") for earlier in job.after)
        )
        for job in jobs
    )


def seconds_until_empty(jobs: Iterable[Job], progress: Mapping[str, JobProgress | None]) -> float | None:
    """Estimate when the last queued or running job ends.

    Jobs without an estimate of their own are expected to take as long as finished ones of their kind did
    (the median). Blocked jobs are left out.

    Args:
        jobs: All jobs of the queue, in its order.
        progress: How far those that run are, by id.

    Returns:
        Seconds from now; 0 when nothing is to be done, ``None`` when a job cannot be estimated.
    """
    jobs = list(jobs)
    lanes: dict[str, float] = {}
    for job in jobs:
        if job.state == "running":
            left = _left(job, progress.get(job.id), jobs)
            if left is None:
                return None
            lane = job.ran_on or job.device or "any"
            lanes[lane] = lanes.get(lane, 0.0) + left
    for job in jobs:
        if job.state == "queued" and not job.blocked_by:
            expected = _expected(job, jobs)
            if expected is None:
                return None
            lane = job.device or min(lanes, key=lambda name: lanes[name], default="any")
            lanes[lane] = lanes.get(lane, 0.0) + expected
    return max(lanes.values(), default=0.0)


def _left(job: Job, progress: JobProgress | None, jobs: list[Job]) -> float | None:
    if progress is not None and progress.seconds_left is not None:
        return progress.seconds_left
    return _expected(job, jobs)


def _expected(job: Job, jobs: list[Job]) -> float | None:
    if job.estimate_seconds is not None:
        return job.estimate_seconds
    took = [
        (datetime.fromisoformat(other.finished) - datetime.fromisoformat(other.started)).total_seconds()
        for other in jobs
        if other.kind == job.kind and other.state == "done" and other.started and other.finished
    ]
    took = [seconds for seconds in took if seconds >= 0]  # less than none: the clock was set back meanwhile
    return statistics.median(took) if took else None
