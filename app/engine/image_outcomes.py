"""An evaluation image by image: what became of each, how it looks, and what the model says of it.

Where the images lie in some folder, or images or network are somebody's code, nothing is opened to draw a
page: a person who may start opens them, by a button that names them.
"""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import streamlit as st

from app import wording
from app.engine.attacked_images import Picture, ShownColumn, columns_to_show
from app.engine.evaluated import of_old_weights
from app.engine.outside import NotLookedAt, is_outside
from app.engine.snapshots import Job, Run, forget_snapshots, jobs
from app.process.opened import folder_at, queue, store
from app.process.rights import acts, looks
from app.process.stamps import Stamps, stamp_of
from cfa.errors import StoreError
from cfa.evaluation import AdversarialIndex, confusion, load_adversarial, worst_case
from cfa.evaluation.adversarial import made_again_files
from cfa.evaluation.outcomes import NOT_RUN
from cfa.home import default_home
from cfa.jobs.job import asking_for
from cfa.jobs.kinds.reproduce_images import ReproduceImages
from cfa.jobs.submit import submit_reproduction
from cfa.notation import CLEAN
from cfa.runs.evaluations import Evaluation, outcomes_file, ships
from cfa.runs.rows import Scores
from cfa.runs.trusted import Trusted
from cfa.tables.frames import scores_frame
from cfa.trust import allowing, import_names

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class ImageOutcomes:
    """One evaluation of a run, image by image."""

    run: Run
    evaluation: Evaluation
    index: AdversarialIndex
    columns: list[ShownColumn]
    stamp: Stamps

    @property
    def class_names(self) -> tuple[str, ...]:
        """Name the classes."""
        count = len(self.evaluation.scores[0].total)
        names = self.evaluation.class_names or self.run.folder.class_names
        return names if len(names) == count else tuple(f"class {index}" for index in range(count))

    @property
    def weights_kept(self) -> bool:
        """Tell whether the model that was evaluated is there to be asked."""
        kept = (self.evaluation.weights, self.evaluation.checkpoint) in self.run.kept
        return kept and self.evaluation.id not in of_old_weights(self.run)

    @property
    def repeatable(self) -> bool:
        """Tell whether adversarial images can be made again."""
        if not self.evaluation.plan or not self.index.batches or not self.weights_kept:
            return False
        return self.run.folder.aside is not None or not ships(self.run.folder, self.evaluation.id)

    def predicted(self, column: ShownColumn) -> np.ndarray:
        """Return the predicted class of every image; -1 where a member was not run."""
        table = self.index.outcomes
        if not column.worst:
            return table[column.parts[0].name]
        return worst_case(
            table["label"], {name: table[name] for name in (CLEAN, *(part.name for part in column.parts))}
        )

    def confusion(self, column: ShownColumn) -> np.ndarray:
        """Count images by true class (rows) and predicted class (columns)."""
        return confusion(self.index.outcomes["label"], self.predicted(column), len(self.class_names))

    def cell(self, column: ShownColumn, true: int, predicted: int) -> np.ndarray:
        """Return the rows of the images of a cell, ascending."""
        label = self.index.outcomes["label"]
        return np.flatnonzero((label == true) & (self.predicted(column) == predicted))

    def scores(self, columns: Sequence[ShownColumn]) -> pd.DataFrame:
        """Tabulate accuracy per class in the contracted columns, one block a column."""
        return scores_frame(self.run.folder, self.evaluation, [self._scores(column) for column in columns])

    def per_image(self) -> pd.DataFrame:
        """Tabulate all outcomes, one row an image; classes are numbers, and named for the label."""
        table = pd.DataFrame(dict(self.index.outcomes))
        names = [self.class_names[label] for label in table["label"]]
        table.insert(list(table.columns).index("label") + 1, "class_name", names)
        return table

    def _scores(self, column: ShownColumn) -> Scores:
        table = self.index.outcomes
        counts, predicted = len(self.class_names), self.predicted(column)
        ran = predicted != NOT_RUN
        label = table["label"]
        norm, eps = column.threat
        return Scores(
            epoch=self.evaluation.epoch,
            split=self.evaluation.split,
            weights=self.evaluation.weights,
            attack=column.attack,
            norm=norm,
            eps=eps,
            correct=tuple(np.bincount(label[ran & (predicted == label)], minlength=counts).tolist()),
            total=tuple(np.bincount(label[ran], minlength=counts).tolist()),
        )

    def title(self, column: ShownColumn) -> str:
        """Name a column: the attack, its norm and its budget."""
        if column.name == CLEAN:
            return "clean images"
        return wording.condition(column.attack, *column.threat)


@looks
def outcomes(run: Run, evaluation: Evaluation) -> ImageOutcomes:
    """Read what became of every image of an evaluation; cached until one of its files changes.

    Raises:
        StoreError: A file is missing or damaged.
    """
    folder = outcomes_file(run.folder, evaluation.id).parent
    files = [*sorted(folder.glob("*.*")), *made_again_files(run.folder, evaluation.id)[1:]]
    stamp = tuple((file.name, *stamp_of(file)) for file in files)
    index = _index(str(run.folder.path), evaluation.id, stamp)
    return ImageOutcomes(run, evaluation, index, columns_to_show(index.columns), stamp)


@st.cache_resource(max_entries=12, show_spinner=False)
def _index(path: str, evaluation_id: str, stamp: Stamps) -> AdversarialIndex:
    return load_adversarial(folder_at(path), evaluation_id)


@looks
def with_pictures_first(found: Sequence[Run]) -> list[Run]:
    """Put the shipped run first that has most adversarial images, where nobody has a run of their own."""
    runs = list(found)
    if runs and runs[0].read_only:
        most = max(runs, key=lambda run: (run.read_only, _bytes_of_pictures(run)))
        runs.sort(key=lambda run: run.id != most.id)
    return runs


