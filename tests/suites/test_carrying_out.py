"""A suite's jobs are carried out here one after the other, as far as that has a point."""

from pathlib import Path

import pytest

from cfa.jobs.kinds.train_run import TrainRun
from cfa.jobs.queue import EndState, Job, Queue
from cfa.suites.submission import carry_out_suite

# How each of three jobs ends, the second waiting for the first: which are begun, and whether all were done.
CASES: dict[str, tuple[tuple[EndState, EndState, EndState], list[int], bool]] = {
    "all done": (("done", "done", "done"), [0, 1, 2], True),
    "what waits for a failed one is left out": (("failed", "done", "done"), [0, 2], False),
    "the last fails": (("done", "done", "failed"), [0, 1, 2], False),
    "a paused one stops the rest": (("done", "paused", "done"), [0, 1], False),
    "so does a cancelled one": (("cancelled", "done", "done"), [0], False),
}


@pytest.mark.parametrize("case", CASES)
def test_jobs_are_begun_and_the_outcome_told(home: Path, queue: Queue, case: str) -> None:
    ends, begun, all_done = CASES[case]
    first = queue.submit(TrainRun(), "first")
    jobs = [
        first,
        queue.submit(TrainRun(), "second", after=[first.id]),
        queue.submit(TrainRun(), "third"),
    ]
    ids = [job.id for job in jobs]
    seen: list[int] = []

    def carry_out(queue: Queue, job: Job) -> int:
        assert job.state == "running"
        seen.append(ids.index(job.id))
        queue.finish(job.id, ends[seen[-1]], "")
        return 0 if ends[seen[-1]] == "done" else 1

    told: list[str] = []
    assert carry_out_suite(queue, jobs, carry_out, told.append) is all_done
    assert (seen, told) == (begun, [])


def test_what_was_done_before_is_not_begun_again(home: Path, queue: Queue) -> None:
    job = queue.submit(TrainRun(), "first", foreground=True)
    queue.finish(job.id, "done", "")

    def carry_out(queue: Queue, job: Job) -> int:
        raise AssertionError("it is done")

    assert carry_out_suite(queue, [job], carry_out, print)
