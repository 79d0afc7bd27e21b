"""Leaderboard: our results beside published ones, and the trade-off between mean and worst class."""

import pandas as pd
import streamlit as st

from app import cards, charts, elements, fields, texts, wording
from app.engine import evaluated
from app.sections.board_choice import MEASURES, STANDARD, choose
from app.sections.board_places import answer, with_places
from app.sections.board_table import choose_rows, show_table

LEAST_IN_FRONT = 3
MOST_NAMED = 8


def with_networks(board: pd.DataFrame) -> pd.DataFrame:
    """Say the network in the names of results that several networks have; ``short`` is without it."""
    networks = board.groupby("label")["model"].transform("nunique")
    whole = board["label"].where(networks == 1, board["label"] + ", " + board["model"])
    return board.assign(short=board["label"], label=whole)


def show_answer(place: st.delta_generator.DeltaGenerator, board: pd.DataFrame, measure: str) -> pd.DataFrame:
    """Say above all controls what the board tells of results that are comparable; return these."""
    first = board.iloc[0]
    among = choose_among(board, measure)
    with place:
        said = answer(among, measure)
        st.subheader(said.headline)
        title = wording.condition(first["attack"], first["norm"], first["eps"])
        about = f"{first['dataset']}, {title}. {among['alike'].iloc[0]}."
        st.markdown(f"{texts.plain(about)} {said.sentences} {higher_elsewhere(board, among, measure)}")
    return among


def higher_elsewhere(board: pd.DataFrame, among: pd.DataFrame, measure: str) -> str:
    """Say what of the table is higher and not comparable."""
    others = board[(board["alike"] != among["alike"].iloc[0]) & (board[measure] > among[measure].max())]
    if others.empty:
        return ""
    top = others.loc[others[measure].idxmax()]
    return (
        f"Not comparable with these, of other networks, papers or checkpoints, and higher: "
        f"{wording.count(len(others), 'row')} below, up to {texts.plain(top['label'])}, "
        f"{wording.percent(top[measure])}."
    )


def choose_among(board: pd.DataFrame, measure: str) -> pd.DataFrame:
    """Ask which comparable results are spoken of; at first those of ours of which there are most."""
    known = board.dropna(subset=[measure])
    known = known if len(known) else board
    sizes = known["alike"].value_counts()
    ours = set(board.loc[board["whose"] == "ours", "alike"])
    sets = sorted(map(str, sizes.index), key=lambda name: name not in ours)
    if len(sets) == 1:
        return board[board["alike"] == sets[0]]
    chosen = fields.selectbox(
        "Compared among",
        {name: f"{name} ({sizes[name]})" for name in sets},
        name="front",
        subject=" ".join(sets),
        key="board_front",
        help="Results are only comparable with the same network, the same choice of the checkpoint and, of "
        "published ones, from the same paper; of ours with as many epochs and test images.",
    )
    return board[board["alike"] == chosen]


def show_plane(board: pd.DataFrame, among: pd.DataFrame) -> None:
    """Draw mean against worst class, with the front of the comparable results."""
    drawn = board.dropna(subset=["mean", "worst"])
    drawn = drawn.drop_duplicates(["whose", "label", "alike", "mean", "worst"])
    comparable = drawn[drawn.index.isin(among.index)]
    front = pd.Series(False, drawn.index)
    if len(comparable) >= LEAST_IN_FRONT:
        front[comparable.index] = evaluated.pareto_front(comparable["mean"], comparable["worst"])
    named = comparable.index if len(comparable) <= MOST_NAMED else front.index[front]
    line = (
        "The line joins what none of the compared beats in both (Pareto front)."
        if front.sum() > 1
        else "One beats all others of these in both."
        if front.any()
        else f"No front is drawn: it takes {LEAST_IN_FRONT} comparable results."
    )
    published = (
        " Filled: ours; hollow: published, measured elsewhere: other code, other seeds, and mostly "
        "checkpoints chosen on test."
        if (drawn["whose"] == "published").any()
        else ""
    )
    cards.show_card(
        cards.Card(
            "Mean against worst class, under attack",
            "board_plane",
            charts.trade_off(drawn, front.to_numpy(dtype=bool), drawn.index.isin(named))
            if len(drawn)
            else None,
            f"Up and to the right is better. {line} Whiskers: ± standard deviation over seeds; of a single "
            f"seed the 95 % interval for its images. Colour: clean accuracy.{published}",
            "nothing has both a mean and a worst class.",
            own_table=True,
        )
    )
    if without := len(board) - len(board.dropna(subset=["mean", "worst"])):
        st.caption(f"{wording.count(without, 'row')} without a mean or a worst class: in the table only.")


def say_standard(board: pd.DataFrame, shown: pd.DataFrame) -> None:
    """Say what the field's standard has of our results where another attack is shown."""
    first = shown.iloc[0]
    here = (
        (board["dataset"] == first["dataset"]) & board["eps"].isin(shown["eps"]) & (board["whose"] == "ours")
    )
    standard = board[here & (board["attack"] == STANDARD)]
    if first["attack"] == STANDARD or standard.empty:
        return
    seeds = ", all of a single seed" if (standard["runs"] == 1).all() else ""
    st.caption(
        "AutoAttack is the field's standard; under a weaker attack accuracy is an upper bound. Under "
        f"AutoAttack you have {wording.count(len(standard), 'row')}{seeds}."
    )


def offer_other_sets(board: pd.DataFrame, shown: pd.DataFrame) -> None:
    """Say which side is missing here, and lead to where published numbers are."""
    if "ours" not in set(shown["whose"]):
        st.caption("No result of yours is among these: evaluate a run on this data set with this attack.")
    if "published" in set(shown["whose"]):
        return
    published = board[board["whose"] == "published"]
    sets = [str(name) for name in published["dataset"].value_counts().index]
    if shown["dataset"].iloc[0] in sets:
        st.caption("Published numbers on this data set are under another threat model or attack.")
        return
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.caption("There are no published numbers on this data set, but on:", width="content")
        for name in sets[:4]:
            st.button(name, type="tertiary", key=f"board_to_{name}", on_click=open_set, args=(name,))


def open_set(name: str) -> None:
    fields.choose("dataset", name, key="board_dataset")


elements.heading(
    "Leaderboard",
    "Our results beside published ones: the mean, the worst class, and what of their order is certain.",
)
everything = evaluated.leaderboard()
if everything.empty:
    st.info(
        "There is nothing under attack yet: no evaluated run, and no published numbers.",
        icon=":material/inbox:",
    )
    st.stop()
above = st.container()
shown, measure = choose(everything)
if shown.empty:
    st.info("Nothing is left with these filters.", icon=":material/filter_alt_off:")
    st.stop()
shown = with_places(with_networks(shown), measure).reset_index(drop=True)
among = show_answer(above, shown, measure)
show_plane(shown, among)
say_standard(everything, shown)
rows = choose_rows(pd.concat([among, shown.drop(among.index)]))  # what is compared stands first
if rows.empty:
    st.caption("Nothing here is called so.")
else:
    if len(among) < len(shown):
        st.caption(
            f"First the {len(among)} that are compared, then others, each by {MEASURES[measure].lower()}."
        )
    show_table(rows, measure)
offer_other_sets(everything, shown)
