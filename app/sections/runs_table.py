"""The table of runs: rows are ticked and labels edited in it; it has the columns in which runs differ."""

import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import streamlit as st

from app import access, charts, elements, fields, glossary, tables, texts, wording
from app.engine import evaluated, run_folders, snapshots
from app.sections import runs_answer
from app.setting_titles import setting_title

COLUMNS = {
    "name": "Name",
    "mean": "Mean",
    "worst": "Worst",
    "state": "State",
    "method": "Method",
    "dataset": "Data set",
    "model": "Model",
    "preset": "Preset",
    "seed": "Seed",
    "epochs": "Epochs",
    "worst_class": "Worst class",
    "measured": "Measured with",
    "tags": "Tags",
    "notes": "Notes",
    "size": "Disk (MB)",
    "created": "Created",
    "id": "Id",
}
SHOWN = tuple(name for name in COLUMNS if name not in ("worst_class", "id"))
ALWAYS = ("name", "mean", "worst", "tags", "notes")  # also where all runs have the same, or none
GROUPS = ("method", "dataset", "model", "preset", "tags", "state")  # beside settings in which runs differ
EDITED = ("name", "tags", "notes")
MOST_SETTINGS = 6  # columns of settings that come by themselves
FEW = 12  # rows for which the table is as high as they are; for more it is as high as the window


def ticked_runs(runs: Sequence[snapshots.Run]) -> list[snapshots.Run]:
    """Return the runs that are ticked, in the order in which they were."""
    by_id = {run.id: run for run in runs}
    names = {run.name: run.id for run in runs}
    return [by_id[run_id] for run_id in fields.selection("runs", by_id, also=names, was=("run", "show"))]


def show_table(
    runs: Sequence[snapshots.Run],
    ticked: Sequence[snapshots.Run],
    place: st.delta_generator.DeltaGenerator,
    above: st.delta_generator.DeltaGenerator,
) -> None:
    """Show the runs, those of one group together; ticks and edits are taken as they are made.

    Args:
        runs: What is listed, newest first.
        ticked: Those of all runs that are ticked.
        place: Where columns and groups are chosen.
        above: Where is said what the runs come to.
    """
    settings = differing_settings(runs)
    with place, st.popover("Columns, groups", icon=":material/view_column:"):
        group = choose_group(list(settings))
        columns, only_differing = choose_columns(list(settings))
    varied = varied_settings(runs, settings)
    if only_differing:  # what a grid varied stands where its results are
        at = columns.index("worst") + 1
        columns[at:at] = [name for name in varied[:MOST_SETTINGS] if name not in columns]
    frame = runs_frame(runs)
    with above:
        runs_answer.say_what_there_is(frame)
    for name in {group, *columns} & set(settings):
        frame[name] = frame["id"].map(settings[name]).fillna("–")
    frame.insert(0, "tick", frame["id"].isin([run.id for run in ticked]))
    if group:
        frame.insert(1, "group", frame[group].map(in_words))
        frame = frame.sort_values("group", kind="stable", ignore_index=True)
    if only_differing:
        columns = [name for name in columns if name not in SHOWN or name in ALWAYS or differs(frame[name])]
    show_counts(runs, ticked)
    if only_differing and len(varied) > MOST_SETTINGS:
        st.caption(f"{len(varied) - MOST_SETTINGS} more settings differ: Columns has them.")
    show_editor(frame, ["tick", *(["group"] if group else []), *columns])
    if group:
        show_groups(frame)


def differing_settings(runs: Sequence[snapshots.Run]) -> dict[str, dict[str, str]]:
    """Return the settings in which runs differ, what the table says anyway left out: by setting, by run."""
    flat = {run.id: run.folder.config.flat() for run in runs if not run.problem}
    table = tables.setting_differences(flat)
    differing = table.set_index("setting").to_dict(orient="index")
    return {
        str(name): {str(run_id): str(text) for run_id, text in of_runs.items()}
        for name, of_runs in differing.items()
        if name not in COLUMNS
    }


