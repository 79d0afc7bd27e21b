import signal
import sqlite3
import subprocess
import sys
import threading
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from filelock import FileLock

from cfa.config import RunConfig
from cfa.errors import ConfigError, StoreError, UnknownName
from cfa.jobs.forecast import works_on
from cfa.jobs.job_folder import JobFolder, JobProgress, read_progress, write_progress
from cfa.jobs.kinds.train_run import TrainRun
from cfa.jobs.queue import Job, Queue, read_log, seconds_until_empty
from cfa.runs.store import Store


def submit(queue: Queue, title: str = "job", **options) -> str:
    return queue.submit(TrainRun(test=False), title, **options).id


def put(queue: Queue, state: str) -> str:
    """Bring a job into a state by the moves that lead there."""
    job = submit(queue, state)
    if state in ("running", "interrupted", "done", "failed"):
        assert queue.claim("cpu").id == job
    if state == "running":
        return job
    if state == "interrupted":
        queue.register_worker(job, "cpu")  # a pid is known, and nobody holds a lock
    elif state in ("done", "failed"):
        queue.finish(job, state, f"is {state}")
    elif state == "paused":
        queue.pause(job)
    elif state == "cancelled":
        queue.cancel(job)
    assert queue.get(job).state == state
    return job


STATES = ("queued", "running", "paused", "interrupted", "done", "failed", "cancelled")


def test_jobs_come_back_as_they_were_submitted(queue: Queue):
    first = submit(queue, "first", device="cuda:1", estimate_seconds=12.5, run_id="abcdef")
    second = submit(queue, "second", after=(first,))
    jobs = queue.jobs()
    assert [job.title for job in jobs] == ["first", "second"]
    assert (jobs[0].device, jobs[0].estimate_seconds, jobs[0].run_id) == ("cuda:1", 12.5, "abcdef")
    assert jobs[0].spec == {"test": False}
    assert jobs[1].after == (first,)
    assert {job.state for job in jobs} == {"queued"}
    assert queue.get(second).message == f"waits for {first}"


def test_claims_follow_order_device_and_dependencies(queue: Queue):
    elsewhere = submit(queue, device="cuda:1")
    first = submit(queue, device="cuda:0")
    anywhere = submit(queue)
    later = submit(queue, after=(first, anywhere))
    assert queue.claim("cuda:0").id == first
    assert queue.claim("cuda:0").id == anywhere
    assert queue.claim("cuda:0") is None
    queue.finish(first, "done")
    assert queue.claim("cuda:0") is None
    queue.finish(anywhere, "done")
    claimed = queue.claim("cuda:0")
    assert (claimed.id, claimed.state, claimed.ran_on) == (later, "running", "cuda:0")
    assert queue.claim("cuda:1").id == elsewhere


@pytest.mark.parametrize("end", ["failed", "cancelled"])
def test_a_job_after_one_that_did_not_end_well_is_blocked_and_says_so(queue: Queue, end: str):
    first = submit(queue)
    second = submit(queue, after=(first,))
    queue.claim("cpu")
    queue.finish(first, end)
    blocked = queue.get(second)
    assert (blocked.state, blocked.blocked_by) == ("queued", (first,))
    assert first in blocked.message
    assert end in blocked.message
    assert queue.claim("cpu") is None
    with pytest.raises(ConfigError, match=second):
        queue.remove(first)
    queue.resume(first)
    assert queue.get(second).blocked_by == ()


def test_racing_threads_claim_each_job_once(queue: Queue, home: Path):
    jobs = [submit(queue) for _ in range(12)]
    claimed: list[str] = []

    def work():
        mine = Queue(home)
        while (job := mine.claim("cpu")) is not None:
            claimed.append(job.id)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Counter(claimed) == Counter(jobs)


def test_racing_processes_claim_each_job_once(queue: Queue, home: Path):
    jobs = [submit(queue) for _ in range(8)]
    script = (
        "import sys; from pathlib import Path; from cfa.jobs.queue import Queue\n"
        "queue = Queue(Path(sys.argv[1]))\n"
        "while (job := queue.claim('cpu')) is not None: print(job.id)"
    )
    command = [sys.executable, "-c", script, str(home)]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    claimed = [line for process in processes for line in process.communicate(timeout=60)[0].split()]
    assert all(process.returncode == 0 for process in processes)
    assert Counter(claimed) == Counter(jobs)


