"""The demo: a small suite that comes with the program, and a comparison of its runs."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from cfa.jobs.queue import Job, Queue
from cfa.jobs.submit import submit_comparison, submit_training
from cfa.runs.store import Store
from cfa.suites.suite import Suite
from cfa.suites.suite_file import read_suite
from cfa.suites.suite_runs import runs_of

DEMO_TAG = "demo"
"""Which the runs of the demo carry."""


@cache
def demo_suite() -> Suite:
    """Read what the demo trains."""
    return read_suite(Path(__file__).with_name("demo.toml"))


def submit_demo(store: Store, queue: Queue, *, settings: Mapping[str, Any] | None = None) -> list[Job]:
    """Queue the demo's trainings, then a comparison with the plain method that most are compared with.

    Args:
        store: Where runs are.
        queue: Where the jobs go.
        settings: Settings by dotted name that shorten the demo (``{"train.epochs": 2}``).
    """
    from cfa.methods import plain_methods

    suite = demo_suite()
    suite = suite.model_copy(update={"settings": {**suite.settings, **(settings or {})}})
    runs, jobs = [], []
    for wanted in runs_of(suite):
        name = store.free_name(f"{DEMO_TAG} {wanted.config.method}")
        run, made = submit_training(store, queue, wanted.config, name=name, tags=(DEMO_TAG,))
        runs.append(run)
        jobs += made
    plain = next(method for method in plain_methods() if method in suite.methods)
    baseline = next(run for run in runs if run.config.method == plain)
    return [*jobs, submit_comparison(store, queue, runs, baseline, after=[job.id for job in jobs])]
