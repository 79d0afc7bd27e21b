"""Evaluate: attack any model, know the cost before, and read what the numbers are worth after."""

import streamlit as st

from app import access, elements, fields, texts, wording
from app.engine import evaluation_jobs, job_queue, outside, snapshots
from app.sections import evaluated_already, evaluation_results, request_form
from app.sections.own_model import own_model

# --- the cost, and the start ----------------------------------------------------------------------


def start_section(chosen: list[snapshots.Run], request: evaluation_jobs.EvaluationRequest) -> None:
    if any(run.read_only for run in chosen):
        st.caption("Evaluations of runs that ship with CFA Studio are kept in your own store.")
    planned = evaluation_jobs.planned_evaluations(chosen, request)
    if not planned:
        st.caption("None of these runs kept such weights.")
    for dataset in dict.fromkeys(run.dataset for run, _ in planned):
        if outside.waits_for_a_look(dataset):
            elements.offer_look(dataset)
    missing = evaluation_jobs.missing_data([run for run, _ in planned])
    for dataset, problem in missing:
        if problem:
            st.warning(elements.sentence(problem), icon=":material/database_off:")
        else:
            elements.missing_dataset(dataset)
    ready = bool(planned) and not any(problem for _, problem in missing)
    if ready:
        show_plan(chosen, request)
    code = outside.untrusted_code(chosen)
    ready &= elements.word_for(code, "evaluate_word")
    device = None
    with st.container(horizontal=True, vertical_alignment="bottom"):
        if len(job_queue.devices()) > 1:
            device = st.selectbox(
                "Device",
                [None, *job_queue.devices()],
                format_func=lambda name: name or "any",
                key="evaluate_device",
                width=200,
            )
        begin = st.button(
            f"Start {wording.count(len(planned), 'evaluation')}",
            type="primary",
            icon=":material/play_arrow:",
            key="start_evaluation",
            disabled=not ready or not access.may_start(),
        )
        measure = st.button(
            "Estimate the time",
            icon=":material/timer:",
            key="estimate_evaluation",
            disabled=not ready,
            help="Times a few steps of every attack on this machine.",
        )
    if begin:  # no callback: that would start what was asked for when the button was drawn
        elements.attempt(start, chosen, request, device, code)
        st.rerun()
    if measure:
        with st.spinner("Timing a few steps of every attack"):
            evaluation_jobs.measure_evaluations(chosen, request, code)
        st.rerun()


def show_plan(chosen: list[snapshots.Run], request: evaluation_jobs.EvaluationRequest) -> None:
    """Say what will run, and what it costs at most."""
    lines = list(dict.fromkeys(evaluation_jobs.plan_words(run, request) for run in chosen))
    shown = "; ".join(lines[:3]) + (f"; and {len(lines) - 3} more" if len(lines) > 3 else "")
    cost = evaluation_jobs.evaluation_cost(chosen, request)
    time = (
        f"at most about **{wording.duration(cost.seconds)}** on {job_queue.devices()[0]}"
        if cost.seconds is not None
        else "time not measured yet"
    )
    st.info(
        f"{texts.plain(shown)}.  \nIf every image holds to the end: {cost.passes:,} forward passes "
        f"({cost.images:,} images), {time}."
        + (f" Not counted: {texts.plain(', '.join(cost.unknown))}." if cost.unknown else ""),
        icon=":material/list_alt:",
    )


def start(
    chosen: list[snapshots.Run],
    request: evaluation_jobs.EvaluationRequest,
    device: str | None,
    trusted: tuple[str, ...],
) -> None:
    begun = evaluation_jobs.start_evaluations(chosen, request, device, trusted)
    st.session_state["notice"] = ("success", f"{wording.count(len(begun), 'evaluation')} queued.")


@elements.explained_errors()
def running(drawn: tuple[tuple[str, str], ...]) -> None:
    elements.rerun_when_states_change(drawn)
    open_jobs = [j for j in snapshots.jobs() if j.evaluates and j.state in ("queued", "running")]
    for job in open_jobs[:6]:
        elements.job_line(job, job.title)
    if open_jobs:
        st.page_link("views/monitor.py", label="All jobs on Monitor", icon=":material/monitor_heart:")


def first_run(available: list[snapshots.Run]) -> snapshots.Run:
    """Choose what the page opens on: the newest run that is trained to the end, else the newest."""
    return next((run for run in available if run.state == "finished" or run.is_external), available[0])


elements.heading("Evaluate", "Attack any model on test images; results are per class, with intervals.")
added = st.session_state.pop("evaluate_next", None)
if added is not None:
    fields.choose("runs", added, key="evaluate")
available = [run for run in snapshots.usable_runs() if run.kept or run.is_external]
if not available:
    own_model(expanded=True)
    st.info(
        "No run has kept weights yet. Train one, run the demo on Home, or bring a model of your own.",
        icon=":material/inbox:",
    )
    st.stop()
above = st.container()
ids = fields.multiselect(
    "Runs",
    elements.run_names(available),
    name="runs",
    default=[first_run(available).id],
    was="evaluate",
    key="evaluate",
)
chosen = [run for run_id in ids if (run := snapshots.find_run(run_id))]
if not chosen:
    own_model(expanded=False)
    st.info("Choose at least one run.")
    st.stop()
for run in chosen:
    if run.is_external and run.message:  # what was taken from a file of others
        st.caption(texts.plain(f"{run.name}: {run.message}."))
with above:
    evaluated_already.say_known(chosen)
    with elements.explained_errors():
        evaluated_already.warn_of_failed_checks(chosen)
plan = request_form.choose_plan()
form, known = st.columns([3, 2], gap="medium")
with form, elements.explained_errors():
    request = request_form.choose_request(plan)
    if request is not None:
        start_section(chosen, request)
with known:
    evaluated_already.show_known(chosen)
    own_model(expanded=False)
busy = any(job.evaluates and job.state in ("queued", "running") for job in snapshots.jobs())
st.fragment(running, run_every=elements.LIVE_SECONDS if busy else None)(elements.states_signature())
evaluation_results.show_results(chosen)
