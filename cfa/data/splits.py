"""Seeded splits of the training part into training and validation images, class by class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from cfa.errors import ConfigError, DataError

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, eq=False)
class Split:
    """Positions in the training part, int64, ascending, disjoint, together all of it."""

    train: Tensor
    validation: Tensor


def stratified_split(
    labels: Tensor,
    num_classes: int,
    val_fraction: float,
    seed: int,
    order: Literal["shuffled", "file"] = "shuffled",
) -> Split:
    """Set aside ``round(val_fraction * n_k)`` images of each class, at least one, for validation.

    Args:
        labels: int64, shape (images,).
        num_classes: number of classes, each of which must occur.
        val_fraction: share of each class, in (0, 1).
        seed: draws the images under ``shuffled``; torch's global generator is neither used nor moved.
        order: ``file`` takes the first images of each class, as the official code of CFA does.

    Raises:
        ConfigError: ``val_fraction`` outside (0, 1).
        DataError: a class is absent, or would keep no training image.
    """
    import torch

    if not 0.0 < val_fraction < 1.0:
        raise ConfigError(f"data.val_fraction={val_fraction} lies outside (0, 1); 0.02 to 0.1 is usual")
    generator = torch.Generator().manual_seed(seed)
    labels = labels.cpu()
    held_out = torch.zeros(len(labels), dtype=torch.bool)
    for class_index in range(num_classes):
        members = (labels == class_index).nonzero().squeeze(1)
        count = max(1, round(val_fraction * len(members)))
        _check_class(class_index, len(members), count)
        if order == "shuffled":
            members = members[torch.randperm(len(members), generator=generator)]
        held_out[members[:count]] = True
    return Split(train=(~held_out).nonzero().squeeze(1), validation=held_out.nonzero().squeeze(1))


def _check_class(class_index: int, images: int, held_out: int) -> None:
    if images == 0:
        raise DataError(f"class {class_index} has no training image; drop that class or add images")
    if held_out >= images:
        raise DataError(
            f"class {class_index} has {images} training images and validation would take {held_out}, "
            "which leaves none to train on; lower data.val_fraction or add images"
        )


def long_tailed(labels: Tensor, num_classes: int, imbalance_ratio: float, seed: int) -> Tensor:
    """Thin out classes to an exponential profile: n_k = n_0 * ratio^(-k / (classes - 1)).

    Args:
        labels: int64, shape (images,), each class present.
        num_classes: number of classes; class 0 stays whole, the last becomes the smallest.
        imbalance_ratio: images of the largest class over images of the smallest, at least 1.
        seed: draws the images that stay.

    Returns:
        Positions in ``labels`` that stay, int64, ascending.

    Raises:
        DataError: a class would be left without an image.
    """
    import torch

    generator = torch.Generator().manual_seed(seed)
    labels = labels.cpu()
    counts = long_tailed_counts(torch.bincount(labels, minlength=num_classes).tolist(), imbalance_ratio)
    kept = []
    for class_index, count in enumerate(counts):
        members = (labels == class_index).nonzero().squeeze(1)
        if count == 0:
            raise DataError(
                f"data.imbalance_ratio={imbalance_ratio:g} leaves class {class_index} no image; lower it"
            )
        kept.append(members[torch.randperm(len(members), generator=generator)[:count]])
    return torch.cat(kept).sort().values


def long_tailed_counts(counts: Sequence[int], imbalance_ratio: float) -> tuple[int, ...]:
    """Compute how many images of each class the exponential profile leaves.

    Args:
        counts: Images of each class; the largest number among them is that of the profile's first class.
        imbalance_ratio: As for :func:`long_tailed`.

    Returns:
        One number a class, 0 where the profile leaves none; a class that is smaller than it stays whole.
    """
    largest, steps = max(counts), max(1, len(counts) - 1)
    return tuple(
        min(int(largest * imbalance_ratio ** (-class_index / steps)), count)
        for class_index, count in enumerate(counts)
    )


def long_tailed_split(
    labels: Tensor,
    num_classes: int,
    imbalance_ratio: float,
    val_fraction: float,
    seed: int,
    order: Literal["shuffled", "file"] = "shuffled",
) -> Split:
    """Thin the classes out to a long tail, then set validation images aside from what is left.

    Whoever has a long tail has one to validate on as well: images that the tail lacks in training are not
    there to choose checkpoints by. So a small class gives few validation images, one at least.

    Args:
        labels: int64, shape (images,), each class present.
        num_classes: Number of classes.
        imbalance_ratio: As for :func:`long_tailed`; 1 keeps every image.
        val_fraction: As for :func:`stratified_split`, and ``order`` likewise.
        seed: Draws what stays and what is set aside.
        order: Of what is set aside; what stays is always drawn.

    Returns:
        Positions in ``labels``; together they are those that stay.

    Raises:
        ConfigError: ``val_fraction`` outside (0, 1).
        DataError: A class is left without an image, or without one to train on.
    """
    if imbalance_ratio == 1:
        return stratified_split(labels, num_classes, val_fraction, seed, order)
    kept = long_tailed(labels, num_classes, imbalance_ratio, seed)
    split = stratified_split(labels.cpu()[kept], num_classes, val_fraction, seed, order)
    return Split(train=kept[split.train], validation=kept[split.validation])
