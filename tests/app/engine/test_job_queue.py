"""Jobs in words, and buttons that reach the queue."""

import pytest

from app.engine import job_queue, snapshots
from app.engine.errors import ConfigError
from app.process import opened
from cfa.jobs.kinds.compare_runs import CompareRuns
from cfa.jobs.kinds.train_run import TrainRun


def submit(title, after=(), work=None):
    return opened.queue().submit(work or TrainRun(), title, after=list(after)).id


def states():
    snapshots.forget_snapshots()
    return {job.title: job.state for job in snapshots.jobs()}


def test_jobs_are_named_in_what_others_wait_for(empty_home):
    first = submit("train first")
    second = submit("second", [first])
    job_queue.act_on("cancel", [first])
    waiting = next(job for job in snapshots.jobs() if job.id == second)
    assert "'train first'" in job_queue.job_message(waiting)
    assert first not in job_queue.job_message(waiting)


def test_moving_pausing_and_resuming_reach_the_queue(empty_home):
    first, second = submit("first"), submit("second")
    job_queue.act_on("up", [second])
    assert [job.title for job in snapshots.jobs()] == ["second", "first"]
    assert job_queue.act_on("pause", [first, second]).done == ("first", "second")
    assert set(states().values()) == {"paused"}
    job_queue.act_on("resume", [first])
    job_queue.set_device([first], "cpu")
    assert (opened.queue().get(first).state, opened.queue().get(first).device) == ("queued", "cpu")


def test_what_is_refused_is_named_and_the_others_are_done(empty_home):
    done, waits = submit("done"), submit("waits")
    opened.queue().claim("cpu")
    opened.queue().finish(done, "done")
    snapshots.forget_snapshots()
    acted = job_queue.act_on("pause", [done, waits, "jgone"])
    assert acted.done == ("waits",)
    (sentence,) = acted.refused
    assert sentence.startswith("done: job ")
    assert "is done; only queued and running jobs can be paused" in sentence


def test_a_chain_is_a_job_and_all_that_wait_for_it(empty_home):
    first, other = submit("first"), submit("other")
    second = submit("second", [first])
    submit("third", [second, other])
    snapshots.forget_snapshots()
    assert [job.title for job in job_queue.chain_of([first])] == ["third", "second", "first"]
    acted = job_queue.act_on("cancel", [job.id for job in job_queue.chain_of([first])])
    assert states() == dict.fromkeys(("first", "second", "third"), "cancelled") | {"other": "queued"}
    job_queue.undo(acted)
    assert set(states().values()) == {"queued"}


def test_what_was_cancelled_or_removed_is_as_it_was_once_it_is_undone(empty_home):
    first, second = submit("first"), submit("second")
    job_queue.act_on("pause", [second])
    before = snapshots.jobs()
    cancelled = job_queue.act_on("cancel", [first, second])
    removed = job_queue.act_on("remove", [first, second])
    assert states() == {}
    job_queue.undo(removed)
    job_queue.undo(cancelled)
    assert states() == {job.title: job.state for job in before}
    with pytest.raises(ConfigError, match="is in the queue"):
        job_queue.undo(removed)


def test_a_comparison_goes_with_its_runs_and_comes_back_with_them(empty_home):
    runs = [submit(f"run {k}") for k in range(2)]
    submit("compare", runs, CompareRuns(runs=("a", "b"), baseline="a"))
    snapshots.forget_snapshots()
    acted = job_queue.act_on("cancel", runs)
    assert set(states().values()) == {"cancelled"}
    job_queue.undo(acted)
    assert set(states().values()) == {"queued"}


def test_the_end_of_the_queue_is_unknown_where_nothing_was_measured(empty_home):
    assert job_queue.end_of().unknown == 0
    submit("first")
    snapshots.forget_snapshots()
    found = job_queue.end_of()
    assert (found.seconds, found.unknown) == (0, 1)
