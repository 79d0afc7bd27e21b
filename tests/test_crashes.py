"""The comparison of `benchmarks/crashes.py` sees what a crash could do, and nothing where it did nothing."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from benchmarks.crashes_compared import differences, half_written, kept, unfinished_jobs
from cfa.evaluation import EvaluationPlan, evaluate_weights
from cfa.jobs.kinds.train_run import TrainRun
from cfa.jobs.queue import Queue
from cfa.progress import Observer
from cfa.runs.folder import RunFolder
from tests.support.tiny import CPU, tiny_config, tiny_dataset, trained


def made(folder: Path) -> RunFolder:
    """Train and evaluate a run."""
    run = trained(folder, tiny_config("trades-cfa"))
    run.prune()
    plan = EvaluationPlan(attacks=("pgd-3",), eps=0.1)
    evaluate_weights(run, "online", "best", plan, tiny_dataset(), CPU, Observer())
    return run


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return made(tmp_path_factory.mktemp("home"))


@pytest.fixture
def run(reference: RunFolder, tmp_path: Path) -> RunFolder:
    """A copy of it, for something to happen to."""
    shutil.copytree(reference.path, tmp_path / "runs" / reference.id)
    return RunFolder(tmp_path / "runs" / reference.id)


def compared(reference: RunFolder, run: RunFolder) -> list[str]:
    return differences(kept(reference.path.parents[1]), kept(run.path.parents[1]))


def change_lines(run: RunFolder, change: Callable[[list[str]], list[str]]) -> None:
    run.history_file.write_text("".join(change(run.history_file.read_text().splitlines(keepends=True))))


def change_document(file: Path, **fields: object) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | fields))


def change_weight(run: RunFolder) -> None:
    """Change the last bit of one number."""
    file = run.weights_file("ema", "last")
    with safe_open(file, framework="pt") as stored:
        metadata = stored.metadata()
    weights = load_file(file)
    name = next(name for name, weight in weights.items() if weight.dtype == torch.float32)
    weights[name].view(-1).view(torch.int32)[0] ^= 1
    save_file(weights, file, metadata)


def change_outcome(run: RunFolder) -> None:
    """Let one image be taken for the next class."""
    (file,) = run.path.glob("evaluations/*/outcomes.parquet")
    table = pq.read_table(file).to_pydict()
    table["pgd-3"][7] = (table["pgd-3"][7] + 1) % 4
    pq.write_table(pa.table(table), file)


def change_knob(run: RunFolder) -> None:
    def change(lines: list[str]) -> list[str]:
        rows = [json.loads(line) for line in lines]
        knobs = next(row for row in rows if row["row"] == "knobs" and row["epoch"] == 3)
        knobs["values"]["eps"][1] *= 1 + 1e-12
        return [f"{json.dumps(row)}\n" for row in rows]

    change_lines(run, change)


def add_evaluation(run: RunFolder) -> None:
    (folder,) = (run.path / "evaluations").iterdir()
    shutil.copytree(folder, folder.with_name("20300101T000000-00000000"))


def leave_batches(run: RunFolder) -> None:
    (folder,) = (run.path / "evaluations").iterdir()
    (folder / "parts").mkdir()
    (folder / "parts" / "step-0.json").write_text("[]")


def with_lines(change: Callable[[list[str]], list[str]]) -> Callable[[RunFolder], None]:
    return lambda run: change_lines(run, change)


CRASHES: dict[str, tuple[Callable[[RunFolder], object], str]] = {
    "a changed weight": (change_weight, "weights last-ema, .* differs"),
    "lost weights": (lambda run: run.weights_file("fawa", "best").unlink(), "weights best-fawa, .* is lost"),
    "a lost row": (with_lines(lambda lines: lines[:-1]), "row epoch 4 is lost"),
    "a doubled row": (
        with_lines(lambda lines: lines + lines[-1:]),
        "row epoch 4, again 2 is",
    ),
    "half a row": (
        with_lines(lambda lines: [*lines, '{"row": "ep']),
        "row no JSON.* besides",
    ),
    "other order": (with_lines(lambda lines: lines[::-1]), "order of rows differs"),
    "a changed knob": (change_knob, "row knobs 3 differs"),
    "a changed outcome": (change_outcome, r"under clean\+pgd-3, outcomes of image \d+ differs"),
    "a doubled evaluation": (add_evaluation, "evaluation of online best .*, again 2 is there besides"),
    "batches left": (leave_batches, "file evaluations/.*/parts/step-0.json is there besides"),
    "another state": (lambda run: run.write_status("running", 4), "status.json differs"),
    "a changed plan": (
        lambda run: change_document(next(run.path.glob("evaluations/*/evaluation.json")), seed=1),
        "evaluation of online best under .*, what it says differs",
    ),
    "a lost run": (lambda run: shutil.rmtree(run.path), "config.json is lost"),
}


@pytest.mark.parametrize("crash", CRASHES)
def test_what_a_crash_did_is_named(reference: RunFolder, run: RunFolder, crash: str) -> None:
    happen, expected = CRASHES[crash]
    assert compared(reference, run) == []
    happen(run)
    said = compared(reference, run)
    assert any(re.search(expected, sentence) for sentence in said), said


def test_the_same_made_again_does_not_differ(reference: RunFolder, tmp_path: Path) -> None:
    """Other ids, another clock."""
    again = made(tmp_path)
    assert again.id != reference.id
    assert compared(reference, again) == []


def test_jobs_that_are_not_done_and_half_written_files_are_named(tmp_path: Path) -> None:
    queue = Queue(tmp_path)
    job = queue.submit(TrainRun(), "one", foreground=True)
    assert [said.rpartition(" says ")[2] for said in unfinished_jobs(tmp_path)] == [
        "running in the queue",
        "running in its folder",
    ]
    queue.finish(job.id, "done")
    assert unfinished_jobs(tmp_path) == []
    half = tmp_path / "jobs" / job.id / ".state.json.0a.tmp"
    half.write_text("{")
    assert half_written(tmp_path) == {half}
