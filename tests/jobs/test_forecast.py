"""When the queue is empty: from the measured rates of like jobs, and nothing of what was never measured."""

from pathlib import Path

import pytest

from cfa.config import RunConfig
from cfa.jobs.amount import Amount
from cfa.jobs.forecast import Amounts, Forecast, forecast, works_on
from cfa.jobs.job_folder import JobProgress
from cfa.jobs.kinds.train_run import TrainRun
from cfa.jobs.queue import Job, Queue
from cfa.methods import configure
from cfa.runs.rows import Epoch, append_rows
from cfa.runs.store import Store


def job_of(
    state: str, *, estimate: float | None = None, device: str | None = None, job_id: str = "j1", **changes
) -> Job:
    fields = dict.fromkeys(Job.__dataclass_fields__) | {
        "id": job_id,
        "kind": "train",
        "title": "trades",
        "state": state,
        "device": device,
        "ran_on": device,
        "estimate_seconds": estimate,
        "after": (),
        "blocked_by": (),
    }
    return Job(**fields | changes)


def left(seconds: float, share: float = 0.5) -> JobProgress:
    return JobProgress(share, 1, "epochs", "training", 1, 2, 1.0, seconds, "")


def by_title(job: Job) -> Amount | None:
    """Take jobs of one title for alike; ``trades*3`` has three times as much to do."""
    what, _, times = job.title.partition("*")
    return Amount(what, float(times or 1)) if what else None


TOOK_40 = {"started": "2026-01-01T00:00:00+00:00", "finished": "2026-01-01T00:00:40+00:00"}
RUNS = job_of("running", device="cpu")


@pytest.mark.parametrize(
    ("jobs", "progress", "found"),
    [
        ([], {}, Forecast(0)),
        ([job_of("done", estimate=9)], {}, Forecast(0)),
        ([job_of("running", estimate=100, device="cpu")], {"j1": left(30)}, Forecast(30)),
        ([job_of("running", estimate=100, device="cpu")], {}, Forecast(100)),
        ([RUNS, job_of("queued", estimate=5, title="other", job_id="j2")], {"j1": left(30)}, Forecast(35)),
        # nothing like it was ever measured: it is said, and the end is that of the others
        ([job_of("queued")], {}, Forecast(0, ("j1",))),
        ([RUNS, job_of("queued", title="other", job_id="j2")], {"j1": left(30)}, Forecast(30, ("j2",))),
        ([job_of("queued", title="")], {}, Forecast(0, ("j1",))),
        # one like it took 40 s, whatever was estimated; one three times as large takes three times as long
        ([job_of("queued", estimate=7), job_of("done", **TOOK_40, job_id="j2")], {}, Forecast(40)),
        ([job_of("queued", title="trades*3"), job_of("done", **TOOK_40, job_id="j2")], {}, Forecast(120)),
        ([job_of("queued", title="fat"), job_of("done", **TOOK_40, job_id="j2")], {}, Forecast(0, ("j1",))),
        # one like it runs: a quarter is done and 30 s are left, so that it takes 40
        ([RUNS, job_of("queued", job_id="j2")], {"j1": left(30, 0.25)}, Forecast(30 + 40)),
        # two devices: the queued one goes where it is free first
        (
            [
                job_of("running", device="cuda:0"),
                job_of("running", device="cuda:1", job_id="j2"),
                job_of("queued", estimate=10, title="fat", job_id="j3"),
            ],
            {"j1": left(30), "j2": left(5)},
            Forecast(30),
        ),
        ([job_of("queued", estimate=7, blocked_by=("j0",))], {}, Forecast(0)),
        # what waits for a paused one waits for a person
        (
            [job_of("paused", estimate=7), job_of("queued", estimate=7, job_id="j2", after=("j1",))],
            {},
            Forecast(0),
        ),
    ],
)
def test_the_end_of_the_queue(jobs, progress, found):
    assert forecast(jobs, progress, ["cpu"], by_title) == found


def test_the_end_of_some_jobs_is_that_of_the_last_of_them():
    jobs = [job_of("running", device="cpu"), *(job_of("queued", job_id=f"j{k}") for k in (2, 3, 4))]
    asked = {"j1", "j3"}
    assert forecast(jobs, {"j1": left(20)}, ["cpu"], by_title, asked) == Forecast(20 + 40 + 40)


def test_clocks_that_were_set_back_measure_nothing():
    ended = job_of("done", started=TOOK_40["finished"], finished=TOOK_40["started"], job_id="j2")
    assert forecast([job_of("queued"), ended], {}, ["cpu"], by_title).unknown == ("j1",)


def trained(home: Path, method: str, epochs: int, seconds: float | None, **changes: str) -> Job:
    """Queue a training; with seconds, one whose epochs have taken so long each."""
    settings = {"train.epochs": str(epochs), **changes}
    config = configure(method, "fashion-mnist-mini", preset="demo", overrides=settings)
    run, queue = Store.open(home).create(config), Queue(home)
    job = queue.submit(TrainRun(test=True), f"train {run.name}", run_id=run.id)
    if seconds is not None:
        rows = [
            Epoch(
                epoch=epoch,
                learning_rate=0.1,
                loss=1.0,
                seconds=seconds,
                images_per_second=1.0,
                gate_worst=None,
                gate_threshold=None,
                gate_accepted=None,
            )
            for epoch in range(1, epochs + 1)
        ]
        append_rows(run.history_file, rows)
        run.write_status("finished", epochs)
        queue.claim("cpu")
        queue.finish(job.id, "done")
    return queue.get(job.id)


@pytest.mark.parametrize(
    ("like", "seconds"),
    [
        (("trades-cfa", {}), 60.0),  # it costs what its plain method does
        (("trades", {"train.batch_size": "64"}), None),
        (("pgd-at", {}), None),
        (("trades", {"attack.steps": "3"}), None),
    ],
)
def test_trainings_are_alike_where_an_epoch_takes_as_long(home: Path, like, seconds):
    (method, changes) = like
    trained(home, method, 4, 10.0, **changes)  # 40 s, as its own records say: it was stopped in between
    waiting = trained(home, "trades", 6, None)
    found = forecast(Queue(home).jobs(), {}, ["cpu"], Amounts(home))
    assert found == (Forecast(seconds) if seconds else Forecast(0, (waiting.id,)))


def test_a_job_whose_run_is_gone_has_no_length(home: Path):
    Store.open(home)
    job = Queue(home).submit(TrainRun(), "train nothing", run_id="r0000000")
    assert Amounts(home)(job) is None
    config = RunConfig(method="mine:own", dataset="d", model="m", preset="demo")
    own = Store.open(home).create(config)
    assert Amounts(home)(Queue(home).submit(TrainRun(), "own", run_id=own.id)) is not None


def after(state: str, *earlier: str, device: str | None = None) -> Job:
    return job_of(state, device=device, job_id="last", after=earlier)


@pytest.mark.parametrize(
    ("jobs", "works"),
    [
        ([], False),
        ([job_of("done"), job_of("paused", job_id="j2")], False),
        ([job_of("running", device="elsewhere")], True),
        ([job_of("queued")], True),
        ([job_of("queued", device="cpu")], True),
        ([job_of("queued", device="cuda:7")], False),
        ([after("queued", "removed")], True),
        ([job_of("done"), after("queued", "j1")], True),
        ([job_of("paused"), after("queued", "j1")], False),
        ([job_of("interrupted"), after("queued", "j1")], False),
        ([job_of("failed"), after("queued", "j1")], False),
    ],
)
def test_whether_a_queue_has_something_left_that_it_can_do(jobs, works):
    assert works_on(jobs, ["cpu"]) == works
