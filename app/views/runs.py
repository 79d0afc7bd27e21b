"""Runs: find one, look at how it was made, take its weights along, or start a new one like it."""

import json
from functools import partial

import pandas as pd
import streamlit as st

from app import charts, elements, tables, texts, wording
from app.engine import downloadable, evaluated, evaluation_jobs, run_folders, snapshots, training_settings

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
MOST_CLASSES = 20
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
    wanted = (
        text.text_input(
            "Search", placeholder="name, method, data set, tag, note", key="search", bind="query-params"
        )
        or ""
    ).lower()
    chosen_methods = methods.multiselect(
        "Method", sorted({run.method for run in runs}), key="filter_method", bind="query-params"
    )
    chosen_states = states.multiselect(
        "State", sorted({run.state for run in runs}), key="filter_state", bind="query-params"
    )
    chosen_tags = tags.multiselect(
        "Tag", sorted({tag for run in runs for tag in run.tags}), key="filter_tag", bind="query-params"
    )
    return [
        run
        for run in runs
        if wanted in " ".join([run.name, run.id, run.method, run.dataset, *run.tags, run.notes]).lower()
        and (not chosen_methods or run.method in chosen_methods)
        and (not chosen_states or run.state in chosen_states)
        and (not chosen_tags or set(chosen_tags) & set(run.tags))
    ]


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
            own = block[block["weights"] == evaluation_jobs.own_weights(run)] if run else block
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
    percent = {name: elements.percent_column(COLUMNS[name]) for name in ("mean", "worst")}
    event = st.dataframe(
        runs_table(runs),
        hide_index=True,
        column_order=columns,
        key="runs_table",
        placeholder="–",
        on_select=remember_selection,
        selection_mode="multi-row",
        column_config={
            **{name: title for name, title in COLUMNS.items() if name != "tags"},
            **percent,
            "tags": st.column_config.ListColumn("Tags"),
            "size": st.column_config.NumberColumn("Disk (MB)", format="%.1f"),
            "name": st.column_config.TextColumn("Name", pinned=True),
        },
    )
    st.session_state["runs_listed"] = [run.name for run in runs]
    return [runs[row] for row in event["selection"]["rows"] if row < len(runs)]


def remember_selection() -> None:
    """Show the run that was ticked last."""
    rows = st.session_state["runs_table"]["selection"]["rows"]
    listed = st.session_state.get("runs_listed", [])
    if rows and rows[-1] < len(listed):
        st.session_state["show"] = listed[rows[-1]]


def act_on(chosen: list[snapshots.Run]) -> None:
    if not chosen:
        return
    with st.container(horizontal=True):
        if len(chosen) > 1:
            st.page_link(
                "views/compare.py",
                label=f"Compare {wording.count(len(chosen), 'run')}",
                icon=":material/compare_arrows:",
                query_params={"runs": [run.name for run in chosen]},
            )
        downloads(chosen, "chosen")
        own = [run for run in chosen if not run.read_only]
        if st.button(f"Delete {wording.count(len(own), 'run')}", icon=":material/delete:", disabled=not own):
            confirm_delete(own)


@st.dialog("Delete for good?")
def confirm_delete(chosen: list[snapshots.Run]) -> None:
    size = sum(run_folders.disk_use(run) for run in chosen)
    st.write(
        f"This deletes {wording.count(len(chosen), 'run')} ({wording.file_size(size)}), weights included:"
    )
    st.markdown("\n".join(f"- {texts.plain(run.name)}" for run in chosen[:10]))
    if len(chosen) > 10:
        st.caption(f"and {len(chosen) - 10} more")
    with st.container(horizontal=True):
        if st.button("Delete", type="primary", icon=":material/delete:", key="confirm_delete"):
            elements.attempt(
                run_folders.delete_runs, chosen, done=f"Deleted {wording.count(len(chosen), 'run')}."
            )
            st.rerun()
        if st.button("Keep", key="keep"):
            st.rerun()


