import csv
import errno
import os
import shutil
from pathlib import Path

import pytest

from cfa.errors import ConfigError, StoreError
from cfa.results.exports import export_runs, import_runs
from cfa.results.frames import EPOCHS_COLUMNS, KNOBS_COLUMNS, PER_CLASS_COLUMNS, SUMMARY_COLUMNS
from cfa.results.rows import Epoch, Knobs, Scores, append_rows
from cfa.results.runs import Label
from cfa.results.store import Store


@pytest.fixture
def run(make_run, evaluated):
    """A run with one epoch of rows, one evaluation, weights, and the traces of a living process."""
    run = make_run("mine")
    run.write_label(Label("mine", ("a tag",), "notes"))
    gate = {"gate_worst": 0.25, "gate_threshold": 0.2, "gate_accepted": True}
    epoch = {"learning_rate": 0.1, "loss": 1 / 3, "seconds": 2.0, "images_per_second": 100.0}
    append_rows(
        run.history_file,
        [
            Knobs(epoch=1, eps=(0.1, 0.2, 0.3), clean_weight=(0, 1, 1), robust_weight=(1, 6, 3)),
            Scores(
                epoch=1,
                split="train",
                weights="online",
                attack="training",
                norm="linf",
                eps=8 / 255,
                correct=(1, 2, 3),
                total=(7, 7, 7),
            ),
            Epoch(epoch=1, **epoch, **gate),
            Epoch(epoch=2, **epoch, **dict.fromkeys(gate)),
        ],
    )
    evaluated(run, {"clean": (90, 90, 90), "pgd-20": (1, 60, 70)}, total=(97, 97, 97))
    run.weights_file("online", "best").write_bytes(b"weights")
    run.lock_file.touch()
    (run.path / ".status.json.99.tmp").write_text("half")
    return run


def read(file: Path) -> list[dict[str, str]]:
    with file.open(newline="") as stream:
        return list(csv.DictReader(stream))


COLUMNS = {
    "per_class.csv": PER_CLASS_COLUMNS,
    "summary.csv": SUMMARY_COLUMNS,
    "history.csv": PER_CLASS_COLUMNS,
    "knobs.csv": KNOBS_COLUMNS,
    "epochs.csv": EPOCHS_COLUMNS,
}


def test_an_export_holds_runs_whole_and_their_tables(run, tmp_path):
    folder = export_runs([run, run], tmp_path / "out")
    files = {str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()}
    kept = {f for f in run.path.rglob("*") if f.is_file() and f.suffix not in (".lock", ".tmp")}
    assert files == {*COLUMNS, *(f"runs/{run.id}/{file.relative_to(run.path)}" for file in kept)}
    copy = folder / "runs" / run.id
    assert all((copy / file.relative_to(run.path)).read_bytes() == file.read_bytes() for file in kept)
    for name, columns in COLUMNS.items():
        assert (folder / name).read_text().splitlines()[0] == ",".join(columns)


def test_numbers_in_csv_are_exact_and_absent_ones_are_empty(run, tmp_path):
    folder = export_runs([run], tmp_path / "out")
    per_class = read(folder / "per_class.csv")
    assert [float(row["accuracy"]) for row in per_class[3:]] == [1 / 97, 60 / 97, 70 / 97]
    assert [float(row["eps"]) for row in per_class] == [0.0] * 3 + [8 / 255] * 3
    assert [row["beta"] for row in read(folder / "knobs.csv")] == ["", "6.0", "3.0"]
    assert [float(row["eps"]) for row in read(folder / "history.csv")] == [0.1, 0.2, 0.3]
    first, second = read(folder / "epochs.csv")
    assert (float(first["loss"]), first["gate_accepted"], first["gate_worst"]) == (1 / 3, "True", "0.25")
    assert (second["gate_accepted"], second["gate_worst"], second["gate_threshold"]) == ("", "", "")


def test_a_run_that_has_not_started_exports_headers(make_run, tmp_path):
    folder = export_runs([make_run("empty")], tmp_path / "out")
    for name, columns in COLUMNS.items():
        assert (folder / name).read_text() == ",".join(columns) + "\n"


def test_a_folder_with_something_in_it_is_refused_and_an_empty_one_is_taken(run, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    export_runs([run], out)
    with pytest.raises(ConfigError, match="not empty"):
        export_runs([run], out)
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(ConfigError, match="not empty"):
        export_runs([run], file)


def test_a_full_disk_leaves_nothing_half_written(run, tmp_path, monkeypatch):
    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(shutil, "copytree", full)
    with pytest.raises(StoreError, match="free disk space"):
        export_runs([run], tmp_path / "parent" / "out")
    assert list((tmp_path / "parent").iterdir()) == []
    with pytest.raises(StoreError, match="free disk space"):
        import_runs(Store.open(tmp_path / "second", shipped=None), run.path)
    assert list((tmp_path / "second" / "runs").iterdir()) == []


@pytest.mark.parametrize("source", ["export", "home", "runs folder", "run"])
def test_import_finds_runs_wherever_they_lie(run, store, tmp_path, source):
    export = export_runs([run], tmp_path / "out")
    folder = {"export": export, "home": store.home, "runs folder": store.runs_folder, "run": run.path}[source]
    other = Store.open(tmp_path / "other", shipped=None)
    imported = import_runs(other, folder)
    (found,) = other.runs()
    assert imported.runs == (found,)
    assert (found.id, found.label) == (run.id, run.label)
    assert found.rows() == run.rows()
    assert (found.path / "state").is_dir()
    again = import_runs(other, folder)
    assert (again.runs, again.skipped) == ((), (run.id,))


def test_a_name_that_is_taken_gets_a_number(run, store, make_run, tmp_path):
    export = export_runs([run], tmp_path / "out")
    other = Store.open(tmp_path / "other", shipped=None)
    other.create(run.config, "mine")
    other.create(run.config, "mine-1")
    (imported,) = import_runs(other, export).runs
    assert imported.label == Label("mine-2", ("a tag",), "notes")


def test_a_folder_without_runs_is_refused(tmp_path, store):
    for folder in (tmp_path / "nowhere", tmp_path):
        with pytest.raises(ConfigError, match="holds no run"):
            import_runs(store, folder)


def test_a_broken_run_is_an_error_before_anything_is_copied(run, make_run, store, tmp_path):
    broken = make_run("broken")
    (broken.path / "config.json").write_text('{"method": 1}')
    other = Store.open(tmp_path / "other", shipped=None)
    with pytest.raises(StoreError, match=broken.id):
        import_runs(other, store.home)
    assert other.runs() == []


def test_links_in_a_foreign_folder_are_left_out(run, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("secret")
    (run.path / "notes.txt").symlink_to(secret)
    other = Store.open(tmp_path / "other", shipped=None)
    (imported,) = import_runs(other, run.path).runs
    assert not (imported.path / "notes.txt").exists()
