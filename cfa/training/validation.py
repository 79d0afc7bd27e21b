"""Counts of correct images per class, clean and attacked, for the gate and for choosing checkpoints."""

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import torch
from torch import Tensor, nn

from cfa.attacks import CLEAN, Attack, named_attack, predict_under
from cfa.config import RunConfig
from cfa.data import Images, batch_slices, to_float
from cfa.methods import VALIDATION_CLEAN, VALIDATION_ROBUST, Tally
from cfa.models.replay import Call, Carrier, Tensors, eagerly
from cfa.runs.rows import Scores
from cfa.training.memory import OutOfMemory, fits
from cfa.training.randomness import generator

BATCH_SIZE = 500


@dataclass(frozen=True)
class Counts:
    """Correct and total images per class; ``robust`` under ``attack``."""

    clean: tuple[int, ...]
    robust: tuple[int, ...]
    total: tuple[int, ...]
    attack: str = "pgd-10"  # saved states that do not say which

    def tallies(self) -> dict[str, Tally]:
        """Return the counts as a rule reads them."""
        total = torch.tensor(self.total)
        return {
            name: Tally(total=total, correct=torch.tensor(correct))
            for name, correct in ((VALIDATION_CLEAN, self.clean), (VALIDATION_ROBUST, self.robust))
        }

    @property
    def selection_score(self) -> float:
        """Mean plus worst-class robust accuracy, what CFA's code keeps checkpoints by."""
        accuracy = [Fraction(k, n) for k, n in zip(self.robust, self.total, strict=True)]
        return float(sum(accuracy) / len(accuracy) + min(accuracy))  # rounded once: equal scores stay equal


def count_correct(
    model: nn.Module,
    images: Images,
    config: RunConfig,
    num_classes: int,
    attack: str,
    carry: Carrier = eagerly,
) -> Counts:
    """Count correct predictions of ``model`` per class, clean and under an attack at the run's budget.

    The attack's noise depends on the run's seed and the batch alone, so equal weights give equal counts.
    Where memory does not hold a batch it is halved, as often as needed; its noise then is another.

    Args:
        model: On the device of the images, in either mode.
        images: What is predicted.
        config: The run's settings.
        num_classes: Number of classes.
        attack: The attack's name.
        carry: Carries out the passes over a batch.
    """
    device = images.labels.device
    named = named_attack(attack, config.attack.norm)
    sums = torch.zeros(2, num_classes, dtype=torch.int64, device=device)
    batches = batch_slices(torch.arange(len(images), device=device), BATCH_SIZE)

    def correct_under(under: Attack | None) -> Correct:
        def correct(tensors: Tensors, noise: torch.Generator) -> dict[str, Tensor]:
            x, y = tensors["x"], tensors["y"]
            return {"correct": predict_under(model, under, x, y, config.attack.eps, noise) == y}

        name = ("validation", None if under is None else attack)
        return lambda x, y, noise: carry(Call(name, correct, [model], {"x": x, "y": y}, noise))["correct"]

    for number, indices in enumerate(batches):
        batch = images.subset(indices)
        noise = generator(config.seed, "validation", number, device=device)
        for row, under in enumerate((None, named)):
            correct = _correct(correct_under(under), batch, noise)
            sums[row].index_add_(0, batch.labels, correct.to(torch.int64))
    clean, robust = (tuple(row) for row in sums.tolist())
    return Counts(clean, robust, tuple(images.counts(num_classes).tolist()), attack)


Correct = Callable[[Tensor, Tensor, torch.Generator], Tensor]
"""Tells of images in [0, 1] and their classes which are right, shape (batch,)."""


def _correct(tell: Correct, batch: Images, noise: torch.Generator) -> Tensor:
    """Tell which images of a batch are right, in parts where memory does not hold it."""
    found: list[Tensor] = []

    def attempt() -> None:
        found.append(tell(to_float(batch.images), batch.labels, noise))

    if fits(attempt):
        return found[0]
    if len(batch) == 1:
        raise OutOfMemory(f"out of memory on {batch.labels.device}: not even one image fits; free memory")
    indices = torch.arange(len(batch), device=batch.labels.device)
    halves = [batch.subset(half) for half in indices.chunk(2)]
    return torch.cat([_correct(tell, half, noise) for half in halves])


def score_rows(counts: Counts, config: RunConfig, *, epoch: int, split: str, weights: str) -> list[Scores]:
    """Turn counts into rows."""
    common: dict[str, Any] = {"epoch": epoch, "split": split, "weights": weights, "total": counts.total}
    budget = config.attack
    return [
        Scores(attack=CLEAN, norm="none", eps=0.0, correct=counts.clean, **common),
        Scores(attack=counts.attack, norm=budget.norm, eps=budget.eps, correct=counts.robust, **common),
    ]
