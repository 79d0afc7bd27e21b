"""Data sets, stratified seeded splits and device-resident batches."""

from cfa.data.batches import Images, Offsets, apply_offsets, augment, batch_slices, draw_offsets, to_float
from cfa.data.datasets import (
    DATASETS,
    NO_AUGMENTATION,
    Augmentation,
    Dataset,
    DatasetInfo,
    DatasetLoader,
    DatasetSource,
    dataset_info,
    download_dataset,
    fingerprint,
    load_dataset,
)
from cfa.data.fashion_mnist import download_fashion_mnist, load_fashion_mnist, load_fashion_mnist_mini
from cfa.data.idx import read_idx
from cfa.data.splits import Split, long_tailed, stratified_split

__all__ = [
    "DATASETS",
    "NO_AUGMENTATION",
    "Augmentation",
    "Dataset",
    "DatasetInfo",
    "DatasetLoader",
    "DatasetSource",
    "Images",
    "Offsets",
    "Split",
    "apply_offsets",
    "augment",
    "batch_slices",
    "dataset_info",
    "download_dataset",
    "download_fashion_mnist",
    "draw_offsets",
    "fingerprint",
    "load_dataset",
    "load_fashion_mnist",
    "load_fashion_mnist_mini",
    "long_tailed",
    "read_idx",
    "stratified_split",
    "to_float",
]
