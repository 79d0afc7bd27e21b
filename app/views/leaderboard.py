"""Leaderboard: our results beside published ones, and the trade-off between mean and worst class."""

import pandas as pd
import streamlit as st

from app import charts, elements, wording
from app.engine import downloadable, evaluated

WHOSE = {"ours": "Ours", "published": "Published"}


def choose(board: pd.DataFrame) -> pd.DataFrame:
    """Filter by what makes results comparable: data set, network, threat model and attack."""
    first, second, third = st.columns(3)
    datasets = list(board["dataset"].value_counts().index)
    elements.say_what_is_not_here("board_dataset", datasets)
    dataset = first.selectbox("Data set", datasets, key="board_dataset", bind="query-params")
    board = board[board["dataset"] == dataset]
    threats = [wording.budget(*row) for row in board[["norm", "eps"]].to_numpy()]
    board = board.assign(threat=threats)
    found = list(board["threat"].value_counts().index)
    elements.say_what_is_not_here(key := f"board_threat_{dataset}", found)
    threat = second.selectbox(
        "Threat model",
        found,
        key=key,
        bind="query-params",
        help="Results under different budgets are not comparable.",
    )
    board = board[board["threat"] == threat]
    attacks = list(board["attack"].value_counts().index)
    elements.say_what_is_not_here(
        key := f"board_attack_{dataset}_{threat}", list(map(wording.attack_title, attacks))
    )
    attack = third.selectbox(
        "Attack",
        attacks,
        index=attacks.index("autoattack") if "autoattack" in attacks else 0,
        format_func=wording.attack_title,
        key=key,
        bind="query-params",
    )
    board = board[board["attack"] == attack]
    models, whose = st.columns([3, 2])
    names = list(board["model"].value_counts().index)
    elements.say_what_is_not_here(key := f"board_models_{dataset}_{threat}_{attack}", names)
    chosen = models.multiselect("Networks", names, default=names, key=key, bind="query-params")
    elements.say_what_is_not_here("board_whose", list(WHOSE.values()))
    side = whose.pills(
        "Whose",
        list(WHOSE),
        selection_mode="multi",
        default=list(WHOSE),
        format_func=WHOSE.__getitem__,
        key="board_whose",
        bind="query-params",
    )
    return board[board["model"].isin(chosen) & board["whose"].isin(side)]


def show_plane(board: pd.DataFrame) -> None:
    drawn = board.dropna(subset=["mean", "worst"])
    elements.show_card(
        elements.Card(
            "Mean against worst class, under attack",
            "board_plane",
            charts.trade_off(drawn, evaluated.pareto_front(drawn["mean"], drawn["worst"]))
            if len(drawn)
            else None,
            "Up and to the right is better. Filled: ours; hollow: published. Colour: clean accuracy. The "
            "line joins what nothing shown beats in both (Pareto front). Published numbers were measured "
            "elsewhere: other code, other seeds, and mostly checkpoints chosen on test.",
            "nothing has both a mean and a worst class.",
            own_table=True,
        )
    )


def show_table(board: pd.DataFrame) -> None:
    percent = elements.percent_columns(
        board, ["mean", "worst", "clean_mean", "clean_worst", "mean_spread", "worst_spread"]
    )
    columns = ["whose", "label", "worst", "mean", "clean_worst", "clean_mean", "model", "checkpoint"]
    columns += ["runs", "worst_spread", "mean_spread", "images", "marks", "source"]
    st.dataframe(
        percent[columns].assign(whose=percent["whose"].map(WHOSE)),
        hide_index=True,
        placeholder="–",
        height="content" if len(board) <= 25 else "auto",
        key="board_table",
        column_config={
            "whose": st.column_config.TextColumn("Whose", pinned=True),
            "label": st.column_config.TextColumn("Model", pinned=True),
            "worst": elements.percent_column("Worst class"),
            "mean": elements.percent_column("Mean"),
            "clean_worst": elements.percent_column("Clean, worst"),
            "clean_mean": elements.percent_column("Clean, mean"),
            "model": "Network",
            "checkpoint": "Checkpoint",
            "runs": "Runs",
            "worst_spread": elements.percent_column("± worst"),
            "mean_spread": elements.percent_column("± mean"),
            "images": "Images",
            "marks": "To be known",
            "source": st.column_config.TextColumn("Source", width="large"),
        },
    )
    elements.csv_button(
        "Leaderboard CSV", downloadable.csv(board.drop(columns="threat")), "leaderboard.csv", "board_csv"
    )


elements.heading(
    "Leaderboard", "Our results beside published ones: what is gained in the mean, and who pays for it."
)
everything = evaluated.leaderboard()
if everything.empty:
    st.info(
        "There is nothing under attack yet: no evaluated run, and no published numbers.",
        icon=":material/inbox:",
    )
    st.stop()
shown = choose(everything)
if shown.empty:
    st.info("Nothing is left with these filters.", icon=":material/filter_alt_off:")
    st.stop()
if "ours" not in set(shown["whose"]):
    st.caption("No result of yours is among these: evaluate a run on this data set with this attack.")
show_plane(shown)
show_table(shown)
