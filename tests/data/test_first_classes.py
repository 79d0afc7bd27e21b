"""Tiny-ImageNet's first 20 classes by wnid, of which RobustLT makes its long tail."""

from pathlib import Path

import pytest
import torch

from cfa.data import dataset_info, load_dataset
from cfa.errors import DataError
from tests.support.published import WNIDS, tiny_imagenet_files, write_tree

MANY = tuple(f"n{9_999_000 - number:08d}" for number in range(22))  # not in order


def test_the_first_classes_by_wnid_are_taken_in_both_parts(tmp_path: Path) -> None:
    write_tree(tmp_path / "tiny-imagenet-200", tiny_imagenet_files(each=2, val=1, wnids=MANY))
    whole, data = (load_dataset(name, tmp_path) for name in ("tiny-imagenet", "tiny-imagenet-20"))
    assert data.class_names == tuple(f"name of {wnid}" for wnid in sorted(MANY)[:20])
    assert (len(data.train_images), len(data.test_images)) == (40, 20)
    for part in ("train", "test"):
        labels = getattr(whole, f"{part}_labels")
        kept = [place for place, label in enumerate(labels.tolist()) if label < 20]
        assert torch.equal(getattr(data, f"{part}_images"), getattr(whole, f"{part}_images")[kept])
        assert torch.equal(getattr(data, f"{part}_labels"), labels[kept])
    assert data.augmentation == whole.augmentation
    info = dataset_info("tiny-imagenet-20", tmp_path)
    assert (info.name, info.classes, info.train_images, info.test_images) == ("tiny-imagenet-20", 20, 40, 20)
    assert info.available
    assert "the first 20 of the 22 classes of tiny-imagenet" in info.notes
    tail = load_dataset("tiny-imagenet-20-lt", tmp_path)
    assert (tail.num_classes, tail.imbalance_ratio) == (20, 10)
    assert tail.notes == data.notes == info.notes


def test_a_folder_with_fewer_classes_is_refused(tmp_path: Path) -> None:
    write_tree(tmp_path / "tiny-imagenet-200", tiny_imagenet_files())
    with pytest.raises(
        DataError, match=f"first 20 classes of tiny-imagenet, and what lies there has {len(WNIDS)};"
    ):
        load_dataset("tiny-imagenet-20", tmp_path)
