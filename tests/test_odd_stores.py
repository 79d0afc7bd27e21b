"""A store that is damaged, newer, full, locked, gone or not ours gives sentences, and loses nothing."""

import errno
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from cfa.config import RunConfig
from cfa.errors import StoreError
from cfa.jobs.job_folder import JobFolder
from cfa.jobs.kinds.train_run import TrainRun
from cfa.jobs.queue import Queue
from cfa.jobs.supervisor import Supervisor
from cfa.runs.store import Store

pytestmark = pytest.mark.usefixtures("no_shipped_runs")

CONFIG = RunConfig(method="trades", dataset="fashion-mnist-mini", model="small-cnn", preset="demo")


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix != ".lock"
    }


def in_table(home: Path, statement: str, *values: object) -> None:
    with sqlite3.connect(home / "queue.sqlite") as connection:
        connection.execute(statement, values)
    connection.close()


# The supervisor never dies of a row ------------------------------------------------------------------------

ROWS = {
    "settings that are no JSON": ("spec", "{"),
    "settings without end": ("spec", "[" * 100_000),
    "settings that are a number": ("spec", 3),
    "jobs before it that are a number": ("after_jobs", "5"),
    "jobs before it that are paths": ("after_jobs", '["../other"]'),
    "a kind that there is none of": ("kind", "dream"),
    "a kind that is bytes": ("kind", b"\xff"),
    "an id that is a path": ("id", "../../outside"),
    "an id that is an option": ("id", "--help"),
    "an id that is bytes": ("id", b"\xff\xfe"),
    "a run that is a path": ("run_id", "../../outside"),
    "a place that is text": ("position", "first"),
    "a time that is none": ("created", "yesterday"),
    "a device that is a number": ("device", 5),
}


@pytest.mark.parametrize(("column", "value"), ROWS.values(), ids=ROWS)
def test_the_supervisor_goes_on_after_a_row(queue: Queue, home: Path, column: str, value: object) -> None:
    bad, good = (queue.submit(TrainRun(test=False), name).id for name in ("bad", "good"))
    in_table(home, f"UPDATE jobs SET {column} = ? WHERE id = ?", value, bad)
    supervisor = Supervisor(home, "cpu", command=("/bin/false",), poll=0.01)
    supervisor.start()
    wait_until(lambda: queue.get(good).state == "failed")  # so ends whatever /bin/false works on
    assert supervisor.is_alive()
    supervisor.stopping.set()
    supervisor.join(20)
    assert len(queue.jobs()) == 2
    assert not (home.parent / "outside").exists()


def wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


# A newer version's queue, and ids that are paths -----------------------------------------------------------


@pytest.mark.parametrize(
    "words", [("jobs",), ("cancel", "JOB"), ("work", "--until-empty")], ids=lambda w: w[0]
)
@pytest.mark.parametrize("where", ["table", "job.json", "state.json"])
def test_what_a_newer_version_wrote_is_not_overwritten(queue: Queue, home: Path, cfa, where, words) -> None:
    job = queue.submit(TrainRun(), "job").id
    if where == "table":
        in_table(home, "PRAGMA user_version = 2")
    else:
        file = JobFolder.of(home, job).path / where
        file.write_text(json.dumps(json.loads(file.read_text()) | {"format": 2}))
        (home / "queue.sqlite").unlink()
    before = contents(home)
    if words[0] != "work":  # which waits for the queue to become usable
        said = cfa(*(word.replace("JOB", job) for word in words), code=1).stderr
        assert "a newer version of CFA Studio wrote" in said
    with pytest.raises(StoreError, match="update CFA Studio"):
        queue.jobs()
    assert contents(home) == before


@pytest.mark.parametrize("wrong", ["../../outside", "/etc", "..", "--help", "a/b", 5, None, ["x"], "other"])
@pytest.mark.parametrize(
    "words", [("cancel", "JOB"), ("pause", "JOB"), ("resume", "JOB")], ids=lambda w: w[0]
)
def test_an_id_that_is_a_path_is_not_followed(queue, home, tmp_path, cfa, words, wrong: object) -> None:
    job = queue.submit(TrainRun(), "job").id
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "mine.txt").write_text("precious")
    file = JobFolder.of(home, job).spec_file
    file.write_text(json.dumps(json.loads(file.read_text()) | {"id": wrong}))
    (home / "queue.sqlite").unlink()
    assert [(found.id, found.kind) for found in queue.jobs()] == [(job, "unreadable")]
    cfa(*(word.replace("JOB", job) for word in words), code=0 if words[0] == "cancel" else 2)
    assert contents(tmp_path / "outside") == {"mine.txt": b"precious"}
    assert JobFolder.of(home, job).path.exists() == (words[0] != "cancel")


