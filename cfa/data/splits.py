"""Seeded splits of the training part into training and validation images, class by class."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from cfa.errors import ConfigError, DataError


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
    generator = torch.Generator().manual_seed(seed)
    largest = int(torch.bincount(labels, minlength=num_classes).max())
    kept = []
    for class_index in range(num_classes):
        members = (labels == class_index).nonzero().squeeze(1)
        share = imbalance_ratio ** (-class_index / max(1, num_classes - 1))
        count = min(int(largest * share), len(members))
        if count == 0:
            raise DataError(
                f"data.imbalance_ratio={imbalance_ratio:g} leaves class {class_index} no image; lower it"
            )
        kept.append(members[torch.randperm(len(members), generator=generator)[:count]])
    return torch.cat(kept).sort().values
