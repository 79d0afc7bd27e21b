"""Evaluate: attack any model, know the cost before, and read what the numbers are worth after."""

import pandas as pd
import streamlit as st

from app import access, charts, elements, fields, tables, texts, wording
from app.engine import (
    budgets,
    evaluated,
    evaluation_jobs,
    job_queue,
    outside,
    run_folders,
    snapshots,
    training_settings,
)
from app.sections import request_form
from app.sections.own_model import own_model

MOST_CLASSES = 20
MOST_EVALUATIONS = 8
VERDICTS = {True: ":green[passed]", False: ":red[failed]", None: ":gray[not made]"}


# --- what to evaluate -----------------------------------------------------------------------------


# --- the cost, and the start ----------------------------------------------------------------------


def start_section(chosen: list[snapshots.Run], request: evaluation_jobs.EvaluationRequest) -> None:
    own = [run for run in chosen if not run.read_only]
    if len(own) < len(chosen):
        st.caption("Runs that ship with CFA Studio are shown below; they cannot be evaluated anew.")
    planned = evaluation_jobs.planned_evaluations(own, request)
    if own and not planned:
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
        show_plan(own, request)
    code = outside.untrusted_code(own)
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
        elements.attempt(start, own, request, device, code)
        st.rerun()
    if measure:
        with st.spinner("Timing a few steps of every attack"):
            evaluation_jobs.measure_evaluations(own, request, code)
        st.rerun()


def show_plan(own: list[snapshots.Run], request: evaluation_jobs.EvaluationRequest) -> None:
    """Say what will run, and what it costs at most."""
    lines = list(dict.fromkeys(evaluation_jobs.plan_words(run, request) for run in own))
    shown = "; ".join(lines[:3]) + (f"; and {len(lines) - 3} more" if len(lines) > 3 else "")
    cost = evaluation_jobs.evaluation_cost(own, request)
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


# --- results --------------------------------------------------------------------------------------


def show_results(chosen: list[snapshots.Run]) -> None:
    st.subheader("Results")
    results = evaluated.results(chosen)
    for problem in results.problems:
        st.warning(elements.sentence(problem), icon=":material/warning:")
    readable = [run for run in chosen if not any(run.id in problem for problem in results.problems)]
    show_evaluations(readable)
    found = tables.conditions(results.per_class)
    if not found:
        if not any(map(evaluated.evaluations, readable)):
            st.caption("These runs have no test results yet; start an evaluation above.")
        return
    condition = elements.choose_condition(found, key="evaluate_condition", was="evaluate_condition")
    groups = tables.make_groups([run.member for run in chosen], evaluated.reported_title, merge_seeds=False)
    elements.not_in_tables(results.left_out)
    scores = tables.class_scores(condition.of(results.per_class), groups, training_settings.display_name)
    hardest = tables.hardest_classes(scores, "", MOST_CLASSES)
    many = scores["class_index"].nunique() > len(hardest)
    for weights, block in scores[scores["class_index"].isin(hardest)].groupby("weights", sort=False):
        elements.show_card(
            elements.Card(
                f"{charts.WEIGHTS_TITLES[str(weights)]} weights, accuracy per class",
                f"evaluate_bars_{weights}",
                charts.class_bars(block, charts.group_colours([group.key for group in groups])),
                f"{condition.title}; whiskers: 95 % Wilson intervals."
                + (
                    f" The {MOST_CLASSES} hardest of {scores['class_index'].nunique()} classes."
                    if many
                    else ""
                ),
            )
        )
    parts = {run_folders.class_groups(run) for run in chosen}
    show_scores(scores, next(iter(parts)) if len(parts) == 1 else ())


def show_scores(scores: pd.DataFrame, parts: tuple[str, ...]) -> None:
    """Show every class; with its group where all of these runs have the same long tail."""
    percent = elements.percent_columns(scores, ["accuracy", "low", "high"])
    columns = ["series", "class_name", "accuracy", "low", "high", "images"]
    if parts:
        percent = percent.assign(part=percent["class_index"].map(pd.Series(parts)))
        columns.insert(2, "part")
    st.dataframe(
        percent[columns],
        hide_index=True,
        key="evaluate_table",
        column_config={
            "series": "Model",
            "class_name": "Class",
            "part": "Group",
            "accuracy": elements.percent_column("Accuracy"),
            "low": elements.percent_column("95 % from"),
            "high": elements.percent_column("to"),
            "images": "Images",
        },
    )