def downloads(chosen: list[snapshots.Run], key: str) -> None:
    """Offer the export as one zip, and the two tables of the contract."""
    st.download_button(
        "Export as zip",
        lambda: downloadable.export_zip(chosen),
        "cfa-export.zip",
        "application/zip",
        icon=":material/folder_zip:",
        key=f"zip_{key}",
        on_click="ignore",
        disabled=all(map(downloadable.is_link, chosen)),
    )
    results = evaluated.results(chosen)
    for label, table, file in (
        ("Per-class CSV", results.per_class, "per_class.csv"),
        ("Summary CSV", results.summary, "summary.csv"),
    ):
        elements.csv_button(label, downloadable.csv(table), file, f"{file}_{key}", disabled=table.empty)


# --- one run --------------------------------------------------------------------------------------


def show_run(run: snapshots.Run) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        st.subheader(texts.plain(run.name))
        elements.state_badge(run.state)
        if run.read_only:
            st.badge("ships with CFA Studio", icon=":material/lock:", color="gray")
    if run.problem:
        st.error(elements.sentence(run.problem), icon=":material/broken_image:")
        if not run.read_only and st.button("Delete this run", icon=":material/delete:", key="delete_broken"):
            confirm_delete([run])
        return
    st.caption(
        texts.plain(
            f"{run.title} · {run.dataset} · {run.model} · preset {run.preset} · seed {run.seed} · "
            f"epoch {run.epoch} of {run.epochs} · {wording.file_size(run_folders.disk_use(run))} · "
            f"id {run.id}"
        )
    )
    if run.shared_name:
        st.info(
            f"Another run is called {texts.plain(run.shared_name)} as well, so that this one goes by its id. "
            "Label gives it a name of its own.",
            icon=":material/content_copy:",
        )
    if run.message:
        (st.error if run.state == "failed" else st.info)(elements.sentence(run.message))
    with st.container(horizontal=True):
        st.page_link(
            "views/train.py",
            label="New run from this one",
            icon=":material/content_copy:",
            query_params={"from": run.name},
        )
        st.page_link(
            "views/monitor.py",
            label="Curves",
            icon=":material/monitor_heart:",
            query_params={"run": run.name},
        )
        st.page_link(
            "views/evaluate.py",
            label="Evaluate",
            icon=":material/shield:",
            query_params={"evaluate": run.name},
        )
        st.page_link(
            "views/classes.py",
            label="Classes and images",
            icon=":material/grid_on:",
            query_params={"run": run.name},
        )
    sections = ("Results", "Label", "Configuration", "Manifest", "Log", "Weights", "Export")
    drawers = (
        show_results,
        edit_label,
        show_configuration,
        show_manifest,
        show_log,
        show_weights,
        show_export,
    )
    for tab, drawer in zip(st.tabs(sections, key="run_sections"), drawers, strict=True):
        with tab, elements.explained_errors():
            drawer(run)


def show_results(run: snapshots.Run) -> None:
    results = evaluated.results([run])
    found = tables.conditions(results.per_class)
    if not found:
        st.caption("No test results yet: a training ends with a test evaluation, and Evaluate adds more.")
        return
    condition = st.selectbox(
        "Measured", found, format_func=lambda c: c.title, key="results_condition", bind="query-params"
    )
    groups = tables.make_groups([run.member], snapshots.method_title, merge_seeds=False)
    scores = tables.class_scores(condition.of(results.per_class), groups, training_settings.display_name)
    scores = scores.assign(group=scores["weights"])
    hardest = tables.hardest_classes(scores, "", MOST_CLASSES)
    all_shown = len(hardest) == scores["class_index"].nunique()
    elements.show_card(
        elements.Card(
            "Accuracy per class with 95 % intervals",
            "run_class_bars",
            charts.class_bars(scores[scores["class_index"].isin(hardest)], charts.WEIGHTS_COLOURS),
            condition.title
            + f", {images_in_words(condition.of(results.summary))}."
            + ("" if all_shown else f" The {MOST_CLASSES} hardest classes."),
        )
    )
    elements.not_in_tables(results.left_out)
    for finding in evaluated.findings([run]):
        st.warning(elements.sentence(finding), icon=":material/info:")


def images_in_words(summary: pd.DataFrame) -> str:
    """Say on how many images a run's weights of each kind were measured."""
    sizes = sorted(set(summary["total"]))
    if len(sizes) == 1:
        return f"{sizes[0]:,} images"
    kinds = zip(summary["weights"], summary["total"], strict=True)
    return ", ".join(f"{charts.WEIGHTS_TITLES[weights]} on {total:,} images" for weights, total in kinds)


