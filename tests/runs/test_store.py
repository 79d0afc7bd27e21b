"""The store: names are unique whoever asks, references find one run or say why not."""

import errno
import os
import shutil
import threading
from pathlib import Path

import pytest

from cfa.errors import ConfigError, StoreError, UnknownName
from cfa.runs.folder import Label
from cfa.runs.store import Store, default_home
from tests.support.tiny import tiny_config, tiny_store

CONFIG = tiny_config("pgd-at")


@pytest.mark.parametrize("name", ["a", "TRADES + CFA (seed 0)", "x.y_z-1", "ümlaut", "7", "n" * 100])
def test_names_that_are_usable(tmp_path: Path, name: str) -> None:
    store = tiny_store(tmp_path)
    assert store.create(CONFIG, name).name == name
    assert store.find(name).name == name


@pytest.mark.parametrize(
    "name", [" a", "-a", ".hidden", "a/b", "a\nb", "a\n", "..", "n" * 101, "a:b", 'a"b', "a\tb", "<b>"]
)
def test_names_that_are_not(tmp_path: Path, name: str) -> None:
    store = tiny_store(tmp_path)
    with pytest.raises(ConfigError, match="is not usable"):
        store.create(CONFIG, name)
    run = store.create(CONFIG, "fine")
    with pytest.raises(ConfigError, match="is not usable"):
        store.relabel(run, Label(name))
    assert [run.name for run in store.runs()] == ["fine"]


def test_a_taken_name_is_refused_with_a_free_one(tmp_path: Path) -> None:
    store = tiny_store(tmp_path)
    first = store.create(CONFIG, "mine")
    store.create(CONFIG, "mine-2")
    with pytest.raises(ConfigError, match=r"name 'mine' is taken; choose another, for example 'mine-3'"):
        store.create(CONFIG, "mine")
    with pytest.raises(ConfigError, match="could be an id"):
        store.create(CONFIG, first.id)
    with pytest.raises(ConfigError, match="name 'mine-2' is taken"):
        store.relabel(first, Label("mine-2"))
    store.relabel(first, Label("mine", ("tag",), "notes"))  # its own name is no clash
    assert store.find("mine").label == Label("mine", ("tag",), "notes")
    store.relabel(first, Label("renamed"))
    assert store.create(CONFIG, "mine").name == "mine"


def test_without_a_name_a_free_one_is_found(tmp_path: Path) -> None:
    store = tiny_store(tmp_path)
    assert [store.create(CONFIG).name for _ in range(3)] == [
        "pgd-at-tiny-s0",
        "pgd-at-tiny-s0-2",
        "pgd-at-tiny-s0-3",
    ]
    odd = CONFIG.model_copy(
        update={"dataset": "folder:/some where/ü", "method": "my.module:recipe", "seed": 4}
    )
    name = store.create(odd).name
    assert name.startswith("recipe-")
    assert name.endswith("-s4")
    assert "/" not in name


@pytest.mark.parametrize(
    ("name", "count", "expected"),
    [(None, 2, [None, None]), ("", 2, [None, None]), ("new", 1, ["new"]), ("new", 2, ["new-1", "new-2"])],
)
def test_runs_that_are_asked_for_at_once_are_numbered(tmp_path: Path, name, count, expected) -> None:
    assert tiny_store(tmp_path).names_for(name, count) == expected


@pytest.mark.parametrize(
    ("name", "count", "says"),
    [
        ("mine", 3, r"name 'mine-2' is taken; choose another than 'mine' for 3 runs"),
        ("n" * 98, 10, r"name 'n{98}-10' is not usable"),
    ],
)
def test_numbered_names_are_refused_before_the_first_run_is_made(tmp_path: Path, name, count, says) -> None:
    store = tiny_store(tmp_path)
    store.create(CONFIG, "mine-2")
    with pytest.raises(ConfigError, match=says):
        store.names_for(name, count)


