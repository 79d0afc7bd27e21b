"""A run is a folder, and the folder is the truth: copy it elsewhere and it is simply there.

config.json       RunConfig
manifest.json     how it was made: code version, packages, device, data fingerprint, class names
split.json        indices of the training and validation images
label.json        name, tags, notes: what a person may change
status.json       state, epoch, message; rewritten every epoch
history.jsonl     rows (`cfa.runs.rows`), appended every epoch
knobs.npz         knobs for pairs of classes, of the last and of every n-th epoch
log.txt           what the run printed
weights/          {best,last}-{online,ema,fawa}.safetensors
state/            what exact resume needs; pruned when the run has finished
evaluations/ID/   evaluation.json and outcomes.parquet (`cfa.runs.evaluations`)
"""

import dataclasses
import json
import os
import shutil
import stat
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import Field

from cfa.config import CheckpointKind, RunConfig, WeightsKind
from cfa.errors import StoreError, UnknownName
from cfa.files import make_folder, refuse_link, require_own, write_text
from cfa.runs.cards import MethodCard, OriginCard
from cfa.runs.contents import room_for
from cfa.runs.rows import History, Row, read_history
from cfa.runs.run_names import is_usable_name
from cfa.statistics import Group, class_groups
from cfa.stored import STRICT, Count, Counts, Moment, Name, Names, Text, checked_id, is_file, read_stored

RunState = Literal["queued", "running", "paused", "finished", "failed", "cancelled"]
T = TypeVar("T")

FILES = ("config.json", "manifest.json", "status.json", "label.json", "history.jsonl")
"""What tells a run's folder from another."""


@dataclass(frozen=True)
class Label:
    """What a person may change about a run."""

    __pydantic_config__ = STRICT

    name: Text
    tags: Annotated[tuple[Name, ...], Field(max_length=100)] = ()
    notes: Annotated[str, Field(max_length=100_000)] = ""


@dataclass(frozen=True)
class Status:
    """How far a run is, as its trainer last wrote it.

    ``interrupted`` is not a state: a run is interrupted when it says ``running`` and its lock is free.
    """

    __pydantic_config__ = STRICT

    state: RunState = "queued"
    epoch: Count = 0
    message: Text = ""
    updated: Moment = ""


@dataclass(frozen=True)
class Manifest:
    """How a run was made; written when it starts."""

    __pydantic_config__ = STRICT

    created: Moment
    code_version: Name
    packages: dict[str, Name]
    device: Name
    threads: Count
    data_fingerprint: Name
    class_names: Names
    train_counts: Counts
    val_counts: Counts
    model: dict[str, Any]  # what `cfa.models.build_model` needs: channels, classes, side, mean, std, head
    reported_with: Name = ""  # the method's own kind of weights
    method: MethodCard | None = None  # not in older runs
    start: OriginCard | None = None  # of runs with `init`, not in older ones
    teacher: OriginCard | None = None
    helper_epochs: Count = 0  # of the network that it trained first, where its method has one

    @property
    def origins(self) -> Mapping[str, OriginCard]:
        """The trained networks that it was made from, by the setting that names them."""
        found = {"init": self.start, "teacher": self.teacher}
        return {name: card for name, card in found.items() if card is not None}

    def __post_init__(self) -> None:
        """Refuse counts of other classes."""
        for counts in (self.train_counts, self.val_counts):
            if counts and len(counts) != len(self.class_names):
                raise ValueError(f"{len(self.class_names)} classes have {len(counts)} counts")


