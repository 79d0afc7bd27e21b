import errno
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from filelock import FileLock

from cfa.errors import CheckpointError, ConfigError, Diverged, StoreError, UnknownName
from cfa.evaluation import EvaluationPlan, load_adversarial
from cfa.foreign.registration import register_weights
from cfa.jobs.cleanup import prune
from cfa.jobs.devices import devices
from cfa.jobs.job_folder import JobFolder, device_lock_file, read_progress
from cfa.jobs.observer import Listener
from cfa.jobs.queue import Queue, read_log
from cfa.jobs.submit import (
    submit_comparison,
    submit_evaluation,
    submit_reproduction,
    submit_training,
)
from cfa.jobs.worker import run_job
from cfa.models import WeightsFile, load_weights, save_weights
from cfa.progress import Stopped
from cfa.runs.evaluations import parts_folder, read_evaluations
from cfa.runs.listed import look_at
from cfa.runs.rows import Epoch
from cfa.runs.store import Store
from cfa.trust import allowing


class Ear(Listener):
    def __init__(self):
        self.lines: list[str] = []
        self.failures: list[str] = []

    def log(self, line: str) -> None:
        self.lines.append(line)

    def failed(self, message: str) -> None:
        self.failures.append(message)


@pytest.fixture
def train(store: Store, queue: Queue, tiny_config):
    """Submit a tiny training as a job of the foreground."""

    def submit(method: str = "trades-cfa", *, name=None, test=True, **changes):
        config = tiny_config(method, **changes)
        with allowing([config.dataset]):
            run, (job,) = submit_training(store, queue, config, name=name, test=test, foreground=True)
        return run, job.id

    return submit


def test_an_evaluation_says_of_which_weights_and_how_many_images_are_done(
    train, store, queue, home, monkeypatch
):
    run, job = train(test=False)
    run_job(home, job, Ear())
    plan = EvaluationPlan(attacks=("clean", "pgd-2"), batch_size=4)
    with allowing([run.config.dataset]):
        evaluation = submit_evaluation(
            store, queue, run, weights="online", checkpoint="best", plan=plan, foreground=True
        )
    monkeypatch.setattr("cfa.jobs.observer.INTERVAL", 1e-9)  # every report, and not one a second
    ear, heard = Ear(), []
    ear.progress = lambda progress: heard.append(progress.phase)
    assert run_job(home, evaluation.id, ear) == 0
    said = [phase.partition("online weights, best: pgd-2, ")[2] for phase in heard if "pgd-2" in phase]
    done, total = zip(*(map(int, text.removesuffix(" images").split(" of ")) for text in said), strict=True)
    assert len(set(total)) == 1
    assert sorted(set(done)) == list(range(0, total[0], 4))


def test_an_evaluation_queued_before_there_are_weights_waits_for_the_training(
    store, queue, home, tiny_config
):
    config = tiny_config("trades")
    with allowing([config.dataset]):
        run, (training,) = submit_training(store, queue, config, test=False)
        plan = EvaluationPlan(attacks=("clean",))
        how = {"weights": "auto", "checkpoint": "best", "plan": plan}
        waiting = submit_evaluation(store, queue, run, **how)
        assert list(waiting.after) == [training.id]
        queue.move(waiting.id, "top")
        claimed = queue.claim("cpu")
        assert claimed.id == training.id  # whatever stands first
        run_job(home, training.id, Ear())
        assert list(submit_evaluation(store, queue, run, **how).after) == []


def test_training_ends_with_a_test_of_the_best_weights_of_every_kind(train, home, queue):
    run, job = train()
    ear = Ear()
    assert run_job(home, job, ear) == 0
    ended = queue.get(job)
    assert (ended.state, ended.message, ended.pid) == ("done", "", None)
    assert look_at(run).state == "finished"
    assert not run.state_file.exists()  # pruned
    evaluations = read_evaluations(run)
    assert {(e.weights, e.checkpoint) for e in evaluations} == {
        (kind, "best") for kind in ("online", "ema", "fawa")
    }
    assert all([s.attack for s in e.scores] == ["clean", "pgd-20"] for e in evaluations)
    assert all(s.eps == run.config.attack.eps for e in evaluations for s in e.scores[1:])
    assert read_progress(home, job).done == read_progress(home, job).total
    assert any("epoch 2/2" in line for line in ear.lines)
    # The run's own log has the same lines, each with its time.
    assert set(run.log_file.read_text().splitlines()) == set(ear.lines)


