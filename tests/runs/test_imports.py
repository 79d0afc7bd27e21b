"""Runs of others: found wherever they lie, and only what a run holds is taken, checked."""

import errno
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from cfa.errors import CfaError, ConfigError, StoreError
from cfa.runs.folder import Label, Manifest, RunFolder
from cfa.runs.imports import import_runs
from cfa.runs.rows import Epoch, append_rows
from cfa.runs.sequential import read_sequential
from cfa.runs.store import Store
from cfa.tables.exports import export_runs
from tests.support.sequential import beside_each


@pytest.fixture
def run(make_run, evaluated) -> RunFolder:
    """A run with everything that a run may hold."""
    run: RunFolder = make_run("mine")
    run.write_label(Label("mine", ("a tag",), "notes"))
    run.write_manifest(Manifest("", "", {}, "cpu", 1, "", ("cat", "dog"), (1, 1), (1, 1), {}))
    run.write_split([1, 2], [3])
    append_rows(
        run.history_file,
        [
            Epoch(
                epoch=1,
                learning_rate=0.1,
                loss=None,
                seconds=None,
                images_per_second=None,
                gate_worst=None,
                gate_threshold=None,
                gate_accepted=None,
            )
        ],
    )
    evaluation = evaluated(run, {"clean": (90, 90, 90)}, total=(97, 97, 97))
    folder = run.path / "evaluations" / evaluation.id
    (folder / "batches.parquet").write_bytes((folder / "outcomes.parquet").read_bytes())
    for name in ("adversarial", "remade"):
        (folder / f"{name}.safetensors").write_bytes(b"images")
    for weights, checkpoint in (
        ("online", "best"),
        ("ema", "last"),
        ("fawa", "best"),
        ("online", "epoch10"),
        ("file", "file"),
    ):
        run.weights_file(weights, checkpoint).write_bytes(b"weights")
    run.state_file.write_bytes(b"state")
    run.log_file.write_text("a line\n")
    run.write_status("paused", 1)
    return run


@pytest.fixture
def other(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "other", shipped=None)


def files(run: RunFolder) -> dict[str, bytes]:
    found = (file for file in run.path.rglob("*") if file.is_file())
    return {str(file.relative_to(run.path)): file.read_bytes() for file in found if file.name != "label.json"}


@pytest.mark.parametrize("source", ["export", "home", "runs folder", "run", "linked"])
def test_import_finds_runs_wherever_they_lie(run, store, other, tmp_path, source):
    export_runs([run], tmp_path / "out")
    linked = tmp_path / "link"
    linked.symlink_to(run.path)  # the person who types it means what it points to
    places = {
        "export": tmp_path / "out",
        "home": store.home,
        "runs folder": store.runs_folder,
        "run": run.path,
    }
    imported = import_runs(other, places.get(source, linked))
    (found,) = other.runs()
    assert imported.runs == (found,)
    assert imported.left_out == {}
    assert (found.id, found.label) == (run.id, run.label)
    assert files(found) == files(run)
    again = import_runs(other, places.get(source, linked))
    assert (again.runs, again.skipped) == ((), (run.id,))


def test_order_of_making_survives(store, make_run, other):
    made = [make_run(name) for name in "abc"]
    for age, run in enumerate(reversed(made)):
        os.utime(run.path / "config.json", (1e9 - age, 1e9 - age))
    import_runs(other, store.home)
    assert [run.name for run in other.runs()] == ["a", "b", "c"]


def test_a_name_that_is_taken_gets_a_number(run, other):
    other.create(run.config, "mine")
    other.create(run.config, "mine-1")
    (imported,) = import_runs(other, run.path).runs
    assert imported.label == Label("mine-2", ("a tag",), "notes")


def test_a_folder_without_runs_is_refused(tmp_path, store):
    for folder in (tmp_path / "nowhere", tmp_path):
        with pytest.raises(ConfigError, match="holds no run"):
            import_runs(store, folder)


def test_a_full_disk_leaves_nothing_half_written(run, other, monkeypatch):
    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(shutil, "copyfileobj", full)
    with pytest.raises(StoreError, match="free disk space"):
        import_runs(other, run.path)
    assert list(other.runs_folder.iterdir()) == []


def test_what_has_no_room_on_the_disk_is_not_begun(run, other, monkeypatch):
    usage = shutil.disk_usage(other.home)
    os.truncate(run.state_file, 10**9)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=10**8))
    with pytest.raises(StoreError, match="free disk space"):
        import_runs(other, run.path)
    assert list(other.runs_folder.iterdir()) == []