def show_evaluations(chosen: list[snapshots.Run]) -> None:
    """Show each evaluation with what must be known about it, and the way to its images."""
    found = [(run, evaluation) for run in chosen for evaluation in evaluated.evaluations(run)]
    found.sort(key=lambda pair: pair[1].created, reverse=True)
    for finding in evaluated.findings(chosen):
        st.warning(elements.sentence(finding), icon=":material/info:")
    for run, evaluation in found[:MOST_EVALUATIONS]:
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            name = f"**{texts.plain(run.name)}** · " if len(chosen) > 1 else ""
            title = elements.evaluation_title(evaluation, evaluated.of_old_weights(run))
            st.markdown(name + texts.plain(title), width="content")
            st.page_link(
                "views/sweep.py" if budgets.is_sweep(evaluation) else "views/classes.py",
                label="Sweep" if budgets.is_sweep(evaluation) else "Classes and images",
                icon=":material/show_chart:" if budgets.is_sweep(evaluation) else ":material/grid_on:",
                query_params={"runs" if budgets.is_sweep(evaluation) else "run": run.id}
                | {"evaluation": evaluation.id},
            )
        for finding in evaluation.findings:
            st.warning(elements.sentence(finding), icon=":material/info:")
        show_checks(evaluation)
    if len(found) > MOST_EVALUATIONS:
        st.caption(f"And {len(found) - MOST_EVALUATIONS} older ones; Classes has them all.")


def show_checks(evaluation: evaluated.Evaluation) -> None:
    """Tabulate the verdicts of a sanity checklist."""
    if not evaluation.checks:
        return
    failed = [check for check in evaluation.checks if check.passed is False]
    made = [check for check in evaluation.checks if check.passed is not None]
    if failed:
        st.error(
            f"{len(failed)} of {wording.count(len(made), 'check')} failed: do not trust the numbers yet.",
            icon=":material/gpp_bad:",
        )
    else:
        st.success(f"All {wording.count(len(made), 'check')} passed.", icon=":material/verified_user:")
    rows = [
        {
            "What should hold": texts.plain(check.name[:1].upper() + check.name[1:]),
            "Verdict": VERDICTS[check.passed],
            "Accuracies": ", ".join(
                f"{texts.plain(wording.attack_title(name))} {wording.percent(share)}"
                for name, share in check.numbers.items()
            ),
            "A failure means": texts.plain(check.meaning),
        }
        for check in evaluation.checks
    ]
    with st.expander("The checks", expanded=bool(failed), icon=":material/checklist:"):
        st.table(pd.DataFrame(rows).set_index("What should hold"))


elements.heading("Evaluate", "Attack any model on test images; results are per class, with intervals.")
added = st.session_state.pop("evaluate_next", None)
if added is not None:
    fields.choose("runs", added, key="evaluate")
available = [run for run in snapshots.usable_runs() if run.kept or run.is_external]
own_model(expanded=not available)
if not available:
    st.info(
        "No run has kept weights yet. Train one, run the demo on Home, or bring a model of your own.",
        icon=":material/inbox:",
    )
    st.stop()
ids = fields.multiselect(
    "Runs",
    elements.run_names(available),
    name="runs",
    default=[available[0].id],
    was="evaluate",
    key="evaluate",
)
chosen = [run for run_id in ids if (run := snapshots.find_run(run_id))]
if not chosen:
    st.info("Choose at least one run.")
    st.stop()
for run in chosen:
    if run.is_external and run.message:  # what was taken from a file of others
        st.caption(texts.plain(f"{run.name}: {run.message}."))
with elements.explained_errors():
    request = request_form.choose_request()
    if request is not None:
        start_section(chosen, request)
busy = any(job.evaluates and job.state in ("queued", "running") for job in snapshots.jobs())
st.fragment(running, run_every=elements.LIVE_SECONDS if busy else None)(elements.states_signature())
show_results(chosen)
