"""Jobs in words, and buttons that reach the queue."""

from app.engine import job_queue, snapshots
from app.process import opened
from cfa.jobs.kinds.train_run import TrainRun


def test_jobs_are_named_in_what_others_wait_for(empty_home):
    first = opened.queue().submit(TrainRun(), "train first")
    second = opened.queue().submit(TrainRun(), "second", after=[first.id])
    job_queue.cancel(first.id)
    waiting = next(job for job in snapshots.jobs() if job.id == second.id)
    assert "'train first'" in job_queue.job_message(waiting)
    assert first.id not in job_queue.job_message(waiting)


def test_moving_pausing_and_resuming_reach_the_queue(empty_home):
    first, second = (opened.queue().submit(TrainRun(), name) for name in ("first", "second"))
    job_queue.move(second.id, "up")
    assert [job.title for job in snapshots.jobs()] == ["second", "first"]
    job_queue.pause(first.id)
    assert opened.queue().get(first.id).state == "paused"
    job_queue.resume(first.id)
    job_queue.set_device(first.id, "cpu")
    assert (opened.queue().get(first.id).state, opened.queue().get(first.id).device) == ("queued", "cpu")
    job_queue.cancel(first.id)
    job_queue.remove(first.id)
    assert [job.title for job in snapshots.jobs()] == ["second"]
