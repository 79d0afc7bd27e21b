"""Stopped and resumed equals never stopped, bit for bit: asked to stop, killed, out of disk."""

import errno
import importlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from cfa.errors import DataError, StoreError
from cfa.models import load_metadata
from cfa.progress import Observer
from cfa.runs.folder import RunFolder
from cfa.runs.rows import append_rows
from cfa.training import fit
from tests.support.tiny import (
    CPU,
    Stopper,
    assert_same_weights,
    stopped,
    timeless,
    tiny_config,
    tiny_dataset,
    tiny_run,
    trained,
)

PROJECT = Path(__file__).resolve().parents[2]
MODULE = importlib.import_module("cfa.training.fit")  # its name is also that of the function
DATA = tiny_dataset()
METHODS = ["pgd-at-cfa", "trades-cfa", "fat-cfa"]
STEPS = 4 * 5  # four epochs of five batches


def assert_equal(one: RunFolder, other: RunFolder) -> None:
    assert_same_weights(one, other)
    assert timeless(one.rows()) == timeless(other.rows())
    for kind, checkpoint in one.kept_weights():
        mine, yours = (load_metadata(run.weights_file(kind, checkpoint)) for run in (one, other))
        assert {**mine, "run": ""} == {**yours, "run": ""}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("seed", [0, 1])
def test_stopped_at_a_random_batch_and_resumed_equals_never_stopped(
    tmp_path: Path, method: str, seed: int
) -> None:
    plain = trained(tmp_path / "plain", tiny_config(method))
    run = tiny_run(tmp_path / "stopped", tiny_config(method))
    after = random.Random(f"{method} {seed}").randrange(1, STEPS)
    stopped(run, DATA, after)
    assert run.status.state == "paused"
    assert len({row.epoch for row in run.rows()}) == (after - 1) // 5
    fit(RunFolder(run.path), tiny_dataset(), CPU, Observer())
    assert_equal(plain, run)


@pytest.mark.gpu
@pytest.mark.parametrize("method", METHODS)
def test_on_a_gpu_stopped_and_resumed_equals_never_stopped(tmp_path: Path, method: str) -> None:
    gpu = torch.device("cuda")
    plain = trained(tmp_path / "plain", tiny_config(method), device=gpu)
    run = tiny_run(tmp_path / "stopped", tiny_config(method))
    stopped(run, DATA, STEPS // 2, device=gpu)
    fit(RunFolder(run.path), tiny_dataset(), gpu, Observer())
    assert_equal(plain, run)


@pytest.mark.parametrize("method", ["trades-cfa", "fat-cfa"])
def test_stopped_at_every_batch_equals_never_stopped(tmp_path: Path, method: str) -> None:
    plain = trained(tmp_path / "plain", tiny_config(method))
    run = tiny_run(tmp_path / "stopped", tiny_config(method))
    for step in range(STEPS):
        stopped(run, DATA, 1, reason="cancel" if step % 2 else "pause")
        assert run.status.state == ("cancelled" if step % 2 else "paused")
    fit(run, DATA, CPU, Observer())
    assert_equal(plain, run)


@pytest.mark.parametrize(
    "option", ["averaging__batch_norm=re-estimate", "train__official_passes=true", "data__augment=true"]
)
def test_options_with_a_memory_resume_exactly_too(tmp_path: Path, option: str) -> None:
    name, _, value = option.partition("=")
    more = {name: value, "train__keep_every": 1, "data__imbalance_ratio": 2, "averaging__gate": "mean"}
    config = tiny_config("trades-cfa", **more)
    plain = trained(tmp_path / "plain", config)
    run = tiny_run(tmp_path / "stopped", config)
    stopped(run, DATA, 9)
    fit(run, DATA, CPU, Observer())
    assert_equal(plain, run)


def test_a_paused_run_has_weights_to_look_at(tmp_path: Path) -> None:
    run = tiny_run(tmp_path, tiny_config())
    stopped(run, DATA, 13)  # step 3 of epoch 3
    assert {("online", "last"), ("ema", "last")} <= set(run.kept_weights())
    assert load_metadata(run.weights_file("online", "last"))["epoch"] == "3"
    assert load_metadata(run.weights_file("ema", "last"))["epoch"] == "2"
    observer = Stopper()
    fit(run, DATA, CPU, observer)
    assert observer.lines[0] == "resuming in epoch 3, after step 3"


def test_rows_newer_than_the_state_are_written_again_and_stand_once(tmp_path: Path) -> None:
    """A crash between the rows of an epoch and its state: the rows are there, the state is not."""
    plain = trained(tmp_path / "plain", tiny_config())
    run = tiny_run(tmp_path / "crashed", tiny_config())
    stopped(run, DATA, 13)
    append_rows(run.history_file, [row for row in plain.rows() if row.epoch == 3])
    with run.history_file.open("a") as file:
        file.write('{"row":"epoch","epo')
    fit(run, DATA, CPU, Observer())
    assert_equal(plain, run)


def test_without_a_state_a_run_starts_again_and_its_old_rows_go(tmp_path: Path) -> None:
    plain = trained(tmp_path / "plain", tiny_config())
    run = tiny_run(tmp_path / "again", tiny_config())
    stopped(run, DATA, 13)
    run.state_file.unlink()
    fit(run, DATA, CPU, Observer())
    assert timeless(run.rows()) == timeless(plain.rows())
    assert_same_weights(plain, run)


def test_other_data_than_at_the_start_are_refused(tmp_path: Path) -> None:
    run = tiny_run(tmp_path, tiny_config())
    stopped(run, DATA, 8)
    rows = run.rows()
    with pytest.raises(DataError, match="data set 'tiny' has changed since the run started"):
        fit(run, tiny_dataset(seed=1), CPU, Observer())
    assert run.rows() == rows
    assert run.status.state == "failed"
    fit(run, DATA, CPU, Observer())
    assert run.status.state == "finished"


@pytest.mark.parametrize("write", [3, 11, 17, 24])
def test_a_disk_that_fills_up_stops_the_run_and_it_goes_on_exactly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: int
) -> None:
    plain = trained(tmp_path / "plain", tiny_config())
    run = tiny_run(tmp_path / "full", tiny_config())
    writes, sync = [], os.fsync

    def full_at_last(descriptor: int) -> None:
        writes.append(descriptor)
        if write <= len(writes) < write + 3:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", full_at_last)
    with pytest.raises(StoreError, match="No space left on device"):
        fit(run, DATA, CPU, Observer())
    writes.extend([0] * 9)  # there is space again
    fit(run, DATA, CPU, Observer())
    assert_equal(plain, run)
    assert list(run.path.rglob("*.tmp")) == []


