"""What a text names is decided in one place: the form and the command find the same file, code or nothing."""

from pathlib import Path

import pytest

from cfa.errors import ConfigError, UnknownName
from cfa.foreign.references import ModelFactory, model_of_others, run_or_model
from cfa.methods import configure
from cfa.models import WeightsFile
from cfa.runs.folder import RunFolder
from cfa.runs.store import Store

FOUND = {
    "a file": ("theirs.pt", WeightsFile(Path("theirs.pt"))),
    "a branch of a file": ("theirs.pt#ema", WeightsFile(Path("theirs.pt"), "ema")),
    "code": ("package.module:make", ModelFactory("package.module:make")),
    "a file that is called like code": ("module:make", WeightsFile(Path("module:make"))),
}
NOTHING = {
    "a file that is absent": ("absent.pt", ConfigError, "there is no weights file absent.pt"),
    "a folder": ("folder", ConfigError, "folder is a folder"),
    "a folder that is called like code": ("module:folder", ConfigError, "module:folder is a folder"),
    "images": ("folder:images", UnknownName, "unknown run 'folder:images'"),
    "a network that is no model yet": ("timm:resnet18", UnknownName, "unknown run 'timm:resnet18'"),
    "a word": ("nothing", UnknownName, "unknown run 'nothing'"),
}


@pytest.fixture
def store(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_shipped_runs: None) -> Store:
    """A store, and a working folder with files and folders of all kinds of names."""
    monkeypatch.chdir(tmp_path)
    for file in ("theirs.pt", "module:make"):
        Path(file).write_bytes(b"")
    for folder in ("folder", "module:folder"):
        Path(folder).mkdir()
    return Store.open(home)


@pytest.mark.parametrize("case", FOUND)
def test_both_doors_find_the_same(store: Store, case: str) -> None:
    text, expected = FOUND[case]
    assert model_of_others(f" {text} ") == expected
    assert run_or_model(store, text) == expected


@pytest.mark.parametrize("case", NOTHING)
def test_what_names_nothing_is_refused_at_both_doors(store: Store, case: str) -> None:
    text, error, sentence = NOTHING[case]
    with pytest.raises(error, match=sentence):
        run_or_model(store, text)
    with pytest.raises(ConfigError, match=f"there is no file '{text}'"):
        model_of_others(text)


def test_a_run_comes_before_code_and_after_a_file(store: Store) -> None:
    config = configure("trades", "fashion-mnist-mini")
    made = store.create(config, "mine", ())
    found = run_or_model(store, "mine")
    assert isinstance(found, RunFolder)
    assert found.id == made.id
    Path("mine").write_bytes(b"")
    assert run_or_model(store, "mine") == WeightsFile(Path("mine"))


def test_no_text_is_no_model(store: Store) -> None:
    with pytest.raises(ConfigError, match="no model is given"):
        model_of_others("  ")
