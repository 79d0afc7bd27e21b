"""Knobs for pairs of classes, which are too many for rows: kept beside the history, an epoch at a time."""

from pathlib import Path

import numpy as np

from cfa.files import make_folder, replacing
from cfa.methods import Knobs


def keep_pairs(path: Path, epoch: int, knobs: Knobs) -> None:
    """Add an epoch's knobs for pairs of classes to a file, where there are any.

    Args:
        path: A file of numpy's arrays, ``epochN/NAME`` of shape (classes, classes).
        epoch: The epoch that they were used in.
        knobs: All of its knobs.
    """
    if not knobs.of_pairs:
        return
    held: dict[str, np.ndarray] = {}
    if path.exists():
        with np.load(path, allow_pickle=False) as before:
            held = dict(before)
    now = {f"epoch{epoch}/{name}": value.numpy() for name, value in knobs.of_pairs.items()}
    make_folder(path.parent)
    with replacing(path) as temporary, temporary.open("xb") as file:
        np.savez_compressed(file, allow_pickle=False, **{**held, **now})
