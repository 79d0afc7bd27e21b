"""Which images an evaluation attacks next: all at once, or class by class until it is certain."""

from collections.abc import Mapping
from typing import Protocol

import numpy as np

from cfa.notation import CLEAN
from cfa.runs.columns import Columns
from cfa.statistics import Known, Targets


class Draws(Protocol):
    """Says whom to attack next, from what became of the others.

    Attributes:
        told: What is known so far, in a few words, for whoever watches.
    """

    told: str

    def next(self, columns: Columns, predictions: Mapping[str, np.ndarray]) -> np.ndarray:
        """Return positions among the evaluated images, ascending; none to end.

        Args:
            columns: What the columns are.
            predictions: Predicted classes so far, by column; -1 where nothing was run on an image.
        """
        ...


class AllAtOnce:
    """Draws all images, and then no more."""

    told = ""

    def __init__(self, images: int) -> None:
        """Take the number of images."""
        self._images = images

    def next(self, columns: Columns, predictions: Mapping[str, np.ndarray]) -> np.ndarray:
        """Return all of them the first time."""
        return np.arange(0 if predictions else self._images)


class ClassByClass:
    """Draws images of each class in a seeded order, until the targets are met under every attack.

    Attributes:
        order: For each class the positions of its images, in the order in which they are drawn.
        known: What is known under each attack, by column; of clean images where nothing attacks them.
        told: What is known, in a few words.
    """

    def __init__(self, label: np.ndarray, num_classes: int, targets: Targets, seed: int, size: int) -> None:
        """Put the images of each class into their order.

        Args:
            label: True classes of all images that may be attacked.
            num_classes: Number of classes.
            targets: What has to be certain.
            seed: Of the orders.
            size: Images of a class at a time.
        """
        members = [np.flatnonzero(label == k) for k in range(num_classes)]
        self.order = [of[permutation(seed, k, len(of))] for k, of in enumerate(members)]
        self._targets, self._size = targets, size
        self.told = ""
        self.known: dict[str, Known] = {}

    @property
    def sizes(self) -> tuple[int, ...]:
        """Count the images of each class, drawn or not."""
        return tuple(map(len, self.order))

    def next(self, columns: Columns, predictions: Mapping[str, np.ndarray]) -> np.ndarray:
        """Draw for the first attack that is not certain; its images are attacked by all of them."""
        attacks = [column.name for column in columns.wholes() if column.name != CLEAN] or [CLEAN]
        self.known = {name: self._under(predictions.get(name)) for name in attacks}
        self.told = "; ".join(self._told(name, one) for name, one in self.known.items())
        wanted = [(one.drawn, one.next_draws(self._size)) for one in self.known.values()]
        drawn, more = next((found for found in wanted if any(found[1])), wanted[0])
        rows = zip(self.order, drawn, more, strict=True)
        return np.sort(np.concatenate([order[n : n + m] for order, n, m in rows])).astype(np.int64)

    def _under(self, predicted: np.ndarray | None) -> Known:
        right = []
        for k, order in enumerate(self.order):
            found = np.full(len(order), -1) if predicted is None else predicted[order]
            right.append(found[found >= 0] == k)
        return Known(right, self.sizes, self._targets)

    def _told(self, name: str, known: Known) -> str:
        """Say in a few words how far an attack is."""
        if not known.rounds:
            return f"{name}: nothing is known yet"
        ends = [("worst", known.worst), *([("mean", known.mean)] if known.mean is not None else [])]
        intervals = ", ".join(f"{what} {low:.1%} to {high:.1%}" for what, (low, high) in ends)
        undecided = f", undecided: {', '.join(known.undecided)}" if known.undecided else ""
        return f"{name}: {sum(known.drawn):,} of {sum(self.sizes):,} images, {intervals}{undecided}"


def permutation(seed: int, of: int, size: int) -> np.ndarray:
    """Return an order of the numbers below ``size`` that is the same in every version of NumPy.

    Args:
        seed: The evaluation's.
        of: Which class.
        size: How many.
    """
    keys = np.random.PCG64([seed, of]).random_raw(size)
    return np.argsort(keys, kind="stable")
