"""A place with valid files of every kind: a store, a queue, a suite, weights, images, an export, a log.

It is made once a process; every example works on a copy of its own.
"""

import itertools
import json
import os
import shutil
import sqlite3
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from cfa.config import RunConfig
from cfa.data import load_dataset
from cfa.evaluation import EvaluationPlan, evaluate_weights
from cfa.jobs.queue import Queue
from cfa.jobs.submit import submit_comparison, submit_evaluation, submit_reproduction, submit_training
from cfa.methods import configure
from cfa.models import ModelSpec, build_model, save_weights
from cfa.progress import Observer
from cfa.runs.folder import RunFolder
from cfa.runs.store import Store
from cfa.tables.exports import export_runs
from tests.app.example_store import FASHION, started_run
from tests.fuzz import formats
from tests.fuzz.mutations import SECRET

CPU = torch.device("cpu")
DATASET = "fashion-mnist-mini"
CANARY = """
import sys
sys.audit("canary.imported")


def run(*arguments, **named):
    sys.audit("canary.called")
"""
PROGRESS = {
    "done": 1,
    "total": 2,
    "unit": "epochs",
    "phase": "a",
    "epoch": 1,
    "epochs": 2,
    "rate": 1,
    "seconds_left": 1,
    "updated": "",
}
SUITE = {
    "title": "Two methods",
    "datasets": [DATASET],
    "methods": ["pgd-at", "trades-cfa"],
    "seeds": [0],
    "model": "small-cnn",
    "preset": "demo",
    "prefix": "fuzzed",
    "published": ["cfa-table1"],
    "settings": {"train.epochs": 1, "attack.eps": "8/255"},
    "by_method": {"trades-cfa": {"rule.lambda_eps": [0.3, 0.5]}},
    "by_dataset": {DATASET: {"train.batch_size": 64}},
    "init": {"trades-cfa": "pgd-at"},
    "evaluations": [{"attacks": ["pgd-2"], "weights": "auto", "limit": 20, "methods": ["pgd-at"]}],
}


@dataclass(frozen=True)
class Artefacts:
    """The place that copies are made of.

    Attributes:
        place: Holds ``home`` (the store), ``work`` (where one stands), ``scratch`` and ``outside``.
        alpha: Id of the run that is changed; it has evaluations, weights and rows.
        beta: Id of a run that stays as it is.
        documents: What can be changed field by field, by file below the place.
        checkpoint: A checkpoint of torch as a nested object, before it is saved.
        row: A row of the queue's database.
    """

    place: Path
    alpha: str
    beta: str
    documents: dict[str, Any]
    checkpoint: dict[str, Any]
    row: dict[str, Any]
    _numbers: "itertools.count[int]" = field(default_factory=itertools.count)

    def copy(self) -> Path:
        """Make a copy; it stands beside the place, so that names are equally long."""
        target = self.place.with_name(f"copy-{next(self._numbers)}")
        shutil.copytree(self.place, target, symlinks=True, copy_function=_copied)
        return target

    def files(self, *patterns: str) -> list[str]:
        """List files below the place."""
        found = {path for pattern in patterns for path in self.place.glob(pattern)}
        return sorted(str(path.relative_to(self.place)) for path in found if path.is_file())

    def having(self, *starts: str) -> dict[str, Any]:
        """Return the documents whose file begins so."""
        return {name: found for name, found in self.documents.items() if name.startswith(starts)}


def _copied(source: str, target: str) -> str:
    """Link what is large and never written in place; copy the rest."""
    if source.endswith((".parquet", ".safetensors", ".pth", ".png")):
        os.link(source, target)
    else:
        shutil.copyfile(source, target)
    return target


def make(root: Path) -> Artefacts:
    """Make the place."""
    torch.set_num_threads(1)
    place = root / "valid"
    for folder in ("home", "work", "outside", "scratch"):
        (place / folder).mkdir(parents=True)
    (place / "outside" / "secret.txt").write_text(SECRET)
    (place / "work" / "canary.py").write_text(CANARY)
    store = Store.open(place / "home", shipped=None)
    alpha, beta = (
        _run(store, method, name) for method, name in (("trades-cfa", "alpha"), ("pgd-at", "beta"))
    )
    (alpha.path / "canary.py").write_text(CANARY)
    (alpha.path / "state").mkdir(exist_ok=True)
    torch.save({"epoch": 1}, alpha.state_file)
    rows = _queue(store, alpha, beta)
    checkpoint = _others(place / "work", store, beta)
    documents = {
        str(path.relative_to(place)): formats.read(path)
        for folder in (alpha.path, place / "home" / "jobs", place / "work")
        for path in sorted(folder.rglob("*"))
        if path.suffix in formats.DOCUMENTS
    }
    documents["work/suite.toml"] = SUITE
    (place / "work" / "suite.toml").write_bytes(formats.to_toml(SUITE))
    return Artefacts(place, alpha.id, beta.id, documents, checkpoint, rows)


