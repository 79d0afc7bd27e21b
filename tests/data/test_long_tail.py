import sys
import types
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from cfa.data import (
    DATASETS,
    Dataset,
    DatasetSource,
    dataset_info,
    load_dataset,
    long_tailed_counts,
    long_tailed_split,
    usual_imbalance_ratio,
)
from cfa.errors import DataError, UnknownName
from cfa.trust import allowing
from tests.data.test_image_folder import noise

RATIOS = {
    "cifar10-lt": 50.0, "cifar100-lt": 10.0, "tiny-imagenet-lt": 10.0, "svhn-lt": 10.0,
    "tiny-imagenet-20-lt": 10.0,
    "my_sets:tiny-lt": 10.0, "cifar10": 1.0, "tiny-imagenet": 1.0, "my_sets:tiny": 1.0, "folder": 1.0,
}  # fmt: skip


@pytest.mark.parametrize("name", RATIOS)
def test_the_usual_ratios_are_robustlts(name: str) -> None:
    assert usual_imbalance_ratio(name) == RATIOS[name]


@pytest.mark.parametrize(
    ("name", "images", "classes"),
    # Sizes that the literature prints: Cao et al. 2019 and whoever uses their profile.
    [
        ("cifar10-lt", 13_996, 10),
        ("cifar100-lt", 19_573, 100),
        ("tiny-imagenet-lt", 39_072, 200),
        ("tiny-imagenet-20-lt", 3_981, 20),  # RobustLT's
    ],
)
def test_long_tails_are_described_with_the_images_that_are_left(
    name: str, images: int, classes: int, tmp_path: Path
) -> None:
    info = dataset_info(name, tmp_path)
    assert (info.name, info.train_images, info.classes) == (name, images, classes)
    assert info.imbalance_ratio == RATIOS[name]
    assert info.test_images == (1_000 if classes == 20 else 10_000)
    assert info.title.endswith(f"long-tailed 1:{RATIOS[name]:g}")


@pytest.fixture
def own(monkeypatch: pytest.MonkeyPatch) -> Iterator[Dataset]:
    labels = torch.arange(4).repeat(100)
    images = torch.randint(256, (400, 1, 8, 8), dtype=torch.uint8)
    data = Dataset("tiny", tuple("abcd"), images, labels, images[:8], labels[:8])
    module = types.ModuleType("my_sets")
    module.tiny = DatasetSource(lambda folder: data)
    module.wrong = DatasetSource(lambda folder: 5)
    module.test_only = DatasetSource(
        lambda folder: Dataset(
            "t", ("a", "b"), images[:0], labels[:0], images[:2], labels[:2], test_only=True
        )
    )
    monkeypatch.setitem(sys.modules, "my_sets", module)
    with allowing(f"my_sets:{name}" for name in ("tiny", "wrong", "test_only", "nothing")):
        yield data


@pytest.mark.parametrize("name", ["fashion-mnist-mini", "my_sets:tiny"])
def test_any_data_set_has_a_long_tail(name: str, own: Dataset, tmp_path: Path) -> None:
    whole, tail = (load_dataset(n, tmp_path) for n in (name, f"{name}-lt"))
    assert tail.name == f"{whole.name}-lt"
    assert (whole.imbalance_ratio, tail.imbalance_ratio) == (1.0, 10.0)
    assert tail.fingerprint == whole.fingerprint
    assert torch.equal(tail.train_images, whole.train_images)  # training thins them out
    assert torch.equal(tail.test_labels, whole.test_labels)
    info = dataset_info(f"{name}-lt", tmp_path)
    counts = torch.bincount(whole.train_labels).tolist()
    assert info.train_images == sum(long_tailed_counts(counts, 10))


def test_a_folder_has_a_long_tail_unless_it_is_called_so(tmp_path: Path) -> None:
    for name in ("pets", "dogs-lt"):
        for part, count in (("train", 12), ("test", 1)):
            for k in "ab":
                for n in range(count):
                    noise(tmp_path / name / part / k / f"{n}.png", n)
    tail = load_dataset(f"folder:{tmp_path}/pets-lt", tmp_path / "data")
    assert (tail.name, tail.imbalance_ratio) == (f"folder:{tmp_path}/pets-lt", 10.0)
    info = dataset_info(f"folder:{tmp_path}/pets-lt", tmp_path / "data")
    assert (info.train_images, info.name) == (13, tail.name)
    plain = load_dataset(f"folder:{tmp_path}/dogs-lt", tmp_path / "data")
    assert (plain.name, plain.imbalance_ratio) == (f"folder:{tmp_path}/dogs-lt", 1.0)
    assert usual_imbalance_ratio(f"folder:{tmp_path}/dogs-lt") == 1.0
    assert load_dataset(f"folder:{tmp_path}/dogs-lt-lt", tmp_path / "data").imbalance_ratio == 10.0


