"""Commands print what others wrote, and it moves nothing on the terminal."""

import json

import pytest

from cfa.config import RunConfig
from cfa.escaping import printable
from cfa.jobs.kinds.train_run import TrainRun
from cfa.jobs.queue import Queue
from cfa.runs.store import Store

pytestmark = pytest.mark.usefixtures("no_shipped_runs")

HOSTILE = "a\x1b[2J\x1b]0;b\x07\rc\n\u202ed\x9bm"


@pytest.fixture
def hostile(home):
    """A run and a job with such names, messages, tags and classes."""
    store = Store.open(home)
    run = store.create(RunConfig(method="trades", dataset="d", model="m", preset="demo"), "mine")
    (run.path / "label.json").write_text(json.dumps({"name": HOSTILE, "tags": [HOSTILE], "notes": HOSTILE}))
    run.write_status("failed", 1, HOSTILE)
    (run.path / HOSTILE.replace("\r", "")).write_text("x")
    queue = Queue(home)
    job = queue.submit(TrainRun(), HOSTILE)
    queue.finish(job.id, "failed", HOSTILE)
    return run


@pytest.mark.parametrize("as_json", [(), ("--json",)], ids=["table", "json"])
@pytest.mark.parametrize(
    "command",
    [
        ("runs",),
        ("jobs",),
        ("prune",),
        ("compare", "{id}", HOSTILE),
        ("compare", "no" + HOSTILE),
        ("evaluate", "{id}", "--attack", HOSTILE),
        ("export", "{id}", "--out", "out"),
        ("import", "{path}"),
        ("train", "--method", HOSTILE, "--dataset", "d"),
        ("suite", "plan", HOSTILE),
    ],
    ids=lambda command: " ".join(printable(part) for part in command),
)
def test_no_command_prints_what_moves_the_cursor(
    hostile, home, tmp_path, monkeypatch, command, as_json
) -> None:
    from typer.testing import CliRunner

    from cfa.commands import app

    monkeypatch.chdir(tmp_path)
    if command[0] == "import":
        monkeypatch.setenv("CFA_HOME", str(tmp_path / "second"))
    parts = [part.format(id=hostile.id, path=hostile.path) for part in command]
    done = CliRunner().invoke(app, [*parts, *as_json])
    assert done.exception is None or isinstance(done.exception, SystemExit)
    for line in (done.stdout + done.stderr).split("\n"):
        assert printable(line) == line
    if command[0] in ("runs", "jobs") and as_json:  # the document has it all the same
        assert any(HOSTILE in row.values() for row in json.loads(done.stdout))