# What may be done in which state, and where it leads; None: refused.
MOVES = {
    #               queued       running     paused       interrupted  done    failed    cancelled
    "pause": ("paused", "running", None, None, None, None, None),
    "cancel": ("cancelled", "running", "cancelled", "cancelled", None, None, None),
    "resume": (None, None, "queued", "queued", None, "queued", "queued"),
    "remove": (None, None, None, None, "gone", "gone", "gone"),
}


@pytest.mark.parametrize(
    ("action", "state", "result"),
    [
        (action, state, result)
        for action, row in MOVES.items()
        for state, result in zip(STATES, row, strict=True)
    ],
)
def test_every_action_in_every_state(queue: Queue, action: str, state: str, result: str | None):
    job = put(queue, state)
    if result is None:
        with pytest.raises(ConfigError, match=job):
            getattr(queue, action)(job)
        assert queue.get(job).state == state
        return
    getattr(queue, action)(job)
    if result == "gone":
        with pytest.raises(UnknownName):
            queue.get(job)
        assert not JobFolder.of(queue.home, job).path.exists()
        return
    after = queue.get(job)
    assert after.state == result
    if result == "running":
        assert after.requested == queue.requested(job) == action
    if result == "queued":
        assert queue.claim("cpu").id == job


def test_a_second_wish_replaces_the_first_and_resume_forgets_it(queue: Queue):
    job = put(queue, "running")
    queue.pause(job)
    queue.cancel(job)
    assert queue.requested(job) == "cancel"
    queue.finish(job, "cancelled")
    queue.resume(job)
    assert queue.requested(job) is None
    assert queue.requested("jgone0000") == "cancel"


def test_only_a_running_job_can_finish(queue: Queue):
    job = put(queue, "cancelled")
    assert not queue.finish(job, "done")
    assert queue.get(job).state == "cancelled"
    with pytest.raises(StoreError, match="cancelled"):
        queue.register_worker(job, "cpu")


@pytest.mark.parametrize(
    ("direction", "order"), [("up", "acbd"), ("down", "abdc"), ("top", "cabd"), ("bottom", "abdc")]
)
def test_move(queue: Queue, direction: str, order: str):
    ids = {letter: submit(queue, letter) for letter in "abcd"}
    queue.move(ids["c"], direction)
    assert "".join(job.title for job in queue.jobs()) == order
    assert queue.claim("cpu").title == order[0]


def test_moving_passes_over_jobs_that_are_not_queued(queue: Queue):
    ids = {letter: submit(queue, letter) for letter in "abc"}
    queue.pause(ids["b"])
    queue.move(ids["c"], "up")
    assert [job.title for job in queue.jobs() if job.state == "queued"] == ["c", "a"]
    with pytest.raises(ConfigError, match="paused"):
        queue.move(ids["b"], "up")


def test_set_device(queue: Queue):
    job = submit(queue)
    queue.set_device(job, "cuda:1")
    assert queue.claim("cuda:0") is None
    assert queue.claim("cuda:1").id == job
    with pytest.raises(ConfigError, match="runs on cuda:1"):
        queue.set_device(job, None)


def test_interrupted_exactly_when_marked_running_and_its_locks_are_free(queue: Queue):
    job = put(queue, "running")
    assert queue.get(job).state == "running"  # just claimed: the worker is about to start
    queue.register_worker(job, "cpu")
    folder = JobFolder.of(queue.home, job)
    for lock in (folder.lock_file, folder.launch_file):
        with FileLock(lock):
            assert queue.get(job).state == "running"
        assert queue.get(job).state == "interrupted"


def test_a_claim_without_a_worker_is_interrupted_after_a_while(queue: Queue, monkeypatch):
    job = put(queue, "running")
    monkeypatch.setattr("cfa.jobs.queue.LAUNCH_GRACE", 0.0)
    assert queue.get(job).state == "interrupted"