def now() -> str:
    """Return the present moment as an ISO string in UTC, to the millisecond (two results rarely tie)."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


@dataclass(frozen=True)
class RunFolder:
    """A run on disk; reading is lazy and tolerant, writing is atomic.

    Attributes:
        path: Its folder.
        read_only: It ships with the project.
        aside: Where evaluations of a read-only run go: a folder of the store of whoever makes them.
    """

    path: Path
    read_only: bool = False
    aside: Path | None = None

    @property
    def id(self) -> str:
        """The run's id is its folder's name."""
        return self.path.name

    @property
    def history_file(self) -> Path:
        """Where the rows are."""
        return self.path / "history.jsonl"

    @property
    def knobs_file(self) -> Path:
        """Where knobs for pairs of classes are, by epoch and name."""
        return self.path / "knobs.npz"

    @property
    def log_file(self) -> Path:
        """Where the run's printed lines are."""
        return self.path / "log.txt"

    @property
    def evaluation_places(self) -> tuple[Path, ...]:
        """Where its evaluations are: its own, then those that somebody made of a read-only run."""
        own = self.path / "evaluations"
        return (own,) if self.aside is None else (own, self.aside)

    @property
    def state_file(self) -> Path:
        """What exact resume needs."""
        return self.path / "state" / "state.pt"

    @property
    def helper_file(self) -> Path:
        """The state of the network that a run trains first, where its method has one."""
        return self.path / "state" / "helper.pt"

    @property
    def lock_file(self) -> Path:
        """Held by the run's trainer as long as it lives."""
        return self.path / "state" / "run.lock"

    @cached_property
    def config(self) -> RunConfig:
        """The run's settings; a StoreError if the file is missing or no longer understood."""
        config = self._read("config.json", RunConfig)
        if config is None:
            raise self._unreadable("config.json", "it is missing")
        return config

    @property
    def experiment(self) -> str:
        """What runs share that differ only in their seed; a model of others shares it with no other."""
        return experiment_of(self.id, self.config, self.origins)

    @property
    def marks(self) -> tuple[str, ...]:
        """What a reader of its results must know about how the run was made."""
        return (*self.config.marks(), *(mark for one in self.origins.values() for mark in one.marks))

    @property
    def origins(self) -> Mapping[str, OriginCard]:
        """The trained networks that it is made from, as far as its manifest names them."""
        config = self.config
        manifest = self.manifest if config.init or config.teacher else None
        return manifest.origins if manifest else {}

    @property
    def label(self) -> Label:
        """The run's name, tags and notes (the id serves as name where there is none)."""
        try:
            label = self._read("label.json", Label) or Label(self.id)
            return label if is_usable_name(label.name) else dataclasses.replace(label, name=self.id)
        except StoreError as error:
            # One damaged label must not hide every other run from a listing, nor this one.
            return Label(self.id, (), f"{error}; or give the run a name again")

    @property
    def name(self) -> str:
        """The run's name, unique in its store."""
        return self.label.name

    @property
    def given_name(self) -> str:
        """The name that stands in its label, also one that is not usable; empty where none can be read."""
        try:
            label = self._read("label.json", Label)
        except StoreError:
            return ""
        return label.name if label else ""

    @property
    def status(self) -> Status:
        """How far the run is."""
        return self._read("status.json", Status) or Status()

    @property
    def manifest(self) -> Manifest | None:
        """How the run was made, or ``None`` before it has started."""
        return self._read("manifest.json", Manifest)

    @property
    def class_names(self) -> tuple[str, ...]:
        """The data set's class names, empty before the run has started."""
        manifest = self.manifest
        return manifest.class_names if manifest else ()

    @property
    def class_groups(self) -> tuple[Group, ...]:
        """The group of each class (head, medium, tail) by training images; empty where none differ."""
        manifest = self.manifest
        return class_groups(manifest.train_counts) if manifest else ()

    def rows(self) -> list[Row]:
        """Read the rows of all epochs so far, without lines that are none (:attr:`history` says of those)."""
        return list(self.history.rows)

    @property
    def history(self) -> History:
        """The rows of all epochs so far, and how many lines are none."""
        try:
            self._require_no_link()
            return read_history(self.history_file, len(self.class_names) or None)
        except StoreError as error:
            raise self._unreadable("history.jsonl", str(error)) from error

    def weights_file(self, weights: WeightsKind | str, checkpoint: CheckpointKind | str) -> Path:
        """Say where weights of this kind are (or would be); a StoreError where one of the words is a path."""
        checked_id(weights, "kind of weights")
        checked_id(checkpoint, "checkpoint")
        return self.path / "weights" / f"{checkpoint}-{weights}.safetensors"

    def kept_weights(self) -> list[tuple[str, str]]:
        """List the ``(weights, checkpoint)`` pairs that were kept, online before ema before fawa."""
        order = {"online": 0, "ema": 1, "fawa": 2, "file": 3}
        found = [file.stem.partition("-") for file in (self.path / "weights").glob("*-*.safetensors")]
        pairs = [(weights, checkpoint) for checkpoint, _, weights in found if weights in order]
        return sorted(pairs, key=lambda pair: (order[pair[0]], pair[1]))

    def write_config(self, config: RunConfig) -> None:
        """Store the settings (once, when the folder is made)."""
        self._write("config.json", config.to_json())

    def write_label(self, label: Label) -> None:
        """Store name, tags and notes."""
        self._write("label.json", json.dumps(dataclasses.asdict(label), indent=2))

    def write_status(self, state: RunState, epoch: int, message: str = "") -> None:
        """Store how far the run is."""
        status = Status(state, epoch, message[:2000], now())
        self._write("status.json", json.dumps(dataclasses.asdict(status)))

    def write_manifest(self, manifest: Manifest) -> None:
        """Store how the run is being made."""
        self._write("manifest.json", json.dumps(dataclasses.asdict(manifest), indent=2))

    def write_split(self, train: list[int], validation: list[int]) -> None:
        """Store the indices of the training and validation images."""
        self._write("split.json", json.dumps({"train": train, "validation": validation}))

    def require_writable(self) -> None:
        """Refuse to write into a run that ships with the project, or that leads somewhere else by a link.

        Raises:
            StoreError: With the way out.
        """
        if self.read_only:
            raise StoreError(f"run {self.name!r} ships with CFA Studio and cannot be changed")
        require_own(self.path)

    def open_for_evaluations(self) -> None:
        """Make the folder into which evaluations of a read-only run go; refuse what cannot have any.

        Raises:
            StoreError: With the way out.
        """
        if self.read_only and self.aside is not None:
            make_folder(self.aside, parents=True)
        else:
            self.require_writable()

    def bytes_used(self) -> int:
        """Sum the sizes of all files of the run."""
        return bytes_below(self.path)

    def prune(self) -> int:
        """Delete the state that only resume needs; returns the bytes freed."""
        self.require_writable()
        files = (self.state_file, self.helper_file)
        freed = sum(file.stat().st_size for file in files if is_file(file))
        for file in files:
            file.unlink(missing_ok=True)
        return freed

    def delete(self) -> None:
        """Delete the folder; read-only runs (the shipped demo) are refused. Of a link the link goes alone."""
        if self.read_only:
            raise StoreError(f"run {self.name!r} ships with CFA Studio and cannot be deleted")
        try:
            if self.path.is_symlink():
                self.path.unlink()
            else:
                shutil.rmtree(self.path)
        except OSError as error:
            raise StoreError(
                f"run {self.id} cannot be deleted ({error.strerror}); see whose it is"
            ) from error

    def _write(self, name: str, text: str) -> None:
        if self.read_only:
            raise StoreError(f"run {self.name!r} ships with CFA Studio and cannot be changed")
        refuse_link(self.path)
        write_text(self.path / name, text)

    def _read(self, name: str, kind: type[T]) -> T | None:
        try:
            self._require_no_link()
            return read_stored(self.path / name, kind, room_for(name) or 0)
        except StoreError as error:
            raise self._unreadable(name, str(error)) from error

    def _require_no_link(self) -> None:
        if self.path.is_symlink():
            raise StoreError("its folder is a link; copy the folder itself")

    def _unreadable(self, name: str, reason: str) -> StoreError:
        return StoreError(f"run {self.id}: {name} cannot be read ({reason}); restore it or delete the run")


