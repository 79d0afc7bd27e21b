"""What the leaderboard says first: which of its comparable results are certain to be above others."""

from dataclasses import dataclass

import pandas as pd

from app import texts, wording
from app.engine import evaluated
from app.sections.board_choice import MEASURES

NAMED = 3  # results that are named one by one


@dataclass(frozen=True)
class BoardAnswer:
    """What can be said about an order.

    Attributes:
        headline: In a few words, Markdown.
        sentences: What stands behind it, Markdown.
    """

    headline: str
    sentences: str


def with_places(board: pd.DataFrame, measure: str) -> pd.DataFrame:
    """Order rows by a measure, and write the places that each may take among those that are comparable.

    Returns:
        The rows with ``first`` and ``last`` (0 where there is no place), ``placed``, how many have one among
        those that are alike, ``certain``, how many pairs of these are in a certain order, and ``rank`` in
        words.
    """
    blocks = []
    for _, block in board.groupby("alike", sort=False):
        found = evaluated.places(block[measure], block[f"{measure}_spread"], block["runs"])
        several = found.placed > 1
        ends = zip(found.first, found.last, strict=True)
        blocks.append(
            block.assign(
                first=found.first,
                last=found.last,
                placed=found.placed,
                certain=found.certain,
                rank=[
                    _in_words(first, last, found.placed) if several and first else "–" for first, last in ends
                ],
            )
        )
    return pd.concat(blocks).sort_values(measure, ascending=False, na_position="last", kind="stable")


def _in_words(first: int, last: int, of: int) -> str:
    return f"{first} of {of}" if first == last else f"{first}–{last} of {of}"


def answer(among: pd.DataFrame, measure: str) -> BoardAnswer:
    """Say who is highest among results that are comparable, and what of their order is certain.

    Args:
        among: One set of comparable rows as :func:`with_places` returns them, with names ``short``; one at
            least has a value.
        measure: ``worst`` or ``mean``.
    """
    known = among.dropna(subset=[measure])
    what = "mean" if measure == "mean" else MEASURES[measure].lower()
    placed = int(known["placed"].iloc[0])
    if placed < 2:
        return _of_values(known, measure, what)
    ranked = known[known["first"] > 0]
    top = ranked.iloc[0]
    among_words = "" if placed == len(known) else f" of the {placed} with several seeds"
    highest = f"{_highest(top, what)}{among_words}, {_value(top, measure)}"
    left_out = _without_place(known, float(top[measure]), measure)
    if not top["certain"]:
        return BoardAnswer(
            f"No order is certain among these {placed} results.",
            f"{highest}, but seeds vary so much that none of the {placed} is certain to be above another "
            f"(Welch, Holm over all pairs).{left_out}",
        )
    return BoardAnswer(
        f"{highest}.", f"{_leaders(ranked)} Certain: Welch's t, Holm over all pairs.{left_out}"
    )


def _of_values(known: pd.DataFrame, measure: str, what: str) -> BoardAnswer:
    """Say what is highest where no order can be certain."""
    highest = f"{_highest(known.iloc[0], what)}, {_value(known.iloc[0], measure)}"
    if len(known) == 1:
        return BoardAnswer(f"{highest}: the only result of its kind.", "Nothing comparable stands beside it.")
    reason = (
        "all are of a single seed"
        if (known["runs"] == 1).all()
        else "of hardly any is it known how much it varies over seeds"
    )
    return BoardAnswer(
        f"{highest}: an order of {len(known)} values, not a rank.",
        f"Another seed may change the order, and {reason}, so that no rank is stated.",
    )


def _highest(row: pd.Series, what: str) -> str:
    return f"{texts.plain(row['short'])} has the highest {what}"


def _value(row: pd.Series, measure: str) -> str:
    spread, value = row[f"{measure}_spread"], wording.percent(row[measure])
    if pd.isna(spread) or pd.isna(row["runs"]):
        return f"{value} (a single seed)" if row["runs"] == 1 else value
    return f"{value} (± {100 * spread:.1f} points over {int(row['runs'])} seeds)"


def _leaders(ranked: pd.DataFrame) -> str:
    """Say which may be first, and how many are certain to be below another."""
    may = ranked.loc[ranked["first"] == 1, "short"]
    below = len(ranked) - len(may)
    if len(may) == 1:
        return f"It is certain to be above the other {below}."
    names = ", ".join(map(texts.plain, may[:NAMED]))
    more = f" and {len(may) - NAMED} more" if len(may) > NAMED else ""
    verb = "is" if below == 1 else "are"
    first = f"{len(may)} of {len(ranked)} may be first ({names}{more})"
    return f"{first}; {below} {verb} certain to be below another."


def _without_place(known: pd.DataFrame, top: float, measure: str) -> str:
    """Say of which no rank is stated, and whether one of them is higher."""
    without = known[known["first"] == 0]
    if without.empty:
        return ""
    verb = "has" if len(without) == 1 else "have"
    words = (
        f" {wording.count(len(without), 'row')} of a single seed, or without a known spread, {verb} no rank"
    )
    higher = without[without[measure] > top]
    names = f"; the highest is {texts.plain(higher['short'].iloc[0])}" if len(higher) else ""
    return words + (f"{names}, {wording.percent(higher[measure].iloc[0])}." if names else ".")
