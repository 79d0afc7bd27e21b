"""Adversarial images that were not kept, made again by repeating the batches that they were in."""

from dataclasses import dataclass

import numpy as np
import torch

from cfa.attacks import CLEAN
from cfa.data import Dataset, Images
from cfa.errors import StoreError
from cfa.evaluation.adversarial import AdversarialIndex, load_adversarial, save_made_again
from cfa.evaluation.evaluate import transfer_source
from cfa.evaluation.keeper import joined, take
from cfa.evaluation.loading import load_kept
from cfa.evaluation.outcomes import AdversarialImages
from cfa.evaluation.plan import EvaluationPlan
from cfa.evaluation.runner import Runner
from cfa.models.replayed_network import replayed
from cfa.progress import Observer
from cfa.runs.evaluations import Evaluation
from cfa.runs.folder import RunFolder


@dataclass(frozen=True)
class Reproduced:
    """Images made again.

    Attributes:
        image: Positions in the test part.
        adversarial: float32 in [0, 1], shape (images, channels, side, side).
        predicted: Predicted classes now.
        differs: Whether that is another class than the evaluation found.
    """

    image: np.ndarray
    adversarial: np.ndarray
    predicted: np.ndarray
    differs: np.ndarray


def reproduce(
    run: RunFolder,
    evaluation: Evaluation,
    column: str,
    images: np.ndarray,
    dataset: Dataset,
    device: torch.device,
    observer: Observer,
) -> Reproduced:
    """Repeat the batches in which some images were attacked.

    On the same machine, with as many threads, the images are the same; elsewhere rounding may change a few
    outcomes, which ``differs`` says.

    Args:
        run: Whose weights were evaluated.
        evaluation: Which evaluation.
        column: A column of its outcomes: an attack, or a member of a composite one.
        images: Positions in the test part.
        dataset: What the evaluation was made on.
        device: Where to do it.
        observer: Told of forward passes; asked before each whether to stop.

    Raises:
        StoreError: The evaluation does not say how it was made, is of other weights than are kept now, or did
            not attack one of the images.
    """
    index = load_adversarial(run, evaluation.id)
    if not evaluation.plan or not index.batches:
        raise StoreError(f"evaluation {evaluation.id} does not say how it was made; evaluate again")
    plan = EvaluationPlan.of(evaluation.plan)
    loaded = load_kept(run, evaluation.weights, evaluation.checkpoint, device)
    if not evaluation.is_of(loaded.identity):
        raise StoreError(
            f"evaluation {evaluation.id} is of epoch {evaluation.epoch}, and the {evaluation.checkpoint} "
            "weights of that time are not kept; evaluate again to see images"
        )
    transfer = transfer_source(run, plan, device)
    positions = index.outcomes["image"].astype(np.int64)
    rows = _rows_of(index, column, images, dataset, evaluation)
    data = Images(dataset.test_images, dataset.test_labels).subset(torch.from_numpy(positions)).to(device)
    runner = Runner(
        loaded.model,
        data,
        positions,
        plan,
        dataset.num_classes,
        observer,
        transfer=transfer.model if transfer else None,
        replayed=replayed(loaded.model, device, plan.batch_size, observer.log) if loaded.ours else None,
    )
    found = np.zeros((len(images), *data.images.shape[1:]), np.float32)
    predicted = np.zeros(len(images), np.int16)
    for step, batch, wanted in _batches(index, column, rows):
        members = np.flatnonzero(index.batches[step] == batch)
        x_adv, classes = runner.repeat(step, batch, members)
        places = np.searchsorted(members, rows[wanted])
        found[wanted], predicted[wanted] = x_adv[places], classes[places]
    return Reproduced(images, found, predicted, predicted != index.outcomes[column][rows])


def remake(
    run: RunFolder,
    evaluation: Evaluation,
    column: str,
    images: np.ndarray,
    dataset: Dataset,
    device: torch.device,
    observer: Observer,
) -> Reproduced:
    """Reproduce adversarial images and store them beside the evaluation, for looking at.

    Args and errors as of :func:`reproduce`; images of this column that were made again before are replaced.
    """
    made = reproduce(run, evaluation, column, images, dataset, device, observer)
    new = AdversarialImages(
        np.full(len(images), column),
        made.image.astype(np.int32),
        dataset.test_labels.numpy()[images].astype(np.int16),
        made.predicted,
        made.adversarial,
    )
    before = load_adversarial(run, evaluation.id).made_again
    parts = [new]
    if before is not None:
        others = ~((before.attack == column) & np.isin(before.image, images))
        parts.insert(0, take(before, np.flatnonzero(others)))
    save_made_again(run, evaluation.id, joined(parts, new.images.shape[1:]))
    return made


def _rows_of(
    index: AdversarialIndex, column: str, images: np.ndarray, dataset: Dataset, evaluation: Evaluation
) -> np.ndarray:
    """Find images in the outcomes; refuse what those do not have, and the images of another test part."""
    label, positions = index.outcomes["label"], index.outcomes["image"].astype(np.int64)
    if column not in index.outcomes or column in ("image", "label", CLEAN):
        raise StoreError(
            f"evaluation {evaluation.id} has no attack {column!r}, so no image of it is made again"
        )
    missing = np.setdiff1d(images, positions)
    if len(missing):
        raise StoreError(f"evaluation {evaluation.id} is not of image {missing[0]}; name one of its own")
    test = dataset.test_labels.numpy()
    tested = evaluation.test_fingerprint
    other = bool(tested) and tested != dataset.test_fingerprint
    if other or (len(positions) and (positions.max() >= len(test) or (test[positions] != label).any())):
        raise StoreError(
            f"the test images of {dataset.name} are not those of evaluation {evaluation.id}; evaluate again"
        )
    return np.searchsorted(positions, images)


def _batches(index: AdversarialIndex, column: str, rows: np.ndarray) -> list[tuple[str, int, np.ndarray]]:
    """Say which batches of which steps have to be repeated, and for which of the rows."""
    steps = np.array([_step(index, column, int(row)) for row in rows], dtype=object)
    numbers = np.array(
        [index.batches[step][row] if step else -1 for step, row in zip(steps, rows, strict=True)]
    )
    if (numbers < 0).any():
        image = int(index.outcomes["image"][rows[numbers < 0][0]])
        raise StoreError(f"{column} did not attack image {image}: it is wrong without, or was broken before")
    pairs = dict.fromkeys(zip(steps.tolist(), numbers.tolist(), strict=True))
    return [(step, batch, np.flatnonzero((steps == step) & (numbers == batch))) for step, batch in pairs]


def _step(index: AdversarialIndex, column: str, row: int) -> str:
    """Return the column of the attack that decided an image; empty where none was run."""
    if column in index.batches:
        return column
    by = index.columns.broken_by(column)
    breaker = str(index.outcomes[by.name][row]) if by is not None else ""
    step = index.columns.member(column, breaker) if breaker else None
    if step is not None:
        return step.name
    ran = [member.name for member in index.columns.members(column) if member.name in index.batches]
    return next((name for name in reversed(ran) if index.batches[name][row] >= 0), "")