def test_without_the_closing_test(train, home):
    run, job = train(test=False)
    assert run_job(home, job, Ear()) == 0
    assert read_evaluations(run) == []
    assert run.kept_weights()


ERRORS = [
    (Diverged("the loss is not finite in epoch 1; lower optimizer.lr"), "lower optimizer.lr"),
    (MemoryError(), "lower train.batch_size"),
    (torch.OutOfMemoryError("CUDA out of memory"), "lower train.batch_size"),
    (RuntimeError("DefaultCPUAllocator: can't allocate memory"), "lower train.batch_size"),
    (OSError(errno.ENOSPC, "No space left on device"), "cfa prune"),
    (ZeroDivisionError("division by zero"), "unexpected ZeroDivisionError: division by zero"),
]


@pytest.mark.parametrize(("error", "sentence"), ERRORS, ids=lambda value: type(value).__name__)
def test_every_error_is_a_failed_job_with_one_sentence(train, home, queue, monkeypatch, error, sentence):
    def fit(*args, **kwargs):
        raise error

    monkeypatch.setattr("cfa.training.fit", fit)
    run, job = train()
    ear = Ear()
    assert run_job(home, job, ear) == 1
    ended = queue.get(job)
    assert ended.state == "failed"
    assert sentence in ended.message
    assert "\n" not in ended.message
    assert ear.failures == [ended.message]
    assert run.status.state == "failed"
    expected = isinstance(error, Diverged)
    assert ("Traceback" in "".join(ear.lines)) is not expected


@pytest.mark.parametrize(("reason", "state"), [("pause", "paused"), ("cancel", "cancelled")])
def test_a_worker_asked_to_stop_saves_and_stops_and_goes_on_where_it_was(train, home, queue, reason, state):
    run, job = train(train__epochs="4")
    getattr(queue, reason)(job)
    assert run_job(home, job, Ear()) == 1
    assert queue.get(job).state == state
    assert look_at(run).state == state
    assert run.state_file.exists()
    queue.resume(job, foreground=True)
    assert run_job(home, job, Ear()) == 0
    assert [row.epoch for row in run.rows() if isinstance(row, Epoch)] == [1, 2, 3, 4]


def test_a_signal_pauses(train, home, queue, monkeypatch):
    def fit(run, dataset, device, observer, **made_from):
        assert observer.stop_requested() is None
        os.kill(os.getpid(), signal.SIGTERM)
        raise Stopped(observer.stop_requested())

    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr("cfa.training.fit", fit)
    _, job = train()
    assert run_job(home, job, Ear()) == 1
    assert (queue.get(job).state, queue.get(job).message) == ("paused", "stopped by SIGTERM")
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_stopped_closing_test_is_taken_up_without_training_or_testing_twice(
    train, home, queue, monkeypatch
):
    import cfa.evaluation

    real, calls = cfa.evaluation.evaluate_weights, []

    def stop_at_second(run, weights, *args, **kwargs):
        calls.append(weights)
        if len(calls) == 2:
            raise Stopped("pause")
        return real(run, weights, *args, **kwargs)

    monkeypatch.setattr(cfa.evaluation, "evaluate_weights", stop_at_second)
    run, job = train()
    assert run_job(home, job, Ear()) == 1
    assert (queue.get(job).state, run.status.state) == ("paused", "finished")
    rows = run.rows()
    queue.resume(job, foreground=True)
    assert run_job(home, job, Ear()) == 0
    assert calls == ["online", "ema", "ema", "fawa"]
    assert run.rows() == rows
    assert len(read_evaluations(run)) == 3


def test_a_killed_worker_is_interrupted_and_resuming_gives_what_never_stopping_gives(train, home, queue):
    changes = {"train__epochs": "6", "train__batch_size": "4"}
    straight, job = train(name="straight", test=False, **changes)
    run_worker(home, job)
    killed, job = train(name="killed", test=False, **changes)
    process = subprocess.Popen([sys.executable, "-m", "cfa", "run-job", job])
    while killed.status.epoch < 2:
        time.sleep(0.005)
        assert process.poll() is None, "it was too fast to be killed"
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert queue.get(job).state == look_at(killed).state == "interrupted"
    queue.resume(job)
    assert queue.claim(devices()[0]).id == job  # where the other one was trained
    run_worker(home, job)
    assert queue.get(job).state == "done"
    assert _without_time(killed.rows()) == _without_time(straight.rows())
    for weights, checkpoint in straight.kept_weights():
        expected = load_weights(straight.weights_file(weights, checkpoint))
        found = load_weights(killed.weights_file(weights, checkpoint))
        assert all(torch.equal(found[name], expected[name]) for name in expected)


