"""Runs: find one, look at how it was made, take its weights along, or start a new one like it."""

import zlib
from typing import Any

import pandas as pd
import streamlit as st

from app import charts, elements, fields, tables, wording
from app.engine import evaluated, run_folders, snapshots
from app.sections import one_run, run_actions

COLUMNS = {
    "name": "Name",
    "state": "State",
    "method": "Method",
    "dataset": "Data set",
    "model": "Model",
    "preset": "Preset",
    "seed": "Seed",
    "epochs": "Epochs",
    "mean": "Robust mean",
    "worst": "Robust worst",
    "worst_class": "Worst class",
    "measured": "Measured with",
    "tags": "Tags",
    "size": "Disk (MB)",
    "created": "Created",
    "id": "Id",
}
SHOWN = (
    "name",
    "state",
    "method",
    "dataset",
    "seed",
    "epochs",
    "mean",
    "worst",
    "measured",
    "tags",
    "size",
    "created",
)


# --- the list -------------------------------------------------------------------------------------


def filtered(runs: list[snapshots.Run]) -> list[snapshots.Run]:
    text, methods, states, tags = st.columns([3, 2, 2, 2])
    wanted = fields.text_input(
        "Search", name="search", placeholder="name, method, data set, tag, note", place=text
    ).lower()
    chosen_methods = one_filter("Method", {run.method for run in runs}, "method", methods)
    chosen_states = one_filter("State", {run.state for run in runs}, "state", states)
    chosen_tags = one_filter("Tag", {tag for run in runs for tag in run.tags}, "tag", tags)
    return [
        run
        for run in runs
        if wanted in " ".join([run.name, run.id, run.method, run.dataset, *run.tags, run.notes]).lower()
        and (not chosen_methods or run.method in chosen_methods)
        and (not chosen_states or run.state in chosen_states)
        and (not chosen_tags or set(chosen_tags) & set(run.tags))
    ]


def one_filter(label: str, values: set[str], name: str, place: Any) -> list[str]:
    options = {value: value for value in sorted(values)}
    key = f"filter_{name}"
    return fields.multiselect(label, options, name=name, was=key, key=key, place=place)


def runs_table(runs: list[snapshots.Run]) -> pd.DataFrame:
    results = evaluated.results([run for run in runs if not run.problem])
    best = best_results(results.summary, tables.conditions(results.per_class))
    rows = []
    for run in runs:
        found = best.get(run.id)
        rows.append(
            {
                "name": run.name,
                "state": run.state,
                "method": run.method,
                "dataset": run.dataset,
                "model": run.model,
                "preset": run.preset,
                "seed": run.seed,
                "epochs": f"{run.epoch} of {run.epochs}",
                "mean": 100 * found["mean_accuracy"] if found is not None else None,
                "worst": 100 * found["worst_accuracy"] if found is not None else None,
                "worst_class": found["worst_class"] if found is not None else "",
                "measured": measured(found) if found is not None else "",
                "tags": list(run.tags),
                "size": run_folders.disk_use(run) / 1e6,
                "created": wording.moment(run.created),
                "id": run.id,
            }
        )
    for problem in results.problems:
        st.warning(elements.sentence(problem), icon=":material/warning:")
    return pd.DataFrame(rows, columns=list(COLUMNS))


def best_results(summary: pd.DataFrame, ranked: list[tables.Condition]) -> dict[str, pd.Series]:
    """Pick, per run, the test result of its own weights under what most runs were measured with."""
    best: dict[str, pd.Series] = {}
    attacked = [condition for condition in ranked if condition.norm != "none"]
    for condition in [c for c in attacked if c.checkpoint != "last"]:
        for run_id, block in condition.of(summary).groupby("run_id", sort=False):
            run = snapshots.find_run(str(run_id))
            own = block[block["weights"] == evaluated.own_weights(run)] if run else block
            best.setdefault(str(run_id), (own if len(own) else block).iloc[-1])
    return best


def measured(found: pd.Series) -> str:
    """Say what a result was measured with: attack, weights, images."""
    attack = wording.condition(found["attack"], found["norm"], found["eps"])
    return f"{attack}, {charts.WEIGHTS_TITLES[found['weights']]} weights, {found['total']:,} images"


def show_list(runs: list[snapshots.Run]) -> list[snapshots.Run]:
    """Show the table and return the rows that are ticked."""
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
        total = sum(run_folders.disk_use(run) for run in runs)
        st.caption(
            f"{wording.count(len(runs), 'run')}, {wording.file_size(total)} on disk. "
            "Tick rows to act on them."
        )
        with st.popover("Columns", icon=":material/view_column:"):
            columns = st.multiselect(
                "Columns", list(COLUMNS), default=SHOWN, format_func=COLUMNS.__getitem__, key="columns"
            )
    ids = [run.id for run in runs]
    # The browser knows rows by their places: other rows are another table, and ticks go with their runs.
    key = f"runs_table_{zlib.crc32(' '.join(ids).encode())}"
    ticked = st.session_state.get("runs_ticked", [])
    percent = {name: elements.percent_column(COLUMNS[name]) for name in ("mean", "worst")}
    event = st.dataframe(
        runs_table(runs),
        hide_index=True,
        column_order=columns,
        key=key,
        placeholder="–",
        on_select=lambda: remember_ticks(key, runs),
        selection_default={"selection": {"rows": [ids.index(run_id) for run_id in ticked if run_id in ids]}},
        selection_mode="multi-row",
        column_config={
            **{name: title for name, title in COLUMNS.items() if name != "tags"},
            **percent,
            "tags": st.column_config.ListColumn("Tags"),
            "size": st.column_config.NumberColumn("Disk (MB)", format="%.1f"),
            "name": st.column_config.TextColumn("Name", pinned=True),
        },
    )
    return [runs[row] for row in event["selection"]["rows"] if row < len(runs)]


def remember_ticks(key: str, listed: list[snapshots.Run]) -> None:
    """Keep which runs are ticked, whatever rows they move to, and show the one that was ticked last."""
    chosen = [listed[row] for row in st.session_state[key]["selection"]["rows"] if row < len(listed)]
    st.session_state["runs_ticked"] = [run.id for run in chosen]
    if chosen:
        fields.choose("run", chosen[-1].id)


# --- one run --------------------------------------------------------------------------------------


elements.heading("Runs", "Everything that was trained here, and what ships with CFA Studio.")
everything = list(reversed(snapshots.runs()))
if not everything:
    st.info("There is no run yet. Start one on Train, or the demo on Home.", icon=":material/inbox:")
    st.stop()
listed = filtered(everything)
if listed:
    run_actions.act_on(show_list(listed))
else:
    st.caption("No run matches these filters.")
shown = fields.selectbox(
    "Run",
    elements.run_names(everything),
    name="run",
    clearable=True,
    was="show",
    placeholder="Tick a row above, or choose a run here",
)
found = snapshots.find_run(shown) if shown else None
if found is not None:
    one_run.show_run(found)
