"""Leaderboard: our results beside published ones, and the trade-off between mean and worst class."""

import pandas as pd
import streamlit as st

from app import cards, charts, elements, fields, table_columns, texts, wording
from app.engine import downloadable, evaluated

WHOSE = {"ours": "Ours", "published": "Published"}
MEASURES = {"worst": "Worst class", "mean": "Mean of classes"}


def choose(board: pd.DataFrame) -> pd.DataFrame:
    """Filter by what makes results comparable: data set, network, threat model and attack."""
    first, second, third = st.columns(3)
    datasets = list(board["dataset"].value_counts().index)
    own = evaluated.own_dataset(datasets)
    datasets.sort(key=lambda name: name != own)
    dataset = fields.selectbox(
        "Data set",
        {name: name for name in datasets},
        name="dataset",
        was="board_dataset",
        key="board_dataset",
        place=first,
    )
    board = board[board["dataset"] == dataset]
    threats = [wording.budget(*row) for row in board[["norm", "eps"]].to_numpy()]
    board = board.assign(threat=threats)
    found = list(board["threat"].value_counts().index)
    threat = fields.selectbox(
        "Threat model",
        {budget: budget for budget in found},
        name="threat",
        was=f"board_threat_{dataset}",
        subject=dataset,
        place=second,
        help="Results under different budgets are not comparable.",
    )
    board = board[board["threat"] == threat]
    attacks = list(board["attack"].value_counts().index)
    attack = fields.selectbox(
        "Attack",
        {name: wording.attack_title(name) for name in attacks},
        name="attack",
        default="autoattack",
        was=f"board_attack_{dataset}_{threat}",
        subject=f"{dataset} {threat}",
        place=third,
    )
    board = board[board["attack"] == attack]
    models, whose = st.columns([3, 2])
    names = list(board["model"].value_counts().index)
    chosen = fields.multiselect(
        "Networks",
        {name: name for name in names},
        name="models",
        default=names,
        was=f"board_models_{dataset}_{threat}_{attack}",
        subject=f"{dataset} {threat} {attack}",
        place=models,
    )
    side = fields.pills(
        "Whose",
        WHOSE,
        name="whose",
        default=list(WHOSE),
        was="board_whose",
        key="board_whose",
        place=whose,
    )
    return board[board["model"].isin(chosen) & board["whose"].isin(side)]


def title_of(board: pd.DataFrame) -> str:
    first = board.iloc[0]
    return f"{wording.attack_title(first['attack'])} at {first['threat']}"


def show_plane(board: pd.DataFrame) -> None:
    drawn = board.dropna(subset=["mean", "worst"])
    cards.show_card(
        cards.Card(
            "Mean against worst class, under attack",
            "board_plane",
            charts.trade_off(drawn, evaluated.pareto_front(drawn["mean"], drawn["worst"]))
            if len(drawn)
            else None,
            "Up and to the right is better. Filled: ours; hollow: published. Colour: clean accuracy. The "
            "line joins what nothing shown beats in both (Pareto front); its points have their names. "
            "Published numbers were measured elsewhere: other code, other seeds, and mostly checkpoints "
            "chosen on test.",
            "nothing has both a mean and a worst class.",
            own_table=True,
        )
    )


def choose_rows(board: pd.DataFrame) -> pd.DataFrame:
    """Rank by a measure, and keep what is searched for; a rank is among all that are comparable."""
    left, right = st.columns([1, 2])
    measure = fields.segmented_control(
        "Rank by",
        MEASURES,
        name="rank",
        key="board_rank",
        place=left,
        help="Accuracy under the chosen attack. Results of equal accuracy share a rank.",
    )
    asked = fields.text_input(
        "Search", name="search", key="board_search", place=right, placeholder="name, network, paper"
    )
    ranked = board.sort_values(measure, ascending=False, na_position="last", kind="stable")
    ranked.insert(0, "rank", ranked[measure].rank(ascending=False, method="min").astype("Int64"))
    searched = ranked[["label", "model", "marks", "source"]].fillna("").agg(" ".join, axis=1).str.lower()
    return ranked[[all(word in text for word in asked.lower().split()) for text in searched]]


def show_table(board: pd.DataFrame) -> None:
    percent = elements.percent_columns(
        board, ["mean", "worst", "clean_mean", "clean_worst", "mean_spread", "worst_spread"]
    )
    links = percent["link"].where(percent["link"].str.startswith("https://"), None)
    columns = ["rank", "whose", "label", "worst", "mean", "clean_worst", "clean_mean", "model", "checkpoint"]
    columns += ["runs", "worst_spread", "mean_spread", "images", "marks", "link", "source"]
    st.dataframe(
        percent.assign(whose=percent["whose"].map(WHOSE), link=links)[columns],
        hide_index=True,
        placeholder="–",
        height="content" if len(board) <= 25 else "auto",
        key="board_table",
        column_config={
            "rank": st.column_config.NumberColumn("Rank", pinned=True, width="small"),
            "whose": st.column_config.TextColumn("Whose", pinned=True),
            "label": st.column_config.TextColumn("Model", pinned=True),
            "worst": elements.percent_column(
                "Worst class", help="Accuracy of the class with the lowest one."
            ),
            "mean": elements.percent_column("Mean", help="The mean of the classes' accuracies."),
            "clean_worst": elements.percent_column("Clean, worst"),
            "clean_mean": elements.percent_column("Clean, mean"),
            "model": "Network",
            "checkpoint": "Checkpoint",
            "runs": "Runs",
            "worst_spread": elements.percent_column("± worst", help="Standard deviation over runs."),
            "mean_spread": elements.percent_column("± mean"),
            "images": table_columns.count_column("Images"),
            "marks": "To be known",
            "link": st.column_config.LinkColumn("Paper", display_text="open"),
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
st.subheader(f"{texts.plain(shown['dataset'].iloc[0])}, {texts.plain(title_of(shown))}")
show_plane(shown)
rows = choose_rows(shown)
if rows.empty:
    st.caption("Nothing here is called so.")
else:
    show_table(rows)
