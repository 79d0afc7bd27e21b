import dataclasses
import sys
import types
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from cfa.data import (
    DATASETS,
    Augmentation,
    Dataset,
    DatasetSource,
    dataset_info,
    download_dataset,
    fingerprint,
    load_dataset,
)
from cfa.errors import ConfigError, DataError, UnknownName
from cfa.trust import allowing


def parts(**changes) -> dict:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(256, (6, 3, 8, 8), generator=generator, dtype=torch.uint8)
    labels = torch.tensor([0, 1, 2, 0, 1, 2])
    made = {
        "name": "tiny",
        "class_names": ("ant", "bee", "cat"),
        "train_images": images,
        "train_labels": labels,
        "test_images": images[:3],
        "test_labels": labels[:3],
        "augmentation": Augmentation(crop_padding=1, padding_mode="reflect", flip=False),
    }
    return made | changes


def test_sizes_come_from_the_data() -> None:
    data = Dataset(**parts())
    assert (data.num_classes, data.channels, data.image_size) == (3, 3, 8)


IMAGES, LABELS = parts()["train_images"], parts()["train_labels"]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"train_images": IMAGES.float()}, r"train part of data set 'tiny' are torch\.float32"),
        ({"train_images": IMAGES[:, 0]}, r"of shape \(6, 8, 8\)"),
        ({"test_images": IMAGES[:3, :, :7]}, r"test part .* of shape \(3, 3, 7, 8\)"),
        ({"test_images": IMAGES[:3, :1]}, r"trains on images of shape \(3, 8, 8\) but tests on \(1, 8, 8\)"),
        ({"train_labels": LABELS.int()}, r"labels in the train part .* are torch\.int32"),
        ({"train_labels": LABELS[:5]}, r"give torch\.int64 of shape \(6,\)"),
        ({"train_labels": LABELS + 1}, r"run from 1 to 3; with 3 class names they must lie in 0 … 2"),
        ({"train_labels": LABELS - 1}, r"run from -1 to 1"),
        ({"train_labels": LABELS.clamp(max=1)}, "train part .* no image of class 'cat'"),
        ({"test_labels": LABELS[:3].clamp(min=1)}, "test part .* no image of class 'ant'"),
        ({"train_images": IMAGES[:0], "train_labels": LABELS[:0]}, "no image of class 'ant'"),
        ({"class_names": ("ant",)}, "names 1 classes"),
        ({"class_names": ("ant", "bee", "ant")}, "two classes that are both called 'ant'; rename one"),
        ({"class_names": ("an ant", "bee", "an  ant")}, "two classes that are both called 'an ant'"),
        ({"class_names": ("ant", "bee", 3)}, "the class 3 of data set .* is no text but int"),
        ({"class_names": ("ant", "bee", "c" * 301)}, "has 301 characters, and 300 at most are stored"),
        ({"name": None}, "the data set's name None is no text but NoneType"),
        ({"name": "a" * 5_001}, "has 5,001 characters, and 5,000 at most are stored"),
        ({"name": "a\udcff"}, "is not UTF-8"),
        ({"name": "a\u202eb"}, "turns the direction of reading"),
    ],
)
def test_what_is_no_data_set_is_refused(changes: dict, reason: str) -> None:
    with pytest.raises(DataError, match=reason):
        Dataset(**parts(**changes))


def test_a_data_set_with_other_images_has_another_fingerprint() -> None:
    """Also one that was made of another, whose fingerprint was asked for."""
    one = Dataset(**parts())
    inverted = dataclasses.replace(one, test_images=255 - one.test_images)
    assert one.fingerprint != inverted.fingerprint
    assert one.fingerprint == dataclasses.replace(inverted, test_images=one.test_images).fingerprint


@pytest.mark.parametrize(
    "changes", [{"crop_padding": -1}, {"padding_mode": "edge"}], ids=["negative padding", "unknown mode"]
)
def test_an_impossible_augmentation_is_refused(changes: dict) -> None:
    augmentation = Augmentation(crop_padding=2, padding_mode="constant", flip=True)
    with pytest.raises(DataError, match=next(iter(changes))):
        dataclasses.replace(augmentation, **changes)


def test_the_fingerprint_sees_every_pixel_label_and_shape() -> None:
    original = (IMAGES, LABELS, IMAGES[:3], LABELS[:3])
    other_pixel, other_label = IMAGES.clone(), LABELS.clone()
    other_pixel[5, 2, 7, 7] ^= 1
    other_label[0] = 2
    variants = [
        original,
        (other_pixel, LABELS, IMAGES[:3], LABELS[:3]),
        (IMAGES, other_label, IMAGES[:3], LABELS[:3]),
        (IMAGES, LABELS, IMAGES[1:4], LABELS[:3]),
        (IMAGES.reshape(6, 12, 4, 4), LABELS, IMAGES[:3], LABELS[:3]),
    ]
    prints = [fingerprint(*variant) for variant in variants]
    assert len(set(prints)) == len(prints)
    assert fingerprint(*original) == prints[0] == Dataset(**parts()).fingerprint
    assert fingerprint(IMAGES.to(memory_format=torch.channels_last), *original[1:]) == prints[0]


@pytest.fixture
def user_module(monkeypatch: pytest.MonkeyPatch) -> Iterator[types.ModuleType]:
    module = types.ModuleType("my_sets")
    module.tiny = DatasetSource(lambda folder: Dataset(**parts()))
    module.wrong = DatasetSource(lambda folder: parts())
    module.plain = lambda folder: Dataset(**parts())
    module.exits = DatasetSource(lambda folder: sys.exit(0))
    monkeypatch.setitem(sys.modules, "my_sets", module)
    with allowing(["my_sets:tiny", "my_sets:wrong", "my_sets:plain", "my_sets:exits"]):
        yield module


@pytest.mark.usefixtures("user_module")
def test_a_users_own_data_set_is_loaded_and_described(tmp_path: Path) -> None:
    assert load_dataset("my_sets:tiny", tmp_path).class_names == ("ant", "bee", "cat")
    info = dataset_info("my_sets:tiny", tmp_path)
    assert (info.name, info.classes, info.channels, info.image_size) == ("my_sets:tiny", 3, 3, 8)
    assert (info.train_images, info.test_images, info.available) == (6, 3, True)


@pytest.mark.usefixtures("user_module")
def test_a_loader_that_returns_something_else_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"'my_sets:wrong' returned dict"):
        load_dataset("my_sets:wrong", tmp_path)
    with pytest.raises(ConfigError, match=r"'my_sets:plain' is function .*; write @cfa\.data\.DatasetSource"):
        load_dataset("my_sets:plain", tmp_path)


def test_an_unknown_name_suggests_the_nearest(tmp_path: Path) -> None:
    for call in (load_dataset, dataset_info, download_dataset):
        with pytest.raises(UnknownName, match="fashion-mnist"):
            call("fashion-minst", tmp_path)


def test_every_registered_data_set_describes_itself_cheaply(tmp_path: Path) -> None:
    for name in DATASETS:
        info = dataset_info(name, tmp_path)
        assert info.name == name
        assert info.available or info.how_to_get


def test_what_needs_no_download_is_left_alone(tmp_path: Path) -> None:
    download_dataset("fashion-mnist-mini", tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("user_module")
def test_a_loader_that_ends_the_program_is_an_error(tmp_path: Path) -> None:
    """With exit code 0 a command would have looked as if it had done something."""
    with pytest.raises(DataError, match=r"'my_sets:exits' ends the program \(sys\.exit\(0\)\)"):
        load_dataset("my_sets:exits", tmp_path)
