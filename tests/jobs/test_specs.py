"""What a job says of its work is read from the queue, which may say anything: it fails with a sentence."""

import re
from typing import Any

import pytest

from cfa.jobs.observer import Listener
from cfa.jobs.submit import submit_training
from cfa.jobs.worker import run_job
from cfa.trust import allowing

PLAN = {"attacks": ["pgd-2"]}
SAYS: dict[str, tuple[str, dict[str, Any], str]] = {
    "train with a test that is no choice": ("train", {"test": [1]}, "test should be a valid boolean"),
    "evaluate nothing": ("evaluate", {}, "plan is missing"),
    "evaluate with a plan that is a text": ("evaluate", {"plan": "x"}, "plan should be a valid"),
    "evaluate without weights": ("evaluate", {"plan": PLAN, "checkpoint": "best"}, "weights is missing"),
    "evaluate with an empty plan": (
        "evaluate",
        {"plan": {}, "weights": "online", "checkpoint": "best"},
        "attacks is missing",
    ),
    "compare nothing": ("compare", {}, "runs is missing"),
    "compare a number": ("compare", {"runs": 5, "baseline": "x"}, "runs should be a valid"),
    "reproduce nothing": ("reproduce", {}, "evaluation is missing"),
    "reproduce no image": (
        "reproduce",
        {"evaluation": "e", "column": "pgd-2", "images": []},
        "images Tuple should have at least 1 item",
    ),
    "reproduce texts": (
        "reproduce",
        {"evaluation": "e", "column": "pgd-2", "images": ["a"]},
        "images.0 should be a valid integer",
    ),
    "reproduce an object": (
        "reproduce",
        {"evaluation": "e", "column": {}, "images": [0]},
        "column should be a valid string",
    ),
    "fetch nothing": ("fetch", {}, "dataset is missing"),
}


class Ear(Listener):
    def log(self, message: str) -> None:
        """Hear nothing."""

    def failed(self, message: str) -> None:
        """Hear nothing."""


@pytest.mark.parametrize("case", SAYS)
def test_a_job_that_does_not_say_what_to_do_fails_with_a_sentence(
    case: str, store, queue, home, tiny_config
) -> None:
    kind, spec, said = SAYS[case]
    config = tiny_config("pgd-at")
    with allowing([config.dataset]):
        run, _ = submit_training(store, queue, config)
    job = queue.submit(kind, spec, "of another", run_id=run.id, foreground=True)
    assert run_job(home, job.id, Ear()) == 1
    message = queue.get(job.id).message
    assert "unexpected" not in message
    assert re.search(re.escape(said), message)
