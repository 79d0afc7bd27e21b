"""What of the leaderboard is shown: what was measured, whose, of which weights, networks and methods."""

from typing import Any

import pandas as pd
import streamlit as st

from app import charts, fields, wording
from app.engine import evaluated, training_settings

WHOSE = {"ours": "Ours", "published": "Published"}
EPS_WAYS = {"same": "as others", "smaller": "smaller", "larger": "larger"}
MEASURES = {"worst": "Worst class", "mean": "Mean of classes"}
STANDARD = "autoattack"
OTHER = "other"
OWN = "own"
FAMILIES = (
    "Baseline: robustness alone. Calibrated: an eps or a beta for every class. Re-weighted: hard classes "
    "count more in the loss. Distilled: learns from a robust teacher. Long-tailed: for classes of "
    "unequal size."
)


def choose(board: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """Ask what was measured, what is ranked by, and what is left out; return the rows and the measure."""
    data_set, threat, attack, measure = st.columns([3, 2, 2, 3])
    board = of_data_set(board, data_set)
    board = of_threat(board, threat)
    board = of_attack(board, attack)
    ranked_by = fields.segmented_control(
        "Rank by",
        MEASURES,
        name="rank",
        key="board_rank",
        place=measure,
        help="Accuracy under the chosen attack. A rank is stated only as far as seeds tell results apart.",
    )
    weights, more = st.columns([7, 3], vertical_alignment="bottom")
    board = of_weights(board, weights)
    with more.popover("Filters", icon=":material/filter_alt:", width="stretch"):
        kept = of_methods(of_networks(board))
    if len(kept) < len(board):
        st.caption(f"Filters leave out {wording.count(len(board) - len(kept), 'row')}.")
    return kept, ranked_by


def first_dataset(board: pd.DataFrame) -> str:
    """Choose what the page opens on: the user's newest data set with results of two methods.

    Without one, the data set with most published rows.
    """
    ours = board[board["whose"] == "ours"]
    methods = ours.groupby("dataset")["method"].nunique()
    several = [str(name) for name, count in methods.items() if count > 1]
    published = board.loc[board["whose"] == "published", "dataset"].value_counts()
    found = [*evaluated.own_datasets(several), *map(str, published.index), *board["dataset"]]
    return str(found[0])


def of_data_set(board: pd.DataFrame, place: Any) -> pd.DataFrame:
    """Ask for a data set."""
    datasets = list(board["dataset"].value_counts().index)
    opened = first_dataset(board)
    datasets.sort(key=lambda name: name != opened)
    dataset = fields.selectbox(
        "Data set",
        {name: name for name in datasets},
        name="dataset",
        was="board_dataset",
        key="board_dataset",
        place=place,
    )
    return board[board["dataset"] == dataset]


def of_threat(board: pd.DataFrame, place: Any) -> pd.DataFrame:
    """Ask for a norm and a budget."""
    dataset = board["dataset"].iloc[0]
    board = board.assign(threat=[wording.budget(*row) for row in board[["norm", "eps"]].to_numpy()])
    threat = fields.selectbox(
        "Threat model",
        {budget: budget for budget in board["threat"].value_counts().index},
        name="threat",
        was=f"board_threat_{dataset}",
        subject=dataset,
        place=place,
        help="Results under different budgets are not comparable.",
    )
    return board[board["threat"] == threat]


def of_attack(board: pd.DataFrame, place: Any) -> pd.DataFrame:
    """Ask for an attack; at first the one under which most of ours are of several seeds."""
    dataset, threat = board["dataset"].iloc[0], board["threat"].iloc[0]
    several = board.loc[(board["whose"] == "ours") & (board["runs"] > 1), "attack"].value_counts()
    attack = fields.selectbox(
        "Attack",
        {name: wording.attack_title(name) for name in board["attack"].value_counts().index},
        name="attack",
        default=str(several.index[0]) if several.max() > 1 else STANDARD,
        was=f"board_attack_{dataset}_{threat}",
        subject=f"{dataset} {threat}",
        place=place,
    )
    return board[board["attack"] == attack]


def of_weights(board: pd.DataFrame, place: Any) -> pd.DataFrame:
    """Ask for kinds of weights: each method's own at first, which published rows always are."""
    kinds = [kind for kind in charts.WEIGHTS_TITLES if kind in set(board["weights"])]
    offered = [OWN, *kinds]
    asked = fields.pills(
        "Weights",
        {kind: charts.WEIGHTS_TITLES[kind] for kind in offered},
        name="weights",
        default=[OWN],
        key="board_weights",
        place=place,
        help="Each method's own: FAWA for a CFA method whose gate ever opened, else online. The others show "
        "what averaging alone gives.",
    )
    return board[board["weights"].isin(asked) | (board["own"] & (OWN in asked))]


def of_networks(board: pd.DataFrame) -> pd.DataFrame:
    """Ask for networks and whose results."""
    about = [str(board[column].iloc[0]) if len(board) else "" for column in ("dataset", "threat", "attack")]
    names = list(board["model"].value_counts().index)
    chosen = fields.multiselect(
        "Networks",
        {name: name for name in names},
        name="models",
        default=names,
        was=f"board_models_{'_'.join(about)}",
        subject=" ".join(about),
    )
    side = fields.pills(
        "Whose", WHOSE, name="whose", default=list(WHOSE), was="board_whose", key="board_whose"
    )
    return board[board["model"].isin(chosen) & board["whose"].isin(side)]


def of_methods(board: pd.DataFrame) -> pd.DataFrame:
    """Filter by what methods are for, what training costs, and how they treat hard classes; all at first."""
    kinds = fields.multiselect(
        "Family of methods",
        {
            **{str(name): title for name, title in training_settings.KINDS.items()},
            OTHER: "Others, or not known",
        },
        name="family",
        key="board_family",
        placeholder="Any",
        help=FAMILIES,
    )
    most = fields.number_input(
        "Passes of an image, at most",
        name="passes",
        whole=True,
        key="board_passes",
        min_value=1,
        step=100,
        placeholder="any",
        help="What training costs: how often an image goes forward through the network, start, teacher "
        "and helper included. Of published rows it is not known.",
    )
    directions = fields.multiselect(
        "eps of hard or rare classes",
        EPS_WAYS,
        name="hard_eps",
        key="board_hard_eps",
        placeholder="Any",
        help="With which budget a method trains the classes that are hard (of a long tail: rare), beside "
        "that of the others. Of published rows it is not known.",
    )
    if kinds:
        board = board[board["kind"].fillna(OTHER).isin(kinds)]
    if most is not None:
        board = board[board["passes"].astype(float) <= most]
    return board[board["hard_eps"].isin(directions)] if directions else board
