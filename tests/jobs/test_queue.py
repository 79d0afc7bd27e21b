import random
import signal
import sqlite3
import subprocess
import sys
import threading
from collections import Counter
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from filelock import FileLock

import cfa.jobs.job_list
from cfa.config import RunConfig
from cfa.errors import ConfigError, StoreError, UnknownName
from cfa.jobs.job_folder import JobFolder, JobProgress, read_progress, write_progress
from cfa.jobs.kinds.compare_runs import CompareRuns
from cfa.jobs.kinds.train_run import TrainRun
from cfa.jobs.queue import Job, Queue, read_log
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


# What may be done in which state, and where it leads; None: refused. What is so already is no error: whoever
# presses twice, or sees the screen of a moment ago, asks for what is done.
MOVES = {
    #               queued       running     paused       interrupted  done    failed    cancelled
    "pause": ("paused", "running", "paused", None, None, None, None),
    "cancel": ("cancelled", "running", "cancelled", "cancelled", None, None, "cancelled"),
    "resume": ("queued", "running", "queued", "queued", None, "queued", "queued"),
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
        wish = None if action == "resume" else action
        assert after.requested == queue.requested(job) == wish
    if result != "gone":
        getattr(queue, action)(job)  # twice is as good as once
        assert queue.get(job) == after
    if result == "queued":
        assert queue.claim("cpu").id == job


def test_a_job_that_is_about_to_pause_is_not_resumed_before_it_has(queue: Queue):
    job = put(queue, "running")
    queue.pause(job)
    with pytest.raises(ConfigError, match="was asked to pause; resume it once it has stopped"):
        queue.resume(job)
    queue.finish(job, "paused")
    assert queue.resume(job).state == "queued"


# A job changes between a look at it and what follows: the wish is carried out by what it has become.
MEANWHILE = {
    "claimed while it is paused": ("queued", "pause", lambda queue, job: queue.claim("cpu"), "pause"),
    "claimed while it is cancelled": ("queued", "cancel", lambda queue, job: queue.claim("cpu"), "cancel"),
    "paused while it is cancelled": (
        "running",
        "cancel",
        lambda queue, job: queue.finish(job, "paused"),
        "cancelled",
    ),
    "resumed while it is resumed": ("paused", "resume", lambda queue, job: queue.resume(job), "queued"),
}


@pytest.mark.parametrize(("before", "wish", "meanwhile", "end"), MEANWHILE.values(), ids=MEANWHILE.keys())
def test_a_job_that_changes_meanwhile_is_looked_at_again(queue: Queue, before, wish, meanwhile, end):
    job = put(queue, before)
    other, seen = Queue(queue.home), queue.get

    def seen_too_early(job_id: str) -> Job:
        found = seen(job_id)
        queue.get = seen  # the first look alone is too early
        meanwhile(other, job_id)
        return found

    queue.get = seen_too_early
    getattr(queue, wish)(job)
    found = queue.get(job)
    assert (found.requested or found.state) == end


def test_a_comparison_is_cancelled_with_any_of_its_runs_and_comes_back_with_it(queue: Queue):
    runs = [submit(queue, f"run {k}") for k in range(3)]
    compare = queue.submit(CompareRuns(runs=("a", "b"), baseline="a"), "compare", after=runs).id
    test = submit(queue, "waits, and can wait", after=(runs[1],))
    queue.cancel(runs[1])
    assert queue.get(compare).state == "cancelled"
    assert queue.get(compare).message == f"cancelled with {runs[1]}, which it waited for"
    assert (queue.get(test).state, queue.get(test).blocked_by) == ("queued", (runs[1],))
    assert queue.resume(runs[1]).state == "queued"
    assert queue.get(compare).state == "queued"
    queue.claim("cpu")
    queue.finish(runs[0], "cancelled")  # as its worker says it
    assert queue.get(compare).state == "cancelled"
    queue.cancel(compare)
    queue.resume(runs[0])
    assert queue.get(compare).state == "queued"


def test_what_was_cancelled_or_removed_can_be_brought_back(queue: Queue):
    first, second, third = (submit(queue, name) for name in ("first", "second", "third"))
    queue.pause(third)
    before = queue.jobs()
    for job in (second, third):
        queue.cancel(job)
    queue.put_back(second, "queued")
    queue.put_back(third, "paused")
    assert [(job.id, job.state) for job in queue.jobs()] == [(job.id, job.state) for job in before]
    with pytest.raises(ConfigError, match="is queued; only a cancelled job"):
        queue.put_back(first, "paused")
    queue.cancel(first)
    JobFolder.of(queue.home, first).log_file.write_text("one\ntwo\n")
    cancelled, removed = queue.get(first), queue.remove(first)
    assert first not in [job.id for job in queue.jobs()]
    assert queue.restore(removed) == cancelled
    assert read_log(queue.home, first) == "one\ntwo"
    with pytest.raises(ConfigError, match="is in the queue"):
        queue.restore(removed)
    (queue.home / "queue.sqlite").unlink()
    assert queue.get(first) == cancelled


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
    monkeypatch.setattr("cfa.jobs.job_list.LAUNCH_GRACE", 0.0)
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


def first_that_may_start(jobs: list[Job], device: str) -> str | None:
    """Pick as `claim` should, from all jobs as they are listed."""
    states = {job.id: job.state for job in jobs}
    for job in jobs:
        ready = all(states.get(earlier, "done") == "done" for earlier in job.after)
        if job.state == "queued" and job.device in (None, device) and ready:
            return job.id
    return None


def test_what_is_asked_of_some_jobs_is_what_the_whole_list_says(queue: Queue, home: Path):
    """A queue that reads only what it is asked for answers as one that reads everything."""
    rng, claims = random.Random(16), Counter()
    for step in range(70):
        jobs = queue.jobs()
        ids = [job.id for job in jobs]
        device = rng.choice(("cpu", "cuda:0"))
        if step < 15 or step % 5 == 0:
            after = rng.sample(ids, min(len(ids), rng.choice((0, 1, 3))))
            options = {"device": rng.choice((None, device)), "run_id": rng.choice((None, "run1", "run2"))}
            submit(queue, f"job {step}", after=after, **options)
        elif step % 5 < 4:
            expected = first_that_may_start(jobs, device)
            claimed = Queue(home).claim(device)
            assert (claimed and claimed.id) == expected
            claims[expected is None] += 1
            if claimed and rng.random() < 0.7:
                queue.finish(claimed.id, rng.choice(("done", "done", "failed", "cancelled")))
        else:
            with suppress(ConfigError):
                getattr(queue, rng.choice(("pause", "cancel", "resume", "remove")))(rng.choice(ids))
        fresh = rng.choice((queue, Queue(home)))
        jobs = fresh.jobs()
        for job in rng.sample(jobs, min(len(jobs), 3)):
            assert fresh.get(job.id) == job
            assert fresh.waiting_for(job.id) == [other for other in jobs if job.id in other.after]
        assert fresh.of_runs(["run1"]) == [job for job in jobs if job.run_id == "run1"]
    assert min(claims[True], claims[False]) > 2


def test_jobs_of_more_runs_than_one_statement_names(queue: Queue):
    runs = [f"run{k}" for k in range(1200)]
    mine = [submit(queue, run_id=run) for run in (runs[0], runs[-1])]
    submit(queue, run_id="other")
    assert [job.id for job in queue.of_runs(runs)] == mine
    assert [job.id for job in queue.of_runs(["\udcff", runs[0]])] == mine[:1]  # a folder of any name
    assert queue.of_runs([]) == queue.of_runs(["\udcff"]) == []


def test_a_name_that_is_written_in_escapes_is_waited_for(queue: Queue, home: Path):
    first = submit(queue)
    second = submit(queue, after=(first,))
    with sqlite3.connect(home / "queue.sqlite") as connection:
        escaped = f'["\\u{ord(first[0]):04x}{first[1:]}"]'
        connection.execute("UPDATE jobs SET after_jobs = ? WHERE id = ?", (escaped, second))
    assert [job.id for job in queue.waiting_for(first)] == [second]


def test_waiting_for_a_job_that_no_index_finds_goes_on(queue: Queue, home: Path):
    first = submit(queue, device="cuda:0")
    submit(queue, after=(first,))
    lose_the_index(home / "queue.sqlite")
    assert queue.claim("cpu") is None
    assert queue.get(first).state == "queued"


@pytest.mark.parametrize(
    ("act", "most"),
    [
        (lambda queue, job: queue.get(job), 1),
        (lambda queue, job: queue.claim("cpu"), 3),
        (lambda queue, job: submit(queue, after=(job,)), 1),
        (lambda queue, job: queue.cancel(job), 3),
        (lambda queue, job: queue.of_runs(["mine"]), 1),
    ],
    ids=["get", "claim", "submit", "cancel", "of_runs"],
)
def test_no_more_jobs_are_read_in_a_long_queue(queue: Queue, home: Path, monkeypatch, act, most: int):
    for number in range(20):
        submit(queue, run_id="mine" if number == 10 else None)
    job, read = queue.jobs()[10].id, []
    job_of = cfa.jobs.job_list.job_of
    monkeypatch.setattr("cfa.jobs.job_list.job_of", lambda row: read.append(row) or job_of(row))
    act(Queue(home), job)
    assert 1 <= len(read) <= most