# What else may lie in somebody's run folder --------------------------------------------------------------

OTHER_FILES = {
    "a program beside the configuration": "gift.py",
    "a program in a package": "gift/__init__.py",
    "an unknown ending": "weights/best-online.pt",
    "an unknown kind of weights": "weights/best-other.safetensors",
    "a file too many in state": "state/sitecustomize.py",
    "a file too many in an evaluation": "evaluations/e0000/gift.py",
    "a folder within an evaluation": "evaluations/e0000/more/outcomes.parquet",
    "an evaluation with a strange name": "evaluations/..x/evaluation.json",
    "a hidden file": ".env",
    "a name with a line break": "config.json\n",
    "a known name in another folder": "weights/config.json",
    "capital letters": "Config.json",
}


@pytest.mark.parametrize("name", OTHER_FILES.values(), ids=OTHER_FILES)
def test_only_files_that_a_run_holds_are_taken(run, other, name):
    expected = files(run)
    file = run.path / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("raise SystemExit('it ran')")
    imported = import_runs(other, run.path)
    (found,) = imported.runs
    assert files(found) == expected
    (left_out,) = imported.left_out[run.id]
    assert name.startswith(left_out.name)
    assert left_out.reason == "not a file of a run"


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("config.json", 2 * 10**6),
        ("label.json", 2 * 10**6),
        ("status.json", 2 * 10**6),
        ("manifest.json", 10**8),
        ("split.json", 2 * 10**9),
        ("history.jsonl", 2 * 10**9),
        ("log.txt", 2 * 10**9),
        ("weights/best-online.safetensors", 10**11),
        ("state/state.pt", 10**12),
        ("evaluations/e0000/evaluation.json", 10**8),
        ("evaluations/e0000/outcomes.parquet", 10**10),
        ("evaluations/e0000/remade.safetensors", 10**11),
    ],
)
def test_a_file_that_is_too_large_is_left_out(run, other, name, size):
    os.truncate(run.path / name, size)  # takes no room on the disk
    try:
        imported = import_runs(other, run.path)
    except StoreError:
        assert name == "config.json"  # without it there is no run
        assert other.runs() == []
    else:
        assert [item.name for item in imported.left_out[run.id]] == [name]
        assert not (imported.runs[0].path / name).exists() or name == "label.json"


@pytest.mark.parametrize("name", ["notes.txt", "weights/best-online.safetensors", "log.txt", "state"])
def test_links_are_left_out(run, other, tmp_path, name):
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "state.pt").write_text("secret")
    target = run.path / name
    if target.is_dir():
        shutil.rmtree(target)
    target.unlink(missing_ok=True)
    target.symlink_to(secret if name == "state" else secret / "state.pt")
    imported = import_runs(other, run.path)
    assert [(item.name, item.reason) for item in imported.left_out[run.id]] == [(name, "a link")]
    assert b"secret" not in files(imported.runs[0]).values()


def test_a_run_that_is_a_link_is_left_out(run, store, make_run, other, tmp_path):
    whole = make_run("whole")
    shutil.move(run.path, tmp_path / "elsewhere")
    run.path.symlink_to(tmp_path / "elsewhere")
    imported = import_runs(other, store.home)
    assert [found.id for found in imported.runs] == [whole.id]
    assert [item.reason for item in imported.left_out[run.id]] == ["a link"]


@pytest.mark.parametrize("special", ["pipe", "directory"])
def test_a_special_file_in_the_place_of_a_known_one_is_left_out(run, other, special):
    run.log_file.unlink()
    os.mkfifo(run.log_file) if special == "pipe" else run.log_file.mkdir()
    imported = import_runs(other, run.path)
    assert [item.name for item in imported.left_out[run.id]] == ["log.txt"]


# What the known files say --------------------------------------------------------------------------------


def rename_to(name: str):
    return lambda run: shutil.move(run.path, run.path.with_name(name)) and None


def changed(file: str, **fields):
    def change(run: RunFolder) -> None:
        path = run.path / file
        path.write_text(json.dumps(json.loads(path.read_text()) | fields))

    return change


def written(file: str, content: bytes):
    return lambda run: (run.path / file).write_bytes(content) and None


