"""What is copied from others leads nowhere else: nothing is written or deleted behind a link or in a pipe."""

import dataclasses
import json
import os
import shutil
import sqlite3
import struct
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

import cfa as engine
from cfa.data import Dataset, load_dataset
from cfa.errors import StoreError
from cfa.evaluation import EvaluationPlan
from cfa.evaluation.evaluate import transfer_source
from cfa.files import append_line, open_to_append, require_own, write_text
from cfa.jobs.job_folder import JobFolder, device_lock_file
from cfa.jobs.kinds.compare_runs import CompareRuns
from cfa.jobs.kinds.train_run import TrainRun
from cfa.jobs.queue import Job, Queue
from cfa.jobs.submit import submit_training
from cfa.jobs.supervisor import Supervisor
from cfa.jobs.worker import run_job
from cfa.locks import hold
from cfa.runs.choice import weights_now
from cfa.runs.folder import RunFolder, require_weights
from cfa.runs.rows import Epoch, append_rows
from cfa.runs.store import Store
from tests.support.jobs import AsStored

pytestmark = pytest.mark.usefixtures("no_shipped_runs")

Place = Callable[[Path, Path], None]


def to_file(place: Path, outside: Path) -> None:
    _away(place)
    place.symlink_to(outside / "mine.txt")


def to_folder(place: Path, outside: Path) -> None:
    _away(place)
    place.symlink_to(outside)


def to_nothing(place: Path, outside: Path) -> None:
    _away(place)
    place.symlink_to(outside / "not there yet")


def a_pipe(place: Path, outside: Path) -> None:
    _away(place)
    os.mkfifo(place)


def _away(place: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(place) if place.is_dir() and not place.is_symlink() else place.unlink(missing_ok=True)


IN_A_RUN: dict[str, tuple[str, Place]] = {
    "the run": ("", to_folder),
    "log": ("log.txt", to_file),
    "log that will be made": ("log.txt", to_nothing),
    "log, a pipe": ("log.txt", a_pipe),
    "history": ("history.jsonl", to_file),
    "weights": ("weights", to_folder),
    "weights, a file": ("weights/best-online.safetensors", to_file),
    "state": ("state", to_folder),
    "lock": ("state/run.lock", to_file),
    "evaluations": ("evaluations", to_folder),
    "an evaluation": ("evaluations/20260101T000000-00000000", to_folder),
    "batches": ("evaluations/e1/parts", to_folder),
    "status": ("status.json", to_file),
    "a file that is none of a run's": ("x/y/z", to_file),
}
IN_A_JOB: dict[str, tuple[str, Place]] = {
    "the job": ("", to_folder),
    "log": ("log.txt", to_file),
    "log that will be made": ("log.txt", to_nothing),
    "log, a pipe": ("log.txt", a_pipe),
    "worker's lock": ("job.lock", to_file),
    "supervisor's lock": ("launch.lock", to_file),
    "supervisor's lock, a pipe": ("launch.lock", a_pipe),
    "progress": ("progress.json", to_file),
    "result": ("result.json", to_file),
}


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "mine.txt").write_text("precious")
    (folder / "state.pt").write_text("precious")
    return folder


def everything(folder: Path) -> dict[str, object]:
    return {
        str(path.relative_to(folder)): (path.read_bytes() if path.is_file() else None, path.lstat().st_mode)
        for path in sorted(folder.rglob("*"))
    }


@pytest.fixture
def job(store: Store, queue: Queue, tiny_config, typed) -> Job:
    _, (job,) = submit_training(store, queue, tiny_config("pgd-at"), test=False, foreground=True)
    return job


def run_of(store: Store, job: Job) -> RunFolder:
    return RunFolder(store.runs_folder / str(job.run_id))


@pytest.mark.parametrize(("name", "put"), IN_A_RUN.values(), ids=IN_A_RUN)
def test_a_training_writes_nothing_behind_a_link(
    store: Store, queue: Queue, job: Job, outside: Path, name: str, put: Place
) -> None:
    put(run_of(store, job).path / name, outside)
    before = everything(outside)
    assert run_job(store.home, job.id) == 1
    assert everything(outside) == before
    ended = queue.get(job.id)
    assert ended.state == "failed"
    assert "unexpected" not in ended.message
    assert len(ended.message.splitlines()) == 1


