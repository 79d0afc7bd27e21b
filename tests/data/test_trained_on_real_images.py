"""`cfa train` on real photographs: CIFAR-10 as an image folder, Tiny-ImageNet, and a long tail of it."""

import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from cfa.data.datasets import IMBALANCE_RATIOS
from cfa.models import ModelSpec, build_model, load_weights
from cfa.runs.rows import Scores
from cfa.runs.store import Store

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("no_shipped_runs")]

METHODS = ("pgd-at-cfa", "trades-cfa", "fat-cfa")
CIFAR, TINY = "cifar10-jpeg.tar.xz", "tiny-imagenet-200-subset.tar.xz"
EACH = 40  # CIFAR-10 images of a class, in either part
SETTINGS = ("train.epochs=1", "train.batch_size=100", "attack.steps=1", "averaging.gate=mean")


def unpack(archive: str, folder: Path, wanted: Callable[[Path], bool] = lambda path: True) -> None:
    shared = Path(os.environ.get("CFA_SHARED_DATA", "")) / archive
    if not os.environ.get("CFA_SHARED_DATA") or not shared.is_file():
        pytest.skip(f"needs real images: set CFA_SHARED_DATA to the folder with {archive}")
    with tarfile.open(shared) as opened:
        opened.extractall(folder, [m for m in opened if wanted(Path(m.name))], filter="data")


@pytest.fixture(scope="module")
def cifar(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Unpack the first images of each class and give the data set's name."""
    folder = tmp_path_factory.mktemp("cifar")
    first = {f"{number:04}.jpg" for number in range(EACH)}
    unpack(CIFAR, folder, lambda path: path.name in first)
    return f"folder:{folder}"


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny")
    unpack(TINY, folder)
    return folder / "tiny-imagenet-200"


def check(home: Path, document: dict, counts: list[int]) -> None:
    """Look at what a run left: right totals, weights that changed, a closing test on every test image."""
    run = Store.open(home).find(document["run_id"])
    assert document["status"] == "finished"
    assert run.manifest is not None
    held = [t + v for t, v in zip(run.manifest.train_counts, run.manifest.val_counts, strict=True)]
    assert held == counts
    training = next(row for row in run.rows() if isinstance(row, Scores) and row.split == "train")
    assert training.total == run.manifest.train_counts
    trained = load_weights(run.weights_file("online", "last"))
    start = build_model(run.config.model, ModelSpec(**run.manifest.model), run.config.seed).state_dict()
    assert trained.keys() == start.keys()
    assert not [k for k in start if k.endswith("weight") and torch.equal(start[k], trained[k])]


@pytest.mark.parametrize("method", METHODS)
def test_an_image_folder(cfa, home: Path, cifar: str, method: str) -> None:
    settings = [word for text in (*SETTINGS, "data.val_fraction=0.1") for word in ("--set", text)]
    document = cfa(
        *("train", "--method", method, "--dataset", cifar, "--model", "small-cnn", *settings, "--json")
    )
    check(home, document, [EACH] * 10)
    scores = cfa("evaluate", document["run_id"], "--attack", "fgsm", "--json")["scores"]
    assert {row["total"] for row in scores} == {EACH}


@pytest.mark.parametrize("method", METHODS)
def test_two_hundred_classes_and_a_long_tail(cfa, home: Path, tiny: Path, method: str) -> None:
    (home / "data").mkdir()
    (home / "data" / tiny.name).symlink_to(tiny)
    settings = [word for text in (*SETTINGS, "data.val_fraction=0.1") for word in ("--set", text)]
    for dataset in ("tiny-imagenet", "tiny-imagenet-lt"):
        document = cfa(
            *("train", "--method", method, "--dataset", dataset, "--model", "small-cnn", "--no-test"),
            *(*settings, "--json"),
        )
        run = Store.open(home).find(document["run_id"])
        assert run.manifest is not None
        if dataset == "tiny-imagenet":
            check(home, document, [20] * 200)
            assert run.class_groups == ()
        else:
            counts = run.manifest.train_counts
            held = [t + v for t, v in zip(counts, run.manifest.val_counts, strict=True)]
            assert max(held) == 20
            assert min(held) == 20 / IMBALANCE_RATIOS["tiny-imagenet"]
            assert sorted(set(run.class_groups)) == ["head", "medium", "tail"]
