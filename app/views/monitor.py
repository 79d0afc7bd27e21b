"""Monitor: the queue, and one run live, class by class."""

import pandas as pd
import streamlit as st

from app import cards, charts, elements, fields, glossary, tables, texts, wording
from app.engine import histories, job_queue, run_folders, snapshots
from app.sections import curves, kept_epochs, overfitting, queue_table, run_charts

CURRENT = "whatever is running, else the newest"


# --- one run, live --------------------------------------------------------------------------------


def current_run(available: list[snapshots.Run]) -> snapshots.Run:
    running = {job.run_id for job in snapshots.jobs() if job.state == "running"}
    return next((run for run in available if run.id in running), available[0])


def run_section() -> None:
    available = snapshots.usable_runs()
    st.subheader("One run, class by class")
    if not available:
        st.caption(
            "There is no run yet. Start one on Train, or the demo on Home; its curves appear here as it runs."
        )
        return
    choose, kind, follow = st.columns([4, 3, 2], vertical_alignment="bottom")
    names = {"current": CURRENT} | elements.run_names(available)
    chosen = fields.selectbox("Run", names, name="run", place=choose)
    shown = next((run for run in available if run.id == chosen), current_run(available))
    kinds = kept_epochs.kinds_of(shown)
    weights = fields.segmented_control(
        "Weights in the class charts",
        {kind: charts.WEIGHTS_TITLES[kind] for kind in kinds},
        name="weights",
        default=kept_epochs.first_kind(shown),
        subject=shown.id,
        was="monitor_weights",
        key="monitor_weights",
        place=kind,
    )
    live = shown.state == "running" and follow.toggle(
        "Live", value=True, key="monitor_live", help="Off holds everything still; zoom is kept either way."
    )
    every = elements.LIVE_SECONDS if live else None
    st.fragment(live_run, run_every=every)(shown.id, weights, kinds, elements.states_signature())


@elements.explained_errors()
def live_run(run_id: str, weights: str, kinds: list[str], drawn: tuple[tuple[str, str], ...]) -> None:
    elements.rerun_when_states_change(drawn)
    run = snapshots.find_run(run_id)
    if run is None:
        st.info("This run was deleted.")
        return
    if kept_epochs.kinds_of(run) != kinds:  # an average has begun: it can be chosen above
        st.rerun()
    job = next((job for job in reversed(snapshots.jobs()) if job.run_id == run.id and job.trains), None)
    with st.container():  # whatever it has to say, the charts keep their place and with it their zoom
        run_header(run, job)
    history, epochs = histories.history(run), histories.epochs(run)
    if epochs.empty:
        st.info(
            "No epoch has ended yet. The first points appear after the first epoch.",
            icon=":material/hourglass:",
        )
    else:
        run_metrics(run, weights, history[history["split"] == "val"], epochs)
        st.caption("Click a class in any chart: it is alone in all of them. Click it again to see all.")
        cards.show_cards(run_charts.charts_of(run.id, weights, histories.history_stamp(run)), view=run.id)
        overfitting.overfitting_section(run, weights)
    log(run, job)


def run_header(run: snapshots.Run, job: snapshots.Job | None) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(f"**{texts.plain(run.name)}**")
        elements.state_badge(run.state)
        words = f"{run.title} · {run.dataset} · {run.model} · seed {run.seed}"
        st.caption(texts.plain(words), help=glossary.explained(words))
    elements.gate_notes([run])
    if job is not None and job.state in ("running", "paused", "interrupted"):
        elements.job_progress(job, snapshots.progress().get(job.id))
    if run.state in ("failed", "interrupted") and run.message:
        st.error(elements.sentence(run.message), icon=":material/error:")


def run_metrics(run: snapshots.Run, weights: str, validation: pd.DataFrame, epochs: pd.DataFrame) -> None:
    kept_epochs.show_kept(run, weights, epochs)
    words = []
    if attack := tables.robust_attack(validation):
        words.append(
            f"Accuracy on validation images under {texts.plain(wording.attack_title(attack))}; what test "
            "images say stands on Runs."
        )
    if epochs["seconds"].notna().any():
        so_far = "" if run.state == "finished" else " so far"
        words.append(f"{wording.duration(epochs['seconds'].sum())} of training{so_far}.")
    st.caption(" ".join(words), help=glossary.explained(*words, "worst class, mean"))


def several_runs() -> None:
    """Draw the curves of several runs in one chart."""
    available = {run.id: run for run in snapshots.usable_runs()}
    if len(available) < 2:
        return
    st.subheader("Several runs in one chart")
    chosen = fields.multiselect(
        "Runs",
        elements.run_names(available.values()),
        name="runs",
        key="curves_runs",
        placeholder="Choose runs whose curves you want in one chart",
    )
    if chosen:
        curves.curves_section([available[run_id] for run_id in chosen])


def log(run: snapshots.Run, job: snapshots.Job | None) -> None:
    with st.expander("Log", icon=":material/terminal:", expanded=run.state in ("failed", "interrupted")):
        text = run_folders.run_log(run) or (job_queue.job_log(job) if job else "")
        st.code(text or "Nothing was printed yet.", language=None, height=260)


elements.heading("Monitor", "What runs, what waits, and what happens to every class while it does.")
refresh = elements.LIVE_SECONDS if job_queue.anything_active() else elements.IDLE_SECONDS
st.fragment(queue_table.show_queue, run_every=refresh)(elements.states_signature())
with st.container():  # so that nothing below moves, and is drawn anew, when the first job has ended
    st.fragment(queue_table.show_ended)(elements.states_signature())
run_section()
several_runs()
