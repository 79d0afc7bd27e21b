"""Typed rows: what training and evaluation emit, and all that tables and charts are computed from.

Counts, not ratios: a row holds one epoch (or one evaluation) with a value per class, so that a line of
``history.jsonl`` is one row and 200 epochs of 100 classes stay a few thousand lines.
"""

import dataclasses
import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from cfa.errors import StoreError
from cfa.files import write_text


@dataclass(frozen=True, kw_only=True)
class Scores:
    """Correct and total images per class under one attack, for one kind of weights."""

    row: ClassVar[str] = "scores"

    epoch: int
    split: str  # train, val or test
    weights: str  # online, ema, fawa or file
    attack: str  # clean, pgd-20, ...; `training` is the running accuracy of the training step
    norm: str  # linf, l2; none for clean
    eps: float  # the nominal budget; 0 for clean
    correct: tuple[int, ...]
    total: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Knobs:
    """What the calibration rule set for each class in one epoch."""

    row: ClassVar[str] = "knobs"

    epoch: int
    eps: tuple[float, ...]
    clean_weight: tuple[float, ...]
    robust_weight: tuple[float, ...]

    @property
    def beta(self) -> tuple[float | None, ...]:
        """Give TRADES' beta, the ratio of the weights; ``None`` where the loss has no clean term."""
        return tuple(
            robust / clean if clean > 0 else None
            for clean, robust in zip(self.clean_weight, self.robust_weight, strict=True)
        )


@dataclass(frozen=True, kw_only=True)
class Epoch:
    """One epoch as a whole; ``gate_accepted`` is ``None`` before averaging starts and where FAWA is off.

    Loss and time are ``None`` in runs of other programs, which did not keep them.
    """

    row: ClassVar[str] = "epoch"

    epoch: int
    learning_rate: float
    loss: float | None
    seconds: float | None
    images_per_second: float | None
    gate_worst: float | None  # the statistic that `averaging.gate` names
    gate_threshold: float | None
    gate_accepted: bool | None


Row = Scores | Knobs | Epoch
_TYPES: dict[str, type[Scores] | type[Knobs] | type[Epoch]] = {
    kind.row: kind for kind in (Scores, Knobs, Epoch)
}


def encode(row: Row) -> str:
    """Write a row as one line of JSON."""
    return json.dumps({"row": row.row, **dataclasses.asdict(row)}, separators=(",", ":"))


def decode(line: str) -> Row:
    """Read a row back from its line."""
    fields: dict[str, Any] = json.loads(line)
    kind = _TYPES[fields.pop("row")]
    values: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in fields.items()}
    return kind(**values)


def append_rows(path: Path, rows: Iterable[Row]) -> None:
    """Append rows in one write and flush them to the disk.

    A line that an earlier crash cut short is closed first, so that it spoils no later row.
    """
    text = "".join(encode(row) + "\n" for row in rows)
    try:
        with path.open("ab+") as file:
            if file.tell() > 0:
                file.seek(-1, os.SEEK_END)
                if file.read(1) != b"\n":
                    text = "\n" + text
            file.write(text.encode())
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise StoreError(
            f"cannot write {path.name} ({error.strerror}); free disk space, then resume the run"
        ) from error


def read_rows(path: Path) -> Iterator[Row]:
    """Read the rows of a file; a last line that is still being written (or was cut short) is skipped."""
    if not path.exists():
        return
    with path.open(encoding="utf-8") as file:
        for line in file:
            if not line.endswith("\n"):
                return
            try:
                yield decode(line)
            except (json.JSONDecodeError, KeyError, TypeError):
                continue  # a line cut short by a crash; the resumed run wrote the epoch again


def drop_rows_after(path: Path, epoch: int) -> None:
    """Keep only rows up to ``epoch``: what a resumed run will write again must not stand twice."""
    kept = [row for row in read_rows(path) if row.epoch <= epoch]
    write_text(path, "".join(encode(row) + "\n" for row in kept))
