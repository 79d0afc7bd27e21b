"""Counts of correct images per class, clean and under PGD-10, for the gate and for choosing checkpoints."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from cfa.attacks import CLEAN, named_attack, predict_under
from cfa.config import RunConfig
from cfa.data import Images, batch_slices, to_float
from cfa.results.rows import Scores
from cfa.training.randomness import generator

VALIDATION_ATTACK = "pgd-10"  # at the nominal eps, step eps/4, as the papers validate
BATCH_SIZE = 500


@dataclass(frozen=True)
class Counts:
    """Correct and total images per class."""

    clean: tuple[int, ...]
    robust: tuple[int, ...]
    total: tuple[int, ...]

    @property
    def selection_score(self) -> float:
        """Mean plus worst-class robust accuracy, what CFA's code keeps checkpoints by."""
        accuracy = [k / n for k, n in zip(self.robust, self.total, strict=True)]
        return sum(accuracy) / len(accuracy) + min(accuracy)


def count_correct(model: nn.Module, images: Images, config: RunConfig, num_classes: int) -> Counts:
    """Count correct predictions of ``model`` per class, clean and under the validation attack.

    The attack's noise depends on the run's seed and the batch alone, so equal weights give equal counts.
    """
    device = images.labels.device
    attack = named_attack(VALIDATION_ATTACK, config.attack.norm)
    sums = torch.zeros(2, num_classes, dtype=torch.int64, device=device)
    batches = batch_slices(torch.arange(len(images), device=device), BATCH_SIZE)
    for number, indices in enumerate(batches):
        batch = images.subset(indices)
        x, y = to_float(batch.images), batch.labels
        noise = generator(config.seed, "validation", number, device=device)
        for row, under in enumerate((None, attack)):
            correct = predict_under(model, under, x, y, config.attack.eps, noise) == y
            sums[row].index_add_(0, y, correct.to(torch.int64))
    clean, robust = (tuple(row) for row in sums.tolist())
    return Counts(clean, robust, tuple(images.counts(num_classes).tolist()))


def score_rows(counts: Counts, config: RunConfig, *, epoch: int, split: str, weights: str) -> list[Scores]:
    """Turn counts into rows."""
    common: dict[str, Any] = {"epoch": epoch, "split": split, "weights": weights, "total": counts.total}
    attack = config.attack
    return [
        Scores(attack=CLEAN, norm="none", eps=0.0, correct=counts.clean, **common),
        Scores(attack=VALIDATION_ATTACK, norm=attack.norm, eps=attack.eps, correct=counts.robust, **common),
    ]
