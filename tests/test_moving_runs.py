"""`cfa export` and `cfa import`: from one home to another, with a sentence about what did not come along."""

import json
from pathlib import Path

import pytest

from cfa.runs.store import Store
from tests.conftest import SETTINGS

pytestmark = pytest.mark.usefixtures("no_shipped_runs")


@pytest.fixture
def trained(cfa, tiny: str, home: Path) -> Path:
    """The folder of a run that keeps snapshots, and images of an evaluation."""
    settings = {**SETTINGS, "train.epochs": "1", "train.keep_every": "1"}
    options = [part for name, value in settings.items() for part in ("--set", f"{name}={value}")]
    command = (
        "train",
        "--method",
        "trades-cfa",
        "--dataset",
        tiny,
        "--model",
        "small-cnn",
        "--preset",
        "demo",
    )
    cfa(*command, "--name", "mine", *options)
    cfa("evaluate", "mine", "--attack", "pgd-2", "--eps", "64/255")
    (run,) = Store.open(home).runs()
    kept = {file.name for file in run.path.rglob("*")}
    assert {"epoch1-online.safetensors", "adversarial.safetensors", "batches.parquet"} <= kept
    return run.path


def test_everything_that_training_and_evaluation_write_moves(trained: Path, cfa, tmp_path, monkeypatch):
    assert cfa("export", "mine", "--out", str(tmp_path / "out"), "--json")["left_out"] == []
    monkeypatch.setenv("CFA_HOME", str(tmp_path / "second"))
    imported = cfa("import", str(tmp_path / "out"), "--json")
    assert imported == {
        "imported": [{"run_id": trained.name, "run_name": "mine"}],
        "skipped": [],
        "left_out": [],
    }
    (moved,) = Store.open(tmp_path / "second").runs()
    names = [
        {str(file.relative_to(folder)) for file in folder.rglob("*") if file.suffix != ".lock"}
        for folder in (trained, moved.path)
    ]
    assert names[0] == names[1]


def test_what_does_not_come_along_is_counted_and_named(trained: Path, cfa, tmp_path, monkeypatch):
    for number in range(8):
        (trained / f"gift{number}.py").write_text("raise SystemExit('it ran')")
    (trained / "a\x1b[2Jb").write_text("x")
    (trained / "key").symlink_to(tmp_path)
    done = cfa("export", "mine", "--out", str(tmp_path / "out"))
    assert f"left out 1: {trained.name}/key: a link" in done.stdout
    monkeypatch.setenv("CFA_HOME", str(tmp_path / "second"))
    said = cfa("import", str(tmp_path / "out")).stderr
    assert "left out 9: " in said
    assert "gift0.py: not a file of a run" in said
    assert "and 4 more" in said
    assert "\x1b" not in said
    label = trained / "label.json"
    label.write_text(json.dumps({"name": "![](http://a.test)", "tags": [], "notes": ""}))
    monkeypatch.setenv("CFA_HOME", str(tmp_path / "third"))
    assert (
        "is called by its id: its name '![](http://a.test)' is not usable"
        in cfa("import", str(trained)).stderr
    )