REFUSED = {
    "an id with a space": rename_to("r 1"),
    "an id with a line break": rename_to("r1\nr2"),
    "an id that looks like an option": rename_to("--help"),
    "an id with marks of direction": rename_to("r\u202e1"),
    "an id that is very long": rename_to("r" * 81),
    "a configuration of another type": changed("config.json", method=1),
    "a configuration with more fields": changed("config.json", gift="x"),
    "a configuration without end": written("config.json", b"["),
    "a configuration that is deep": written("config.json", b"[" * 100_000),
    "a configuration that is no text": written("config.json", b"\xff\xfe"),
    "a label of another type": changed("label.json", name=["mine"]),
    "tags of another type": changed("label.json", tags="mine"),
    "a label that is deep": written("label.json", b'{"name":' * 100_000),
    "tags without bounds": changed("label.json", tags=["x" * 5000]),
    "many tags": changed("label.json", tags=["x"] * 101),
    "notes without bounds": changed("label.json", notes="x" * 100_001),
    "a status of another type": changed("status.json", epoch="many"),
    "a state that there is not": changed("status.json", state="gone"),
    "a field that is not known": changed("status.json", gift=1),
    "a manifest of another type": changed("manifest.json", class_names=[1, 2]),
    "a manifest that is no object": written("manifest.json", b"[]"),
    "a split of another type": changed("split.json", train=["first"]),
}


@pytest.mark.parametrize("damage", REFUSED.values(), ids=REFUSED)
def test_what_is_no_run_is_refused_in_a_sentence_before_anything_is_taken(
    run, store, make_run, other, damage
):
    make_run("whole")
    damage(run)
    with pytest.raises(CfaError) as raised:
        import_runs(other, store.home)
    assert len(str(raised.value)) < 500
    assert str(raised.value).isprintable()
    assert list(other.runs_folder.iterdir()) == []


@pytest.mark.parametrize(
    "damage",
    [
        changed("evaluations/e0000/evaluation.json", id="../../../e0000"),
        changed("evaluations/e0000/evaluation.json", id="e0001"),
        changed("evaluations/e0000/evaluation.json", scores=[{"epoch": 1}]),
        changed("evaluations/e0000/evaluation.json", class_names="cat"),
        changed("evaluations/e0000/evaluation.json", findings=[1]),
        written("evaluations/e0000/evaluation.json", b"{"),
    ],
    ids=["an id that is a path", "the id of another", "half a score", "a name", "a number", "no JSON"],
)
def test_a_damaged_evaluation_is_left_out_and_the_others_come(run, evaluated, other, damage):
    kept = evaluated(run, {"clean": (9, 9, 9)})
    damage(run)
    imported = import_runs(other, run.path)
    (found,) = imported.runs
    assert [folder.name for folder in (found.path / "evaluations").iterdir()] == [kept.id]
    assert [item.name for item in imported.left_out[run.id]] == ["evaluations/e0000"]


def test_sequential_evaluations_come_along_but_for_damaged_ones(run, other):
    (kept,) = beside_each(run)
    counts = kept.counted.scores[0]
    for name, more in (("another-id", {}), ("s-counts", {"correct": (0,) * len(counts.total)})):
        wrong = replace(kept, counted=replace(kept.counted, id=name))
        folder = run.path / "evaluations" / name
        shutil.copytree(folder.with_name(kept.id), folder)
        scores = tuple(replace(row, **more) for row in wrong.counted.scores)
        (folder / "sequential.json").write_text(
            replace(wrong, counted=replace(wrong.counted, scores=scores)).to_json()
            if more
            else kept.to_json()
        )
    imported = import_runs(other, run.path)
    (found,) = imported.runs
    assert read_sequential(found) == [kept]
    assert {item.name for item in imported.left_out[run.id]} == {
        "evaluations/another-id",
        "evaluations/s-counts",
    }


@pytest.mark.parametrize(
    "name",
    ["![](http://a.test/x)", "../../out", "=1+1", "\x1b[2J", "a\nb", "a\u202eb", "", " ", "x" * 101, "<b>"],
)
def test_a_name_that_relabel_refuses_gives_way_to_the_id(run, other, name):
    changed("label.json", name=name)(run)
    imported = import_runs(other, run.path)
    (found,) = imported.runs
    assert found.name == found.id
    assert imported.renamed == {found.id: name}
    with pytest.raises(ConfigError, match="not usable"):
        other.relabel(other.create(run.config, "mine"), Label(name))


def test_an_id_by_which_another_run_is_called_is_refused(run, other):
    changed("label.json", name=run.id)(other.create(run.config, "mine"))  # as earlier versions allowed
    with pytest.raises(ConfigError, match="named"):
        import_runs(other, run.path)
