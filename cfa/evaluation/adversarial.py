"""Outcomes on disk: the table, the batches, and the adversarial images that were kept."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
from safetensors.numpy import save

from cfa.errors import StoreError, UnknownName
from cfa.evaluation.outcomes import NOT_RUN, AdversarialImages, Outcomes
from cfa.files import make_folder, write_bytes
from cfa.notation import CLEAN
from cfa.runs.columns import Column, Columns
from cfa.runs.evaluations import (
    Evaluation,
    columns_of,
    outcomes_file,
    read_columns,
    read_evaluation,
    read_outcomes,
    save_columns,
    save_evaluation,
    ships,
)
from cfa.runs.folder import RunFolder
from cfa.stored import parse

MADE_AGAIN = "remade.safetensors"


def save_outcomes(run: RunFolder, evaluation: Evaluation, outcomes: Outcomes) -> None:
    """Store an evaluation with everything that belongs to it; readers see it only when all is there."""
    run.open_for_evaluations()
    folder = outcomes_file(run, evaluation.id).parent
    make_folder(folder.parent)
    make_folder(folder)
    save_columns(folder / "batches.parquet", {k: v.astype(np.int32) for k, v in outcomes.batches.items()})
    if outcomes.adversarial is not None and len(outcomes.adversarial):
        _save_images(outcomes.adversarial, folder / "adversarial.safetensors")
    save_evaluation(run, evaluation, outcomes.columns())


@dataclass(frozen=True)
class Remade:
    """An adversarial image that was made again.

    Attributes:
        image: float32 in [0, 1], shape (channels, side, side).
        predicted: The class that it was predicted as this time.
        differs: Whether the evaluation had found another class.
    """

    image: np.ndarray
    predicted: int
    differs: bool


@dataclass(frozen=True)
class AdversarialIndex:
    """The images of an evaluation, cell by cell.

    Attributes:
        outcomes: The table, column by column.
        columns: What they are.
        batches: The batch in which each column attacked an image.
        kept: The adversarial images that are stored.
        made_again: Those that were made again since, with the class that they were predicted as then.
    """

    outcomes: dict[str, np.ndarray]
    columns: Columns
    batches: dict[str, np.ndarray]
    kept: AdversarialImages | None
    made_again: AdversarialImages | None = None

    def images_of(self, attack: str, label: int, predicted: int) -> np.ndarray:
        """Return the positions in the test part of all images of a confusion cell, ascending."""
        table = self.outcomes
        if attack not in table:
            raise UnknownName(f"the evaluation has no column {attack!r}; it has: {', '.join(table)}")
        found: np.ndarray = table["image"][(table["label"] == label) & (table[attack] == predicted)]
        return found

    def stored(self, attack: str, image: int) -> np.ndarray | None:
        """Return a kept adversarial image, float32 (channels, side, side), or ``None``.

        Of a composite attack's member (``autoattack/square``) the image is found under the attack's own name.
        """
        if self.kept is None:
            return None
        column = self.columns.get(attack)
        if column is None:
            return None
        row = self.kept.row(column.whole or attack, image)
        if row is None or (column.member and self._breaker(column, image) != column.member):
            return None
        found: np.ndarray = self.kept.images[row]
        return found

    def remade(self, column: str, image: int) -> Remade | None:
        """Return an adversarial image that was made again (:func:`cfa.evaluation.remake`), or ``None``."""
        if self.made_again is None:
            return None
        row = self.made_again.row(column, image)
        if row is None:
            return None
        predicted = int(self.made_again.predicted[row])
        return Remade(self.made_again.images[row], predicted, predicted != self._of(column, image))

    def _breaker(self, column: Column, image: int) -> str:
        by = self.columns.broken_by(column.whole)
        return str(self._of(by.name, image)) if by is not None else ""

    def _of(self, column: str, image: int) -> Any:
        """Return what the table says of an image; its positions ascend."""
        return self.outcomes[column][np.searchsorted(self.outcomes["image"], image)]


def load_adversarial(run: RunFolder, evaluation_id: str) -> AdversarialIndex:
    """Read which images are in which cell, and the adversarial ones that were kept.

    Raises:
        StoreError: A file is missing or damaged.
    """
    folder = outcomes_file(run, evaluation_id).parent
    try:
        evaluation = read_evaluation(run, evaluation_id)
        outcomes, columns = read_outcomes(run, evaluation_id), columns_of(run, evaluation)
        classes = evaluation.scores[0].classes
        batches: dict[str, np.ndarray] = {}
        if (folder / "batches.parquet").exists():
            batches = read_columns(folder / "batches.parquet")
        kept, made_again = (
            _load_images(file) if file.exists() else None
            for file in (folder / "adversarial.safetensors", _where_made_again(run, evaluation_id))
        )
    except (OSError, ValueError, StoreError, safetensors.SafetensorError, LookupError, TypeError) as error:
        raise StoreError(
            f"the outcomes of evaluation {evaluation_id} cannot be read ({error}); evaluate again"
        ) from error
    index = AdversarialIndex(outcomes, columns, batches, kept, made_again)
    if (problem := _problem(index, classes)) is not None:
        raise StoreError(
            f"the outcomes of evaluation {evaluation_id} cannot be read ({problem}); evaluate again"
        )
    return index


def _problem(index: AdversarialIndex, classes: int) -> str | None:
    """Say what in stored tables does not fit together; they may have been copied from anywhere."""
    table = index.outcomes
    if missing := [name for name in ("image", "label", CLEAN) if name not in table]:
        return f"there is no column {missing[0]}"
    if not len(table["image"]):
        return "they are of no image"
    if (table["image"] < 0).any() or (np.diff(table["image"].astype(np.int64)) <= 0).any():
        return "its images do not ascend"
    if (table["label"] < 0).any() or table[CLEAN].dtype.kind not in "iu":
        return "a label, or what was predicted without an attack, is no class"
    if (said := _problem_of_columns(table, index.columns)) is not None:
        return said
    for name, values in table.items():
        if name != "image" and values.dtype.kind in "iu" and not _are_classes(values, classes):
            return f"its column {name[:80]} names a class beyond its {classes}"
    for name, values in index.batches.items():
        if values.dtype.kind not in "iu" or len(values) != len(table["image"]):
            return f"batches of {name[:80]!r} are not those of its images"
    parts = [part for part in (index.kept, index.made_again) if part is not None]
    return next((said for part in parts if (said := _problem_of_images(part, classes))), None)


def _problem_of_columns(table: Mapping[str, np.ndarray], columns: Columns) -> str | None:
    kinds = {"classes": "iu", "members": "O", "norms": "f"}
    for column in columns:
        if column.name not in table:
            return f"there is no column {column.name[:80]}"
        if table[column.name].dtype.kind not in kinds[column.holds]:
            return f"its column {column.name[:80]} holds no {column.holds}"
    left = next((name for name in table if name not in ("image", "label") and not columns.get(name)), None)
    return None if left is None else f"nothing says what its column {left[:80]} is"


def _are_classes(values: np.ndarray, classes: int) -> bool:
    return len(values) == 0 or bool(values.min() >= NOT_RUN and values.max() < classes)


def _problem_of_images(kept: AdversarialImages, classes: int) -> str | None:
    columns = (kept.attack, kept.image, kept.label, kept.predicted, kept.images)
    if any(len(column) != len(kept.images) for column in columns) or kept.images.ndim != 4:
        return "kept images and their rows are not as many"
    if not _are_classes(kept.label, classes) or not _are_classes(kept.predicted, classes):
        return f"kept images name a class beyond its {classes}"
    return None


def save_made_again(run: RunFolder, evaluation_id: str, images: AdversarialImages) -> None:
    """Store images that were made again, in the place of all that were before.

    Those of an evaluation that ships go into the store of whoever has them made.
    """
    if ships(run, evaluation_id):
        run.open_for_evaluations()
    _save_images(images, made_again_files(run, evaluation_id)[-1])


def made_again_files(run: RunFolder, evaluation_id: str) -> list[Path]:
    """Say where images that were made again are, or would be: beside it, then in one's own store."""
    files = [outcomes_file(run, evaluation_id).with_name(MADE_AGAIN)]
    if ships(run, evaluation_id) and run.aside is not None:
        files.append(run.aside / f"{evaluation_id}.{MADE_AGAIN}")
    return files


def _where_made_again(run: RunFolder, evaluation_id: str) -> Path:
    files = made_again_files(run, evaluation_id)
    return next((file for file in reversed(files) if file.exists()), files[0])


def _save_images(kept: AdversarialImages, file: Path) -> None:
    names = list(dict.fromkeys(kept.attack.tolist()))
    tensors = {
        "attack": np.array([names.index(name) for name in kept.attack], np.int16),
        "image": kept.image,
        "label": kept.label,
        "predicted": kept.predicted,
        "images": np.ascontiguousarray(kept.images),
    }
    write_bytes(file, save(tensors, {"attacks": json.dumps(names)}))


def _load_images(file: Path) -> AdversarialImages:
    with safetensors.safe_open(file, framework="np") as stored:
        names = np.array(parse(stored.metadata()["attacks"]))
        attack = names[stored.get_tensor("attack")]
        rest = [stored.get_tensor(name) for name in ("image", "label", "predicted", "images")]
    return AdversarialImages(attack, *rest)
