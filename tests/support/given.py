"""Batches whose images are logits already, for losses that are worked out by hand."""

import torch
from torch import Tensor

from cfa.methods import Attacked, Batch, Knobs


def of(*values: float) -> Tensor:
    """Make a vector in double precision."""
    return torch.tensor(values, dtype=torch.float64)


def logits_as_batch(
    logits: list[list[float]], y: list[int], counts: tuple[int, ...] = (), **knobs: Tensor
) -> Batch:
    """Make a batch for a network that returns what it is given.

    Args:
        logits: One row an image.
        y: True classes.
        counts: Training images of each class; by default 10 of each.
        knobs: Values of classes, or of pairs; eps is 0.1.
    """
    x, classes = torch.tensor(logits, dtype=torch.float64), torch.tensor(y)
    of_class = Knobs(**{"eps": torch.full((x.shape[1],), 0.1, dtype=torch.float64), **knobs})
    return Batch(
        x=x,
        y=classes,
        index=torch.arange(len(y)),
        knobs=of_class.at(classes),
        knobs_of_class=of_class,
        class_counts=torch.tensor(counts) if counts else torch.full((x.shape[1],), 10),
        whole_y=classes,
    )


def as_attacked(logits: list[list[float]]) -> Attacked:
    """Take logits for adversarial examples."""
    return Attacked(x_adv=torch.tensor(logits, dtype=torch.float64))


def same(x: Tensor) -> Tensor:
    """Stand for a network whose logits are its input."""
    return x
