"""Leaderboard: our results beside published ones, and the trade-off between mean and worst class."""

import pandas as pd
import streamlit as st

from app import cards, charts, elements, fields, table_columns, texts, wording
from app.engine import downloadable, evaluated, training_settings

WHOSE = {"ours": "Ours", "published": "Published"}
MEASURES = {"worst": "Worst class", "mean": "Mean of classes"}
EPS_WAYS = {"same": "as others", "smaller": "smaller", "larger": "larger"}
OTHER = "other"
FAMILIES = (
    "Baseline: robustness alone. Calibrated: an eps or a beta for every class. Re-weighted: hard classes "
    "count more in the loss. Distilled: learns from a robust teacher. Long-tailed: for classes of "
    "unequal size."
)
INTERVALS = (
    "Whiskers and “lies in”: over several seeds mean ± standard deviation, of a single seed the 95 % "
    "interval for its test images; published rows mostly have none."
)
LEAST_IN_FRONT = 3


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


def choose(board: pd.DataFrame) -> pd.DataFrame:
    """Filter by what makes results comparable: data set, network, threat model and attack."""
    first, second, third = st.columns(3)
    datasets = list(board["dataset"].value_counts().index)
    opened = first_dataset(board)
    datasets.sort(key=lambda name: name != opened)
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
    return of_methods(board[board["model"].isin(chosen) & board["whose"].isin(side)])


def of_methods(board: pd.DataFrame) -> pd.DataFrame:
    """Filter by what methods are for, what training costs, and how they treat hard classes; all at first."""
    with st.expander("Family, cost and eps", icon=":material/tune:"):
        family, cost, eps = st.columns(3)
        kinds = fields.multiselect(
            "Family of methods",
            {
                **{str(name): title for name, title in training_settings.KINDS.items()},
                OTHER: "Others, or not known",
            },
            name="family",
            key="board_family",
            place=family,
            placeholder="Any",
            help=FAMILIES,
        )
        most = fields.number_input(
            "Passes of an image, at most",
            name="passes",
            whole=True,
            key="board_passes",
            place=cost,
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
            place=eps,
            placeholder="Any",
            help="With which budget a method trains the classes that are hard (of a long tail: rare), beside "
            "that of the others. Of published rows it is not known.",
        )
    if kinds:
        board = board[board["kind"].fillna(OTHER).isin(kinds)]
    if most is not None:
        board = board[board["passes"].astype(float) <= most]
    return board[board["hard_eps"].isin(directions)] if directions else board


def title_of(board: pd.DataFrame) -> str:
    first = board.iloc[0]
    return f"{wording.attack_title(first['attack'])} at {first['threat']}"


def with_networks(board: pd.DataFrame) -> pd.DataFrame:
    """Say the network in the names of results that several networks have."""
    networks = board.groupby("label")["model"].transform("nunique")
    return board.assign(label=board["label"].where(networks == 1, board["label"] + ", " + board["model"]))


def choose_front(drawn: pd.DataFrame) -> pd.Series:
    """Ask among which results the front is; only those that are comparable, three or more, have one."""
    sizes = drawn["alike"].value_counts()
    sets = [str(name) for name, count in sizes.items() if count >= LEAST_IN_FRONT]
    if not sets:
        return pd.Series(False, drawn.index)
    ours = set(drawn.loc[drawn["whose"] == "ours", "alike"])
    sets.sort(key=lambda name: name not in ours)
    chosen = fields.selectbox(
        "Front among",
        {name: f"{name} ({sizes[name]})" for name in sets},
        name="front",
        subject=" ".join(sets),
        key="board_front",
        help="Results are only comparable with the same network, the same choice of the checkpoint and, of "
        "published ones, from the same paper; of ours with as many epochs and test images.",
    )
    among = drawn[drawn["alike"] == chosen]
    front = pd.Series(evaluated.pareto_front(among["mean"], among["worst"]), among.index)
    return front.reindex(drawn.index, fill_value=False)