@pytest.mark.parametrize(("name", "put"), IN_A_JOB.values(), ids=IN_A_JOB)
@pytest.mark.parametrize("who", ["worker", "supervisor"])
def test_a_job_writes_nothing_behind_a_link(
    store: Store, queue: Queue, job: Job, outside: Path, who: str, name: str, put: Place
) -> None:
    if who == "supervisor":
        queue.finish(job.id, "failed")
        queue.resume(job.id)
    put(JobFolder.of(store.home, job.id).path / name, outside)
    before = everything(outside)
    if who == "worker":
        assert run_job(store.home, job.id) == 1
    else:
        serve(store.home, until=lambda: queue.get(job.id).state == "failed")
    assert everything(outside) == before
    assert queue.get(job.id).state == "failed"
    assert "nothing is written to " in queue.get(job.id).message


def serve(home: Path, until: Callable[[], bool]) -> None:
    supervisor = Supervisor(home, "cpu", command=("/bin/echo", "started"), poll=0.01)
    supervisor.start()
    end = time.monotonic() + 30
    while not until() and time.monotonic() < end:
        time.sleep(0.01)
    supervisor.stopping.set()
    supervisor.join(20)


# Evaluations -----------------------------------------------------------------------------------------------

PLAN = EvaluationPlan(attacks=("clean",), limit=6)


