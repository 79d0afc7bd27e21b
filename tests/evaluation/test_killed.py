"""A worker that is killed within every attack of AutoAttack finishes as if nothing had happened."""

import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from cfa.evaluation import EvaluationPlan
from cfa.foreign.registration import register_weights
from cfa.jobs.queue import Queue
from cfa.jobs.submit import submit_evaluation
from cfa.models import WeightsFile, save_weights
from cfa.runs.evaluations import outcomes_file, read_evaluations, read_outcomes
from cfa.runs.folder import RunFolder
from cfa.runs.store import Store
from cfa.trust import allowing
from tests.support import staged

DATASET = "tests.support.staged:load"
PLAN = EvaluationPlan(attacks=("autoattack",), eps=staged.EPS, batch_size=2, seed=1)
ATTACKS = ("apgd-ce", "apgd-t", "fab-t", "square")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CFA_HOME", str(tmp_path))
    return tmp_path


def submitted(home: Path, name: str) -> tuple[RunFolder, str]:
    store, weights = Store.open(home, shipped=None), home / f"{name}.safetensors"
    save_weights(weights, staged.staged_network().state_dict(), {"made as": name})
    with allowing([DATASET]):
        run = register_weights(store, WeightsFile(weights), DATASET, "small-cnn", name=name)
    job = submit_evaluation(
        store, Queue(home), run, weights="file", checkpoint="file", plan=PLAN, foreground=True
    )
    return run, job.id


def worker(home: Path, job: str) -> subprocess.Popen[bytes]:
    with (home / "worker.log").open("wb") as log:
        return subprocess.Popen([sys.executable, "-m", "cfa", "run-job", job], stdout=log, stderr=log)


def made(home: Path) -> int:
    """Read from its log how many forward passes the last worker made."""
    return int(re.findall(r"(\d+) forward passes of an image each", (home / "worker.log").read_text())[-1])


@pytest.mark.slow
def test_killed_within_each_of_the_four_attacks(home: Path) -> None:
    straight, job = submitted(home, "straight")
    assert worker(home, job).wait() == 0
    whole = made(home)
    killed, job = submitted(home, "killed")
    queue = Queue(home)
    for number, attack in enumerate(ATTACKS, start=1):
        process = worker(home, job)
        while not (parts := list((killed.path / "evaluations").glob(f"*/parts/step-{number}-*.npz"))):
            time.sleep(0.002)
            assert process.poll() is None, f"{attack} was too fast to be killed"
        process.send_signal(signal.SIGKILL)
        process.wait()
        (partition,) = (killed.path / "evaluations").glob(f"*/parts/step-{number}.json")
        assert len(parts) < partition.read_text().count("[") - 1, f"{attack} had finished"
        assert queue.get(job).state == "interrupted"
        queue.resume(job, foreground=True)
    assert worker(home, job).wait() == 0
    (one,), (other,) = read_evaluations(straight), read_evaluations(killed)
    assert one.scores == other.scores
    assert one.findings == other.findings
    expected, found = read_outcomes(straight, one.id), read_outcomes(killed, other.id)
    assert expected.keys() == found.keys()
    assert all(np.array_equal(expected[name], found[name]) for name in expected)
    for name in ("adversarial.safetensors", "batches.parquet"):
        left, right = (outcomes_file(r, e.id).with_name(name) for r, e in ((straight, one), (killed, other)))
        assert left.read_bytes() == right.read_bytes()
    assert made(home) < whole
