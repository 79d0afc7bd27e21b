"""A run is a folder, and the folder is the truth: copy it elsewhere and it is simply there.

config.json       RunConfig
manifest.json     how it was made: code version, packages, device, data fingerprint, class names
split.json        indices of the training and validation images
label.json        name, tags, notes: what a person may change
status.json       state, epoch, message; rewritten every epoch
history.jsonl     rows (`cfa.results.rows`), appended every epoch
log.txt           what the run printed
weights/          {best,last}-{online,ema,fawa}.safetensors
state/            what exact resume needs; pruned when the run has finished
evaluations/ID/   evaluation.json and outcomes.parquet (`cfa.results.evaluations`)
"""

import dataclasses
import json
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from cfa.config import CheckpointKind, RunConfig, WeightsKind
from cfa.errors import StoreError, UnknownName
from cfa.files import write_text
from cfa.results.rows import Row, read_rows
from cfa.statistics import Group, class_groups

RunState = Literal["queued", "running", "paused", "finished", "failed", "cancelled"]


@dataclass(frozen=True)
class Label:
    """What a person may change about a run."""

    name: str
    tags: tuple[str, ...] = ()
    notes: str = ""


@dataclass(frozen=True)
class Status:
    """How far a run is, as its trainer last wrote it.

    ``interrupted`` is not a state: a run is interrupted when it says ``running`` and its lock is free.
    """

    state: RunState = "queued"
    epoch: int = 0
    message: str = ""
    updated: str = ""


@dataclass(frozen=True)
class Manifest:
    """How a run was made; written when it starts."""

    created: str
    code_version: str
    packages: dict[str, str]
    device: str
    threads: int
    data_fingerprint: str
    class_names: tuple[str, ...]
    train_counts: tuple[int, ...]
    val_counts: tuple[int, ...]
    model: dict[str, Any]  # what `cfa.models.build_model` needs: channels, classes, image size, mean, std
    reported_with: str = ""  # the method's own kind of weights: lists must not import it to ask


def now() -> str:
    """Return the present moment as an ISO string in UTC, to the millisecond (two results rarely tie)."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


@dataclass(frozen=True)
class RunFolder:
    """A run on disk; reading is lazy and tolerant, writing is atomic."""

    path: Path
    read_only: bool = False

    @property
    def id(self) -> str:
        """The run's id is its folder's name."""
        return self.path.name

    @property
    def history_file(self) -> Path:
        """Where the rows are."""
        return self.path / "history.jsonl"

    @property
    def log_file(self) -> Path:
        """Where the run's printed lines are."""
        return self.path / "log.txt"

    @property
    def state_file(self) -> Path:
        """What exact resume needs."""
        return self.path / "state" / "state.pt"

    @property
    def lock_file(self) -> Path:
        """Held by the run's trainer as long as it lives."""
        return self.path / "state" / "run.lock"

    @cached_property
    def config(self) -> RunConfig:
        """The run's settings; a StoreError if the file is missing or no longer understood."""
        try:
            return RunConfig.model_validate_json((self.path / "config.json").read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:  # also bytes that are no text
            raise StoreError(
                f"run {self.id}: config.json cannot be read; restore it or delete the run"
            ) from error

    @property
    def label(self) -> Label:
        """The run's name, tags and notes (the id serves as name where there is none)."""
        try:
            fields = self._read_json("label.json") or {"name": self.id}
            return Label(fields["name"], tuple(fields.get("tags", ())), fields.get("notes", ""))
        except (StoreError, KeyError, TypeError, AttributeError):
            # One damaged label must not hide every other run from a listing.
            return Label(self.id, (), "label.json cannot be read; give the run a name again")

    @property
    def name(self) -> str:
        """The run's name, unique in its store."""
        return self.label.name

    @property
    def status(self) -> Status:
        """How far the run is."""
        fields = self._read_json("status.json")
        return Status(**fields) if fields else Status()

    @property
    def manifest(self) -> Manifest | None:
        """How the run was made, or ``None`` before it has started."""
        fields = self._read_json("manifest.json")
        if fields is None:
            return None
        tuples = {key: tuple(fields[key]) for key in ("class_names", "train_counts", "val_counts")}
        return Manifest(**{**fields, **tuples})

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
        """Read the rows of all epochs so far."""
        return list(read_rows(self.history_file))

    def weights_file(self, weights: WeightsKind | str, checkpoint: CheckpointKind | str) -> Path:
        """Say where weights of this kind are (or would be)."""
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
        self._write("status.json", json.dumps(dataclasses.asdict(Status(state, epoch, message, now()))))

    def write_manifest(self, manifest: Manifest) -> None:
        """Store how the run is being made."""
        self._write("manifest.json", json.dumps(dataclasses.asdict(manifest), indent=2))

    def write_split(self, train: list[int], validation: list[int]) -> None:
        """Store the indices of the training and validation images."""
        self._write("split.json", json.dumps({"train": train, "validation": validation}))

    def bytes_used(self) -> int:
        """Sum the sizes of all files of the run."""
        return sum(file.stat().st_size for file in self.path.rglob("*") if file.is_file())

    def prune(self) -> int:
        """Delete the state that only resume needs; returns the bytes freed."""
        freed = self.state_file.stat().st_size if self.state_file.exists() else 0
        self.state_file.unlink(missing_ok=True)
        return freed

    def delete(self) -> None:
        """Delete the folder; read-only runs (the shipped demo) are refused."""
        if self.read_only:
            raise StoreError(f"run {self.name!r} ships with CFA Studio and cannot be deleted")
        shutil.rmtree(self.path)

    def _write(self, name: str, text: str) -> None:
        if self.read_only:
            raise StoreError(f"run {self.name!r} ships with CFA Studio and cannot be changed")
        write_text(self.path / name, text)

    def _read_json(self, name: str) -> dict[str, Any] | None:
        try:
            fields: dict[str, Any] = json.loads((self.path / name).read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, json.JSONDecodeError) as error:
            raise StoreError(f"run {self.id}: {name} cannot be read; restore it or delete the run") from error
        return fields


def require_weights(run: RunFolder, weights: str, checkpoint: str) -> Path:
    """Return the file of the weights asked for; an UnknownName lists what the run kept."""
    file = run.weights_file(weights, checkpoint)
    if not file.exists():
        kept = ", ".join(f"{w} ({c})" for w, c in run.kept_weights()) or "none"
        raise UnknownName(f"run {run.name!r} kept no {checkpoint} {weights} weights; it has: {kept}")
    return file