def _config(method: str) -> RunConfig:
    return configure(method, DATASET, model="small-cnn", preset="demo", overrides={"train.epochs": 2})


def _run(store: Store, method: str, name: str) -> RunFolder:
    """Make a finished run with real weights and a real evaluation of a few images."""
    run = started_run(store, _config(method), FASHION, epochs=2, name=name)
    run.write_split([0, 1, 2], [3])
    spec = ModelSpec(1, 10, 28, (0.28,), (0.35,))
    for weights in ("online", "fawa"):
        network = build_model("small-cnn", spec, 0)
        save_weights(run.weights_file(weights, "best"), network.state_dict(), {"epoch": "2"})
    run.write_status("finished", 2, "")
    plan = EvaluationPlan(
        attacks=("pgd-2", "autoattack(apgd-ce,square)"), eps=2 / 255, limit=60, batch_size=60
    )
    _few_queries()
    for weights in ("online", "fawa") if name == "alpha" else ("online",):
        data, evaluation = load_dataset(DATASET, store.data_folder), f"20260101T000000-{weights}"
        evaluate_weights(run, weights, "best", plan, data, CPU, Observer(), evaluation_id=evaluation)
    return run


def _few_queries() -> None:
    """Let Square and APGD give up soon: what they find is not what is looked at here."""
    from cfa.attacks import autoattack

    autoattack.ITERATIONS, autoattack.QUERIES = 2, 5


def _queue(store: Store, alpha: RunFolder, beta: RunFolder) -> dict[str, Any]:
    """Queue an evaluation (its row is returned), a comparison, images to make again, a paused training."""
    queue = Queue(store.home)
    plan = EvaluationPlan(attacks=("pgd-2",), limit=20)
    first = submit_evaluation(store, queue, alpha, weights="online", checkpoint="best", plan=plan)
    submit_comparison(store, queue, [alpha, beta], alpha)
    evaluation = sorted(path.name for path in (alpha.path / "evaluations").iterdir())[0]
    submit_reproduction(store, queue, alpha, evaluation, "pgd-2", [0])
    _, (training,) = submit_training(store, queue, _config("trades"), name="gamma")
    queue.pause(training.id)
    folder = store.home / "jobs" / first.id
    (folder / "log.txt").write_text("a line\n")
    (folder / "progress.json").write_text(json.dumps(PROGRESS))
    (folder / "result.json").write_text(json.dumps({"evaluations": {"online best": "x"}}))
    with sqlite3.connect(store.home / "queue.sqlite") as connection:
        connection.row_factory = sqlite3.Row
        return dict(connection.execute("SELECT * FROM jobs WHERE id = ?", (first.id,)).fetchone())


def _others(work: Path, store: Store, beta: RunFolder) -> dict[str, Any]:
    """Write weights, images, an export, a log of the official code and published numbers."""
    export_runs([beta], work / "export")
    (work / "export" / "runs" / beta.id).rename(work / "export" / "runs" / "rffffffff")
    (work / "export" / "runs" / "rffffffff" / "canary.py").write_text(CANARY)
    state = build_model("small-cnn", ModelSpec(1, 10, 28, (0.28,), (0.35,)), 0).state_dict()
    save_weights(work / "weights.safetensors", state, {})
    draws = np.random.default_rng(0)
    for part, name in [(part, name) for part in ("train", "test") for name in ("ant", "bee")]:
        folder = work / "images" / part / name
        folder.mkdir(parents=True)
        for number in range(3):
            pixels = draws.integers(0, 256, (28, 28), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"{number}.png")
    log = work / "log" / "models" / "official"
    log.mkdir(parents=True)
    torch.save(torch.full((2, 6, 10), 0.5), log / "cw_log.pth")
    arguments = {"mode": "TRADES", "ccm": True, "ccr": True, "lambda_1": 0.5, "epsilon": 8, "threshold": 0.2}
    (log / "config.json").write_text(json.dumps({**arguments, "model": "PRN", "fname": "official"}))
    shutil.copy(Path(__file__).parents[2] / "benchmarks" / "published" / "trix.json", work / "published.json")
    return {"epoch": 3, "state_dict": dict(state), "args": {"model": "small-cnn"}, "best": {"acc": 0.5}}
