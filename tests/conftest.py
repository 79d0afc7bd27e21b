"""A home for each test, and a data set small enough to train on in seconds."""

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.support import unmeasured
from tests.support.require import require

# Before anything imports torch, and for every process that a test starts. Numbers belong to a number of
# threads, and where more threads than cores wait for each other, all of them take many times as long.
os.environ["OMP_NUM_THREADS"] = "1"

TINY = """
import torch
from cfa.data import Dataset, DatasetSource

@DatasetSource
def load(folder):
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(120) % 3
    images = torch.randint(0, 60, (120, 1, 8, 8), generator=generator, dtype=torch.uint8)
    images[torch.arange(120), 0, labels, :] += 150
    return Dataset("tiny", ("ant", "bee", "cow"), images, labels, images[:60].clone(), labels[:60].clone())
"""

SETTINGS = {
    "train.epochs": "2",
    "train.batch_size": "16",
    "attack.steps": "1",
    "attack.eps": "8/255",
    "data.val_fraction": "0.2",
    "averaging.gate": "mean",
    "averaging.start_epoch": "1",
    "averaging.threshold": "0",
}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    left_out = [item for item in items if item.get_closest_marker("on_request")]
    if left_out and "slow" not in config.option.markexpr:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]
    for item in items:
        if item.path.relative_to(Path(__file__).parent).parts[0] in unmeasured.ROOMS:
            item.add_marker("no_cover")


def pytest_make_parametrize_id(config: pytest.Config, val: object, argname: str) -> str | None:
    """Name bytes after their argument, not their content.

    gzip writes the time into it: two workers that collect in different seconds would not have the same tests.
    """
    return argname if isinstance(val, bytes) else None


def pytest_runtest_setup(item: pytest.Item) -> None:
    if (loaded := sys.modules.get("torch")) is not None:
        loaded.manual_seed(0)  # else a network that a test makes depends on the tests before it
    if item.get_closest_marker("gpu"):
        import torch  # takes seconds

        require("gpu", torch.cuda.is_available(), "needs a CUDA device")


@pytest.fixture(autouse=True, scope="session")
def _own_configuration(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the key that seals what was typed and the index out of the tester's own folders."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.mktemp("configuration")))
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("CFA_HOME", str(folder))
    return folder


@pytest.fixture
def no_shipped_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let stores be opened without the runs that ship, also by commands."""
    monkeypatch.setattr("cfa.runs.store.Store.open.__func__.__defaults__", (None, None))


@pytest.fixture
def store(home: Path):
    from cfa.runs.store import Store

    return Store.open(home, shipped=None)


@pytest.fixture
def queue(home: Path):
    from cfa.jobs.queue import Queue

    return Queue(home)


@pytest.fixture
def cfa(home: Path):
    """Call a command in this process; gives exit code, stdout (read as JSON after --json) and stderr."""
    from cfa.commands import app

    def call(*arguments: str, code: int = 0):
        result = CliRunner().invoke(app, list(arguments))
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == code, result.stderr + result.stdout
        return json.loads(result.stdout) if "--json" in arguments and code == 0 else result

    return call


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Name a data set that workers can import as well, from the folder that the test stands in."""
    (tmp_path / "tiny_data.py").write_text(TINY)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    sys.modules.pop("tiny_data", None)
    return "tiny_data:load"


@pytest.fixture
def typed(tiny: str):
    """Let calls of the engine import the tiny data set, as within a command in which somebody typed it."""
    from cfa.trust import allowing

    with allowing([tiny]):
        yield


@pytest.fixture
def tiny_config(tiny: str):
    from cfa.methods import configure

    def build(method: str = "trades-cfa", seed: int = 0, **changes: str):
        settings = SETTINGS | {name.replace("__", "."): value for name, value in changes.items()}
        return configure(method, tiny, model="small-cnn", preset="demo", seed=seed, overrides=settings)

    return build