def experiment_of(run_id: str, config: RunConfig, origins: Mapping[str, OriginCard]) -> str:
    """Return what runs share that differ only in their seed.

    Two weights files of others may say the same of themselves and are two models all the same. Networks that
    runs are made from may differ in their seed as well.
    """
    if config.is_external:
        return run_id
    known = {name: origin.experiment for name, origin in origins.items() if origin.experiment}
    return config.model_copy(update=known).key(without_seed=True)


def bytes_below(folder: Path) -> int:
    """Sum the sizes of all files in a folder, as far as it may be looked into; links count nothing."""
    total = 0
    for where, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):  # deleted in the meantime
                found = os.lstat(os.path.join(where, name))
                total += found.st_size if stat.S_ISREG(found.st_mode) else 0
    return total


def is_linked(weights_file: Path) -> bool:
    """Tell whether a run's weights, or the folder that they are in, are a link to something elsewhere."""
    return weights_file.is_symlink() or weights_file.parent.is_symlink()


def require_weights(run: RunFolder, weights: str, checkpoint: str) -> Path:
    """Return the file of the weights asked for.

    Raises:
        UnknownName: With a list of what the run kept.
        StoreError: It is a link, which may lead to anything of anybody's.
    """
    file = run.weights_file(weights, checkpoint)
    if is_linked(file):
        raise StoreError(
            f"the {checkpoint} {weights} weights of run {run.name!r} are a link; copy the file itself there"
        )
    if not os.path.isfile(file):  # no pipe, which would keep its reader waiting
        kept = ", ".join(f"{w} ({c})" for w, c in run.kept_weights()) or "none"
        raise UnknownName(f"run {run.name!r} kept no {checkpoint} {weights} weights; it has: {kept}")
    return file
