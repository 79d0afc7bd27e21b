"""A sequential evaluation whose worker is killed again and again ends as if nothing had happened."""

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from cfa.data import Dataset, DatasetSource
from cfa.evaluation import EvaluationPlan
from cfa.foreign.registration import register_weights
from cfa.jobs.queue import Queue
from cfa.jobs.submit import submit_evaluation
from cfa.models import WeightsFile, save_weights
from cfa.runs.evaluations import read_evaluations, read_outcomes
from cfa.runs.folder import RunFolder
from cfa.runs.sequential import read_sequential
from cfa.runs.store import Store
from cfa.statistics import Targets
from cfa.trust import allowing
from tests.support import staged

DATASET = f"{__name__}:load"
PLAN = EvaluationPlan(attacks=("pgd-200", "apgd-ce"), eps=staged.EPS, batch_size=4, seed=1)
TARGETS = Targets(worst=0.1, mean=0.1)


@DatasetSource
def load(folder: Path) -> Dataset:
    """Load images of which each attack breaks some."""
    return staged.staged_dataset(each=12)


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
        store,
        Queue(home),
        run,
        weights="file",
        checkpoint="file",
        plan=PLAN,
        until=TARGETS,
        foreground=True,
    )
    return run, job.id


def worker(home: Path, job: str) -> subprocess.Popen[bytes]:
    with (home / "worker.log").open("wb") as log:
        return subprocess.Popen([sys.executable, "-m", "cfa", "run-job", job], stdout=log, stderr=log)


@pytest.mark.slow
def test_killed_at_random_moments(home: Path) -> None:
    straight, job = submitted(home, "straight")
    assert worker(home, job).wait() == 0, (home / "worker.log").read_text()
    killed, job = submitted(home, "killed")
    queue, rng = Queue(home), random.Random(15)
    for _ in range(3):
        before = len(list(killed.path.glob("evaluations/*/parts/*.npz")))
        process = worker(home, job)
        wanted = before + rng.randint(1, 6)
        while len(list(killed.path.glob("evaluations/*/parts/*.npz"))) < wanted:
            time.sleep(0.002)
            assert process.poll() is None, "it was too fast to be killed"
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert queue.get(job).state == "interrupted"
        assert read_sequential(killed) == []
        queue.resume(job, foreground=True)
    assert worker(home, job).wait() == 0, (home / "worker.log").read_text()
    (one,), (other,) = read_sequential(straight), read_sequential(killed)
    assert (one.reached, one.sizes, one.counted.scores) == (other.reached, other.sizes, other.counted.scores)
    assert one.counted.findings == other.counted.findings
    left, right = read_outcomes(straight, one.id), read_outcomes(killed, other.id)
    assert left.keys() == right.keys()
    assert all(np.array_equal(left[name], right[name]) for name in left)
    assert read_evaluations(straight) == read_evaluations(killed) == []
    assert list(killed.path.glob("evaluations/*/parts")) == []
