import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from filelock import FileLock

from cfa.jobs.job_folder import JobFolder, device_lock_file
from cfa.jobs.queue import Queue, read_log
from cfa.jobs.supervisor import Supervisor, start_supervisors
from cfa.locks import is_held
from tests.support.jobs import AsStored

# A stand-in for a worker: it holds the locks that a worker holds, then does what its job's spec says.
WORKER = """
import os, signal, sys, time
from pathlib import Path
from filelock import FileLock
from cfa.jobs.job_folder import JobFolder, device_lock_file
from cfa.jobs.queue import Queue
home, job_id = Path(os.environ["CFA_HOME"]), sys.argv[1]
queue = Queue(home)
with FileLock(JobFolder.of(home, job_id).lock_file), FileLock(device_lock_file(home, "cpu")):
    job = queue.register_worker(job_id, "cpu")
    print("working on", job.title, flush=True)
    exec(job.spec["do"])
"""
COMMAND = (sys.executable, "-c", WORKER)
DONE = "queue.finish(job_id, 'done')"
WAIT_FOR_FILE = "while not (home / 'go').exists(): time.sleep(0.05)\n" + DONE


@pytest.fixture
def supervise(home: Path):
    """Start supervisors of the CPU that end with the test."""
    started: list[Supervisor] = []

    def start(command=COMMAND, patience: float = 60.0) -> Supervisor:
        supervisor = Supervisor(home, "cpu", command=command, poll=0.05, patience=patience)
        supervisor.start()
        started.append(supervisor)
        return supervisor

    yield start
    for supervisor in started:
        stop(supervisor)


def stop(supervisor: Supervisor) -> None:
    supervisor.stopping.set()
    supervisor.join(20)
    assert not supervisor.is_alive()
    for process in supervisor.left_alone:
        process.wait(20)


def submit(queue: Queue, do: str, title: str = "job", **options) -> str:
    return queue.submit(AsStored("compare", {"do": do}), title, **options).id