def varied_settings(runs: Sequence[snapshots.Run], settings: Mapping[str, Mapping[str, str]]) -> list[str]:
    """List the settings that somebody varied: they differ between runs of one method, data set and preset."""
    alike: dict[tuple[str, ...], list[str]] = {}
    for run in runs:
        if not run.problem:
            alike.setdefault((run.method, run.dataset, run.model, run.preset), []).append(run.id)
    return [
        name
        for name, values in settings.items()
        if any(len({values[run_id] for run_id in ids}) > 1 for ids in alike.values())
    ]


def choose_group(settings: Sequence[str]) -> str:
    """Ask by what runs stand together: what they are, a suite's tag, or a setting in which they differ."""
    options = {name: COLUMNS[name] if name != "tags" else "Suite or tag" for name in GROUPS}
    options |= {name: titled(name) for name in settings}
    return fields.selectbox("Group by", options, name="group", clearable=True, placeholder="Nothing")


def choose_columns(settings: Sequence[str]) -> tuple[list[str], bool]:
    """Ask which columns are shown, and whether those in which all runs are alike are left out."""
    differ = fields.toggle("Only columns in which these runs differ", name="differ", default=True)
    options = {name: title for name, title in COLUMNS.items() if name not in SHOWN}
    options |= {name: titled(name) for name in settings}
    more = fields.multiselect("Further columns", options, name="columns", placeholder="Settings")
    return [*SHOWN, *more], differ


def titled(setting: str) -> str:
    """Say a setting in words, with the name by which it is set."""
    return f"{setting_title(setting)} ({setting})"


def differs(column: pd.Series) -> bool:
    """Tell whether runs differ in something."""
    return column.map(str).nunique() > 1


def in_words(value: object) -> str:
    """Write what a group has in common."""
    return ", ".join(map(str, value)) or "–" if isinstance(value, list | tuple) else str(value)


# --- what stands in it ----------------------------------------------------------------------------


def runs_frame(runs: Sequence[snapshots.Run]) -> pd.DataFrame:
    """Tabulate runs, each with its test result under what most runs were measured with."""
    results = evaluated.results([run for run in runs if not run.problem])
    best = best_results(results.summary, tables.conditions(results.per_class))
    for problem in results.problems:
        st.warning(elements.sentence(problem), icon=":material/warning:")
    return pd.DataFrame([row_of(run, best.get(run.id)) for run in runs], columns=[*COLUMNS, "condition"])


def row_of(run: snapshots.Run, found: pd.Series | None) -> dict[str, Any]:
    """Write one run as a row."""
    return {
        "name": run.shared_name or run.name,
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
        "condition": condition(found) if found is not None else None,
        "tags": list(run.tags),
        "notes": run.notes,
        "size": run_folders.disk_use(run) / 1e6,
        "created": wording.moment(run.created),
        "id": run.id,
    }


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


def condition(found: pd.Series) -> str:
    """Say what must be the same for results to be averaged."""
    attack = wording.condition(found["attack"], found["norm"], found["eps"])
    return f"{attack}, {found['total']:,} images of {found['dataset']}"


def show_groups(frame: pd.DataFrame) -> None:
    """Sum up each group: how many runs, and their results with the spread over them, where they are alike."""
    rows = []
    for name, block in frame.groupby("group", sort=True):
        alike = block["condition"].nunique() == 1
        results = {column: block[column].astype(float) for column in ("mean", "worst") if alike}
        rows.append(
            {
                "group": name,
                "runs": len(block),
                **{f"{column}_mean": values.mean() for column, values in results.items()},
                **{f"{column}_std": values.std() for column, values in results.items()},
                "measured": block["condition"].dropna().iloc[0]
                if alike
                else "not at all"
                if block["condition"].isna().all()
                else "not alike, so that no mean is taken",
            }
        )
    columns = ["group", "runs", "mean_mean", "mean_std", "worst_mean", "worst_std", "measured"]
    table = pd.DataFrame(rows, columns=columns)
    st.dataframe(
        table,
        hide_index=True,
        key="runs_groups",
        placeholder="–",
        height="content" if len(table) <= FEW else "auto",
        column_config={
            "group": st.column_config.TextColumn("Group", pinned=True),
            "runs": "Runs",
            "mean_mean": elements.percent_column("Robust mean"),
            "mean_std": elements.percent_column("± over runs"),
            "worst_mean": elements.percent_column("Robust worst"),
            "worst_std": elements.percent_column("± over runs "),
            "measured": "Measured",
        },
    )


