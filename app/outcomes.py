"""What became of every image, shaped for the eye: columns of an evaluation, and the pictures of a cell. Pure.

A *column* is an attack (``pgd-20``), an attack of a sweep (``pgd-20@2/255``), a member of a composite attack
(``autoattack/square``), or the worst case over all attacks of the plan with the same budget.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np

CLEAN = "clean"
WORST = "worst case"
NOT_RUN = -1

Table = Mapping[str, np.ndarray]
State = Literal["clean", "stored", "remade", "missing", "held", "wrong"]


class Again(Protocol):
    """An adversarial image that was made again; the engine's ``Remade``."""

    image: np.ndarray
    predicted: int
    differs: bool


class Index(Protocol):
    """What the engine knows of an evaluation's images; its ``AdversarialIndex``."""

    @property
    def outcomes(self) -> dict[str, np.ndarray]:
        """The table, column by column."""

    @property
    def batches(self) -> dict[str, np.ndarray]:
        """The batch in which each column attacked an image."""

    def stored(self, attack: str, image: int) -> np.ndarray | None:
        """Return an adversarial image that was kept."""

    def remade(self, column: str, image: int) -> Any:
        """Return one that was made again."""


@dataclass(frozen=True)
class Column:
    """One way to look at an evaluation.

    Attributes:
        name: As it is stored, or ``worst case`` (with the budget of a sweep behind it).
        parts: Columns of the table, in the order in which they are tried; one, but for the worst case.
        parent: The composite attack that a member belongs to, or "".
        composite: Whether it is an ordered list of attacks, so that each image has one that broke it.
    """

    name: str
    parts: tuple[str, ...]
    parent: str = ""
    composite: bool = False

    @property
    def worst(self) -> bool:
        """Tell whether this is the worst case over several attacks."""
        return len(self.parts) > 1

    @property
    def attack(self) -> str:
        """Return the name without the budget of a sweep."""
        return self.name.partition("@")[0]

    @property
    def eps(self) -> str:
        """Return the budget that is part of the name, as it is written there, or ""."""
        return self.name.partition("@")[2]


@dataclass(frozen=True)
class Picture:
    """One image of a cell.

    Attributes:
        image: Position in the test part.
        row: Position in the table.
        state: ``stored`` or ``remade`` where there is an adversarial image, ``missing`` where there was one,
            else why there is none.
        source: The column that its adversarial image belongs to.
        attack: Which attack decided, for people; "" for none.
        can_be_made: Whether the batch that it was in is known.
        adversarial: float32 in [0, 1], shape (channels, side, side).
        now: The class that it was predicted as when it was made again.
        differs: Whether that is not what the evaluation had found.
    """

    image: int
    row: int
    state: State
    source: str = ""
    attack: str = ""
    can_be_made: bool = False
    adversarial: np.ndarray | None = None
    now: int | None = None
    differs: bool = False


def columns(table: Table) -> list[Column]:
    """List the columns of an evaluation: clean, the worst case of every budget, then attack by attack."""
    names = [name for name, values in table.items() if values.dtype.kind == "i"]
    attacks = [
        Column(name, (name,), _parent(name, table), _by(name) in table)
        for name in names
        if name not in ("image", "label", CLEAN)
    ]
    budgets: dict[str, list[str]] = {}
    for column in attacks:
        if not column.parent:
            budgets.setdefault(column.eps, []).append(column.name)
    worst = [
        Column(f"{WORST}@{eps}" if eps else WORST, tuple(parts))
        for eps, parts in budgets.items()
        if len(parts) > 1
    ]
    return [Column(CLEAN, (CLEAN,)), *worst, *attacks]


def first_choice(choices: list[Column]) -> Column:
    """Prefer the worst case at the largest budget, then the last attack that is not a member."""
    worst = [column for column in choices if column.worst]
    whole = [column for column in choices if not column.parent]
    return (worst or whole)[-1]


def pictures(index: Index, column: Column, rows: np.ndarray) -> list[Picture]:
    """Find the adversarial images of some rows of the table, or why there are none."""
    return [_picture(index, column, int(row)) for row in rows]


def _picture(index: Index, column: Column, row: int) -> Picture:
    table = index.outcomes
    image, label = int(table["image"][row]), table["label"][row]
    if column.name == CLEAN:
        return Picture(image, row, "clean")
    source = _first_breaking(table, column, row) if column.worst else column.name
    if not source:
        return Picture(image, row, "held")
    source = _where_it_broke(index, source, row)
    wrong = bool(table[CLEAN][row] != label)
    # Without a record of the batches, as in runs that ship, what was wrong from the start was not broken.
    if not _attacked(index, source, row) if index.batches else wrong:
        return Picture(image, row, "wrong" if wrong else "held")
    by = str(table[_by(source)][row]) if _by(source) in table else ""
    held = table[source][row] == label
    if held and (_by(source) in table or _parent(source, table) or _length(source) in table):
        return Picture(image, row, "held", source)  # such attacks return an image that holds as it was
    attack = f"{source.partition('@')[0]}/{by}" if by else source.partition("@")[0]
    stored = index.stored(source, image)
    if stored is not None:
        return Picture(image, row, "stored", source, attack, adversarial=stored)
    again = index.remade(source, image)
    known = bool(index.batches)
    if again is not None:
        shown, now = again.image, again.predicted
        return Picture(image, row, "remade", source, attack, known, shown, now, again.differs)
    return Picture(image, row, "missing", source, attack, can_be_made=known)


def _first_breaking(table: Table, column: Column, row: int) -> str:
    """Return the first part that breaks an image, "" where none does."""
    wrong = (NOT_RUN, table["label"][row])
    return next((part for part in column.parts if table[part][row] not in wrong), "")


def _where_it_broke(index: Index, source: str, row: int) -> str:
    """In a sweep an image is attacked no more once it is broken: go back to the budget that broke it."""
    base, at, _ = source.partition("@")
    if not at or not index.batches or _attacked(index, source, row):
        return source
    budgets = [name for name in index.outcomes if name.startswith(f"{base}@") and _by(name) != name]
    smaller = [name for name in budgets[: budgets.index(source)] if _attacked(index, name, row)]
    return smaller[-1] if smaller else source


def _attacked(index: Index, source: str, row: int) -> bool:
    """Tell whether a column's attack, or one of its members, was run on an image."""
    base, at, eps = source.partition("@")
    steps = [source] if source in index.batches else []
    if _by(source) in index.outcomes:
        steps = [
            name
            for name in index.batches
            if name.startswith(f"{base}/") and name.partition("@")[1:] == (at, eps)
        ]
    return any(index.batches[step][row] != NOT_RUN for step in steps)


def batches_of(index: Index, found: list[Picture]) -> int:
    """Count the batches that have to be repeated to make some pictures again."""
    needed = set()
    for picture in found:
        base, at, eps = picture.source.partition("@")
        member = picture.attack.rpartition("/")[2]
        names = (picture.source, f"{base}/{member}{at}{eps}")
        step = next((name for name in names if name in index.batches), "")
        if step:
            needed.add((step, int(index.batches[step][picture.row])))
    return len(needed)


def _by(name: str) -> str:
    """Name the column that says which member of a composite attack broke an image."""
    base, at, eps = name.partition("@")
    return f"{base}/by{at}{eps}"


def _length(name: str) -> str:
    """Name the column of a minimum-norm attack's norms."""
    return f"{name}/norm"


def _parent(name: str, table: Table) -> str:
    base, at, eps = name.partition("@")
    parent = base.rpartition("/")[0]
    return parent + at + eps if parent and _by(parent + at + eps) in table else ""