class Net(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(nn.Flatten(), nn.Linear(64, 3))


@pytest.fixture
def data(tiny: str, typed, home: Path) -> Dataset:
    return load_dataset(tiny, home / "data")


WHERE_EVALUATIONS_GO = {
    name: IN_A_RUN[name] for name in ("the run", "evaluations", "log", "a file that is none of a run's")
}


@pytest.mark.parametrize(("name", "put"), WHERE_EVALUATIONS_GO.values(), ids=WHERE_EVALUATIONS_GO)
def test_an_evaluation_writes_nothing_behind_a_link(
    store: Store, data: Dataset, outside: Path, cfa, name: str, put: Place
) -> None:
    data = dataclasses.replace(data, name="fashion-mnist-mini")  # a name that the command knows
    engine.evaluate(Net(), data, PLAN, log_as="mine")
    run = store.find("mine")
    put(run.path / name, outside)
    before = everything(outside)
    # By its id: a run that is a link has no name.
    assert "is a link; copy" in (said := cfa("evaluate", run.id, "--attack", "clean", code=1).stderr) or (
        "nothing is written to " in said
    )
    if name:
        with pytest.raises(StoreError, match="nothing is written to "):
            engine.evaluate(Net(), data, PLAN, log_as="mine")
    assert everything(outside) == before


# What is tidied up -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["the run", "state", "lock"])
def test_prune_deletes_nothing_behind_a_link(store, job, outside: Path, cfa, name: str) -> None:
    run = run_of(store, job)
    run.write_status("finished", 1)
    where, put = IN_A_RUN[name]
    put(run.path / where, outside)
    before = everything(outside)
    cfa("prune")
    assert everything(outside) == before
    if name != "lock":
        with pytest.raises(StoreError, match="nothing is written to "):
            run.prune()


@pytest.mark.parametrize("where", ["data", "comparisons", "runs/rcopied00", "runs/rcopied00/x"])
def test_prune_looks_for_what_crashed_in_the_store_alone(
    store: Store, outside: Path, cfa, where: str
) -> None:
    for name in (".mine.tmp", ".downloading-mine"):
        (outside / name).mkdir()
        (outside / name / "file").write_text("precious")
        for path in (outside / name / "file", outside / name):
            os.utime(path, (0, 0))
    place = store.home / where
    place.parent.mkdir(parents=True, exist_ok=True)
    to_folder(place, outside)
    before = everything(outside)
    cfa("prune")
    assert everything(outside) == before


@pytest.mark.parametrize("linked", ["comparisons", "comparisons/JOB"])
def test_a_comparison_is_not_written_behind_a_link(
    store: Store, queue: Queue, data: Dataset, outside: Path, linked: str
) -> None:
    for name in ("one", "two"):
        engine.evaluate(Net(), data, PLAN, log_as=name)
    ids = [store.find(name).id for name in ("one", "two")]
    job = queue.submit(CompareRuns(runs=tuple(ids), baseline=ids[0]), "compare", foreground=True)
    (store.home / linked.replace("JOB", job.id)).parent.mkdir(exist_ok=True)
    to_folder(store.home / linked.replace("JOB", job.id), outside)
    before = everything(outside)
    assert run_job(store.home, job.id) == 1
    assert "nothing is written to " in queue.get(job.id).message
    assert everything(outside) == before


# One place decides -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("put", [to_file, to_nothing, to_folder, a_pipe], ids=lambda put: put.__name__)
@pytest.mark.parametrize("depth", ["file", "folder/file", "a/b/c/file"])
def test_a_folder_that_leads_elsewhere_is_not_ours(tmp_path: Path, outside: Path, put, depth: str) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    require_own(folder)
    require_own(tmp_path / "not there")
    (folder / depth).parent.mkdir(parents=True, exist_ok=True)
    require_own(folder)
    put(folder / depth, outside)
    with pytest.raises(
        StoreError, match=rf"nothing is written to .* \({(folder / depth).name}: a (link|pipe)"
    ):
        require_own(folder)


@pytest.mark.parametrize("put", [to_file, to_nothing, to_folder, a_pipe], ids=lambda put: put.__name__)
def test_nothing_is_added_to_what_is_no_file(tmp_path: Path, outside: Path, put: Place) -> None:
    place, before = tmp_path / "log.txt", everything(outside)
    put(place, outside)
    row = Epoch(
        epoch=1, learning_rate=0.1, loss=1.0, seconds=1.0, images_per_second=1.0,
        gate_worst=None, gate_threshold=None, gate_accepted=None,
    )  # fmt: skip
    for add in (
        lambda: append_line(place, "x"),
        lambda: append_rows(place, [row]),
        lambda: open_to_append(place),
        lambda: hold(place, "busy").__enter__(),
    ):
        with pytest.raises(StoreError, match=r"log\.txt.*(link|pipe) stands in its place"):
            add()
    assert everything(outside) == before


def test_a_file_that_is_written_whole_takes_the_place_of_a_link(tmp_path: Path, outside: Path) -> None:
    to_file(tmp_path / "status.json", outside)
    write_text(tmp_path / "status.json", "new")
    assert not (tmp_path / "status.json").is_symlink()
    assert (outside / "mine.txt").read_text() == "precious"


@pytest.mark.parametrize("purpose", ["", ".dispatch"])
def test_locks_of_devices_empty_no_file_behind_a_link(
    store: Store, queue: Queue, job: Job, outside: Path, purpose: str
) -> None:
    to_file(device_lock_file(store.home, "cpu", purpose), outside)
    if purpose:
        serve(store.home, until=lambda: True)
    else:
        assert run_job(store.home, job.id) == 1
    assert (outside / "mine.txt").read_text() == "precious"


# The queue -------------------------------------------------------------------------------------------------


def names_another_file(queue: Path, victim: Path) -> None:
    """Leave a journal as of a transaction on several files: SQLite deletes the one that it names."""
    with sqlite3.connect(queue) as connection:
        (size,), (pages,) = (
            connection.execute(f"pragma {n}").fetchone() for n in ("page_size", "page_count")
        )
    magic, name = bytes.fromhex("d9d505f920a163d7"), str(victim).encode()
    head = (magic + struct.pack(">IIIII", 0, 0, pages, 512, size)).ljust(512, b"\0")
    tail = struct.pack(">I", 0x40000000 // size + 1) + name
    tail += struct.pack(">II", len(name), sum(name) & 0xFFFFFFFF) + magic
    queue.with_name("queue.sqlite-journal").write_bytes(head + tail)


def a_linked_journal(queue: Path, victim: Path) -> None:
    queue.with_name("queue.sqlite-journal").symlink_to(victim)


def a_linked_log(queue: Path, victim: Path) -> None:
    queue.with_name("queue.sqlite-wal").symlink_to(victim)


def in_sql(*statements: str) -> Place:
    def change(queue: Path, victim: Path) -> None:
        connection = sqlite3.connect(queue)
        columns = ", ".join(f"x AS {row[1]}" for row in connection.execute("pragma table_info(jobs)"))
        for statement in statements:
            connection.execute(statement.replace("COLUMNS", columns))
        connection.commit()
        connection.close()

    return change


ENDLESS = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c)"
OTHER_QUEUES: dict[str, Place] = {
    "a journal that names a file": names_another_file,
    "a journal that is a link": a_linked_journal,
    "a log that is a link": a_linked_log,
    "a view": in_sql("ALTER TABLE jobs RENAME TO j2", f"CREATE VIEW jobs AS {ENDLESS} SELECT COLUMNS FROM c"),
    "a trigger": in_sql(
        "CREATE TRIGGER t AFTER UPDATE ON jobs BEGIN INSERT INTO jobs SELECT * FROM jobs; END"
    ),
    "a computed column": in_sql("ALTER TABLE jobs ADD COLUMN more TEXT AS (zeroblob(100000000))"),
    "a log of writes": in_sql("PRAGMA journal_mode = WAL"),
}


@pytest.mark.parametrize("damage", OTHER_QUEUES.values(), ids=OTHER_QUEUES)
def test_a_queue_that_is_more_than_its_table_is_rebuilt(
    store: Store, queue: Queue, outside: Path, damage: Place
) -> None:
    kept = queue.submit(TrainRun(), "kept").id
    damage(store.home / "queue.sqlite", outside / "mine.txt")
    before = everything(outside)
    assert [job.id for job in queue.jobs()] == [kept]
    assert queue.cancel(kept).state == "cancelled"
    assert [job.id for job in Queue(store.home).jobs()] == [kept]
    assert everything(outside) == before


@pytest.mark.parametrize("put", [to_file, to_folder, to_nothing, a_pipe], ids=lambda put: put.__name__)
def test_a_queue_that_is_no_file_is_a_sentence(store, queue, cfa, outside: Path, put: Place) -> None:
    put(store.home / "queue.sqlite", outside)
    before = everything(outside)
    assert "queue.sqlite is no file; remove it: the queue is rebuilt" in cfa("jobs", code=1).stderr
    assert everything(outside) == before


# What a file says and becomes part of a path ---------------------------------------------------------------

PATHS = ["../../outside/x", "/etc/x", "..", "a/b", "--help"]


@pytest.mark.parametrize("text", PATHS)
@pytest.mark.parametrize("field", ["checkpoint", "weights", "evaluation of the result"])
def test_a_word_of_a_job_that_is_a_path_is_refused(
    store: Store, queue: Queue, tiny: str, data: Dataset, outside: Path, field: str, text: str
) -> None:
    engine.evaluate(Net(), data, PLAN, log_as="mine")
    spec = {"weights": "online", "checkpoint": "best", "dataset": tiny, "plan": dataclasses.asdict(PLAN)}
    if field in spec:
        spec[field] = text
    run_id = store.find("mine").id
    job = queue.submit(AsStored("evaluate", spec), "evaluate", run_id=run_id, foreground=True, typed=[tiny])
    if field not in spec:
        result = {"evaluations": {"online best": text}}
        JobFolder.of(store.home, job.id).result_file.write_text(json.dumps(result))
    before = everything(outside)
    assert run_job(store.home, job.id) == 1
    assert f"'{text}' is no id of a" in queue.get(job.id).message
    assert everything(outside) == before


@pytest.mark.parametrize("text", PATHS)
def test_a_run_to_transfer_from_is_no_path(store: Store, data: Dataset, text: str) -> None:
    engine.evaluate(Net(), data, PLAN, log_as="mine")
    plan = EvaluationPlan(attacks=("clean", "transfer"), transfer_from=text)
    with pytest.raises(StoreError, match="is no id of a run"):
        transfer_source(store.find("mine"), plan, torch.device("cpu"))


@pytest.mark.parametrize("what", ["the file", "its folder"])
def test_weights_that_are_a_link_are_not_read(
    store: Store, data: Dataset, tmp_path: Path, cfa, what: str
) -> None:
    """What stands behind it may be anything of anybody's: not even whether it is a weights file is told."""
    engine.evaluate(Net(), dataclasses.replace(data, name="fashion-mnist-mini"), PLAN, log_as="mine")
    run = store.find("mine")
    secret = tmp_path / "secret"
    secret.mkdir()
    file = run.weights_file("online", "best")
    (secret / file.name).write_text("not to be carried away")
    if what == "the file":
        file.parent.mkdir(exist_ok=True)
        file.symlink_to(secret / file.name)
    else:
        shutil.rmtree(file.parent, ignore_errors=True)
        file.parent.symlink_to(secret)
    for call in (
        lambda: engine.load("mine", "online", home=store.home),
        lambda: require_weights(run, "online", "best"),
    ):
        with pytest.raises(StoreError, match="are a link; copy the file itself there"):
            call()
    assert weights_now(run, "online", "best") is None
    said = cfa("evaluate", "mine", "--attack", "clean", "--weights", "online", code=1).stderr
    assert "are a link" in said