# --- ticks and edits ------------------------------------------------------------------------------


def show_counts(runs: Sequence[snapshots.Run], ticked: Sequence[snapshots.Run]) -> None:
    """Say how many runs there are, what can be done with them, and offer to tick them all."""
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        total = sum(run_folders.disk_use(run) for run in runs)
        edits = " A double click edits name, tags and notes." if access.may_start() else ""
        st.caption(
            f"{wording.count(len(runs), 'run')}, {wording.file_size(total)} on disk. "
            f"Tick rows to act on them.{edits}",
            help=glossary.explained("robust", "worst class", "mean of classes", "seed"),
        )
        ids = [run.id for run in runs]
        st.button("Tick all", type="tertiary", key="tick_all", on_click=tick, args=(ids,))
        if ticked:
            st.button("Untick all", type="tertiary", key="untick_all", on_click=tick, args=([],))


def tick(ids: list[str]) -> None:
    """Tick these runs and no others."""
    fields.choose("runs", ids)
    begin_anew()


def begin_anew() -> None:
    """Forget what was clicked in the table: it shows what is stored."""
    st.session_state["runs_table"] = st.session_state.get("runs_table", 0) + 1


def show_editor(frame: pd.DataFrame, columns: list[str]) -> None:
    """Draw the table."""
    ids = list(frame["id"])
    # The browser knows rows by their places: other rows are another table.
    key = f"runs_table_{st.session_state.get('runs_table', 0)}_{zlib.crc32(' '.join(ids).encode())}"
    known = sorted({tag for tags in frame["tags"] for tag in tags})
    may = access.may_start()
    few = len(frame) <= FEW
    with st.container(key="runs_table_few" if few else "runs_table_many"):
        st.data_editor(
            frame,
            hide_index=True,
            column_order=columns,
            key=key,
            placeholder="–",
            height="content" if few else "stretch",
            disabled=[name for name in frame.columns if name != "tick" and not (may and name in EDITED)],
            on_change=take_clicks,
            args=(key, ids),
            alt="All runs, one a row",
            column_config={
                **{
                    name: st.column_config.Column(
                        COLUMNS.get(name) or setting_title(name),
                        help=glossary.explained(COLUMNS[name]) if name in COLUMNS else f"The setting {name}.",
                    )
                    for name in columns
                    if name not in (*EDITED, "tick", "group")
                },
                "tick": st.column_config.CheckboxColumn("", pinned=True, width=40),
                "group": st.column_config.TextColumn("Group", pinned=True),
                "name": st.column_config.TextColumn("Name", pinned=True, max_chars=100),
                "notes": st.column_config.TextColumn("Notes"),
                "tags": st.column_config.MultiselectColumn("Tags", options=known, accept_new_options=True),
                "mean": elements.percent_column("Mean", help=glossary.explained("robust", "mean of classes")),
                "worst": elements.percent_column("Worst", help=glossary.explained("robust", "worst class")),
                "size": st.column_config.NumberColumn("Disk (MB)", format="%.1f"),
            },
        )


def take_clicks(key: str, ids: Sequence[str]) -> None:
    """Take over what was ticked and edited since the table is there."""
    ticked = list(st.session_state.get("runs", []))
    for place, cells in st.session_state[key]["edited_rows"].items():
        run_id = ids[int(place)]
        if cells.get("tick") and run_id not in ticked:
            ticked.append(run_id)
        if cells.get("tick") is False and run_id in ticked:
            ticked.remove(run_id)
        typed = {name: cells[name] for name in EDITED if name in cells}
        run = snapshots.find_run(run_id)
        if typed and run is not None:
            relabel(run, typed)
            begin_anew()
    fields.choose("runs", ticked)


def relabel(run: snapshots.Run, typed: Mapping[str, Any]) -> None:
    """Change what was typed of a run's label; a refusal is said, and the table shows what is stored."""
    now = {"name": run.shared_name or run.name, "tags": run.tags, "notes": run.notes}
    wanted = now | dict(typed)
    tags = [tag.strip() for tag in wanted["tags"] or () if tag.strip()]
    elements.attempt(
        run_folders.relabel,
        run,
        wanted["name"] or "",
        tags,
        wanted["notes"] or "",
        done=f"{texts.plain(wanted['name'])}: saved.",
    )
