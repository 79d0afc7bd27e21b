"""A run is a folder: what it tells, what it refuses, and that it can be copied elsewhere."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from cfa.errors import StoreError, UnknownName
from cfa.models import save_weights
from cfa.runs.folder import Label, Manifest, RunFolder, Status, require_weights
from cfa.runs.rows import Epoch, append_rows
from cfa.runs.store import Store
from tests.support.tiny import tiny_config, tiny_run

MANIFEST = Manifest(
    created="2026-01-01T00:00:00+00:00",
    code_version="0.1",
    packages={"torch": "2"},
    device="cpu",
    threads=1,
    data_fingerprint="abc",
    class_names=("ant", "bee"),
    train_counts=(3, 4),
    val_counts=(1, 1),
    model={"channels": 1},
)
EPOCH = Epoch(
    epoch=1,
    learning_rate=0.1,
    loss=1.0,
    seconds=1.0,
    images_per_second=1.0,
    gate_worst=None,
    gate_threshold=None,
    gate_accepted=None,
)


def test_a_new_run_is_queued_and_knows_nothing_yet(tmp_path: Path) -> None:
    config = tiny_config()
    run = tiny_run(tmp_path, config, "first")
    assert run.config == config
    assert run.label == Label("first")
    assert (run.status.state, run.status.epoch) == ("queued", 0)
    assert run.manifest is None
    assert run.class_names == ()
    assert run.rows() == []
    assert run.kept_weights() == []


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    run = tiny_run(tmp_path, tiny_config())
    run.write_manifest(MANIFEST)
    run.write_status("failed", 3, "a sentence")
    run.write_label(Label("other", ("a", "b"), "notes ü"))
    run.write_split([3, 1], [2])
    append_rows(run.history_file, [EPOCH])
    again = RunFolder(run.path)
    assert again.manifest == MANIFEST
    assert again.class_names == ("ant", "bee")
    assert (again.status.state, again.status.epoch, again.status.message) == ("failed", 3, "a sentence")
    assert again.label == Label("other", ("a", "b"), "notes ü")
    assert json.loads((run.path / "split.json").read_text()) == {"train": [3, 1], "validation": [2]}
    assert again.rows() == [EPOCH]


def test_a_folder_that_was_copied_elsewhere_is_simply_there(tmp_path: Path) -> None:
    run = tiny_run(tmp_path / "one", tiny_config(), "mine")
    run.write_manifest(MANIFEST)
    other = Store.open(tmp_path / "two", shipped=None)
    shutil.copytree(run.path, other.runs_folder / run.id)
    found = other.find("mine")
    assert (found.id, found.config, found.manifest) == (run.id, run.config, MANIFEST)


def test_without_its_small_files_a_run_still_answers(tmp_path: Path) -> None:
    run = tiny_run(tmp_path, tiny_config(), "mine")
    for file in ("label.json", "status.json"):
        (run.path / file).unlink()
    assert run.name == run.id
    assert run.status == Status()


def test_a_damaged_label_hides_no_run(tmp_path: Path) -> None:
    run = tiny_run(tmp_path, tiny_config())
    (run.path / "label.json").write_text("{half")
    assert run.name == run.id
    assert "cannot be read" in run.label.notes


@pytest.mark.parametrize("file", ["status.json", "manifest.json"])
def test_a_damaged_file_is_named(tmp_path: Path, file: str) -> None:
    run = tiny_run(tmp_path, tiny_config())
    (run.path / file).write_text("{half")
    with pytest.raises(
        StoreError, match=rf"run {run.id}: {file} cannot be read \(.+\); restore it or delete"
    ):
        _ = (run.label, run.status, run.manifest)


@pytest.mark.parametrize("content", [None, "{", '{"method": 1}', '{"from": "another version"}'])
def test_a_damaged_configuration_is_named(tmp_path: Path, content: str | None) -> None:
    run = tiny_run(tmp_path, tiny_config())
    if content is None:
        (run.path / "config.json").unlink()
    else:
        (run.path / "config.json").write_text(content)
    with pytest.raises(StoreError, match=f"run {run.id}: config.json cannot be read"):
        _ = RunFolder(run.path).config


def test_kept_weights_are_listed_and_missing_ones_explained(tmp_path: Path) -> None:
    run = tiny_run(tmp_path, tiny_config(), "mine")
    with pytest.raises(UnknownName, match="run 'mine' kept no best fawa weights; it has: none"):
        require_weights(run, "fawa", "best")
    for weights, checkpoint in (("fawa", "last"), ("online", "last"), ("online", "epoch5"), ("ema", "best")):
        save_weights(run.weights_file(weights, checkpoint), {"a": torch.ones(2)}, {})
    (run.path / "weights" / "notes.txt").write_text("not weights")
    assert run.kept_weights() == [("online", "epoch5"), ("online", "last"), ("ema", "best"), ("fawa", "last")]
    assert require_weights(run, "ema", "best").exists()
    with pytest.raises(UnknownName, match=r"it has: online \(epoch5\), online \(last\), ema \(best\)"):
        require_weights(run, "fawa", "best")


def test_space_is_counted_and_freed(tmp_path: Path) -> None:
    run = tiny_run(tmp_path, tiny_config())
    before = run.bytes_used()
    assert before == sum(file.stat().st_size for file in run.path.rglob("*") if file.is_file())
    run.state_file.write_bytes(b"x" * 1000)
    assert run.bytes_used() == before + 1000
    assert run.prune() == 1000
    assert run.prune() == 0
    assert run.bytes_used() == before
    run.delete()
    assert not run.path.exists()


def test_runs_that_ship_with_the_project_cannot_be_changed(tmp_path: Path) -> None:
    path = tiny_run(tmp_path, tiny_config(), "demo").path
    run = RunFolder(path, read_only=True)
    for change in (
        lambda: run.delete(),
        lambda: run.write_label(Label("x")),
        lambda: run.write_status("failed", 1),
        lambda: run.write_config(tiny_config()),
    ):
        with pytest.raises(
            StoreError, match=r"run 'demo' ships with CFA Studio and cannot be (deleted|changed)"
        ):
            change()
    assert run.name == "demo"
    assert path.exists()