@pytest.mark.parametrize(
    ("name", "error", "reason"),
    [
        ("cifar-10-lt", UnknownName, "unknown data set 'cifar-10-lt'; did you mean 'cifar10-lt'"),
        ("cifar10-lt-lt", UnknownName, "unknown data set 'cifar10-lt-lt'"),
        ("-lt", UnknownName, "unknown data set '-lt'"),
        ("my_sets:nothing-lt", UnknownName, "cannot import data set 'my_sets:nothing-lt'"),
        ("my_sets:wrong-lt", DataError, "'my_sets:wrong' returned int"),
        ("my_sets:test_only-lt", DataError, "has a test part only"),
        ("folder-lt", DataError, "folder needs a path"),
        ("folder:nowhere-lt", DataError, "nowhere does not exist"),
    ],
)
def test_a_tail_of_nothing_is_explained(name, error, reason, own: Dataset, tmp_path: Path) -> None:
    with pytest.raises(error, match=reason):
        load_dataset(name, tmp_path)


def test_those_of_the_literature_are_listed() -> None:
    assert [name for name in DATASETS if name.endswith("-lt")] == [
        "cifar10-lt", "cifar100-lt", "tiny-imagenet-lt", "tiny-imagenet-20-lt",
    ]  # fmt: skip
    assert next(iter(DATASETS)) == "fashion-mnist-mini"


# Splits ----------------------------------------------------------------------------------------------------

LABELS = torch.arange(5).repeat(1000)[torch.randperm(5000, generator=torch.Generator().manual_seed(1))]


@pytest.mark.parametrize(
    ("ratio", "val_fraction", "train", "validation"),
    [
        (16, 0.02, [980, 490, 245, 123, 61], [20, 10, 5, 2, 1]),
        (100, 0.1, [900, 284, 90, 28, 9], [100, 32, 10, 3, 1]),
        (1, 0.02, [980] * 5, [20] * 5),
    ],
)
def test_validation_is_as_long_tailed_as_training(ratio, val_fraction, train, validation) -> None:
    split = long_tailed_split(LABELS, 5, ratio, val_fraction, seed=0)
    assert torch.bincount(LABELS[split.train]).tolist() == train
    assert torch.bincount(LABELS[split.validation]).tolist() == validation
    both = torch.cat([split.train, split.validation])
    assert len(set(both.tolist())) == len(both)
    for part in split.train, split.validation:
        assert part.tolist() == sorted(part.tolist())
    again, other = (long_tailed_split(LABELS, 5, ratio, val_fraction, seed) for seed in (0, 1))
    assert torch.equal(again.train, split.train)
    assert not torch.equal(other.train, split.train)


def test_in_file_order_the_first_of_what_stays_validate() -> None:
    split = long_tailed_split(LABELS, 5, 16, 0.02, seed=0, order="file")
    for k in range(5):
        train, validation = (part[LABELS[part] == k] for part in (split.train, split.validation))
        assert validation.max() < train.min()


@pytest.mark.parametrize(
    ("counts", "ratio", "left"),
    [
        ([100, 100, 100], 100, (100, 10, 1)),
        ([100, 100, 100], 1000, (100, 3, 0)),
        ([50, 100, 3], 4, (50, 50, 3)),  # the largest leads the profile, wherever it stands
        ([7, 7], 1, (7, 7)),
    ],
)
def test_counts_by_hand(counts, ratio, left) -> None:
    assert long_tailed_counts(counts, ratio) == left


@pytest.mark.parametrize(
    ("ratio", "reason"),
    [
        (1001, r"data\.imbalance_ratio=1001 leaves class 4 no image; lower it"),
        (1000, "class 4 has 1 training images and validation would take 1"),
    ],
)
def test_a_class_that_would_be_left_with_nothing_is_named(ratio: float, reason: str) -> None:
    with pytest.raises(DataError, match=reason):
        long_tailed_split(LABELS, 5, ratio, 0.02, seed=0)