def test_names_stay_unique_when_many_ask_at_once(tmp_path: Path) -> None:
    store, barrier, names, refused = tiny_store(tmp_path), threading.Barrier(8), [], []

    def create() -> None:
        barrier.wait()
        names.append(store.create(CONFIG).name)
        try:
            store.create(CONFIG, "one")
        except ConfigError:
            refused.append(1)

    threads = [threading.Thread(target=create) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(names) == len(set(names)) == 8
    assert len(refused) == 7
    assert len(store.runs()) == 9


def test_references_are_names_ids_and_unique_prefixes(tmp_path: Path) -> None:
    store = tiny_store(tmp_path)
    runs = {"abcd111111": "one", "abcd222222": "two", "ffff333333": "abcd"}
    made = {run_id: store.create(CONFIG, name) for run_id, name in runs.items()}
    for run_id, run in made.items():
        run.path.rename(store.runs_folder / run_id)
    for run_id, name in runs.items():
        assert store.find(run_id).name == name
        if name != "abcd":
            assert store.find(name).id == run_id
    assert store.find("abcd1").name == "one"
    assert store.find("ffff").name == "abcd"
    with pytest.raises(UnknownName, match=r"'abcd' is ambiguous.*abcd111111 .*abcd222222 .*ffff333333"):
        store.find("abcd")  # nobody is to guess which was meant
    with pytest.raises(UnknownName, match="unknown run 'fff'"):  # too short for a prefix
        store.find("fff")
    with pytest.raises(UnknownName, match="unknown run 'onne'; did you mean 'one'"):
        store.find("onne")
    store.relabel(store.find("ffff333333"), Label("other"))
    with pytest.raises(UnknownName, match=r"run 'abcd' is ambiguous.*abcd111111 \(one\), abcd222222 \(two\)"):
        store.find("abcd")


def test_a_name_that_a_copied_folder_brought_along_is_ambiguous(tmp_path: Path) -> None:
    store = tiny_store(tmp_path)
    run = store.create(CONFIG, "mine")
    shutil.copytree(run.path, store.runs_folder / "copied0000")
    with pytest.raises(UnknownName, match=r"run 'mine' is ambiguous; write the id of one of"):
        store.find("mine")
    assert store.find("copied0000").id == "copied0000"


def test_an_empty_store_says_there_is_none(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="unknown run 'x'; there is none yet"):
        tiny_store(tmp_path).find("x")


def test_shipped_runs_come_first_and_are_read_only(tmp_path: Path) -> None:
    shipped = tiny_store(tmp_path / "made").create(CONFIG, "demo")
    store = Store.open(tmp_path / "home", shipped=tmp_path / "made" / "runs")
    mine = store.create(CONFIG, "mine")
    assert [(run.name, run.read_only) for run in store.runs()] == [("demo", True), ("mine", False)]
    with pytest.raises(ConfigError, match="name 'demo' is taken"):
        store.create(CONFIG, "demo")
    with pytest.raises(StoreError, match="ships with CFA Studio"):
        store.relabel(store.find("demo"), Label("other"))
    with pytest.raises(StoreError, match="ships with CFA Studio"):
        store.find("demo").delete()
    assert shipped.name == "demo"
    assert mine.path.parent == store.runs_folder


def test_folders_that_are_no_runs_are_passed_over(tmp_path: Path) -> None:
    store = tiny_store(tmp_path)
    run = store.create(CONFIG, "mine")
    (store.runs_folder / "stray").mkdir()
    (store.runs_folder / "file.txt").write_text("x")
    shutil.copytree(run.path, store.runs_folder / ".half.tmp")
    assert [found.name for found in store.runs()] == ["mine"]


def test_a_full_disk_leaves_nothing_half_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = tiny_store(tmp_path)

    def full_disk(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full_disk)
        with pytest.raises(StoreError, match=r"No space left.*free disk space"):
            store.create(CONFIG, "mine")
    assert list(store.runs_folder.iterdir()) == []
    assert store.create(CONFIG, "mine").name == "mine"


def test_the_home_is_where_the_environment_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CFA_HOME", "somewhere")
    assert default_home() == tmp_path / "somewhere"
    monkeypatch.delenv("CFA_HOME")
    project = Path(__file__).resolve().parents[2]
    assert default_home() == project / "checkpoints"  # not the working directory


def test_a_home_that_cannot_be_made_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreError, match="set CFA_HOME to a folder you may write to"):
        Store.open(tmp_path / "file" / "home", shipped=None)
