"""Which adversarial images are kept for looking at: the first of each confusion cell, within a budget."""

import numpy as np

from cfa.evaluation.outcomes import AdversarialImages

PER_CELL = 16
ROOM_TO_CHOOSE = 4  # while an attack runs, times the budget: what is kept is chosen fairly at the end


class Keeper:
    """Chooses from the batches of one step as they come, so that nothing else has to be remembered."""

    def __init__(self, num_classes: int, megabytes: float) -> None:
        """Start with empty cells and the whole budget."""
        self._filled = np.zeros((num_classes, num_classes), np.int64)
        self._left = ROOM_TO_CHOOSE * megabytes * 1e6

    def choose(self, label: np.ndarray, predicted: np.ndarray, changed: np.ndarray, size: int) -> np.ndarray:
        """Return the positions in a batch of the images to keep, int32.

        Args:
            label: True classes.
            predicted: Predicted classes.
            changed: Whether the attack returned another image than the clean one.
            size: Bytes of an image.
        """
        kept = []
        for i in np.flatnonzero(changed):
            filled = self._filled[label[i], predicted[i]]
            if filled == 0 or (self._left >= size and filled < PER_CELL):
                self.count(label[i : i + 1], predicted[i : i + 1], size)
                kept.append(i)
        return np.array(kept, np.int32)

    def count(self, label: np.ndarray, predicted: np.ndarray, size: int) -> None:
        """Take note of images that are kept."""
        np.add.at(self._filled, (label, predicted), 1)
        self._left -= size * len(label)


def within_budget(found: AdversarialImages, megabytes: float) -> tuple[AdversarialImages, int]:
    """Keep the first images of each cell, one from every cell before a second, as long as there is room.

    Returns:
        What is kept, and how many of the images wanted found no room.
    """
    order = np.lexsort((found.image, found.predicted, found.label, found.attack))
    rank = np.zeros(len(found), np.int64)
    cells: dict[tuple[str, int, int], int] = {}
    for i in order:
        cell = (str(found.attack[i]), int(found.label[i]), int(found.predicted[i]))
        rank[i] = cells[cell] = cells.get(cell, -1) + 1
    wanted = [i for i in order[np.argsort(rank[order], kind="stable")] if rank[i] < PER_CELL]
    size = found.images[0].nbytes if len(found) else 1
    room = int(megabytes * 1e6 // size)
    return take(found, np.sort(np.array(wanted[:room], np.int64))), max(0, len(wanted) - room)


def take(found: AdversarialImages, rows: np.ndarray) -> AdversarialImages:
    """Return some rows."""
    return AdversarialImages(
        found.attack[rows], found.image[rows], found.label[rows], found.predicted[rows], found.images[rows]
    )


def joined(parts: list[AdversarialImages], shape: tuple[int, ...]) -> AdversarialImages:
    """Put rows together; ``shape`` is that of an image, for the case of none."""
    if not parts:
        none = np.zeros(0, np.int16)
        return AdversarialImages(
            np.zeros(0, "U1"), np.zeros(0, np.int32), none, none, np.zeros((0, *shape), np.float32)
        )
    return AdversarialImages(
        np.concatenate([part.attack for part in parts]),
        np.concatenate([part.image for part in parts]),
        np.concatenate([part.label for part in parts]),
        np.concatenate([part.predicted for part in parts]),
        np.concatenate([part.images for part in parts]),
    )
