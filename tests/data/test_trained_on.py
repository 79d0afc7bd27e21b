"""A short epoch on every data set, on small files in the true formats: trained on is what is there."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from cfa.data import (
    Dataset,
    load_cifar10,
    load_cifar100,
    load_folder,
    load_stl10,
    load_svhn,
    load_tiny_imagenet,
)
from cfa.methods import configure
from cfa.models import ModelSpec, build_model, channel_statistics, load_weights
from cfa.progress import Observer
from cfa.runs.rows import Scores, read_rows
from cfa.training import fit
from tests.data.test_image_folder import noise
from tests.support.published import (
    checksums,
    cifar10_files,
    cifar100_files,
    stl10_files,
    svhn_files,
    tiny_imagenet_files,
    unpack_into,
    write_tree,
)
from tests.support.tiny import CPU, tiny_store

METHODS = ("pgd-at-cfa", "trades-cfa", "fat-cfa")


def _published(
    load: Callable[..., Dataset], place: str, files: dict[str, bytes]
) -> Callable[[Path], Dataset]:
    def make(folder: Path) -> Dataset:
        unpack_into(folder / place, files)
        return load(folder, checksums(files, leave_out=("unlabeled_X.bin",)))

    return make


def _tiny_imagenet(folder: Path) -> Dataset:
    wnids = tuple(f"n{number:08}" for number in range(200))
    write_tree(folder / "tiny-imagenet-200", tiny_imagenet_files(each=2, val=1, wnids=wnids))
    return load_tiny_imagenet(folder)


def _folder(folder: Path) -> Dataset:
    for k in "abc":
        for n in range(20):
            noise(folder / "pets" / k / f"{n}.png", n, size=(12 + n % 3, 14))
    return load_folder(folder / "pets", folder / "data")


DATASETS = {
    "cifar10": _published(load_cifar10, "cifar-10-batches-py", cifar10_files()),
    "cifar100": _published(load_cifar100, "cifar-100-python", cifar100_files()),
    "stl10": _published(load_stl10, "stl10_binary", stl10_files()),
    "svhn": _published(load_svhn, "", svhn_files(train=60, each=2)),
    "tiny-imagenet": _tiny_imagenet,
    "folder": _folder,
}
FAST = {
    "train.epochs": 1, "train.batch_size": 10, "attack.steps": 1, "averaging.gate": "mean",
    "data.val_fraction": 0.1, "data.augment": True,
}  # fmt: skip


def train(folder: Path, method: str, data: Dataset, **settings: object) -> None:
    config = configure(method, data.name, model="small-cnn", preset="demo", overrides={**FAST, **settings})
    run = tiny_store(folder / "home").create(config)
    fit(run, data, CPU, Observer())
    assert run.manifest is not None
    counts = run.manifest.train_counts
    rows = [row for row in read_rows(run.history_file) if isinstance(row, Scores)]
    assert {tuple(row.total) for row in rows if row.split == "train"} == {tuple(counts)}
    assert {tuple(row.total) for row in rows if row.split == "val"} == {tuple(run.manifest.val_counts)}
    if not settings:
        assert torch.bincount(data.train_labels).tolist() == [
            train + val for train, val in zip(counts, run.manifest.val_counts, strict=True)
        ]
    trained = load_weights(run.weights_file("online", "last"))
    spec = ModelSpec(data.channels, data.num_classes, data.image_size, *channel_statistics(data.train_images))
    start = build_model("small-cnn", spec, seed=0).state_dict()
    assert trained.keys() == start.keys()
    weights = [name for name in start if name.endswith("weight")]
    assert weights
    assert not [name for name in weights if torch.equal(start[name], trained[name])]


@pytest.mark.parametrize("name", DATASETS)
def test_every_method_trains_on_every_data_set(name: str, tmp_path: Path) -> None:
    data = DATASETS[name](tmp_path)
    for method in METHODS:
        train(tmp_path, method, data)


@pytest.mark.parametrize("method", METHODS)
def test_a_long_tail_is_trained_on_by_its_true_counts(method: str, tmp_path: Path) -> None:
    files = cifar10_files(each=80)
    data = _published(load_cifar10, "cifar-10-batches-py", files)(tmp_path)
    train(tmp_path, method, data, **{"data.imbalance_ratio": 5})
