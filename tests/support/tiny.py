"""A data set, configurations and observers so small that a whole run takes a fraction of a second."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from cfa.config import RunConfig
from cfa.data import Augmentation, Dataset
from cfa.methods import METHODS, configure
from cfa.models import load_weights
from cfa.older_settings import present_name
from cfa.progress import Observer, Progress, Stopped, StopReason
from cfa.runs.folder import RunFolder
from cfa.runs.rows import Epoch, Row
from cfa.runs.store import Store
from cfa.training import fit
from tests.support.teachers import teacher_for

CPU = torch.device("cpu")
CLASSES = ("ant", "bee", "cat", "dog")


def tiny_dataset(
    train: tuple[int, ...] = (60, 60, 60, 60),
    test: tuple[int, ...] = (30, 20, 25, 35),
    seed: int = 0,
    spread: float = 1.0,
) -> Dataset:
    """Make grey 8x8 images: a pattern per class under noise, more for later classes, times ``spread``."""
    generator = torch.Generator().manual_seed(seed)
    patterns = torch.randint(0, 256, (len(train), 1, 8, 8), generator=generator).float()

    def part(counts: tuple[int, ...]) -> tuple[torch.Tensor, torch.Tensor]:
        labels = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
        labels = labels[torch.randperm(len(labels), generator=generator)]
        noise = torch.randn(len(labels), 1, 8, 8, generator=generator)
        scale = spread * (30.0 + 15.0 * labels.view(-1, 1, 1, 1))
        return (patterns[labels] + scale * noise).clamp(0, 255).to(torch.uint8), labels

    return Dataset("tiny", CLASSES[: len(train)], *part(train), *part(test), Augmentation(1, "reflect", True))


TINY: dict[str, Any] = {
    "attack.eps": "16/255",
    "attack.steps": 3,
    "averaging.start_epoch": 2,
    "averaging.threshold": 0.05,
    "data.val_fraction": 1 / 3,  # 20 images of 60: as few as the worst-class gate takes
    "optimizer.lr": 0.05,
    "optimizer.milestones": "0.6;0.9",
    "train.epochs": 4,
    "train.batch_size": 32,
}


def tiny_config(method: str = "pgd-at-cfa", *, seed: int = 0, **changes: Any) -> RunConfig:
    """Configure a run of four epochs; ``attack__eps=0.1`` changes ``attack.eps``.

    Methods that warm up do so for one epoch; FAT's tau is one at which it differs from PGD-AT in three steps.
    """
    chosen = METHODS[method]
    own = {f"method.{chosen.warm_up}": 1} if chosen.warm_up else {}
    own |= {"method.tau": 1} if "tau" in chosen.settings.model_fields else {}
    given = {present_name(name.replace("__", ".")): value for name, value in changes.items()}
    overrides = {**TINY, **own, **given}
    return configure(method, "tiny", model="small-cnn", preset="demo", seed=seed, overrides=overrides)


def tiny_store(folder: Path) -> Store:
    """Open a store of its own, without the shipped runs."""
    return Store.open(folder, shipped=None)


def tiny_run(folder: Path, config: RunConfig, name: str | None = None) -> RunFolder:
    """Make a run folder."""
    return tiny_store(folder).create(config, name)


def trained(
    folder: Path, config: RunConfig, dataset: Dataset | None = None, device: torch.device = CPU
) -> RunFolder:
    """Train a run from its start to its end."""
    run = tiny_run(folder, config)
    go_on(run, dataset or tiny_dataset(), device=device)
    return run


def go_on(
    run: RunFolder, dataset: Dataset, observer: Observer | None = None, device: torch.device = CPU
) -> None:
    """Train a run from where it is, with a teacher where its method learns from one."""
    teacher = teacher_for(run.config, dataset, device)
    fit(run, dataset, device, observer or Observer(), teacher=teacher)


class Stopper(Observer):
    """Asks to stop once it has been asked ``after`` times, and keeps what it is told."""

    def __init__(self, after: float = math.inf, reason: StopReason = "pause") -> None:
        self.after, self.reason = after, reason
        self.asked = 0
        self.lines: list[str] = []
        self.reports: list[Progress] = []

    def progress(self, progress: Progress) -> None:
        self.reports.append(progress)

    def log(self, message: str) -> None:
        self.lines.append(message)

    def stop_requested(self) -> StopReason | None:
        self.asked += 1
        return self.reason if self.asked >= self.after else None


def stopped(
    run: RunFolder, dataset: Dataset, after: int, reason: StopReason = "pause", device: torch.device = CPU
) -> None:
    """Train until the observer has been asked ``after`` times, which it must be before the end."""
    with pytest.raises(Stopped) as caught:
        go_on(run, dataset, Stopper(after, reason), device)
    assert caught.value.reason == reason


def weights_of(run: RunFolder) -> dict[str, dict[str, torch.Tensor]]:
    """Read every weights file of a run."""
    return {file.stem: load_weights(file) for file in sorted((run.path / "weights").glob("*.safetensors"))}


def assert_same_weights(one: RunFolder, other: RunFolder) -> None:
    """Compare every weights file of two runs bit for bit."""
    left, right = weights_of(one), weights_of(other)
    assert left.keys() == right.keys()
    for file in left:
        assert left[file].keys() == right[file].keys()
        for name, tensor in left[file].items():
            assert torch.equal(tensor, right[file][name]), f"{file}: {name}"


def timeless(rows: list[Row]) -> list[dict[str, Any]]:
    """Turn rows into dictionaries without the two fields that the clock writes."""
    clock = ("seconds", "images_per_second") if rows else ()
    return [
        {
            "row": row.row,
            **{k: v for k, v in vars(row).items() if not (isinstance(row, Epoch) and k in clock)},
        }
        for row in rows
    ]
