"""Data sets, stratified seeded splits and device-resident batches."""

from cfa.data.batches import Images, Offsets, apply_offsets, augment, batch_slices, draw_offsets, to_float
from cfa.data.datasets import (
    DATASETS,
    FOLDER,
    NO_AUGMENTATION,
    Augmentation,
    Dataset,
    DatasetInfo,
    DatasetLoader,
    DatasetSource,
    dataset_info,
    download_dataset,
    fingerprint,
    full_name,
    load_dataset,
)
from cfa.data.fashion_mnist import download_fashion_mnist, load_fashion_mnist, load_fashion_mnist_mini
from cfa.data.folders import load_folder, scan_folder
from cfa.data.idx import read_idx
from cfa.data.splits import Split, long_tailed, stratified_split

__all__ = [
    "DATASETS",
    "FOLDER",
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
    "full_name",
    "load_dataset",
    "load_fashion_mnist",
    "load_fashion_mnist_mini",
    "load_folder",
    "long_tailed",
    "read_idx",
    "scan_folder",
    "stratified_split",
    "to_float",
]