def wait_until(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def wait_for(queue: Queue, job: str, *states: str) -> None:
    wait_until(lambda: queue.get(job).state in states)


@pytest.mark.parametrize(
    ("do", "state", "message"),
    [
        (DONE, "done", ""),
        ("queue.finish(job_id, 'failed', 'lower train.batch_size')", "failed", "lower train.batch_size"),
        ("print('no such thing'); sys.exit(3)", "failed", "no such thing"),
        ("pass", "failed", "working on job"),
        ("raise RuntimeError('broken')", "failed", "RuntimeError: broken"),
        ("os.kill(os.getpid(), signal.SIGKILL)", "interrupted", "its worker ended unexpectedly; resume it"),
    ],
)
def test_how_a_worker_ends_is_what_the_queue_shows(queue: Queue, supervise, do, state, message):
    job = submit(queue, do)
    after = submit(queue, DONE)
    supervise()
    wait_for(queue, after, "done")  # the queue goes on whatever happened
    ended = queue.get(job)
    assert (ended.state, ended.message) == (state, message)
    assert read_log(queue.home, job).startswith("working on job")


def test_a_worker_that_does_not_start_is_a_failed_job(queue: Queue, supervise):
    job = submit(queue, DONE)
    supervise(command=("/nonexistent/python",))
    wait_for(queue, job, "failed")
    assert "cannot start a worker" in queue.get(job).message


def test_the_worker_is_a_session_of_its_own_without_a_terminal(queue: Queue, supervise):
    job = submit(queue, "print(os.getsid(0) == os.getpid(), repr(sys.stdin.read()))\n" + DONE)
    supervise()
    wait_for(queue, job, "done")
    assert read_log(queue.home, job, 1) == "True ''"


def test_a_busy_device_keeps_jobs_queued(queue: Queue, home: Path, supervise):
    job = submit(queue, DONE)
    lock = device_lock_file(home, "cpu")
    lock.parent.mkdir(exist_ok=True)
    with FileLock(lock):
        supervise()
        time.sleep(0.5)
        assert queue.get(job).state == "queued"
    wait_for(queue, job, "done")


def test_two_supervisors_of_a_device_run_one_job_at_a_time_and_each_once(queue: Queue, home: Path, supervise):
    note = (
        "open(home / 'trace', 'a').write(f'{job_id} starts\\n'); time.sleep(0.1)\n"
        "open(home / 'trace', 'a').write(f'{job_id} ends\\n')\n"
    )
    jobs = [submit(queue, note + DONE) for _ in range(4)]
    supervise()
    supervise()
    for job in jobs:
        wait_for(queue, job, "done")
    assert (home / "trace").read_text().splitlines() == [
        f"{j} {what}" for j in jobs for what in ("starts", "ends")
    ]


def test_when_one_supervisor_stops_the_other_takes_over_and_workers_go_on(
    queue: Queue, home: Path, supervise
):
    job, after = submit(queue, WAIT_FOR_FILE), submit(queue, DONE)
    first = supervise()
    wait_until(lambda: queue.get(job).pid is not None)
    second = supervise()
    first.stopping.set()
    first.join(10)
    assert queue.get(job).state == "running"
    time.sleep(0.3)
    assert second.is_alive()
    assert queue.get(after).state == "queued"
    (home / "go").touch()
    wait_for(queue, after, "done")
    assert queue.get(job).state == "done"


def test_a_worker_that_does_not_answer_a_cancel_is_ended(queue: Queue, supervise):
    # It ignores SIGTERM too, and has a child: both must be gone.
    deaf = (
        "import subprocess; child = subprocess.Popen(['sleep', '60']); print(child.pid, flush=True)\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)"
    )
    job = submit(queue, deaf)
    supervisor = supervise(patience=0.2)
    supervisor.last_chance = 0.2
    wait_until(lambda: len(read_log(queue.home, job).splitlines()) == 2)
    pids = [queue.get(job).pid, int(read_log(queue.home, job, 1))]
    queue.cancel(job)
    wait_for(queue, job, "cancelled")
    assert "did not answer" in queue.get(job).message
    wait_until(lambda: not any(_runs(pid) for pid in pids))


def _runs(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def test_start_supervisors_adds_no_second_thread(home: Path):
    first = start_supervisors(home, command=COMMAND, names=["cpu"])
    again = start_supervisors(home, command=COMMAND, names=["cpu"])
    try:
        assert first.threads == again.threads
        assert first.alive()
    finally:
        first.stop()
    assert not again.alive()
    anew = start_supervisors(home, command=COMMAND, names=["cpu"])
    assert anew.alive()
    anew.stop()


def test_workers_outlive_a_killed_dashboard_and_the_next_one_finds_them(queue: Queue, home: Path, supervise):
    job, after = submit(queue, WAIT_FOR_FILE), submit(queue, DONE)
    dashboard = (
        "import sys, time; from pathlib import Path; from cfa.jobs.supervisor import start_supervisors\n"
        "start_supervisors(Path(sys.argv[1]), command=(sys.executable, '-c', sys.argv[2]), names=['cpu'])\n"
        "time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", dashboard, str(home), WORKER])
    wait_until(lambda: queue.get(job).pid is not None)
    worker = queue.get(job).pid
    process.send_signal(signal.SIGKILL)
    process.wait(10)
    assert queue.get(job).state == "running"
    assert os.getsid(worker) == worker
    assert not is_held(JobFolder.of(home, job).launch_file)
    supervise()
    time.sleep(0.3)
    assert queue.get(after).state == "queued"
    (home / "go").touch()
    wait_for(queue, after, "done")
    assert queue.get(job).state == "done"


def test_a_supervisor_survives_a_disk_that_is_full_for_a_while(queue: Queue, supervise, monkeypatch):
    from cfa.errors import StoreError
    from cfa.jobs.database import Database

    real, failures = Database.mirror, []

    def full(self, connection, job_id):
        if len(failures) < 2:
            failures.append(job_id)
            raise StoreError("cannot write state.json (No space left on device); free disk space and retry")
        real(self, connection, job_id)

    job = submit(queue, DONE)
    monkeypatch.setattr(Database, "mirror", full)
    supervise()
    wait_for(queue, job, "done")
    assert len(failures) == 2
