"""Whatever is typed in the place of a path is a path, or there is nothing there: never a traceback."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from app.engine import brought_models
from cfa.data import full_name
from cfa.errors import CfaError
from cfa.home import default_home
from cfa.models import WeightsFile
from cfa.trust import outside_name
from cfa.typed_paths import exists, leads_to_file, leads_to_folder, typed_path, whole_path

NAMES = {
    "a long name": "n" * 300,
    "a long path": "n/" * 3000,
    "a long name and a branch": "n" * 300 + "#ema",
    "NUL": "a\0b",
    "half a character": "a\ud800",
    "the home of nobody": "~nobody-at-all/a.pt",
    "below a file": "file.txt/a.pt",
    "a loop": "loop/a.pt",
}
LOOKS: dict[str, Callable[[str], object]] = {
    "typed_path": typed_path,
    "whole_path": whole_path,
    "leads_to_file": lambda name: leads_to_file(typed_path(name)),
    "leads_to_folder": lambda name: leads_to_folder(typed_path(name)),
    "exists": lambda name: exists(typed_path(name)),
    "a weights file": WeightsFile.of,
    "a data set": lambda name: full_name(f"folder:{name}"),
    "the dataset of a run": lambda name: outside_name(f"folder:{name}"),
}
COMMANDS = {
    "import": ("import", "NAME"),
    "import a log": ("import", "NAME/cw_log.pth"),
    "evaluate": ("evaluate", "NAME", "--dataset", "fashion-mnist-mini", "--attack", "pgd-2", "--queue"),
    "start from": (
        "train",
        "--method",
        "pgd-at",
        "--dataset",
        "fashion-mnist-mini",
        "--init",
        "NAME",
        "--queue",
    ),
    "learn from": (
        "train",
        "--method",
        "ard",
        "--dataset",
        "fashion-mnist-mini",
        "--teacher",
        "NAME",
        "--queue",
    ),
    "fetch": ("fetch", "folder:NAME", "--queue"),
    "suite": ("suite", "plan", "NAME"),
    "export": ("export", "some-run", "--out", "NAME"),
}


@pytest.fixture(autouse=True)
def _place(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file.txt").write_text("x")
    Path("loop").symlink_to("loop")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("look", LOOKS)
def test_asking_about_a_name_never_raises(look: str, name: str) -> None:
    found = LOOKS[look](NAMES[name])
    if look in ("leads_to_file", "leads_to_folder", "exists"):
        assert found is False
    if look == "whole_path":
        assert isinstance(found, Path)
        assert found.is_absolute()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_ends_with_a_sentence(cfa, no_shipped_runs: None, command: str, name: str) -> None:
    words = [word.replace("NAME", NAMES[name]) for word in COMMANDS[command]]
    ended = cfa(*words, code=2)
    assert "error" in ended.stderr.lower()
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("name", NAMES)
def test_a_form_ends_with_a_sentence(name: str) -> None:
    for source in (NAMES[name], f"{NAMES[name]}.safetensors"):
        with pytest.raises(CfaError):
            brought_models.add_model(source, "fashion-mnist-mini", "small-cnn", "none", "")


@pytest.mark.parametrize("name", ["~nobody-at-all/a", "loop/a"])
def test_a_home_is_what_was_written(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("CFA_HOME", name)
    assert default_home() == Path.cwd() / name


AS_NOBODY = """
import os, sys
from pathlib import Path
from cfa.models import WeightsFile
from cfa.typed_paths import exists, leads_to_file, leads_to_folder

if os.getuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
place = Path(sys.argv[1])
try:
    place.stat()
    sys.exit("it may be looked at")
except PermissionError:
    pass
print(exists(place), leads_to_file(place), leads_to_folder(place), WeightsFile.of(f"{place}#ema").key)
"""


def test_a_place_where_one_may_not_look_holds_nothing(tmp_path: Path) -> None:
    locked = tmp_path / "locked"
    locked.mkdir()
    (locked / "a.pt").write_bytes(b"x")
    locked.chmod(0)
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(0o755)
    words = [sys.executable, "-c", AS_NOBODY, str(locked / "a.pt")]
    asked = subprocess.run(words, capture_output=True, text=True, check=False)
    assert asked.stdout == "False False False ema\n", asked.stderr