def run_worker(home: Path, job: str) -> None:
    """Run a worker as the supervisor does: as many threads for every one of them."""
    ended = subprocess.run(
        [sys.executable, "-m", "cfa", "run-job", job], capture_output=True, text=True, timeout=120
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr


def _without_time(rows):
    timeless = {"seconds": 0.0, "images_per_second": 0.0}
    return [{**vars(row), **timeless} if isinstance(row, Epoch) else row for row in rows]


@pytest.mark.usefixtures("typed")
def test_a_job_that_was_cancelled_meanwhile_is_not_run(train, home, queue, store, tiny_config):
    run, (job,) = submit_training(store, queue, tiny_config())
    queue.cancel(job.id)
    ended = subprocess.run(
        [sys.executable, "-m", "cfa", "run-job", job.id], capture_output=True, text=True, timeout=60
    )
    assert ended.returncode == 1
    assert "is cancelled and does not run" in ended.stderr
    assert run.rows() == []


def test_a_busy_device_is_waited_for_and_said(train, home, queue, monkeypatch):
    _, job = train()
    ear = Ear()
    queue.cancel(job)  # or it would wait for ever
    device = devices()[0]  # where a job goes that names none
    with FileLock(device_lock_file(home, device)):
        assert run_job(home, job, ear) == 1
    assert any(f"{device} is busy" in line for line in ear.lines)
    assert queue.get(job).state == "cancelled"


def test_two_jobs_cannot_train_one_run(train, home, queue, monkeypatch):
    run, job = train(name="only one")
    with FileLock(run.lock_file):
        assert run_job(home, job, Ear()) == 1
    assert "being trained by another process" in queue.get(job).message


@pytest.mark.usefixtures("typed")
def test_training_from_the_weights_of_a_run_or_a_file(train, home, store, queue, tiny_config, monkeypatch):
    source, job = train("trades", test=False)
    run_job(home, job, Ear())
    seen = []
    monkeypatch.setattr("cfa.training.fit", lambda *args, initial, **origins: seen.append(initial))
    file = source.weights_file("ema", "best")
    for init in (source.name, str(file)):
        config = tiny_config().model_copy(update={"init": init})
        run, (job,) = submit_training(store, queue, config, test=False, foreground=True)
        assert run_job(home, job.id, Ear()) == 0
        assert run.config.init in (source.id, str(file))
    for initial, expected in zip(seen, (source.weights_file("online", "best"), file), strict=True):
        weights = load_weights(expected)
        assert initial.keys() == weights.keys()
        assert all(torch.equal(initial[name], weights[name]) for name in weights)


@pytest.mark.usefixtures("typed")
def test_unknown_names_leave_no_run_behind(store, queue, tiny_config):
    config = tiny_config()
    for change in ({"dataset": "cifar-11"}, {"model": "big-cnn"}, {"init": "nowhere"}, {"method": "cfaa"}):
        with pytest.raises(UnknownName):
            submit_training(store, queue, config.model_copy(update=change))
    assert store.runs() == []
    assert queue.jobs() == []


def test_evaluation_of_chosen_weights_on_some_images(train, home, store, queue):
    run, job = train(test=False)
    run_job(home, job, Ear())
    plan = EvaluationPlan(attacks=("pgd-2",), eps=0.1, limit=30)
    for weights, checkpoint, expected in (("auto", "best", "fawa"), ("ema", "last", "ema")):
        job = submit_evaluation(
            store, queue, run, weights=weights, checkpoint=checkpoint, plan=plan, foreground=True
        )
        assert run_job(home, job.id, Ear()) == 0
        newest = read_evaluations(run)[-1]
        assert (newest.weights, newest.checkpoint, newest.limit) == (expected, checkpoint, 30)
        assert [sum(scores.total) for scores in newest.scores] == [30, 30]
        assert list(JobFolder.of(home, job.id).result().evaluations.values()) == [newest.id]
    with pytest.raises(UnknownName, match="it has: online"):
        submit_evaluation(store, queue, run, weights="swa", checkpoint="best", plan=plan)


@pytest.mark.parametrize("cleaner", ["resume", "prune"])
def test_killed_after_its_last_write_an_evaluation_leaves_no_batches_behind(
    train, home, store, queue, monkeypatch, cleaner
):
    class KilledError(BaseException):
        """As SIGKILL does, it ends whoever is in its way."""

    import cfa.evaluation.evaluate as module

    def save_and_die(*args):
        real(*args)
        raise KilledError

    run, job = train(test=False)
    run_job(home, job, Ear())
    plan = EvaluationPlan(attacks=("pgd-2",), eps=0.1, limit=30)
    job = submit_evaluation(store, queue, run, weights="auto", checkpoint="best", plan=plan, foreground=True)
    real = module.save_outcomes
    with monkeypatch.context() as patch:
        patch.setattr(module, "save_outcomes", save_and_die)
        with pytest.raises(KilledError):
            run_job(home, job.id, Ear())
    (evaluation,) = read_evaluations(run)
    assert len(list(run.path.glob("evaluations/*/parts/*"))) > 0
    assert queue.get(job.id).state == "interrupted"
    if cleaner == "resume":
        queue.resume(job.id, foreground=True)
        assert run_job(home, job.id, Ear()) == 0
    else:
        assert [leftover.path.name for leftover in prune(store).leftovers] == ["parts"]
    assert list(run.path.glob("evaluations/*/parts")) == []
    assert read_evaluations(run) == [evaluation]


def test_prune_leaves_the_batches_of_an_evaluation_that_can_go_on(train, home, store):
    run, job = train()
    run_job(home, job, Ear())
    parts = parts_folder(run, "unfinished")
    parts.mkdir(parents=True)
    (parts / "step-0-0.npz").write_bytes(b"batch")
    assert prune(store).leftovers == ()
    assert parts.exists()
    parts.with_name("sequential.json").write_text("{}")  # finished, whatever its kind
    assert [leftover.path for leftover in prune(store).leftovers] == [parts]


def test_images_of_an_evaluation_are_made_again(train, home, store, queue, tmp_path):
    run, job = train(test=False)
    run_job(home, job, Ear())
    plan = EvaluationPlan(attacks=("pgd-2",), eps=0.1, limit=30, keep_megabytes=0)
    job = submit_evaluation(store, queue, run, weights="auto", checkpoint="best", plan=plan, foreground=True)
    assert run_job(home, job.id, Ear()) == 0
    (evaluation,) = read_evaluations(run)
    images = load_adversarial(run, evaluation.id).outcomes["image"][:3].tolist()
    job = submit_reproduction(store, queue, run, evaluation.id, "pgd-2", images)
    assert queue.claim("cpu").id == job.id
    ear = Ear()
    assert run_job(home, job.id, ear) == 0, ear.failures
    index = load_adversarial(run, evaluation.id)
    assert [index.remade("pgd-2", image).differs for image in images] == [False] * 3
    with pytest.raises(StoreError, match="no evaluation e0"):
        submit_reproduction(store, queue, run, "e0", "pgd-2", images)
    with pytest.raises(ConfigError, match="no image"):
        submit_reproduction(store, queue, run, evaluation.id, "pgd-2", [])
    shipped = Store.open(tmp_path / "other", shipped=home / "runs")
    own = shipped.find(run.id)  # they go into the store of whoever asks
    with allowing([run.config.dataset]):
        assert submit_reproduction(shipped, queue, own, evaluation.id, "pgd-2", images).run_id == run.id
    with pytest.raises(ConfigError, match="cannot be changed"):
        submit_reproduction(shipped, queue, replace(own, aside=None), evaluation.id, "pgd-2", images)


def test_evaluation_of_a_run_that_ships_with_the_project_leaves_it_as_it_is(train, home, queue, tmp_path):
    run, _ = train()
    shipped = Store.open(tmp_path / "other", shipped=home / "runs")
    plan = EvaluationPlan(attacks=("clean",))
    before = sorted(run.path.rglob("*"))
    how = {"weights": "auto", "checkpoint": "best", "plan": plan}
    with allowing([run.config.dataset]):
        assert submit_evaluation(shipped, queue, shipped.find(run.id), **how).run_id == run.id
    assert sorted(run.path.rglob("*")) == before


def test_a_chain_of_training_and_comparison(train, home, store, queue):
    runs = []
    for method in ("trades", "trades-cfa"):
        run, job = train(method, name=method)
        run_job(home, job, Ear())
        runs.append(run)
    job = submit_comparison(store, queue, runs, runs[0])
    with pytest.raises(ConfigError, match="two runs"):
        submit_comparison(store, queue, runs[:1], runs[0])
    assert queue.claim("cpu").id == job.id
    assert run_job(home, job.id, Ear()) == 0
    folder = home / "comparisons" / job.id
    assert {file.name for file in folder.iterdir()} == {"per_class.csv", "summary.csv", "comparison.json"}
    entries = json.loads((folder / "comparison.json").read_text())["comparisons"]
    kinds = {(entry["baseline_weights"], entry["weights"]) for entry in entries}
    assert kinds == {("online", "online"), ("ema", "ema"), ("fawa", "fawa"), ("online", "fawa")}


@pytest.mark.usefixtures("typed")
def test_foreign_weights_become_a_run_that_is_evaluated_like_any(train, home, store, queue, tiny, tmp_path):
    run, job = train("trades")
    run_job(home, job, Ear())
    own = load_weights(run.weights_file("online", "best"))
    bare = {name.removeprefix("network."): w for name, w in own.items() if not name.startswith("normalise")}
    file = tmp_path / "theirs.pth"
    torch.save({"state_dict": {f"module.{name}": tensor for name, tensor in bare.items()}}, file)
    mean, std = (own[f"normalise.{name}"].flatten().tolist() for name in ("mean", "std"))
    how = (tiny, "small-cnn", f"{mean[0]}/{std[0]}")
    external = register_weights(store, WeightsFile(file), *how)
    assert (external.name, external.config.method) == ("theirs", "external")
    assert external.kept_weights() == [("file", "file")]
    plan = EvaluationPlan(attacks=("pgd-20",), eps=run.config.attack.eps)
    job = submit_evaluation(
        store, queue, external, weights="auto", checkpoint="best", plan=plan, foreground=True
    )
    ear = Ear()
    assert run_job(home, job.id, ear) == 0, ear.failures
    (made,) = read_evaluations(external)
    expected = next(e for e in read_evaluations(run) if e.weights == "online")
    assert (made.weights, made.checkpoint) == ("file", "file")
    assert [s.correct for s in made.scores] == [s.correct for s in expected.scores]
    # The same file again is the same run, whatever it is called by then.
    assert (
        register_weights(store, WeightsFile(file), tiny, "small-cnn", f"{mean[0]}/{std[0]}").id == external.id
    )
    assert register_weights(store, WeightsFile(file), tiny, "small-cnn", "dataset").id != external.id


@pytest.mark.usefixtures("typed")
def test_foreign_weights_that_do_not_fit_leave_nothing_behind(store, tiny, tmp_path):
    file = tmp_path / "other.safetensors"
    save_weights(file, {"w": torch.zeros(3)}, {})
    with pytest.raises(CheckpointError, match="does not fit"):
        register_weights(store, WeightsFile(file), tiny, "small-cnn")
    with pytest.raises(ConfigError, match="normalize='half'"):
        register_weights(store, WeightsFile(file), tiny, "small-cnn", "half")
    assert store.runs() == []


@pytest.mark.usefixtures("typed")
def test_what_a_worker_prints_is_the_jobs_log(store, queue, tiny_config, home):
    from cfa.jobs.supervisor import Supervisor

    run, (job,) = submit_training(store, queue, tiny_config(), test=False)
    supervisor = Supervisor(home, "cpu", poll=0.05)
    supervisor.start()
    try:
        while queue.get(job.id).state in ("queued", "running"):
            time.sleep(0.05)
    finally:
        supervisor.stopping.set()
        supervisor.join(10)
        for process in supervisor.left_alone:
            process.wait(10)
    assert queue.get(job.id).state == "done", read_log(home, job.id)
    assert read_log(home, job.id) == run.log_file.read_text().rstrip("\n")
    assert "epoch 2/2" in read_log(home, job.id)
