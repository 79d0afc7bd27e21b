"""A store in which every text that somebody else could have written tries to be more than a text."""

import json
from pathlib import Path

from cfa.jobs.kinds.train_run import TrainRun
from cfa.jobs.queue import Queue
from tests.app.example_store import fill

SIGNS = (
    '![p](http://canary.invalid/p.png) [l](http://canary.invalid/l) <img src="http://canary.invalid/i.png">',
    '<a href="http://canary.invalid/a">a</a> <b>b</b> **s** `c` $x^2$ :red[r] :material/lock: :streamlit:',
    "www.canary.invalid me@canary.invalid a -- b T&amp;C",
)
HOSTILE = " ".join(SIGNS)


def fill_with_hostile_texts(home: Path) -> list[str]:
    """Fill a home and put :data:`HOSTILE` into every text of it; return the runs' names."""
    store = fill(home, epochs=4, hundred=False)
    own = [run for run in store.runs() if not run.read_only]
    for number, run in enumerate(own):
        _change(run.path / "label.json", name=f"{number} {HOSTILE}", tags=[HOSTILE], notes=HOSTILE)
        if run.status.message:
            _change(run.path / "status.json", message=HOSTILE)
        classes = [f"{index} {HOSTILE}" for index in range(10)]
        _change(run.path / "manifest.json", class_names=classes, device=HOSTILE)
        for file in run.path.glob("evaluations/*/evaluation.json"):
            checks = json.loads(file.read_text(encoding="utf-8")).get("checks", [])
            checks = [check | {"name": HOSTILE, "meaning": HOSTILE} for check in checks]
            _change(file, class_names=classes, findings=[HOSTILE], checks=checks)
        run.log_file.write_text(HOSTILE, encoding="utf-8")
    queue = Queue(home)
    waiting = queue.submit(TrainRun(), f"waits {HOSTILE}")
    queue.pause(waiting.id)  # so that no supervisor takes it
    failed = queue.submit(TrainRun(), f"failed {HOSTILE}")
    queue.finish(failed.id, "failed", HOSTILE)
    cancelled = queue.submit(TrainRun(), f"cancelled {HOSTILE}")
    queue.cancel(cancelled.id)
    return [run.name for run in own]


def _change(file: Path, **fields: object) -> None:
    stored = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(json.dumps(stored | fields), encoding="utf-8")
