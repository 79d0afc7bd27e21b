import csv
import errno
import os
import shutil
import socket
from pathlib import Path

import pytest

from cfa.errors import ConfigError, StoreError
from cfa.runs.folder import Label, RunFolder
from cfa.runs.rows import Epoch, KnobValues, Scores, append_rows
from cfa.tables.exports import export_runs
from cfa.tables.frames import EPOCHS_COLUMNS, KNOBS_COLUMNS, PER_CLASS_COLUMNS, SUMMARY_COLUMNS


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
            KnobValues(
                epoch=1,
                values={"eps": (0.1, 0.2, 0.3), "clean_weight": (0, 1, 1), "robust_weight": (1, 6, 3)},
            ),
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


def exported(*runs: RunFolder, to: Path) -> Path:
    export_runs(runs, to / "out")
    return to / "out"


COLUMNS = {
    "per_class.csv": PER_CLASS_COLUMNS,
    "summary.csv": SUMMARY_COLUMNS,
    "history.csv": PER_CLASS_COLUMNS,
    "knobs.csv": KNOBS_COLUMNS,
    "epochs.csv": EPOCHS_COLUMNS,
}


def test_an_export_holds_runs_whole_and_their_tables(run, tmp_path):
    folder = exported(run, run, to=tmp_path)
    files = {str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()}
    kept = {f for f in run.path.rglob("*") if f.is_file() and f.suffix not in (".lock", ".tmp")}
    assert files == {*COLUMNS, *(f"runs/{run.id}/{file.relative_to(run.path)}" for file in kept)}
    copy = folder / "runs" / run.id
    assert all((copy / file.relative_to(run.path)).read_bytes() == file.read_bytes() for file in kept)
    for name, columns in COLUMNS.items():
        assert (folder / name).read_text().splitlines()[0] == ",".join(columns)


def test_numbers_in_csv_are_exact_and_absent_ones_are_empty(run, tmp_path):
    folder = exported(run, to=tmp_path)
    per_class = read(folder / "per_class.csv")
    assert [float(row["accuracy"]) for row in per_class[3:]] == [1 / 97, 60 / 97, 70 / 97]
    assert [float(row["eps"]) for row in per_class] == [0.0] * 3 + [8 / 255] * 3
    assert [row["beta"] for row in read(folder / "knobs.csv")] == ["", "6.0", "3.0"]
    assert [float(row["eps"]) for row in read(folder / "history.csv")] == [0.1, 0.2, 0.3]
    first, second = read(folder / "epochs.csv")
    assert (float(first["loss"]), first["gate_accepted"], first["gate_worst"]) == (1 / 3, "True", "0.25")
    assert (second["gate_accepted"], second["gate_worst"], second["gate_threshold"]) == ("", "", "")


def test_a_run_that_has_not_started_exports_headers(make_run, tmp_path):
    folder = exported(make_run("empty"), to=tmp_path)
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

    monkeypatch.setattr(shutil, "copyfileobj", full)
    (tmp_path / "parent").mkdir()
    with pytest.raises(StoreError, match="free disk space"):
        export_runs([run], tmp_path / "parent" / "out")
    assert list((tmp_path / "parent").iterdir()) == []


# What lies in a run folder without being a file of it: name, who puts it there, why it is left out.
SMUGGLED = {
    "a link to a key": (lambda at, key: at.symlink_to(key), "a link"),
    "a link in the place of weights": (lambda at, key: _replace(at, key), "a link"),
    "a linked folder": (lambda at, key: at.symlink_to(key.parent), "a link"),
    "a dangling link": (lambda at, key: at.symlink_to(key.parent / "nowhere"), "a link"),
    "a pipe": (lambda at, key: os.mkfifo(at), "not a regular file"),
    "a socket": (lambda at, key: _bind(at), "not a regular file"),
}
PLACES = {"a link in the place of weights": "weights/best-online.safetensors"}


def _replace(at: Path, key: Path) -> None:
    at.unlink()
    at.symlink_to(key)


def _bind(at: Path) -> None:
    with socket.socket(socket.AF_UNIX) as opened:
        opened.bind(os.path.relpath(at))  # such addresses are short


@pytest.mark.parametrize("what", SMUGGLED)
def test_links_and_special_files_do_not_travel_in_an_export(run, tmp_path, what):
    key = tmp_path / "home of somebody" / "id_rsa"
    key.parent.mkdir()
    key.write_text("SECRET KEY")
    put, reason = SMUGGLED[what]
    name = PLACES.get(what, "extra")
    put(run.path / name, key)
    done = export_runs([run], tmp_path / "out")
    assert [(item.name, item.reason) for item in done.left_out[run.id]] == [(name, reason)]
    files = [file for file in (tmp_path / "out").rglob("*") if file.is_file()]
    assert not any(file.is_symlink() or b"SECRET KEY" in file.read_bytes() for file in files)
    assert (tmp_path / "out" / "left-out.txt").read_text() == f"{run.id}/{name}: {reason}\n"
    assert (tmp_path / "out" / "runs" / run.id / "config.json").is_file()


def test_a_run_that_is_itself_a_link_does_not_travel(run, store, tmp_path):
    elsewhere = Path(shutil.move(run.path, tmp_path / "elsewhere"))
    run.path.symlink_to(elsewhere)
    with pytest.raises(ConfigError, match="is a link"):
        export_runs([run], tmp_path / "out")
    other = store.create(RunFolder(elsewhere).config, "other")
    done = export_runs([run, other], tmp_path / "out")
    assert [found.id for found in done.runs] == [other.id]
    assert [item.reason for item in done.left_out[run.id]] == ["a link"]
    assert [folder.name for folder in (tmp_path / "out" / "runs").iterdir()] == [other.id]


@pytest.mark.parametrize("name", ["manifest.json", "history.jsonl", "config.json"])
def test_tables_of_an_export_say_nothing_of_what_a_link_points_to(run, make_run, tmp_path, name):
    other = make_run("another")
    append_rows(other.history_file, run.rows())
    source = other.path / name
    if not source.exists():
        source.write_text("{}")
    (run.path / name).unlink(missing_ok=True)
    (run.path / name).symlink_to(source)
    folder = exported(run, to=tmp_path)
    assert not (folder / "runs" / run.id / name).exists()
    if name != "manifest.json":
        assert (folder / "epochs.csv").read_text() == ",".join(EPOCHS_COLUMNS) + "\n"
