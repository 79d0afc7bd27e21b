"""Evaluations that stopped once they were certain: on disk a kind of their own, which stands in for no other.

They lie beside the others, in a folder of the same form, as ``sequential.json`` and not as
``evaluation.json``. So whoever reads evaluations (tables, comparisons, charts, exports, reports) never meets
one; who wants them asks :func:`read_sequential`, and gets another type.
"""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from cfa.errors import StoreError
from cfa.runs.columns import Columns
from cfa.runs.evaluations import (
    SEQUENTIAL,
    Evaluation,
    evaluation_folders,
    read_folder,
    save_evaluation,
)
from cfa.runs.folder import RunFolder
from cfa.statistics import Known, Targets
from cfa.stored import STRICT, Count, Counts, Name

Ends = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Reached:
    """What is certain of the accuracies under one attack; intervals in [0, 1] that held at every moment.

    Attributes:
        column: The attack's column in the outcomes.
        classes: The ends of each class; all of them hold at once.
        worst: The ends of the worst class's accuracy.
        candidates: Which classes can be the worst one.
        tied: Whether several are, of which all images were attacked.
        rounds: How many images every class had: those that the mean is from.
        mean: The ends of the mean over classes; ``None`` where nobody asked for it.
        mean_accuracy: The mean over classes of the rounds; ``None`` likewise.
    """

    __pydantic_config__ = STRICT

    column: Name
    classes: tuple[Ends, ...]
    worst: Ends
    candidates: Counts
    tied: bool
    rounds: Count
    mean: Ends | None = None
    mean_accuracy: float | None = None

    def __post_init__(self) -> None:
        """Refuse what are no ends of an accuracy, and candidates that are no classes."""
        mean = [self.mean] if self.mean is not None else []
        if any(not 0 <= low <= high <= 1 for low, high in (*self.classes, self.worst, *mean)):
            raise ValueError("its intervals are not all within 0 and 1")
        if not self.candidates or max(self.candidates) >= len(self.classes):
            raise ValueError("its worst class is none of its own")

    @classmethod
    def of(cls, column: str, known: Known) -> "Reached":
        """Write down what is known under an attack."""
        shares = [float(right[: known.rounds].mean()) for right in known.right]
        return cls(
            column=column,
            classes=known.classes,
            worst=known.worst,
            candidates=known.candidates,
            tied=known.tied,
            rounds=known.rounds,
            mean=known.mean,
            mean_accuracy=float(np.mean(shares)) if known.mean is not None else None,
        )


@dataclass(frozen=True, kw_only=True)
class SequentialEvaluation:
    """A plan carried out on as many images of each class as its targets took.

    Attributes:
        counted: Whose weights, what was done, and the counts of the images that were attacked. They are not
            those of a sample of fixed size: no fixed-sample interval or test holds for them.
        targets: What had to be certain, and alpha.
        permutation_seed: What the order of each class's images comes from.
        draw: Images of a class that were attacked at a time.
        sizes: How many images each class has, attacked or not.
        reached: What is certain, attack by attack.
    """

    __pydantic_config__ = STRICT

    counted: Evaluation
    targets: Targets
    permutation_seed: Count
    draw: Count
    sizes: Counts
    reached: tuple[Reached, ...]

    def __post_init__(self) -> None:
        """Refuse intervals of other classes, and more images than there are."""
        total = self.counted.scores[0].total
        if any(len(one.classes) != len(total) for one in self.reached) or len(self.sizes) != len(total):
            raise ValueError("its intervals are of other classes than its scores")
        if any(drawn > size for drawn, size in zip(total, self.sizes, strict=True)):
            raise ValueError("it attacked more images than there are")
        columns = Columns(self.counted.columns)
        if not self.reached or any(columns.get(one.column) is None for one in self.reached):
            raise ValueError("its intervals are of an attack that it did not run")

    @property
    def id(self) -> str:
        """The evaluation's id."""
        return self.counted.id

    @property
    def title(self) -> str:
        """Say what it is, wherever it is shown: ``sequential, 1,063 of 10,000 images``."""
        return f"sequential, {self.counted.images:,} of {sum(self.sizes):,} images"

    def to_json(self) -> str:
        """Write it as JSON."""
        return json.dumps(dataclasses.asdict(self), indent=1)


def save_sequential(
    run: RunFolder, evaluation: SequentialEvaluation, outcomes: Mapping[str, np.ndarray]
) -> None:
    """Write outcomes, then the evaluation; readers see it only when both are whole.

    Args:
        run: The run that was evaluated.
        evaluation: What is certain.
        outcomes: Columns of equal length, as of any evaluation, for the images that were attacked.
    """
    save_evaluation(run, evaluation, outcomes, SEQUENTIAL)


def read_sequential(run: RunFolder) -> list[SequentialEvaluation]:
    """Read a run's finished sequential evaluations that can be read, oldest first."""
    found = []
    for folder in evaluation_folders(run):
        try:
            evaluation = read_folder(run, folder, SEQUENTIAL, SequentialEvaluation)
        except StoreError:  # one that is damaged spoils none beside it
            continue
        found += [evaluation] if evaluation is not None else []
    return sorted(found, key=lambda one: (one.counted.created, one.id))
