"""Weight averages: EMA takes every epoch, FAWA only those whose worst class holds up (CFA eq. 8, Alg. 1).

Averages never influence training; both are tracked in every run.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from math import ceil

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from cfa.config import Gate
from cfa.errors import ConfigError

StateDict = Mapping[str, Tensor]


def blend(average: StateDict, online: StateDict, decay: float) -> dict[str, Tensor]:
    """Return ``decay * average + (1 - decay) * online``; integers (batch counters) are the online ones."""
    return {
        name: torch.lerp(value, average[name], decay) if value.is_floating_point() else value.clone()
        for name, value in online.items()
    }


@dataclass(frozen=True, kw_only=True)
class Averager:
    """Averages one kind of weights once an epoch, starting with the first one that it accepts.

    A rejected epoch leaves the average untouched: it is skipped and not blended with decay 1, since then a
    diverged model's NaN would enter through ``0 * NaN``.

    Attributes:
        decay: The share that the average keeps.
        start_epoch: The first epoch that may enter.
        threshold: The gate statistic that an epoch must reach; ``None`` accepts every epoch (EMA).
    """

    decay: float
    start_epoch: int
    threshold: float | None = None

    def accepts(self, epoch: int, gate_statistic: float) -> bool:
        """Say whether the weights of ``epoch`` enter the average."""
        if epoch < self.start_epoch:
            return False
        return self.threshold is None or gate_statistic >= self.threshold

    def update(self, average: StateDict | None, online: StateDict) -> dict[str, Tensor]:
        """Return the average with ``online`` in it; the first accepted epoch is copied."""
        if average is None:
            return {name: value.clone() for name, value in online.items()}
        return blend(average, online, self.decay)


def gate_statistic(gate: Gate, correct: ArrayLike, total: ArrayLike, tail: ArrayLike | None = None) -> float:
    """Reduce validation robustness per class to the number that the gate compares with its threshold.

    It is computed in whole numbers and rounded once, so that a mean of exactly the threshold reaches it.

    Args:
        gate: ``worst`` class (the paper's), mean of the ``worst-10-percent`` of classes (at least one),
            mean of the ``tail`` classes, or ``mean`` of all.
        correct: Robustly correct validation images per class.
        total: Validation images per class.
        tail: Which classes are the tail, boolean, for gate ``tail``.
    """
    accuracy = [Fraction(int(k), int(n)) for k, n in zip(np.asarray(correct), np.asarray(total), strict=True)]
    if gate == "worst":
        accuracy = [min(accuracy)]
    elif gate == "worst-10-percent":
        accuracy = sorted(accuracy)[: ceil(len(accuracy) / 10)]
    elif gate == "tail":
        if tail is None:
            raise ConfigError("averaging.gate=tail needs to know the tail classes; choose another gate")
        accuracy = [one for one, is_tail in zip(accuracy, np.asarray(tail), strict=True) if is_tail]
    return float(sum(accuracy) / len(accuracy))


def tail_classes(train_counts: ArrayLike) -> np.ndarray:
    """Mark the third of the classes with the fewest training images (at least one)."""
    counts = np.asarray(train_counts)
    tail = np.zeros(len(counts), dtype=bool)
    tail[np.argsort(counts, kind="stable")[: ceil(len(counts) / 3)]] = True
    return tail
