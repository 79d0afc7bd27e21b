"""Trained networks that a run is made from, its start and its teacher: whose they are, what they have seen.

A network that was trained on images by which a run chooses its checkpoints makes that choice look better than
it is: results of such a run are marked.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Literal

from cfa.config import RunConfig
from cfa.errors import CfaError, StoreError, UnknownName
from cfa.runs.cards import OriginCard
from cfa.runs.contents import room_for
from cfa.runs.folder import Manifest, RunFolder
from cfa.runs.store import Store
from cfa.stored import read_stored

Role = Literal["start", "teacher"]

DEEPEST = 20
"""How many runs are looked through, each made from the one before."""


@dataclass(frozen=True)
class StoredSplit:
    """What split.json holds: which training images of the data set a run trained on, and which validate."""

    train: list[int]
    validation: list[int]


@dataclass(frozen=True)
class TrainedOn:
    """The images that a network was trained on.

    Attributes:
        name: The network's name for people.
        data: Fingerprint of the data set.
        images: Which of its training images; ``None`` where nobody wrote it down.
        cut: How they were cut off, which is as good to know (:func:`cut_of`); empty where nobody knows.
    """

    name: str
    data: str = ""
    images: frozenset[int] | None = None
    cut: str = ""

    def seen(self, data: str, validation: Collection[int], cut: str) -> str:
        """Say why images that validate were seen, or may have been; empty where they were not."""
        if self.images is None and cut and (self.data, self.cut) == (data, cut):
            return ""
        if self.images is None:
            return f"{self.name} was trained elsewhere"
        if self.data != data:
            return f"{self.name} was trained on other data"
        count = len(self.images.intersection(validation))
        return f"{self.name} was trained on {count:,} of its {len(validation):,}" if count else ""


@dataclass(frozen=True)
class Origin:
    """A trained network that a run is made from.

    Attributes:
        card: Whose it is.
        trained_on: The images of its own training and, where it was made from others, of theirs.
        chosen_on_test: Its checkpoint was chosen on the test images.
    """

    card: OriginCard
    trained_on: tuple[TrainedOn, ...] = ()
    chosen_on_test: bool = False

    def marked(self, role: Role, data: str, validation: Collection[int], cut: str = "") -> OriginCard:
        """Return the card with what a reader must know of a run that is made from it.

        Args:
            role: What it is to the run.
            data: Fingerprint of the run's data set.
            validation: Which of its training images validate.
            cut: How they were cut off (:func:`cut_of`).
        """
        reasons = [reason for one in self.trained_on if (reason := one.seen(data, validation, cut))]
        marks = [f"its {role} has seen the validation images: {'; '.join(reasons)}"] if reasons else []
        if self.chosen_on_test:
            marks.append(f"its {role} was chosen on the test images: {self.card.name}")
        return replace(self.card, marks=tuple(mark[:1000] for mark in marks))


def origin_of_run(
    store: Store, run: RunFolder, weights: str, checkpoint: str, weights_hash: str, an_epoch: int
) -> Origin:
    """Say whose weights of a run are.

    Args:
        store: Where runs are.
        run: The run.
        weights: Which of its weights.
        checkpoint: Of which checkpoint.
        weights_hash: What these are known by.
        an_epoch: The forward passes that an image took in an epoch of its training.
    """
    config = run.config
    card = OriginCard(
        name=run.name,
        model=config.model,
        weights_hash=weights_hash,
        method="" if config.is_external else config.method,
        run_id=run.id,
        weights=weights,
        checkpoint=checkpoint,
        experiment=run.experiment,
        passes=0 if config.is_external else passes_an_image(config, run.manifest, an_epoch),
    )
    return Origin(card, trained_on(store, run), config.train.select_on == "test" and checkpoint == "best")


def origin_of_file(name: str, model: str, weights_hash: str) -> Origin:
    """Say whose the weights of a file are, of which nobody here knows what it was trained on."""
    card = OriginCard(name=name, model=model, weights_hash=weights_hash, experiment=weights_hash)
    return Origin(card, (TrainedOn(name),))


def passes_an_image(config: RunConfig, manifest: Manifest | None, an_epoch: int) -> int:
    """Count the forward passes that an image takes in a training and in those of start, teacher and helper.

    Args:
        config: The run's settings.
        manifest: Knows the passes of its start and its teacher, and the epochs of its helper.
        an_epoch: Those of an epoch, answers of teacher and helper included.
    """
    origins = manifest.origins.values() if manifest else ()
    of_helper = manifest.helper_epochs if manifest else 0
    return config.train.epochs * an_epoch + of_helper + sum(one.passes for one in origins)


def trained_on(store: Store, run: RunFolder, depth: int = DEEPEST) -> tuple[TrainedOn, ...]:
    """List the images that went into a run's weights, those of its start and its teacher included."""
    manifest, split = run.manifest, read_split(run)
    if run.config.is_external or manifest is None:
        return (TrainedOn(run.name),)
    images = None if split is None else frozenset(split.train)
    found = [TrainedOn(run.name, manifest.data_fingerprint, images, cut_of(run.config))]
    for reference in filter(None, (run.config.init, run.config.teacher)):
        try:
            source = store.find(reference.partition("#")[0]) if depth else None
        except UnknownName:  # a file, or a run that is gone
            source = None
        try:
            found += [TrainedOn(reference)] if source is None else trained_on(store, source, depth - 1)
        except CfaError:
            found.append(TrainedOn(reference))
    return tuple(dict.fromkeys(found))


def cut_of(config: RunConfig) -> str:
    """Say how a run's training images are cut from its data set: equal texts, equal images of equal data."""
    data = config.data
    parts = (config.dataset, data.val_fraction, data.imbalance_ratio, data.split_seed, data.split_order)
    return " ".join(map(str, parts))


def read_split(run: RunFolder) -> StoredSplit | None:
    """Read which images a run was trained on; ``None`` where that is not known."""
    try:
        return read_stored(run.path / "split.json", StoredSplit, room_for("split.json") or 0)
    except StoreError:
        return None
