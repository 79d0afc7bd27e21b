"""Losses of the classes of a batch, for methods whose loss is one of all its images together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cfa.methods.interface import Batch

if TYPE_CHECKING:
    from torch import Tensor


def losses_of_classes(losses: Tensor, batch: Batch, classes: int) -> tuple[Tensor, Tensor]:
    """Return the mean loss of each class, 0 where the batch lacks it, and its images, both shape (classes,).

    Args:
        losses: Of the images, shape (images,).
        batch: The whole batch.
        classes: How many classes there are.
    """
    import torch

    member = (torch.arange(classes, device=batch.y.device)[:, None] == batch.y).to(losses.dtype)
    images = batch.everyone.sum(member.sum(dim=1))
    return batch.everyone.sum(member @ losses) / images.clamp_min(1), images
