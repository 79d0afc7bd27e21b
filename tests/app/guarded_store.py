"""A store with something to lose: a run of its own, runs of others that name code and a folder, and jobs."""

import json
import shutil
from pathlib import Path

from PIL import Image

from cfa.jobs.kinds.train_run import TrainRun
from cfa.jobs.queue import Queue
from cfa.methods import configure
from cfa.runs.evaluations import outcomes_file, read_evaluations
from cfa.runs.store import Store
from tests.app.example_evaluations import add_evaluations
from tests.app.example_store import FASHION, finished_run

CANARY = "canary:run"  # a module that tells whether it was imported
SECRET = "secret"  # a folder beside the home, with images in it


def fill_guarded(home: Path) -> None:
    """Fill ``home``, and put the secret folder beside it."""
    store = Store.open(home)
    config = configure("trades-cfa", "fashion-mnist-mini", overrides={"train.epochs": 2})
    run = finished_run(store, config, FASHION, name="own")
    add_evaluations(run, seed=0)
    for evaluation in read_evaluations(run)[:-1]:  # one of its end stays, and what has images or lengths
        if not evaluation.id.endswith(("images", "smallest")):
            shutil.rmtree(outcomes_file(run, evaluation.id).parent)
    secret = home.parent / SECRET
    for place in [secret / part / name for part in ("train", "test") for name in ("cats", "dogs")]:
        place.mkdir(parents=True)
        for number in range(4):
            Image.new("L", (8, 8), 60 * number).save(place / f"{number}.png")
    (secret / "weights.pt").write_bytes(b"weights")
    _copy(run.path, "foreign-code", dataset=CANARY, model=CANARY)
    _copy(run.path, "foreign-method", method=CANARY, init=str(secret / "weights.pt"))
    _copy(run.path, "foreign-folder", dataset=f"folder:{secret}")
    queue = Queue(home)
    for title in ("first", "waits"):
        queue.submit(TrainRun(), title)
    queue.cancel(queue.submit(TrainRun(), "ended").id)


def write_canary(folder: Path) -> None:
    """Write the module; it leaves a file where it was imported."""
    mark = folder / "canary-was-imported"
    (folder / "canary.py").write_text(f"open({str(mark)!r}, 'w').close()\n\ndef run(*anything): ...\n")


def _copy(original: Path, name: str, **changes: str) -> None:
    copied = shutil.copytree(original, original.with_name(name))
    _change(copied / "config.json", changes)
    _change(copied / "label.json", {"name": name})
    for file in copied.glob("evaluations/*/evaluation.json"):
        _change(file, {key: value for key, value in changes.items() if key == "dataset"})


def _change(file: Path, changes: dict[str, str]) -> None:
    file.write_text(json.dumps(json.loads(file.read_text(encoding="utf-8")) | changes), encoding="utf-8")