def edit_label(run: snapshots.Run) -> None:
    with st.form(f"label_{run.id}", border=False):
        name = st.text_input("Name", run.shared_name or run.name, disabled=run.read_only, max_chars=80)
        tags = st.text_input("Tags", ", ".join(run.tags), disabled=run.read_only, help="Separated by commas.")
        notes = st.text_area("Notes", run.notes, disabled=run.read_only)
        saved = st.form_submit_button("Save", icon=":material/save:", disabled=run.read_only)
    if run.read_only:
        st.caption("Runs that ship with CFA Studio cannot be changed.")
    if saved:
        chosen_tags = [tag.strip() for tag in tags.split(",") if tag.strip()]
        elements.attempt(run_folders.relabel, run, name, chosen_tags, notes, done="Saved.")
        st.session_state["show_next"] = name.strip()
        st.rerun()


def show_configuration(run: snapshots.Run) -> None:
    differences = training_settings.config_differences(run.folder.config)
    rows = [(name, str(preset), str(own)) for name, (preset, own) in differences.items()]
    if rows:
        st.markdown(f"What differs from the preset {texts.plain(run.preset)}:")
        st.dataframe(pd.DataFrame(rows, columns=["setting", "preset", "this run"]), hide_index=True)
    else:
        st.caption(f"Nothing differs from the preset {texts.plain(run.preset)}.")
    st.code(run.folder.config.to_json(), language="json", height=320)


def show_manifest(run: snapshots.Run) -> None:
    manifest = run_folders.manifest(run)
    if manifest is None:
        st.caption("The run has not started yet; its manifest is written when it does.")
        return
    st.code(json.dumps(vars(manifest), indent=2, default=str), language="json", height=360)


def show_log(run: snapshots.Run) -> None:
    st.code(run_folders.run_log(run, 1000) or "Nothing was printed yet.", language=None, height=360)


def show_weights(run: snapshots.Run) -> None:
    if not run.kept:
        st.caption("No weights are kept yet: the first are written after the first epoch.")
        return
    st.markdown("Load them by name:")
    name = json.dumps(run.name, ensure_ascii=False)  # whatever the name, it stays a name in the code
    st.code(f"import cfa\n\nmodel = cfa.load({name})  # images in [0, 1] to logits", language="python")
    st.markdown("Or take a file along; it is plain safetensors, with the normalisation as the first layer:")
    with st.container(horizontal=True):
        for weights, checkpoint in run.kept:
            st.download_button(
                texts.plain(f"{checkpoint} {charts.WEIGHTS_TITLES.get(weights, weights)}"),
                partial(downloadable.weights_bytes, run, weights, checkpoint),
                f"{run.name}-{checkpoint}-{weights}.safetensors",
                "application/octet-stream",
                icon=":material/download:",
                key=f"weights_{checkpoint}_{weights}",
                on_click="ignore",
                disabled=(linked := downloadable.is_link(run, weights, checkpoint)),
                help="A link to some other file, which is not handed out." if linked else None,
            )
    st.code(
        'from safetensors.torch import load_file\n\nweights = load_file("FILE.safetensors")',
        language="python",
    )


def show_export(run: snapshots.Run) -> None:
    st.caption("The zip holds the run's folder whole, and every row as CSV.")
    with st.container(horizontal=True):
        downloads([run], "one")
    if not run.read_only and st.button("Delete this run", icon=":material/delete:", key="delete_one"):
        confirm_delete([run])


elements.heading("Runs", "Everything that was trained here, and what ships with CFA Studio.")
if "show_next" in st.session_state:
    st.session_state["show"] = st.session_state.pop("show_next")
everything = list(reversed(snapshots.runs()))
if not everything:
    st.info("There is no run yet. Start one on Train, or the demo on Home.", icon=":material/inbox:")
    st.stop()
listed = filtered(everything)
if listed:
    act_on(show_list(listed))
else:
    st.caption("No run matches these filters.")
elements.say_what_is_not_here("show", [run.name for run in everything])
shown = st.selectbox(
    "Run",
    [run.name for run in everything],
    index=None,
    placeholder="Tick a row above, or choose a run here",
    key="show",
    bind="query-params",
)
found = snapshots.find_run(shown) if shown else None
if found is not None:
    show_run(found)
