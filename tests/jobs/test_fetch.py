"""Fetching a data set as a job: known before, followed while it goes on, never done twice or by halves."""

import sys
from pathlib import Path

import pytest

from cfa.errors import ConfigError, DataError, UnknownName
from cfa.foreign.registration import register_weights
from cfa.jobs.job_folder import JobFolder, read_progress
from cfa.jobs.queue import Queue
from cfa.jobs.submit import submit_fetch
from cfa.jobs.worker import run_job
from cfa.models import WeightsFile
from cfa.runs.store import Store
from cfa.trust import allowing

SOURCE = """
from dataclasses import replace
from pathlib import Path
from cfa.data import Dataset, load_fashion_mnist_mini
from cfa.data.datasets import DatasetInfo, DatasetSource
from cfa.errors import DataError

def load(folder):
    if not (folder / "far.bin").exists():
        raise DataError("far is not here; put far.bin into the folder")
    return replace(load_fashion_mnist_mini(folder), name="far")

def describe(folder):
    here = (folder / "far.bin").exists()
    how = "" if here else "Offline, put far.bin there."
    return DatasetInfo("far", "Far away", 10, 1, 28, 10000, 10000, here, how, download_bytes=SIZE)

def download(folder, report):
    for done in (0, SIZE // 2, SIZE):
        report(done, SIZE)
        if BREAKS and done:
            raise DataError("far could not be downloaded (no network); put far.bin into the folder")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "far.bin").write_bytes(b"x")

FAR = DatasetSource(load, describe, download)
"""


@pytest.fixture
def far(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Write a module with a data set of three megabytes and give its name."""

    def write(size: int = 3_000_000, breaks: bool = False) -> str:
        (tmp_path / "far_data.py").write_text(f"SIZE, BREAKS = {size}, {breaks}\n{SOURCE}")
        monkeypatch.chdir(tmp_path)
        monkeypatch.syspath_prepend(str(tmp_path))
        sys.modules.pop("far_data", None)
        return "far_data:FAR"

    with allowing(["far_data:FAR"]):
        yield write


def test_a_job_fetches_it_and_says_how_much(store: Store, queue: Queue, far) -> None:
    job = submit_fetch(store, queue, far(), foreground=True)
    assert job.title == "fetch far_data:FAR (3 MB)"
    assert run_job(queue.home, job.id) == 0
    progress = read_progress(queue.home, job.id)
    assert progress is not None
    assert (progress.done, progress.total, progress.unit, progress.phase) == (3.0, 3.0, "MB", "download")
    assert (store.data_folder / "far.bin").exists()
    with pytest.raises(ConfigError, match="is here already"):
        submit_fetch(store, queue, "far_data:FAR")


def test_it_is_not_asked_for_twice(store: Store, queue: Queue, far) -> None:
    assert submit_fetch(store, queue, far()).id == submit_fetch(store, queue, "far_data:FAR").id


def test_what_fails_says_why_and_can_be_tried_again(store: Store, queue: Queue, far) -> None:
    job = submit_fetch(store, queue, far(breaks=True), foreground=True)
    assert run_job(queue.home, job.id) == 1
    assert queue.get(job.id).state == "failed"
    assert "no network" in queue.get(job.id).message
    assert not (store.data_folder / "far.bin").exists()
    again = submit_fetch(store, queue, far(), foreground=True)
    assert again.id != job.id
    assert run_job(queue.home, again.id) == 0


@pytest.mark.parametrize(("name", "error"), [("nothing", UnknownName), ("fashion-mnist-mini", ConfigError)])
def test_what_cannot_be_fetched_is_refused(store: Store, queue: Queue, name: str, error: type) -> None:
    with pytest.raises(error):
        submit_fetch(store, queue, name)
    assert queue.jobs() == []


def test_without_a_download_it_says_what_to_do(store: Store, queue: Queue, far) -> None:
    with pytest.raises(ConfigError, match=r"cannot be fetched; Offline, put far\.bin there"):
        submit_fetch(store, queue, far(size=0))


def test_weights_do_not_start_a_download_behind_ones_back(store: Store, far, tmp_path: Path) -> None:
    import torch

    torch.save({"1.weight": torch.zeros(10, 784)}, tmp_path / "weights.pt")
    with pytest.raises(DataError, match="fetch it first: cfa fetch far_data:FAR"):
        register_weights(store, WeightsFile(tmp_path / "weights.pt"), far())
    assert not store.data_folder.exists() or not any(store.data_folder.iterdir())


def test_the_command_fetches_and_prints_its_job(cfa, home: Path, far) -> None:
    name = far()
    job = cfa("fetch", name, "--json")
    assert (job["kind"], job["state"]) == ("fetch", "done")
    assert "fetching far_data:FAR (3 MB)" in JobFolder.of(home, job["id"]).log_file.read_text()
    refused = cfa("fetch", name, code=2)
    assert "is here already" in refused.stderr


def test_an_evaluation_in_python_fetches_what_it_misses(home: Path, far) -> None:
    import torch

    import cfa as package

    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(784, 10))
    evaluation = package.evaluate(model, far(), "clean", limit=10)
    assert evaluation.scores[0].total == (1,) * 10
    assert (home / "data" / "far.bin").exists()


def test_an_evaluation_in_python_says_why_its_data_are_not_there(home: Path, far) -> None:
    import torch

    import cfa as package

    with pytest.raises(DataError, match=r"was not fetched: far could not be downloaded \(no network\)"):
        package.evaluate(torch.nn.Linear(1, 1), far(breaks=True), "clean")
