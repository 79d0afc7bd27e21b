"""The leaderboard's table: what is ranked first, where it is from, and then what it cost."""

from typing import Any

import pandas as pd
import streamlit as st

from app import charts, elements, fields, table_columns, wording
from app.engine import downloadable, training_settings
from app.sections.board_choice import EPS_WAYS, FAMILIES, MEASURES, WHOSE

RANK = (
    "The places that a row may take among those that are comparable with it: two are in an order where seeds "
    "tell them apart for certain (Welch's t, Holm over all pairs, 5 %). None (–) for a single seed, or where "
    "the spread over seeds is not known."
)
SPREAD = (
    "± the standard deviation over seeds, in points. Of a single seed it is not known: the 95 % interval for "
    "its test images stands there, which says nothing of another seed."
)
ALIKE = (
    "whose",
    "weights",
    "model",
    "checkpoint",
    "images",
    "passes",
    "family",
    "way",
)  # said once where equal
ONCE = {
    "weights": "{} weights",
    "checkpoint": "{} checkpoint",
    "images": "{:,.0f} images",
    "passes": "{:,.0f} passes an image",
    "way": "eps of hard classes {}",
}
MEASURED = ("mean", "worst", "clean_mean", "clean_worst")


def choose_rows(board: pd.DataFrame) -> pd.DataFrame:
    """Keep what is searched for."""
    asked = fields.text_input("Search", name="search", key="board_search", placeholder="name, network, paper")
    searched = board[["label", "model", "marks", "source"]].fillna("").agg(" ".join, axis=1).str.lower()
    return board[[all(word in text for word in asked.lower().split()) for text in searched]]


def show_table(board: pd.DataFrame, measure: str) -> None:
    """Show the rows, first what they are ranked by; what is the same of all stands above them."""
    table = in_words(board)
    equal = [name for name in ALIKE if table[name].nunique(dropna=False) == 1 and len(table) > 1]
    if said := ", ".join(filter(None, (_once(name, table[name].iloc[0]) for name in equal))):
        st.caption(f"All of these: {said}.")
    other = next(name for name in MEASURES if name != measure)
    columns = ["rank", "label", measure, f"{measure}_range", other, f"{other}_range", "runs", "link", "marks"]
    columns += ["weights", "whose", "model", "clean_worst", "clean_mean", "passes", "checkpoint", "images"]
    columns += ["family", "way", "source"]
    st.dataframe(
        table,
        hide_index=True,
        column_order=[name for name in columns if name not in equal and (table[name] != "").any()],
        placeholder="–",
        height="content" if len(board) <= 25 else "auto",
        key="board_table",
        column_config=_columns(),
    )
    elements.csv_button(
        "Leaderboard CSV",
        downloadable.csv(board.drop(columns=["threat", "short", "first", "last", "placed", "certain"])),
        "leaderboard.csv",
        "board_csv",
    )


def in_words(board: pd.DataFrame) -> pd.DataFrame:
    """Write the rows as people read them."""
    table = elements.percent_columns(board, list(MEASURED))
    ways = [_way(*row) for row in zip(board["link"], board["run_ids"], strict=True)]
    for measure in MEASURES:
        table[f"{measure}_range"] = [
            _range(*ends)
            for ends in board[[f"{measure}_spread", f"{measure}_low", f"{measure}_high", "runs"]].itertuples(
                index=False, name=None
            )
        ]
    return table.assign(
        whose=board["whose"].map(WHOSE),
        weights=board["weights"].map(lambda kind: charts.WEIGHTS_TITLES.get(kind, kind)),
        family=board["kind"].map(training_settings.KINDS),
        way=board["hard_eps"].map(EPS_WAYS),
        link=pd.Series(ways, board.index, dtype=object),
    )


def _range(spread: float, low: float, high: float, runs: float) -> str:
    if pd.notna(spread) and runs != 1:
        return f"± {100 * spread:.1f}"
    return "" if pd.isna(low) else f"{wording.percent_range(low, high)} of images"


def _way(paper: str, ids: str) -> str | None:
    """Lead to a published row's paper, or to the runs that one of ours is made of."""
    if paper.startswith("https://"):
        return paper
    return "runs?" + "&".join(f"runs={run_id}" for run_id in ids.split()) if ids else None


def _once(name: str, value: Any) -> str:
    return "" if pd.isna(value) or value == "" else ONCE.get(name, "{}").format(value)


def _columns() -> dict[str, Any]:
    return {
        "rank": st.column_config.TextColumn("Rank", help=RANK),
        "label": st.column_config.TextColumn("Model", pinned=True),
        "worst": elements.percent_column("Worst class", help="Accuracy of the class with the lowest one."),
        "worst_range": st.column_config.TextColumn("± seeds", help=SPREAD),
        "mean": elements.percent_column("Mean", help="The mean of the classes' accuracies."),
        "mean_range": st.column_config.TextColumn("± seeds", help=SPREAD),
        "runs": table_columns.count_column("Seeds", help="Over how many seeds the row is a mean."),
        "link": st.column_config.LinkColumn(
            "Open",
            display_text=r"^(?:https://)?(?:www\.)?([^/?]+)",
            help="Of a published row its paper, of yours its runs.",
        ),
        "marks": st.column_config.TextColumn("Remarks", help="What to know before it is compared."),
        "weights": st.column_config.TextColumn("Weights", help="Online, or an average: EMA, FAWA."),
        "whose": "Whose",
        "model": "Network",
        "clean_worst": elements.percent_column("Clean, worst"),
        "clean_mean": elements.percent_column("Clean, mean"),
        "passes": table_columns.count_column(
            "Passes",
            help="What training costs: forward passes of an image in the whole training. Time is not "
            "compared: it is of what else a machine did.",
        ),
        "checkpoint": "Checkpoint",
        "images": table_columns.count_column("Images"),
        "family": st.column_config.TextColumn("Family", help=FAMILIES),
        "way": st.column_config.TextColumn("eps of hard classes", help="Beside that of the others."),
        "source": st.column_config.TextColumn("Source", width="large"),
    }
