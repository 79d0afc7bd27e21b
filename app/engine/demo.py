"""The demo comparison: how it is started, and its newest chain of jobs."""

import os

from app.engine.job_queue import End, act_on, end_of
from app.engine.snapshots import forget_snapshots, jobs, runs
from app.process.opened import queue, store
from app.process.rights import acts, looks
from cfa.jobs.job import ENDED
from cfa.jobs.queue import Job
from cfa.methods import display_name_of_method
from cfa.suites.demo import DEMO_TAG, demo_suite, submit_demo


@acts
def start_demo() -> list[Job]:
    """Queue the demo comparison: four trainings on the embedded data, then a comparison.

    ``CFA_DEMO_SETTINGS`` ("train.epochs=2 data.val_fraction=0.2") changes its settings, for tests.
    """
    words = os.environ.get("CFA_DEMO_SETTINGS", "").split()
    settings = {name: value for name, _, value in (word.partition("=") for word in words)}
    submitted = submit_demo(store(), queue(), settings=settings)
    forget_snapshots()
    return submitted


@looks
def demo_methods() -> list[str]:
    """Name what the demo trains, as tables do."""
    return [display_name_of_method(method) for method in demo_suite().methods]


@looks
def is_in_demo(method: str) -> bool:
    """Tell whether the demo trains a method."""
    return method in demo_suite().methods


@looks
def demo_jobs() -> list[Job]:
    """Return the newest demo chain, trainings first, comparison last; empty before the first."""
    demo_runs = {run.id for run in runs() if DEMO_TAG in run.tags and not run.read_only}
    by_id = {job.id: job for job in jobs()}
    for job in reversed(jobs()):
        chain = [by_id[earlier] for earlier in job.after if earlier in by_id]
        if chain and all(earlier.trains and earlier.run_id in demo_runs for earlier in chain):
            return [*chain, job]
    return []


@acts
def stop_demo() -> None:
    """Cancel what is left of the newest demo, its comparison first; what was trained so far is kept."""
    act_on("cancel", [job.id for job in demo_jobs() if job.state not in ENDED])


@looks
def end_of_demo() -> End:
    """Say when the newest demo ends, as far as jobs like those that are left were measured."""
    return end_of({job.id for job in demo_jobs()})
