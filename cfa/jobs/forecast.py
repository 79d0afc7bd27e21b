"""What the queue has left to do, and when it will be empty, as far as anyone has measured it."""

import statistics
from collections import defaultdict
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cfa.errors import CfaError
from cfa.jobs.amount import Amount
from cfa.jobs.job import Job
from cfa.jobs.job_folder import JobProgress
from cfa.runs.folder import RunFolder
from cfa.stored import checked_id


@dataclass(frozen=True)
class Forecast:
    """What is known of the end of some jobs.

    Attributes:
        seconds: From now until the last of those ends whose length is known; 0 where there are none.
        unknown: Ids of those of which nothing was ever measured.
    """

    seconds: float
    unknown: tuple[str, ...] = ()


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


class Amounts:
    """How much each job has to do: read once, since neither what it asks for nor its run changes."""

    def __init__(self, home: Path) -> None:
        """Read from the runs of ``CFA_HOME``."""
        self.home = home
        self._known: dict[tuple[str, str], Amount | None] = {}

    def __call__(self, job: Job) -> Amount | None:
        """Say how much a job has to do; ``None`` where nobody can tell."""
        key = job.id, job.state  # once it is done, its run's records say how long it took
        if key not in self._known:
            self._known[key] = self._read(job)
        return self._known[key]

    def _read(self, job: Job) -> Amount | None:
        try:
            run = RunFolder(self.home / "runs" / checked_id(job.run_id, "run")) if job.run_id else None
            return job.work().amount(run)
        except CfaError:
            return None


def forecast(
    jobs: Sequence[Job],
    progress: Mapping[str, JobProgress | None],
    devices: Sequence[str],
    amount: Callable[[Job], Amount | None],
    of: Collection[str] | None = None,
) -> Forecast:
    """Say when the queued and running jobs end, from the measured rates of jobs like them.

    Of a running job what itself has measured counts; of a queued one the median of jobs of the same sort that
    were done or run, else what was measured when it was submitted. Blocked jobs are left out: nobody knows
    when they start.

    Args:
        jobs: All jobs of the queue, in its order.
        progress: How far those that run are, by id.
        devices: That jobs are started on.
        amount: Says how much a job has to do; ``None`` where nobody can.
        of: Ids of the jobs whose end is asked for; by default of all.
    """
    rates = _rates(jobs, progress, amount)
    lanes = dict.fromkeys(devices, 0.0)
    unknown, last = list[str](), 0.0
    ahead = [job for job in jobs if job.state == "running"]
    ahead += [job for job in jobs if job.state == "queued" and not _is_blocked(job, jobs)]
    for job in ahead:
        counts = of is None or job.id in of
        seconds = _left(job, progress.get(job.id), rates, amount(job))
        if seconds is None:
            unknown += [job.id] if counts else []
            continue
        lane = job.ran_on if job.state == "running" else job.device
        lane = lane or min(lanes, key=lambda name: lanes[name], default="any")
        lanes[lane] = lanes.get(lane, 0.0) + seconds
        last = max(last, lanes[lane]) if counts else last
    return Forecast(last, tuple(unknown))


def _is_blocked(job: Job, jobs: Sequence[Job]) -> bool:
    """Tell whether a job waits for one that does not go on by itself, or for one that so waits."""
    by_id = {other.id: other for other in jobs}
    seen, ahead = set[str](), [job]
    while ahead:
        now = ahead.pop()
        if now.blocked_by or now.state not in ("queued", "running", "done"):
            return True
        seen.add(now.id)
        ahead += [by_id[earlier] for earlier in now.after if earlier in by_id and earlier not in seen]
    return False


def _left(
    job: Job, progress: JobProgress | None, rates: Mapping[Hashable, float], amount: Amount | None
) -> float | None:
    if job.state == "running" and progress is not None and progress.seconds_left is not None:
        return progress.seconds_left
    if amount is not None and amount.what in rates:
        share = progress.done / progress.total if progress is not None and progress.total else 0.0
        return rates[amount.what] * amount.units * (1 - min(1.0, share))
    return job.estimate_seconds


def _rates(
    jobs: Iterable[Job],
    progress: Mapping[str, JobProgress | None],
    amount: Callable[[Job], Amount | None],
) -> dict[Hashable, float]:
    """Return the median of the seconds that a unit took, by what it was a unit of."""
    found = defaultdict[Hashable, list[float]](list)
    for job in jobs:
        size = amount(job) if job.state in ("running", "done") else None
        if size is not None and size.units > 0 and (seconds := _took(job, progress.get(job.id), size)):
            found[size.what].append(seconds / size.units)
    return {what: statistics.median(rates) for what, rates in found.items()}


def _took(job: Job, progress: JobProgress | None, size: Amount) -> float | None:
    """Say what a job took, or will have taken where it runs; ``None`` where nobody has measured it."""
    if job.state == "running":
        if progress is None or progress.seconds_left is None or progress.done >= progress.total:
            return None
        return progress.seconds_left / (1 - progress.done / progress.total)
    if not job.started or not job.finished:
        return None
    seconds = (datetime.fromisoformat(job.finished) - datetime.fromisoformat(job.started)).total_seconds()
    # Of one that was stopped and resumed this is its last part; less than none: the clock was set back.
    return max(seconds, size.recorded)
