"""One run: how it was made, what came of it, and its weights to take along."""

import json
from functools import partial

import pandas as pd
import streamlit as st

from app import cards, charts, elements, tables, texts, wording
from app.engine import downloadable, evaluated, run_folders, snapshots, training_settings
from app.sections import run_actions

MOST_CLASSES = 20


def show_run(run: snapshots.Run) -> None:
    """Show a run: what it is, where to go with it, and all that is stored of it."""
    with st.container(horizontal=True, vertical_alignment="center"):
        st.subheader(texts.plain(run.name))
        elements.state_badge(run.state)
        if run.read_only:
            st.badge("ships with CFA Studio", icon=":material/lock:", color="gray")
    if run.problem:
        st.error(elements.sentence(run.problem), icon=":material/broken_image:")
        if not run.read_only and st.button("Delete this run", icon=":material/delete:", key="delete_broken"):
            run_actions.confirm_delete([run])
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
    else:  # a training's own message says it, with what its gate looked at
        elements.gate_notes([run])
    show_links(run)
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


LINKS = (  # page, label, icon, and the field of that page which names the run
    ("train", "New run from this one", ":material/content_copy:", "from"),
    ("monitor", "Curves", ":material/monitor_heart:", "run"),
    ("evaluate", "Evaluate", ":material/shield:", "runs"),
    ("classes", "Classes and images", ":material/grid_on:", "run"),
)


def show_links(run: snapshots.Run) -> None:
    """Lead to the pages that do something with a run."""
    with st.container(horizontal=True):
        for page, label, icon, field in LINKS:
            st.page_link(f"views/{page}.py", label=label, icon=icon, query_params={field: run.id})


def show_results(run: snapshots.Run) -> None:
    """Draw its test results class by class."""
    results = evaluated.results([run])
    found = tables.conditions(results.per_class)
    if not found:
        st.caption("No test results yet: a training ends with a test evaluation, and Evaluate adds more.")
        return
    condition = elements.choose_condition(found, key="results_condition", was="results_condition")
    groups = tables.make_groups([run.member], evaluated.reported_title, merge_seeds=False)
    scores = tables.class_scores(condition.of(results.per_class), groups, training_settings.display_name)
    scores = scores.assign(group=scores["weights"])
    hardest = tables.hardest_classes(scores, "", MOST_CLASSES)
    all_shown = len(hardest) == scores["class_index"].nunique()
    cards.show_card(
        cards.Card(
            "Accuracy per class with 95 % intervals",
            "run_class_bars",
            charts.class_bars(scores[scores["class_index"].isin(hardest)], charts.WEIGHTS_STYLES),
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
        titles = ", ".join(charts.WEIGHTS_TITLES[weights] for weights in dict.fromkeys(summary["weights"]))
        return f"{titles} weights, {sizes[0]:,} images"
    kinds = zip(summary["weights"], summary["total"], strict=True)
    return ", ".join(f"{charts.WEIGHTS_TITLES[weights]} on {total:,} images" for weights, total in kinds)


def edit_label(run: snapshots.Run) -> None:
    """Let people change its name, tags and notes; only what they changed is written."""
    now = {"name": run.shared_name or run.name, "tags": ", ".join(run.tags), "notes": run.notes}
    keys = {field: f"label_{field}_{run.id}" for field in now}
    drawn = st.session_state.get(f"label_drawn_{run.id}", {})
    if not drawn or all(st.session_state.get(key) in (drawn[field], None) for field, key in keys.items()):
        drawn = st.session_state[f"label_drawn_{run.id}"] = now  # nothing is typed: what is stored is shown
        st.session_state.update({keys[field]: value for field, value in now.items()})
    with st.form(f"label_{run.id}", border=False):
        st.text_input("Name", disabled=run.read_only, max_chars=100, key=keys["name"])
        st.text_input("Tags", disabled=run.read_only, help="Separated by commas.", key=keys["tags"])
        st.text_area("Notes", disabled=run.read_only, key=keys["notes"])
        saved = st.form_submit_button("Save", icon=":material/save:", disabled=run.read_only)
    if run.read_only:
        st.caption("Runs that ship with CFA Studio cannot be changed.")
    if saved:
        typed = {field: str(st.session_state[key]) for field, key in keys.items()}
        changed = {field: value for field, value in typed.items() if value != drawn[field]}
        wanted = now | changed
        tags = [tag.strip() for tag in wanted["tags"].split(",") if tag.strip()]
        if elements.attempted(run_folders.relabel, run, wanted["name"], tags, wanted["notes"], done="Saved."):
            del st.session_state[f"label_drawn_{run.id}"]
        st.rerun()


def show_configuration(run: snapshots.Run) -> None:
    """Show its settings, those first that differ from the preset."""
    differences = training_settings.config_differences(run.folder.config)
    rows = [(name, str(preset), str(own)) for name, (preset, own) in differences.items()]
    if rows:
        st.markdown(f"What differs from the preset {texts.plain(run.preset)}:")
        st.dataframe(pd.DataFrame(rows, columns=["setting", "preset", "this run"]), hide_index=True)
    else:
        st.caption(f"Nothing differs from the preset {texts.plain(run.preset)}.")
    st.code(run.folder.config.to_json(), language="json", height=320)


def show_manifest(run: snapshots.Run) -> None:
    """Show how it was made."""
    manifest = run_folders.manifest(run)
    if manifest is None:
        st.caption("The run has not started yet; its manifest is written when it does.")
        return
    st.code(json.dumps(vars(manifest), indent=2, default=str), language="json", height=360)


def show_log(run: snapshots.Run) -> None:
    """Show the end of what it printed."""
    st.code(run_folders.run_log(run, 1000) or "Nothing was printed yet.", language=None, height=360)


def show_weights(run: snapshots.Run) -> None:
    """Say how its weights are loaded, and offer the files."""
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
    """Offer its folder, and to delete it."""
    st.caption("The zip holds the run's folder whole, and every row as CSV.")
    with st.container(horizontal=True):
        run_actions.downloads([run], "one")
    if not run.read_only and st.button("Delete this run", icon=":material/delete:", key="delete_one"):
        run_actions.confirm_delete([run])
