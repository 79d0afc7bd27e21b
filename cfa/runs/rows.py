"""Typed rows: what training and evaluation emit, and all that tables and charts are computed from.

Counts, not ratios: a row holds one epoch (or one evaluation) with a value per class, so that a line of
``history.jsonl`` is one row and 200 epochs of 100 classes stay a few thousand lines.
"""

import dataclasses
import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import InitVar, dataclass
from pathlib import Path
from typing import Annotated, BinaryIO, Literal

from pydantic import Field

from cfa.config import WEIGHTS_KINDS
from cfa.errors import StoreError
from cfa.files import cannot_write, open_to_append, write_text
from cfa.stored import MB, STRICT, Count, Counts, Name, Reals, decode, open_file, parse

LINE_LIMIT = 64 * MB  # a row of a hundred thousand classes has about two

EvaluatedWeights = Annotated[str, Field(pattern=rf"^({'|'.join(WEIGHTS_KINDS)}|file)$")]
"""The kinds of weights that a run trains, or ``file``: somebody's own."""


@dataclass(frozen=True, kw_only=True)
class Scores:
    """Correct and total images per class under one attack, for one kind of weights."""

    __pydantic_config__ = STRICT
    row: InitVar[Literal["scores"]] = "scores"

    epoch: Count
    split: Name  # train, val or test
    weights: EvaluatedWeights
    attack: Name  # clean, pgd-20, ...; `training` is the running accuracy of the training step
    norm: Name  # linf, l2; none for clean
    eps: Annotated[float, Field(ge=0)]  # the nominal budget; 0 for clean
    correct: Counts
    total: Counts

    def __post_init__(self, row: str) -> None:
        """Refuse counts that cannot be."""
        if len(self.correct) != len(self.total):
            raise ValueError(f"correct has {len(self.correct)} classes and total {len(self.total)}")
        if any(right > all_ for right, all_ in zip(self.correct, self.total, strict=True)):
            raise ValueError("correct exceeds total")

    @property
    def classes(self) -> int:
        """Number of classes."""
        return len(self.total)


@dataclass(frozen=True, kw_only=True)
class KnobValues:
    """What the rule set for each class in one epoch: by a knob's name a value per class, ``eps`` among them.

    Of knobs for pairs of classes it holds the mean over each row.
    """

    __pydantic_config__ = STRICT
    row: InitVar[Literal["knobs"]] = "knobs"

    epoch: Count
    values: Annotated[dict[Name, Reals], Field(max_length=100)]

    def __post_init__(self, row: str) -> None:
        """Refuse lists of different lengths."""
        if "eps" not in self.values:
            raise ValueError("it has no eps")
        if len({len(of_classes) for of_classes in self.values.values()}) != 1:
            names = ", ".join(self.values)
            raise ValueError(f"{names} have different numbers of classes")

    @property
    def classes(self) -> int:
        """Number of classes."""
        return len(self.values["eps"])

    @property
    def eps(self) -> tuple[float, ...]:
        """The budget of each class."""
        return self.values["eps"]

    @property
    def beta(self) -> tuple[float | None, ...]:
        """TRADES' beta, a knob or the ratio of the weights; ``None`` where the loss has no clean term."""
        if "beta" in self.values:
            return self.values["beta"]
        clean = self.values.get("clean_weight", (0.0,) * self.classes)
        robust = self.values.get("robust_weight", (1.0,) * self.classes)
        return tuple(up / down if down > 0 else None for down, up in zip(clean, robust, strict=True))


@dataclass(frozen=True, kw_only=True)
class Epoch:
    """One epoch as a whole; ``gate_accepted`` is ``None`` before averaging starts and where FAWA is off.

    Loss and time are ``None`` in runs of other programs, which did not keep them.
    """

    __pydantic_config__ = STRICT
    row: InitVar[Literal["epoch"]] = "epoch"

    epoch: Count
    learning_rate: float
    loss: float | None
    seconds: float | None
    images_per_second: float | None
    gate_worst: float | None  # the statistic that `averaging.gate` names
    gate_threshold: float | None
    gate_accepted: bool | None