# A run without a job ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", ["queued", "running", "paused"])
def test_a_run_whose_job_was_never_made_is_resumed_or_deleted(
    store: Store, queue: Queue, cfa, state: str
) -> None:
    run, other = store.create(CONFIG, "lonely"), store.create(CONFIG, "other")
    run.write_status(state, 0)  # and then its maker was killed
    cfa("resume", "lonely", "--queue")
    (job,) = queue.jobs()
    assert (job.kind, job.run_id, job.state) == ("train", run.id, "queued")
    other.delete()
    assert [found.name for found in store.runs()] == ["lonely"]


# Clocks ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ahead", [timedelta(hours=1), timedelta(days=4000)], ids=["an hour", "years"])
@pytest.mark.parametrize("host", ["here", "elsewhere"])
def test_a_clock_that_was_set_back_lets_no_job_run_for_ever(
    queue: Queue, home: Path, ahead: timedelta, host: str
) -> None:
    job = queue.submit(TrainRun(), "job").id
    assert queue.claim("cpu") is not None
    later = (datetime.now(UTC) + ahead).isoformat()
    in_table(home, "UPDATE jobs SET started = ? WHERE id = ?", later, job)
    if host == "elsewhere":
        in_table(home, "UPDATE jobs SET host = 'elsewhere', pid = 1 WHERE id = ?", job)
        fields = dict.fromkeys(("epoch", "epochs", "rate", "seconds_left"))
        report = {"done": 1.0, "total": 2.0, "unit": "x", "phase": "x", "updated": later, **fields}
        JobFolder.of(home, job).progress_file.write_text(json.dumps(report))
    assert queue.get(job).state == "interrupted"
    assert queue.resume(job).state == "queued"


# Places ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["a?b", "a#b", "a%41b", "a b", "a;b&c", "file:x?mode=ro", "\u00e4\u4e2d", "a'b\"c"]
)
def test_a_store_may_be_called_anything(tmp_path: Path, monkeypatch, cfa, name: str) -> None:
    home = tmp_path / name
    monkeypatch.setenv("CFA_HOME", str(home))
    job = Queue(Store.open(home).home).submit(TrainRun(), "job").id
    assert [row["id"] for row in cfa("jobs", "--json")] == [job]
    assert (home / "queue.sqlite").is_file()
    assert {path.name for path in tmp_path.iterdir()} - {"home"} == {name}


@pytest.mark.parametrize("words", [("jobs",), ("cancel", "JOB")], ids=lambda words: words[0])
def test_a_store_that_was_deleted_meanwhile_stays_deleted(queue: Queue, home: Path, words) -> None:
    job = queue.submit(TrainRun(), "job").id
    shutil.rmtree(home)
    for call in (queue.jobs, lambda: queue.cancel(job), lambda: queue.submit(TrainRun(), "more")):
        with pytest.raises(StoreError, match="is not there any more; set CFA_HOME"):
            call()
    assert not home.exists()


