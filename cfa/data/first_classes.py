"""Data sets of the first classes of another one, as some papers take them to save time."""

from dataclasses import replace
from pathlib import Path

from cfa.data.datasets import Dataset, DatasetInfo, DatasetSource
from cfa.errors import DataError


def first_classes(name: str, source: DatasetSource, count: int) -> DatasetSource:
    """Make the data set of the first classes of another, in both parts.

    Args:
        name: The new one's.
        source: The whole one.
        count: How many of its classes are taken, in its order.
    """

    def load(folder: Path) -> Dataset:
        whole = source(folder)
        if whole.num_classes < count:
            raise DataError(
                f"{name} is the first {count} classes of {whole.name}, and what lies there has "
                f"{whole.num_classes}; use {whole.name} itself"
            )
        train, test = whole.train_labels < count, whole.test_labels < count
        return replace(
            whole,
            name=name,
            class_names=whole.class_names[:count],
            train_images=whole.train_images[train],
            train_labels=whole.train_labels[train],
            test_images=whole.test_images[test],
            test_labels=whole.test_labels[test],
            notes=(*whole.notes, _note(whole.name, whole.num_classes)),
        )

    def _note(base: str, classes: int) -> str:
        return f"the first {count} of the {classes} classes of {base}"

    describe_whole = source.describe
    if describe_whole is None:
        return DatasetSource(load, None, source.download, source.check)

    def describe(folder: Path) -> DatasetInfo:
        info = describe_whole(folder)
        return replace(
            info,
            name=name,
            title=f"{info.title}, first {count} classes",
            classes=count,
            train_images=info.train_images * count // info.classes,
            test_images=info.test_images * count // info.classes,
            train_counts=info.train_counts[:count],
            notes=(*info.notes, _note(info.name, info.classes)),
        )

    return DatasetSource(load, describe, source.download, source.check)