Row = Scores | KnobValues | Epoch
BETA_WEIGHTS = ("clean_weight", "robust_weight")  # 1 / (1 + beta) and beta / (1 + beta)
_NAMES = {Scores: "scores", KnobValues: "knobs", Epoch: "epoch"}
_ROW = Annotated[Row, Field(discriminator="row")]
_OLD_KNOBS = ("eps", "clean_weight", "robust_weight")  # three for every method, in rows of before


@dataclass(frozen=True)
class History:
    """The rows of a file, and what in it are none.

    Attributes:
        rows: In the order of the file.
        damaged: How many lines are no rows, or rows that cannot be.
        first: Where the first of them is and what is wrong with it; empty where there are none.
    """

    rows: tuple[Row, ...] = ()
    damaged: int = 0
    first: str = ""

    @property
    def problem(self) -> str:
        """Say what is left out; empty where nothing is."""
        if not self.damaged:
            return ""
        return f"{self.damaged} of its {len(self.rows) + self.damaged} lines are left out ({self.first})"


def encode(row: Row) -> str:
    """Write a row as one line of JSON."""
    fields = {"row": _NAMES[type(row)], **dataclasses.asdict(row)}
    return json.dumps(fields, separators=(",", ":"))


def decode_row(line: bytes | str) -> Row:
    """Read a row back from its line.

    Raises:
        StoreError: What does not fit, as a phrase.
    """
    content = line.encode() if isinstance(line, str) else line
    if b'"knobs"' in content and b'"values"' not in content:
        content = _named_values(content)
    row: Row = decode(content, _ROW)
    return row


def _named_values(line: bytes) -> bytes:
    """Turn a row of before into one of today; what is none is left for the reader to name."""
    row = parse(line)
    if not isinstance(row, dict) or row.get("row") != "knobs":
        return line
    values = {name: row.pop(name) for name in _OLD_KNOBS if name in row}
    return json.dumps({**row, "values": values}).encode()


def append_rows(path: Path, rows: Iterable[Row]) -> None:
    """Append rows in one write and flush them to the disk.

    A line that an earlier crash cut short is closed first, so that it spoils no later row.
    """
    text = "".join(encode(row) + "\n" for row in rows)
    with open_to_append(path) as file:
        try:
            if file.seek(0, os.SEEK_END) > 0:
                file.seek(-1, os.SEEK_END)
                if file.read(1) != b"\n":
                    text = "\n" + text
            file.write(text.encode())
            file.flush()
            os.fsync(file.fileno())
        except OSError as error:
            raise cannot_write(path, error) from error


def read_history(path: Path, classes: int | None = None) -> History:
    """Read the rows of a file.

    A last line that is still being written (or was cut short) is skipped; others that are no row are counted.

    Args:
        path: The file; where there is none there are no rows.
        classes: How many classes a row must have, where that is known.

    Raises:
        StoreError: The reason why the file cannot be read, as a phrase.
    """
    rows: list[Row] = []
    damaged, first = 0, ""
    try:
        with open_file(path) as file:
            for number, line in enumerate(_lines(file), start=1):
                try:
                    rows.append(_checked(decode_row(line), classes))
                except StoreError as error:
                    damaged, first = damaged + 1, first or f"line {number}: {error}"
    except FileNotFoundError:
        return History()
    except OSError as error:
        raise StoreError(error.strerror or str(error)) from error
    return History(tuple(rows), damaged, first)


def read_rows(path: Path) -> list[Row]:
    """Read the rows of a file, and leave out what are none (:func:`read_history` counts those)."""
    return list(read_history(path).rows)


def _lines(file: BinaryIO) -> Iterator[bytes]:
    """Give the whole lines of a file; of one that is too long its beginning, which is no row."""
    while line := file.readline(LINE_LIMIT):
        if not line.endswith(b"\n"):
            rest = line
            while rest and not rest.endswith(b"\n"):
                rest = file.readline(LINE_LIMIT)
            if not rest:
                return
            line = line[:100]
        yield line


def _checked(row: Row, classes: int | None) -> Row:
    if classes is not None and not isinstance(row, Epoch) and row.classes != classes:
        raise StoreError(f"it has {row.classes} classes and the run {classes}")
    return row


def drop_rows_after(path: Path, epoch: int) -> None:
    """Keep only rows up to ``epoch``: what a resumed run will write again must not stand twice."""
    kept = [row for row in read_history(path).rows if row.epoch <= epoch]
    write_text(path, "".join(encode(row) + "\n" for row in kept))