def test_a_queue_that_another_process_holds_is_a_sentence(queue: Queue, home: Path, cfa, monkeypatch) -> None:
    monkeypatch.setattr("cfa.jobs.database.BUSY_SECONDS", 0.05)
    job = queue.submit(TrainRun(), "job").id
    before = contents(home)
    holder = sqlite3.connect(home / "queue.sqlite", isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    assert "another process holds it; end that one, or retry" in cfa("cancel", job, code=1).stderr
    holder.execute("ROLLBACK")
    holder.close()
    assert contents(home) == before


@pytest.fixture
def full(tmp_path: Path) -> Iterator[Path]:
    """Give a folder on a disk of its own that is full."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(disk)]
    if os.getuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("only root mounts a small disk")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=False)


def fill(filler: Path) -> None:
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * 4096)
        except OSError as error:
            assert error.errno == errno.ENOSPC  # noqa: PT017


def test_a_full_disk_is_a_sentence_and_leaves_nothing_half_written(full: Path, monkeypatch, cfa) -> None:
    home = full / "home"
    monkeypatch.setenv("CFA_HOME", str(home))
    store = Store.open(home, shipped=None)
    run = store.create(CONFIG, "kept")
    job = Queue(home).submit(TrainRun(test=False), "kept", run_id=run.id).id
    before = contents(home)
    fill(full / "filler")
    for words in (
        ("cancel", job),
        ("train", "--method", "trades", "--dataset", "fashion-mnist-mini", "--name", "new", "--queue"),
    ):
        said = cfa(*words, code=1).stderr
        assert "free disk space" in said
        assert len(said.strip().splitlines()) == 1
    (full / "filler").unlink()
    assert contents(home) == before
    assert [found.name for found in store.runs()] == ["kept"]


AS_NOBODY = """
import json, os, sys
from pathlib import Path
from typer.testing import CliRunner
from cfa.commands import app

home, place, commands = Path(os.environ["CFA_HOME"]), sys.argv[1], json.loads(sys.argv[2])
for words in (["runs"], ["jobs"], ["cancel", "nothing"], ["prune", "--dry-run"], ["compare", "kept", "kept"]):
    CliRunner().invoke(app, words)  # imports what it needs while it may
if os.getuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
try:
    os.listdir(home / place) if place else (home / "mine").write_text("x")
    sys.exit("it may be done")
except OSError:
    pass
said = []
for words in commands:
    ended = CliRunner().invoke(app, words)
    unexpected = "" if isinstance(ended.exception, (SystemExit, type(None))) else repr(ended.exception)
    said.append([ended.exit_code, ended.stderr + ended.stdout + unexpected])
print(json.dumps(said))
"""
SOMEBODY_ELSES = {
    "a run that may not be read": (
        "runs/rforeign0",
        [
            (("runs", "--json"), 0, '"state": "unreadable"'),
            (("prune", "--dry-run"), 0, "training state of kept"),
            (("compare", "rforeign0", "kept"), 1, "config.json cannot be read (Permission denied)"),
            (("compare", "kept", "other"), 2, "share no test evaluation"),
        ],
    ),
    "a store that may not be written": (
        "",
        [
            (("runs",), 0, "kept"),
            (("jobs",), 0, "queued"),
            (("cancel", "JOB"), 1, "set CFA_HOME to a folder that you may write to"),
            (("prune",), 0, "cannot be deleted (Permission denied)"),
        ],
    ),
}


@pytest.fixture
def open_home() -> Iterator[Path]:
    """Give a store that others may look into: they may read none of pytest's own folders."""
    with tempfile.TemporaryDirectory() as scratch:
        Path(scratch).chmod(0o755)
        yield Path(scratch)


@pytest.mark.parametrize(("place", "rows"), SOMEBODY_ELSES.values(), ids=SOMEBODY_ELSES)
def test_what_belongs_to_somebody_else_is_a_sentence(
    open_home: Path, place: str, rows: list[tuple[tuple[str, ...], int, str]]
) -> None:
    home, store, queue = open_home, Store.open(open_home, shipped=None), Queue(open_home)
    kept, foreign, _ = (store.create(CONFIG, name) for name in ("kept", "foreign", "other"))
    kept.write_status("finished", 1)
    kept.state_file.write_bytes(b"x")
    foreign.path.rename(store.runs_folder / "rforeign0").chmod(0o700)
    job = queue.submit(TrainRun(), "job").id
    before = contents(home)
    commands = [[word.replace("JOB", job) for word in words] for words, _, _ in rows]
    asked = subprocess.run(
        [sys.executable, "-c", AS_NOBODY, place, json.dumps(commands)],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"CFA_HOME": str(home)},
    )
    assert asked.returncode == 0, asked.stderr
    for (words, code, says), (ended, said) in zip(rows, json.loads(asked.stdout), strict=True):
        assert (words, ended) == (words, code), said
        assert says in said
    assert contents(home) == before