def test_a_worker_that_is_killed_is_interrupted(queue: Queue, home: Path):
    job = put(queue, "running")
    script = (
        "import sys, time; from pathlib import Path; from filelock import FileLock\n"
        "from cfa.jobs.queue import Queue; from cfa.jobs.job_folder import JobFolder\n"
        "home, job = Path(sys.argv[1]), sys.argv[2]\n"
        "with FileLock(JobFolder.of(home, job).lock_file):\n"
        "    Queue(home).register_worker(job, 'cpu'); print('alive', flush=True); time.sleep(60)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(home), job], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "alive\n"
    found = queue.get(job)
    assert (found.state, found.pid) == ("running", process.pid)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert queue.get(job).state == "interrupted"
    assert queue.resume(job).state == "queued"


def test_a_worker_on_another_machine_is_believed_while_it_reports(queue: Queue, monkeypatch):
    monkeypatch.setattr("socket.gethostname", lambda: "elsewhere")
    job = put(queue, "running")
    queue.register_worker(job, "cpu")
    monkeypatch.setattr("socket.gethostname", lambda: "here")
    assert queue.get(job).state == "interrupted"
    report = {"done": 1, "total": 2, "unit": "epochs", "phase": "training", "epoch": 1, "epochs": 2}
    moment = datetime.now(UTC)
    for age, state in ((10, "running"), (1000, "interrupted")):
        updated = (moment - timedelta(seconds=age)).isoformat()
        progress = JobProgress(**report, rate=None, seconds_left=None, updated=updated)
        write_progress(JobFolder.of(queue.home, job), progress)
        assert queue.get(job).state == state


DAMAGE = {
    "deleted": lambda path: path.unlink(),
    "not a database": lambda path: path.write_text("garbage " * 1000),
    "empty": lambda path: path.write_bytes(b""),
    "deleted, with a journal left": lambda path: (
        path.rename(path.with_name("queue.sqlite-journal")),
        path.with_name("queue.sqlite").unlink(missing_ok=True),
    ),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
def test_a_lost_queue_is_rebuilt_from_the_job_folders(queue: Queue, home: Path, damage):
    for state in reversed(STATES):
        put(queue, state)
    last = submit(queue, "moved", after=(queue.jobs()[0].id,), device="cuda:3")
    queue.move(last, "top")
    before = queue.jobs()
    damage(home / "queue.sqlite")
    assert queue.jobs() == before  # the same object, open all the time
    assert Queue(home).jobs() == before
    assert queue.get(submit(queue)).position > max(job.position for job in before)


def test_a_rebuilt_queue_names_the_folders_that_cannot_be_read(queue: Queue, home: Path):
    kept, broken, half, unfinished = (submit(queue) for _ in range(4))
    JobFolder.of(home, broken).state_file.write_text("{")
    JobFolder.of(home, half).spec_file.write_text('{"id": 1}')
    JobFolder.of(home, unfinished).state_file.unlink()  # killed while it was submitted
    (home / "queue.sqlite").unlink()
    found = {job.id: (job.kind, job.state) for job in queue.jobs()}
    assert found == {kept: ("train", "queued")} | dict.fromkeys((broken, half), ("unreadable", "failed"))


def test_an_error_leaves_the_queue_as_it_was(queue: Queue, home: Path, monkeypatch):
    job = submit(queue)

    def full(path, text):
        raise StoreError("cannot write state.json (No space left on device); free disk space, then retry")

    monkeypatch.setattr("cfa.jobs.job_folder.write_text", full)
    with pytest.raises(StoreError, match="free disk space"):
        queue.pause(job)
    monkeypatch.undo()
    assert Queue(home).get(job).state == "queued"


def test_a_queue_that_cannot_be_opened_is_one_sentence(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="CFA_HOME"):
        Queue(tmp_path / "file").jobs()


def test_find_by_id_prefix_and_run(queue: Queue, home: Path):
    config = RunConfig(method="trades", dataset="d", model="m", preset="demo")
    run = Store.open(home).create(config, "my run")
    lonely = Store.open(home).create(config, "lonely")
    old = submit(queue, run_id=run.id)
    new = submit(queue, run_id=run.id)
    assert queue.find(old).id == old
    assert queue.find(old[:6]).id == old
    for reference in ("my run", run.id, run.id[:5]):
        assert queue.find(reference).id == new
    with pytest.raises(UnknownName, match="'my run'"):
        queue.find("my rum")
    with pytest.raises(UnknownName, match="has no job"):
        queue.find(lonely.name)


def test_a_run_is_told_what_becomes_of_its_training(queue: Queue, home: Path):
    config = RunConfig(method="trades", dataset="d", model="m", preset="demo")
    run = Store.open(home).create(config)
    job = submit(queue, run_id=run.id)
    queue.pause(job)
    assert run.status.state == "paused"
    queue.resume(job)
    assert run.status.state == "queued"
    queue.cancel(job)
    assert run.status.state == "cancelled"
    run.write_status("finished", 3)
    queue.resume(job)
    assert run.status.state == "finished"


def lose_the_index(file: Path) -> None:
    """Empty the index of ids, as a bad block may: rows are listed, and none is found by its id."""
    with sqlite3.connect(file) as connection:
        (size,) = connection.execute("PRAGMA page_size").fetchone()
        root = "SELECT rootpage FROM sqlite_master WHERE name = 'sqlite_autoindex_jobs_1'"
        (page,) = connection.execute(root).fetchone()
    leaf_without_cells = bytes([0x0A, 0, 0, 0, 0]) + size.to_bytes(2) + b"\0"
    with file.open("r+b") as opened:
        opened.seek((page - 1) * size)
        opened.write(leaf_without_cells)


def test_a_queue_that_does_not_find_what_it_lists_says_so(queue: Queue, home: Path):
    submit(queue, "job")
    lose_the_index(home / "queue.sqlite")
    with pytest.raises(StoreError, match=r"queue\.sqlite is damaged: .*; remove it: the queue is rebuilt"):
        queue.claim("cpu")
    (home / "queue.sqlite").unlink()
    claimed = queue.claim("cpu")
    assert claimed is not None
    assert claimed.title == "job"


def test_reading_what_is_not_there(home: Path):
    assert read_progress(home, "jnone") is None
    assert read_log(home, "jnone") == ""


def test_the_end_of_a_log(queue: Queue, home: Path):
    job = submit(queue)
    JobFolder.of(home, job).log_file.write_text("".join(f"line {i}\n" for i in range(500)))
    assert read_log(home, job, 2) == "line 498\nline 499"


def job_of(
    state: str, *, estimate: float | None, device: str | None = None, job_id: str = "j1", **changes
) -> Job:
    fields = dict.fromkeys(Job.__dataclass_fields__) | {
        "id": job_id,
        "kind": "train",
        "state": state,
        "device": device,
        "ran_on": device,
        "estimate_seconds": estimate,
        "after": (),
        "blocked_by": (),
    }
    return Job(**fields | changes)


def left(seconds: float) -> JobProgress:
    return JobProgress(1, 2, "epochs", "training", 1, 2, 1.0, seconds, "")


TOOK_40 = {"started": "2026-01-01T00:00:00+00:00", "finished": "2026-01-01T00:00:40+00:00"}


@pytest.mark.parametrize(
    ("jobs", "progress", "seconds"),
    [
        ([], {}, 0.0),
        ([job_of("done", estimate=9)], {}, 0.0),
        ([job_of("running", estimate=100, device="cpu")], {"j1": left(30)}, 30.0),
        ([job_of("running", estimate=100, device="cpu")], {}, 100.0),
        (
            [job_of("running", estimate=100, device="cpu"), job_of("queued", estimate=5)],
            {"j1": left(30)},
            35.0,
        ),
        # two devices: the queued one goes where it is free first
        (
            [
                job_of("running", estimate=None, device="cuda:0"),
                job_of("running", estimate=None, device="cuda:1", job_id="j2"),
                job_of("queued", estimate=10, job_id="j3"),
            ],
            {"j1": left(30), "j2": left(5)},
            30.0,
        ),
        ([job_of("queued", estimate=None)], {}, None),
        ([job_of("queued", estimate=None), job_of("done", estimate=None, **TOOK_40)], {}, 40.0),
        ([job_of("queued", estimate=7, blocked_by=("j0",))], {}, 0.0),
    ],
)
def test_seconds_until_empty(jobs, progress, seconds):
    assert seconds_until_empty(jobs, progress) == seconds


def after(state: str, *earlier: str, device: str | None = None) -> Job:
    return job_of(state, estimate=None, device=device, job_id="last", after=earlier)


@pytest.mark.parametrize(
    ("jobs", "works"),
    [
        ([], False),
        ([job_of("done", estimate=None), job_of("paused", estimate=None, job_id="j2")], False),
        ([job_of("running", estimate=None, device="elsewhere")], True),
        ([job_of("queued", estimate=None)], True),
        ([job_of("queued", estimate=None, device="cpu")], True),
        ([job_of("queued", estimate=None, device="cuda:7")], False),
        ([after("queued", "removed")], True),
        ([job_of("done", estimate=None), after("queued", "j1")], True),
        ([job_of("paused", estimate=None), after("queued", "j1")], False),
        ([job_of("interrupted", estimate=None), after("queued", "j1")], False),
        ([job_of("failed", estimate=None), after("queued", "j1")], False),
    ],
)
def test_whether_a_queue_has_something_left_that_it_can_do(jobs, works):
    assert works_on(jobs, ["cpu"]) == works