def _bytes_of_pictures(run: Run) -> int:
    places = run.folder.evaluation_places
    files = (file for place in places for file in place.glob("*/*.safetensors"))
    return max((stamp_of(file)[1] for file in files), default=0)


@looks
def closed_parts(found: ImageOutcomes) -> tuple[str, ...]:
    """Name the folder and the code that images and network are, until a person has opened them."""
    opened = _opened(str(default_home()))
    return tuple(name for name in _outside_of(found) if (found.run.id, name) not in opened)


@acts
def open_parts(found: ImageOutcomes) -> None:
    """Read the folder and import the code of an evaluation, all of which the page has named.

    Raises:
        CfaError: They cannot be opened.
    """
    names = _outside_of(found)
    with Trusted.of(store()).allowing(found.run.id), allowing(names):
        _test_part(found.evaluation.dataset_to_load)
        if found.weights_kept:
            _model(*_weights_of(found))
    _opened(str(default_home())).update((found.run.id, name) for name in names)


def _outside_of(found: ImageOutcomes) -> tuple[str, ...]:
    dataset = found.evaluation.dataset_to_load
    names = [*([dataset] if is_outside(dataset) else []), *import_names([found.run.model])]
    return tuple(dict.fromkeys(names))


@st.cache_resource(show_spinner=False)
def _opened(home: str) -> set[tuple[str, str]]:
    return set()


@contextmanager
def _open(found: ImageOutcomes) -> Iterator[None]:
    """Use what a person has opened in this process; nothing else is."""
    if closed := closed_parts(found):
        raise NotLookedAt(f"{' and '.join(closed)}: opened only when somebody who may start asks for it")
    with Trusted.of(store()).allowing(found.run.id), allowing(_outside_of(found)):
        yield


@looks
def test_images(found: ImageOutcomes, images: Sequence[int]) -> np.ndarray:
    """Return original test images, float32 in [0, 1], shape (images, channels, side, side).

    Raises:
        NotLookedAt: They are in a folder, or somebody's code, that nobody has opened.
        CfaError: The data set is not here, or is another than the one that was evaluated.
    """
    dataset, tested = found.evaluation.dataset_to_load, found.evaluation.test_fingerprint
    with _open(found):
        stored, labels, seen = _test_part(dataset)
    if tested and tested != seen:  # it may have changed since it was read: next time it is read anew
        _test_part.clear(dataset)
        _opened(str(default_home())).difference_update((found.run.id, name) for name in _outside_of(found))
    table = found.index.outcomes
    rows = np.searchsorted(table["image"], images)
    known = len(images) == 0 or max(images) < len(labels)
    if (tested and tested != seen) or not known or (labels[list(images)] != table["label"][rows]).any():
        raise StoreError(
            f"the test images of {found.evaluation.dataset} are not those that were evaluated; "
            "evaluate again to see images"
        )
    shown: np.ndarray = stored[list(images)].astype(np.float32) / 255
    return shown


@st.cache_resource(max_entries=3, show_spinner="Loading test images")
def _test_part(dataset: str) -> tuple[np.ndarray, np.ndarray, str]:
    from cfa.data import fingerprint_of_arrays, read_test_part

    images, labels = read_test_part(dataset, store().data_folder)
    return images, labels, fingerprint_of_arrays(images, labels)


@looks
def answers_at_once() -> bool:
    """Tell whether a model can be asked without loading torch first."""
    return "torch" in sys.modules


@looks
def probabilities(found: ImageOutcomes, images: np.ndarray) -> np.ndarray:
    """Ask the evaluated model on the CPU, shape (images, classes); cached.

    Raises:
        NotLookedAt: It is somebody's code that nobody has opened.
        CfaError: Its weights are missing or damaged.
    """
    with _open(found):
        return _probabilities(*_weights_of(found), images)


def _weights_of(found: ImageOutcomes) -> tuple[str, str, str, tuple[int, int]]:
    weights, checkpoint = found.evaluation.weights, found.evaluation.checkpoint
    stamp = stamp_of(found.run.folder.weights_file(weights, checkpoint))
    return str(found.run.folder.path), weights, checkpoint, stamp


@st.cache_data(max_entries=200, show_spinner=False)
def _probabilities(
    path: str, weights: str, checkpoint: str, stamp: tuple[int, int], images: np.ndarray
) -> np.ndarray:
    import torch

    with torch.no_grad():
        logits = _model(path, weights, checkpoint, stamp)(torch.from_numpy(images))
    answer: np.ndarray = logits.softmax(dim=1).numpy()
    return answer


@st.cache_resource(max_entries=3, show_spinner="Loading the model")
def _model(path: str, weights: str, checkpoint: str, stamp: tuple[int, int]) -> "nn.Module":
    from cfa.evaluation import load_model

    return load_model(folder_at(path), weights, checkpoint)


@acts
def make_again(found: ImageOutcomes, wanted: Sequence[Picture]) -> list[Job]:
    """Queue jobs that make adversarial images again, one per attack."""
    sources: dict[str, list[int]] = {}
    for picture in wanted:
        sources.setdefault(picture.source, []).append(picture.image)
    submitted = [
        submit_reproduction(store(), queue(), found.run.folder, found.evaluation.id, source, sorted(images))
        for source, images in sources.items()
    ]
    forget_snapshots()
    return submitted


@looks
def reproductions(found: ImageOutcomes) -> list[Job]:
    """List the jobs that make images of an evaluation again, oldest first."""
    asked = asking_for(jobs(), ReproduceImages)
    return [job for job, images in asked if images.evaluation == found.evaluation.id]
