"""What became of every image: one table, of which every figure is a sum."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from cfa.runs.columns import Columns

CLEAN_COLUMN = "clean"
NOT_RUN = -1  # a member of a composite attack was not run on this image


@dataclass(frozen=True)
class AdversarialImages:
    """Adversarial images that were kept for looking at, one row each.

    Attributes:
        attack: Names of columns of the outcomes.
        image: Positions in the test part, int32.
        label: True classes, int16.
        predicted: Predicted classes under that attack, int16.
        images: float32 in [0, 1], shape (rows, channels, side, side).
    """

    attack: np.ndarray
    image: np.ndarray
    label: np.ndarray
    predicted: np.ndarray
    images: np.ndarray

    def __len__(self) -> int:
        """Count the images."""
        return len(self.image)

    @cached_property
    def attacks(self) -> frozenset[str]:
        """The columns that there are images of."""
        return frozenset(self.attack.tolist())

    def row(self, attack: str, image: int) -> int | None:
        """Find the row of an image under an attack."""
        return self._rows.get((attack, image))

    @cached_property
    def _rows(self) -> dict[tuple[str, int], int]:
        pairs = zip(self.attack.tolist(), self.image.tolist(), strict=True)
        return {pair: row for row, pair in enumerate(pairs)}


@dataclass(frozen=True)
class Outcomes:
    """What became of every image.

    Attributes:
        image: Positions in the test part, ascending.
        label: True classes.
        predictions: Predicted class under each attack, by column, ``clean`` first. A member of a composite
            attack has a column of its own, ``autoattack/square``, that is -1 where it was not run.
        broken_by: For each composite attack the name of the member that broke the image, or ``""``.
        lengths: For minimum-norm attacks the smallest perturbation found; inf where none was, 0 where the
            image is wrong without one.
        batches: The batch in which each column attacked an image; -1 where it did not.
        adversarial: Images that were kept; ``None`` where none were asked for.
        findings: Sentences about the numbers.
        passes: Forward passes, an image each, that the plan took.
        made: Those that were made now, and not remembered from before.
        described: What the columns are.
    """

    image: np.ndarray
    label: np.ndarray
    predictions: Mapping[str, np.ndarray]
    broken_by: Mapping[str, np.ndarray] = field(default_factory=dict)
    lengths: Mapping[str, np.ndarray] = field(default_factory=dict)
    batches: Mapping[str, np.ndarray] = field(default_factory=dict)
    adversarial: AdversarialImages | None = None
    findings: tuple[str, ...] = ()
    passes: int = 0
    made: int = 0
    described: Columns = field(default_factory=Columns)

    def correct(self, attack: str, num_classes: int) -> tuple[int, ...]:
        """Count the images of each class that are still right under an attack."""
        right = self.label[self.predictions[attack] == self.label]
        return tuple(np.bincount(right, minlength=num_classes).tolist())

    def total(self, num_classes: int) -> tuple[int, ...]:
        """Count the images of each class."""
        return tuple(np.bincount(self.label, minlength=num_classes).tolist())

    def columns(self) -> dict[str, np.ndarray]:
        """Return the table that is stored: image, label, then what the attributes say, column by column."""
        table: dict[str, np.ndarray] = {
            "image": self.image.astype(np.int32),
            "label": self.label.astype(np.int16),
        }
        table.update({name: classes.astype(np.int16) for name, classes in self.predictions.items()})
        table.update({name: members.astype(object) for name, members in self.broken_by.items()})
        table.update({name: length.astype(np.float32) for name, length in self.lengths.items()})
        return table


def confusion(label: np.ndarray, predicted: np.ndarray, num_classes: int) -> np.ndarray:
    """Count images by true class (rows) and predicted class (columns), int64, shape (classes, classes).

    Images on which an attack was not run (-1) are left out.
    """
    run = predicted != NOT_RUN
    cells = label[run].astype(np.int64) * num_classes + predicted[run]
    return np.bincount(cells, minlength=num_classes**2).reshape(num_classes, num_classes)


def worst_case(label: np.ndarray, predictions: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return the prediction under the first attack that breaks an image, else the right class.

    Args:
        label: True classes, shape (images,).
        predictions: Predicted classes by attack, in the order in which they are tried.
    """
    worst = label.copy()
    for predicted in predictions.values():
        broken = (worst == label) & (predicted != label) & (predicted != NOT_RUN)
        worst[broken] = predicted[broken]
    return worst
