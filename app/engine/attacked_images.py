"""What became of every image, shaped for the eye: columns of an evaluation, and the pictures of a cell."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from app import wording
from app.process.rights import looks
from cfa.evaluation import AdversarialIndex
from cfa.evaluation.outcomes import NOT_RUN
from cfa.notation import CLEAN as CLEAN
from cfa.notation import format_eps
from cfa.runs.columns import Column, Columns

WORST = "worst case"

State = Literal["clean", "stored", "remade", "missing", "held", "wrong"]


@dataclass(frozen=True)
class ShownColumn:
    """One way to look at an evaluation: an attack, a member of a composite one, or the worst case of several.

    Attributes:
        name: As it is stored, or ``worst case`` (with its budget, where the evaluation has several).
        parts: Columns of the table, in the order in which they are tried; one, but for the worst case.
    """

    name: str
    parts: tuple[Column, ...]

    @property
    def worst(self) -> bool:
        """Tell whether this is the worst case over several attacks."""
        return len(self.parts) > 1

    @property
    def attack(self) -> str:
        """Return what attacked, without its budget; of a member also which attack it belongs to."""
        return WORST if self.worst else _attack(self.parts[0])

    @property
    def is_member(self) -> bool:
        """Tell whether this is only a member of a composite attack."""
        return bool(self.parts[0].member)

    @property
    def threat(self) -> tuple[str, float]:
        """Return norm and budget."""
        return self.parts[0].norm, self.parts[0].eps


@dataclass(frozen=True)
class Picture:
    """One image of a cell.

    Attributes:
        image: Position in the test part.
        row: Position in the table.
        state: ``stored`` or ``remade`` where there is an adversarial image, ``missing`` where there was one,
            else why there is none.
        source: The column that its adversarial image belongs to; "" for none.
        attack: Which attack decided, for people; "" for none.
        budget: That attack's, for people, where the evaluation has several; "" otherwise.
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
    budget: str = ""
    can_be_made: bool = False
    adversarial: np.ndarray | None = None
    now: int | None = None
    differs: bool = False


@looks
def columns_to_show(described: Columns) -> list[ShownColumn]:
    """List the columns of an evaluation: clean, the worst case of every budget, then attack by attack."""
    predictions = [column for column in described if column.holds == "classes"]
    budgets: dict[tuple[str, float], list[Column]] = {}
    for column in described.wholes():
        if column.attack != CLEAN:
            budgets.setdefault((column.norm, column.eps), []).append(column)
    several = len(budgets) > 1
    worst = [
        ShownColumn(f"{WORST}@{format_eps(eps)}" if several else WORST, tuple(parts))
        for (_, eps), parts in budgets.items()
        if len(parts) > 1
    ]
    each = [ShownColumn(column.name, (column,)) for column in predictions]
    clean = [column for column in each if column.name == CLEAN]
    return [*clean, *worst, *(column for column in each if column.name != CLEAN)]


@looks
def first_to_show(choices: Sequence[ShownColumn]) -> ShownColumn:
    """Prefer the worst case at the largest budget, then the last attack that is not a member."""
    worst = [column for column in choices if column.worst]
    whole = [column for column in choices if not column.is_member]
    return (worst or whole)[-1]


@looks
def pictures_of(index: AdversarialIndex, column: ShownColumn, rows: np.ndarray) -> list[Picture]:
    """Find the adversarial images of some rows of the table, or why there are none."""
    return [_picture(index, column, int(row)) for row in rows]


@looks
def batches_to_repeat(index: AdversarialIndex, found: Sequence[Picture]) -> int:
    """Count the batches that have to be repeated to make some pictures again."""
    needed = set()
    for picture in found:
        source = index.columns.get(picture.source)
        step = None if source is None else _step(index, source, picture.row)
        if step is not None and step.name in index.batches:
            needed.add((step.name, int(index.batches[step.name][picture.row])))
    return len(needed)


def _attack(column: Column) -> str:
    return f"{column.attack}/{column.member}" if column.member else column.attack


def _picture(index: AdversarialIndex, shown: ShownColumn, row: int) -> Picture:
    table, described = index.outcomes, index.columns
    image, label = int(table["image"][row]), table["label"][row]
    if shown.name == CLEAN:
        return Picture(image, row, "clean")
    source = _first_breaking(index, shown, row) if shown.worst else shown.parts[0]
    if source is None:
        return Picture(image, row, "held")
    source = _where_it_broke(index, source, row)
    wrong = bool(table[CLEAN][row] != label)
    # Without a record of the batches, as in runs that ship, what was wrong from the start was not broken.
    if not _attacked(index, source, row) if index.batches else wrong:
        return Picture(image, row, "wrong" if wrong else "held")
    returns_what_holds = described.broken_by(source.name) or source.member or described.norms(source.name)
    if table[source.name][row] == label and returns_what_holds:
        return Picture(image, row, "held", source.name)
    step = _step(index, source, row)
    attack, budget = _attack(step or source), _budget(described, source)
    stored = index.stored(source.name, image)
    if stored is not None:
        return Picture(image, row, "stored", source.name, attack, budget, adversarial=stored)
    again = index.remade(source.name, image)
    known = bool(index.batches)
    if again is not None:
        made, now = again.image, again.predicted
        return Picture(image, row, "remade", source.name, attack, budget, known, made, now, again.differs)
    return Picture(image, row, "missing", source.name, attack, budget, can_be_made=known)


def _budget(described: Columns, column: Column) -> str:
    attacked = {(other.norm, other.eps) for other in described.wholes() if other.attack != CLEAN}
    return wording.budget(column.norm, column.eps) if len(attacked) > 1 else ""


def _first_breaking(index: AdversarialIndex, shown: ShownColumn, row: int) -> Column | None:
    """Return the first part that breaks an image."""
    table = index.outcomes
    holds = (NOT_RUN, table["label"][row])
    return next((part for part in shown.parts if table[part.name][row] not in holds), None)


def _where_it_broke(index: AdversarialIndex, source: Column, row: int) -> Column:
    """In a sweep an image is attacked no more once it is broken: go back to the budget that broke it."""
    if not index.batches or _attacked(index, source, row):
        return source
    return next((c for c in index.columns.before(source) if _attacked(index, c, row)), source)


def _attacked(index: AdversarialIndex, source: Column, row: int) -> bool:
    """Tell whether a column's attack, or one of its members, was run on an image."""
    steps = [source.name, *(member.name for member in index.columns.members(source.name))]
    return any(index.batches[step][row] != NOT_RUN for step in steps if step in index.batches)


def _step(index: AdversarialIndex, source: Column, row: int) -> Column | None:
    """Return the column of the attack that decided an image: of a composite one the member that broke it."""
    by = index.columns.broken_by(source.name)
    if by is None:
        return source
    return index.columns.member(source.name, str(index.outcomes[by.name][row]))
