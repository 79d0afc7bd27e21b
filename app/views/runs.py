"""Runs: find some, tick them to look at one, act on several, and see what a grid of settings came to."""

import streamlit as st

from app import elements, fields, texts, wording
from app.engine import snapshots
from app.sections import curves, grid_results, one_run, run_actions, runs_table


def filtered(runs: list[snapshots.Run], place: st.delta_generator.DeltaGenerator) -> list[snapshots.Run]:
    """Keep what is searched for and none of the filters leaves out."""
    wanted = fields.text_input(
        "Search",
        name="search",
        placeholder="name, method, data set, tag, note",
        place=place,
        label_visibility="collapsed",
    ).lower()
    with place, st.popover("Filters", icon=":material/filter_alt:"):
        chosen_methods = one_filter("Method", {run.method for run in runs}, "method")
        chosen_states = one_filter("State", {run.state for run in runs}, "state")
        chosen_tags = one_filter("Tag", {tag for run in runs for tag in run.tags}, "tag")
    kept = [
        run
        for run in runs
        if wanted in " ".join([run.name, run.id, run.method, run.dataset, *run.tags, run.notes]).lower()
        and (not chosen_methods or run.method in chosen_methods)
        and (not chosen_states or run.state in chosen_states)
        and (not chosen_tags or set(chosen_tags) & set(run.tags))
    ]
    if len(kept) < len(runs):
        said = [*([f"“{wanted}”"] if wanted else []), *chosen_methods, *chosen_states, *chosen_tags]
        st.caption(texts.plain(f"{len(kept)} of {wording.count(len(runs), 'run')}: {', '.join(said)}."))
    return kept


def one_filter(label: str, values: set[str], name: str) -> list[str]:
    """Let some of the values be chosen that runs have; none is all."""
    options = {value: value for value in sorted(values)}
    key = f"filter_{name}"
    return fields.multiselect(label, options, name=name, was=key, key=key, placeholder="Any")


elements.heading("Runs", "Everything that was trained here, and what ships with CFA Studio.")
everything = list(reversed(snapshots.runs()))
if not everything:
    st.info("There is no run yet. Start one on Train, or the demo on Home.", icon=":material/inbox:")
    st.stop()
ticked = runs_table.ticked_runs(everything)
above = st.container()
tools = st.container(horizontal=True, vertical_alignment="bottom", gap="small")
listed = filtered(everything, tools)
if listed:
    runs_table.show_table(listed, ticked, tools, above)
else:
    st.caption("No run matches these filters.")
chosen = [run for run in ticked if run in listed]
run_actions.act_on(chosen)
if len(chosen) > 1 and fields.toggle("Curves of these runs in one chart", name="curves"):
    curves.curves_section(chosen)
grid_results.show_grid(chosen if len(chosen) > 1 else listed)
if chosen:
    one_run.show_run(chosen[-1])