# SIGKILL -----------------------------------------------------------------------------------------------

VICTIM = """
import importlib, sys
from pathlib import Path
from cfa.progress import Observer
from cfa.runs.folder import RunFolder
from tests.support.tiny import CPU, tiny_dataset
module = importlib.import_module("cfa.training.fit")
module.SECONDS_BETWEEN_SAVES = 0.0
module.fit(RunFolder(Path(sys.argv[1])), tiny_dataset(), CPU, Observer())
"""


def kill_after_the_first_epoch(run: RunFolder, seconds: float) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", VICTIM, str(run.path)], cwd=PROJECT, stderr=subprocess.PIPE
    )
    try:
        deadline = time.monotonic() + 300  # on a busy machine importing torch alone takes half a minute
        while not any(row.epoch >= 1 for row in run.rows()):
            assert process.poll() is None, process.stderr and process.stderr.read().decode()
            assert time.monotonic() < deadline
            time.sleep(0.002)
        time.sleep(seconds)
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert process.returncode == -signal.SIGKILL


@pytest.mark.parametrize("method", METHODS)
def test_killed_at_a_random_moment_and_resumed_equals_never_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    config = tiny_config(method, train__epochs=16)
    plain = trained(tmp_path / "plain", config)
    run = tiny_run(tmp_path / "killed", config)
    kill_after_the_first_epoch(
        run, random.uniform(0.0, 0.3)
    )  # truly random: each run of this test is a new one
    assert run.status.state == "running"  # it had no chance to say otherwise
    epochs = {row.epoch for row in run.rows()}
    assert 1 in epochs
    assert 16 not in epochs
    monkeypatch.setattr(MODULE, "SECONDS_BETWEEN_SAVES", 0.0)
    fit(RunFolder(run.path), DATA, CPU, Observer())
    assert run.status.state == "finished"
    assert_equal(plain, run)


def test_saving_within_an_epoch_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = trained(tmp_path / "plain", tiny_config("fat-cfa"))
    monkeypatch.setattr(MODULE, "SECONDS_BETWEEN_SAVES", 0.0)
    assert_equal(plain, trained(tmp_path / "saved", tiny_config("fat-cfa")))
