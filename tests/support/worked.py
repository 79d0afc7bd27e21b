"""Worked examples: batches of logits that are given, for methods whose numbers were computed apart."""

from typing import Any

import torch
from torch import Tensor

from cfa.methods import Attacked, Batch, Knobs


def same(x: Tensor) -> Tensor:
    """Stand for a network whose logits are its input."""
    return x


def of(values: list[Any]) -> Tensor:
    """Write numbers in float64."""
    return torch.tensor(values, dtype=torch.float64)


def batch_of(
    logits: list[list[float]],
    y: list[int],
    teacher: Tensor | None = None,
    *,
    counts: tuple[int, ...] = (),
    **knobs: Tensor,
) -> Batch:
    """Make a batch whose clean logits are given, with the knobs of the classes.

    Args:
        logits: A row an image.
        y: True classes.
        teacher: What a teacher answers.
        counts: Training images of each class; by default 10 of each.
        knobs: Values of classes, or of pairs; eps is 0.1.
    """
    x, classes = of(logits), torch.tensor(y)
    of_class = Knobs(**{"eps": torch.full((x.shape[1],), 0.1, dtype=torch.float64), **knobs})
    more: dict[str, Any] = {} if teacher is None else {"teacher": lambda x: teacher}
    return Batch(
        x=x,
        y=classes,
        index=torch.arange(len(y)),
        knobs=of_class.at(classes),
        knobs_of_class=of_class,
        class_counts=torch.tensor(counts) if counts else torch.full((x.shape[1],), 10),
        whole_y=classes,
        **more,
    )


def adversarial(logits: list[list[float]], **also: list[list[float]]) -> Attacked:
    """Make adversarial examples whose logits are given."""
    return Attacked(x_adv=of(logits), also={name: of(values) for name, values in also.items()})
