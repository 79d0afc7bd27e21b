"""Data sets, stratified seeded splits and device-resident batches."""

from typing import TYPE_CHECKING

from cfa.data.augmentation import NO_AUGMENTATION, Augmentation
from cfa.data.cifar import load_cifar10, load_cifar100
from cfa.data.datasets import (
    DATASETS,
    FOLDER,
    LONG_TAIL,
    Dataset,
    DatasetInfo,
    DatasetLoader,
    DatasetSource,
    Report,
    dataset_info,
    download_dataset,
    fingerprint,
    fingerprint_of_arrays,
    full_name,
    load_dataset,
    read_test_part,
    refuse_missing,
    usual_imbalance_ratio,
)
from cfa.data.fashion_mnist import download_fashion_mnist, load_fashion_mnist, load_fashion_mnist_mini
from cfa.data.idx import read_idx
from cfa.data.image_folder import load_folder
from cfa.data.listing import scan_folder
from cfa.data.splits import Split, long_tailed, long_tailed_counts, long_tailed_split, stratified_split
from cfa.data.stl10 import load_stl10
from cfa.data.svhn import load_svhn
from cfa.data.tiny_imagenet import load_tiny_imagenet
from cfa.later import imported_later

if TYPE_CHECKING:
    from cfa.data.batches import (
        Images,
        Offsets,
        apply_offsets,
        augment,
        batch_slices,
        clean_batches,
        draw_offsets,
        to_float,
    )

import cfa.data.catalogue  # isort: skip  # noqa: F401 - fills DATASETS

__all__ = [
    "DATASETS",
    "FOLDER",
    "LONG_TAIL",
    "NO_AUGMENTATION",
    "Augmentation",
    "Dataset",
    "DatasetInfo",
    "DatasetLoader",
    "DatasetSource",
    "Images",
    "Offsets",
    "Report",
    "Split",
    "apply_offsets",
    "augment",
    "batch_slices",
    "clean_batches",
    "dataset_info",
    "download_dataset",
    "download_fashion_mnist",
    "draw_offsets",
    "fingerprint",
    "fingerprint_of_arrays",
    "full_name",
    "load_cifar10",
    "load_cifar100",
    "load_dataset",
    "load_fashion_mnist",
    "load_fashion_mnist_mini",
    "load_folder",
    "load_stl10",
    "load_svhn",
    "load_tiny_imagenet",
    "long_tailed",
    "long_tailed_counts",
    "long_tailed_split",
    "read_idx",
    "read_test_part",
    "refuse_missing",
    "scan_folder",
    "stratified_split",
    "to_float",
    "usual_imbalance_ratio",
]

__getattr__ = imported_later(
    __name__,
    {
        "batches": (
            *("Images", "Offsets", "apply_offsets", "augment", "batch_slices", "clean_batches"),
            *("draw_offsets", "to_float"),
        )
    },
)
