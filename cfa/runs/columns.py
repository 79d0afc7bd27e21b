"""What the columns of an evaluation's outcomes are: data, stored beside them, and read from no name."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Literal

from pydantic import Field

from cfa.runs.rows import Scores
from cfa.stored import STRICT, Name

Holds = Literal["classes", "members", "norms"]
Budget = Annotated[float, Field(ge=0)]


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column of the outcomes.

    Attributes:
        name: What it is called in the table.
        holds: The predicted ``classes``, -1 where the attack was not run; or which of a composite attack's
            ``members`` broke the image; or the ``norms`` of the smallest perturbations found.
        attack: The attack, as scores name it.
        norm: The threat model, ``none`` for clean images.
        eps: Its budget.
        asked: The attack as the plan names it, which settings are stored under: ``pgd-20@16/255``.
        whole: The column of the attack's own classes, where this one is a part of it; else "".
        member: Which member of a composite attack predicted these classes; else "".
        after: In a sweep the column of the next smaller budget, which this one goes on from; else "".
    """

    __pydantic_config__ = STRICT

    name: Name
    holds: Holds
    attack: Name
    norm: Name
    eps: Budget
    asked: Name
    whole: Name = ""
    member: Name = ""
    after: Name = ""

    @property
    def is_whole(self) -> bool:
        """Tell whether these are the classes under the whole attack."""
        return not self.whole


def _attack(column: Column) -> tuple[str, str]:
    return column.attack, column.asked


def _threat(column: Column) -> tuple[str, str, float, str]:
    """Return what a column shares with all parts of its attack."""
    return column.attack, column.norm, column.eps, column.asked


@dataclass(frozen=True)
class Columns:
    """All columns of one evaluation's outcomes, in the order in which they were made."""

    everything: tuple[Column, ...] = ()

    def __post_init__(self) -> None:
        """Refuse columns of one name, and those that belong to or follow what is not there."""
        if len(self._named) < len(self.everything):
            raise ValueError("two of its columns have one name")
        for column in self.everything:
            whole, after = self._named.get(column.whole), self._named.get(column.after)
            if column.whole and (whole is None or not whole.is_whole or _threat(whole) != _threat(column)):
                raise ValueError(f"its column {column.name[:80]!r} belongs to none that it has")
            if column.after and (after is None or not after.is_whole or _attack(after) != _attack(column)):
                raise ValueError(f"its column {column.name[:80]!r} follows none that it has")
            if column.is_whole and (column.holds != "classes" or column.member):
                raise ValueError(f"its column {column.name[:80]!r} is a part of no attack")

    def __iter__(self) -> Iterator[Column]:
        """Go through the columns."""
        return iter(self.everything)

    def get(self, name: str) -> Column | None:
        """Find a column by its name in the table."""
        return self._named.get(name)

    def of_scores(self, scores: Scores) -> Column | None:
        """Find the column that scores were counted from."""
        wanted = (scores.attack, scores.norm, scores.eps)
        return next((c for c in self.wholes() if (c.attack, c.norm, c.eps) == wanted), None)

    def wholes(self) -> tuple[Column, ...]:
        """List the columns of whole attacks, clean images among them."""
        return tuple(column for column in self.everything if column.is_whole)

    def members(self, whole: str) -> tuple[Column, ...]:
        """List the columns of a composite attack's members, in the order in which they ran."""
        return tuple(column for column in self._parts(whole) if column.member)

    def member(self, whole: str, member: str) -> Column | None:
        """Find the column of one member of a composite attack."""
        return next((column for column in self.members(whole) if column.member == member), None)

    def broken_by(self, whole: str) -> Column | None:
        """Find the column that names the member that broke an image; a simple attack has none."""
        return self._holding(whole, "members")

    def norms(self, whole: str) -> Column | None:
        """Find the column of the smallest perturbations' norms; only minimum-norm attacks have one."""
        return self._holding(whole, "norms")

    def before(self, column: Column) -> tuple[Column, ...]:
        """List the columns of the smaller budgets of a sweep, the nearest first."""
        found = self._named.get(column.after)
        seen: list[Column] = []
        while found is not None and found not in seen:
            seen.append(found)
            found = self._named.get(found.after)
        return tuple(seen)

    def _holding(self, whole: str, holds: Holds) -> Column | None:
        return next((column for column in self._parts(whole) if column.holds == holds), None)

    def _parts(self, whole: str) -> Sequence[Column]:
        return [column for column in self.everything if column.whole == whole and whole]

    @cached_property
    def _named(self) -> dict[str, Column]:
        return {column.name: column for column in self.everything}