def show_plane(board: pd.DataFrame) -> None:
    drawn = board.dropna(subset=["mean", "worst"])
    drawn = drawn.drop_duplicates(["whose", "label", "alike", "mean", "worst"]).reset_index(drop=True)
    front = choose_front(drawn) if len(drawn) else pd.Series(dtype=bool)
    line = (
        "The line joins what none of these beats in both (Pareto front); these have their names."
        if front.sum() > 1
        else "One beats all others of these in both, and has its name."
        if front.any()
        else f"No front is drawn: it takes {LEAST_IN_FRONT} comparable results."
    )
    cards.show_card(
        cards.Card(
            "Mean against worst class, under attack",
            "board_plane",
            charts.trade_off(drawn, front.to_numpy(dtype=bool)) if len(drawn) else None,
            f"Up and to the right is better. Filled: ours; hollow: published. Colour: clean accuracy. {line} "
            f"{INTERVALS} Published numbers were measured elsewhere: other code, other seeds, and mostly "
            "checkpoints chosen on test.",
            "nothing has both a mean and a worst class.",
            own_table=True,
        )
    )
    if without := len(board) - len(board.dropna(subset=["mean", "worst"])):
        st.caption(f"{wording.count(without, 'row')} without a mean or a worst class: in the table only.")
    ours = board[board["whose"] == "ours"]
    if single := int((ours["runs"] == 1).sum()):
        named = "All" if single == len(ours) else f"{single} of the {len(ours)}"
        rows = f"{named} rows of yours are" if len(ours) > 1 else "Your row is"
        st.caption(
            f"{rows} of a single seed: another seed may change the order. Seeds on Train makes several."
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
        help="Accuracy under the chosen attack. Results of equal accuracy share a rank; those whose "
        "intervals overlap may change places.",
    )
    asked = fields.text_input(
        "Search", name="search", key="board_search", place=right, placeholder="name, network, paper"
    )
    ranked = board.sort_values(measure, ascending=False, na_position="last", kind="stable")
    ranked.insert(0, "rank", ranked[measure].rank(ascending=False, method="min").astype("Int64"))
    searched = ranked[["label", "model", "marks", "source"]].fillna("").agg(" ".join, axis=1).str.lower()
    return ranked[[all(word in text for word in asked.lower().split()) for text in searched]]


def show_table(board: pd.DataFrame) -> None:
    percent = elements.percent_columns(board, ["mean", "worst", "clean_mean", "clean_worst"])
    for measure in MEASURES:
        ends = zip(board[f"{measure}_low"].astype(float), board[f"{measure}_high"].astype(float), strict=True)
        percent[f"{measure}_range"] = [
            "" if pd.isna(low) else wording.percent_range(low, high) for low, high in ends
        ]
    percent["family"] = board["kind"].map(training_settings.KINDS)
    percent["way"] = board["hard_eps"].map(EPS_WAYS)
    percent["time"] = [wording.duration(value) if pd.notna(value) else "" for value in board["seconds"]]
    links = percent["link"].where(percent["link"].str.startswith("https://"), None)
    columns = ["rank", "whose", "label", "worst", "worst_range", "mean", "mean_range"]
    columns += [
        "clean_worst",
        "clean_mean",
        "model",
        "checkpoint",
        "runs",
        "images",
        "family",
        "passes",
        "time",
    ]
    columns += ["way", "marks", "link", "source"]
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
            "worst_range": st.column_config.TextColumn("Worst class lies in", help=INTERVALS),
            "mean_range": st.column_config.TextColumn("Mean lies in", help=INTERVALS),
            "family": st.column_config.TextColumn("Family", help=FAMILIES),
            "passes": table_columns.count_column(
                "Passes", help="Forward passes of an image in the whole training."
            ),
            "time": st.column_config.TextColumn("Trained for", help="Its measured epochs, on its device."),
            "way": st.column_config.TextColumn("eps of hard classes", help="Beside that of the others."),
            "images": table_columns.count_column("Images"),
            "marks": st.column_config.TextColumn("Remarks", help="What to know before it is compared."),
            "link": st.column_config.LinkColumn("Paper", display_text="open"),
            "source": st.column_config.TextColumn("Source", width="large"),
        },
    )
    elements.csv_button(
        "Leaderboard CSV", downloadable.csv(board.drop(columns="threat")), "leaderboard.csv", "board_csv"
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
offer_other_sets(everything, shown)
st.subheader(f"{texts.plain(shown['dataset'].iloc[0])}, {texts.plain(title_of(shown))}")
shown = with_networks(shown)
show_plane(shown)
rows = choose_rows(shown)
if rows.empty:
    st.caption("Nothing here is called so.")
else:
    show_table(rows)
