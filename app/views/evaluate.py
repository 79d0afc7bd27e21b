"""Evaluate: attack the weights of finished runs, and see each class with its interval."""

import streamlit as st

from app import charts, elements, services, tables, wording

KINDS = {"auto": "Each method's own", "online": "Online", "ema": "EMA", "fawa": "FAWA"}
STEPS = [10, 20, 50, 100]
MOST_CLASSES = 20


# --- what to evaluate -----------------------------------------------------------------------------


def choose_request() -> services.EvaluationRequest | None:
    weights, checkpoint = st.columns([3, 2])
    kinds = weights.pills(
        "Weights",
        list(KINDS),
        selection_mode="multi",
        default=["auto"],
        format_func=KINDS.__getitem__,
        key="evaluate_weights",
        help="Each method's own: FAWA for a CFA method whose gate ever opened, else online.",
    )
    which = checkpoint.segmented_control(
        "Checkpoint",
        ["best", "last"],
        default="best",
        required=True,
        key="evaluate_checkpoint",
        help="Best on validation (mean + worst class), or of the last epoch.",
    )
    steps, judged, eps, images = st.columns(4)
    step_count = steps.selectbox("PGD steps", STEPS, index=1, key="evaluate_steps", accept_new_options=True)
    judge = judged.selectbox(
        "Judged",
        ["", "-best"],
        format_func=lambda suffix: "at every step" if suffix else "at the last step",
        key="evaluate_judged",
        help="At the last step, as papers do; at every step is never weaker, and faster.",
    )
    typed_eps = eps.text_input(
        "eps", placeholder="each run's own", key="evaluate_eps", help="A fraction such as 8/255, or 0.0314."
    )
    limit = images.number_input(
        "Images",
        min_value=0,
        value=0,
        step=500,
        key="evaluate_images",
        help="0 takes the whole test part; otherwise the first of each class in file order.",
    )
    if not kinds:
        st.info("Choose at least one kind of weights.")
        return None
    try:
        count = int(step_count)
    except ValueError as error:
        raise services.ConfigError(
            f"{step_count!r} is not a number of PGD steps; write one such as 20"
        ) from error
    return services.EvaluationRequest(
        weights=tuple(kinds),
        checkpoint=which or "best",
        attacks=("clean", f"pgd-{count}{judge}"),
        eps=services.parse_eps(typed_eps) if typed_eps else None,
        limit=int(limit) or None,
        seed=0,
    )


def start_section(chosen: list[services.Run], request: services.EvaluationRequest) -> None:
    own = [run for run in chosen if not run.read_only]
    if len(own) < len(chosen):
        st.caption("Runs that ship with CFA Studio are shown below; they cannot be evaluated anew.")
    planned = services.planned_evaluations(own, request)
    device = None
    with st.container(horizontal=True, vertical_alignment="bottom"):
        if len(services.devices()) > 1:
            device = st.selectbox(
                "Device",
                [None, *services.devices()],
                format_func=lambda name: name or "any",
                key="evaluate_device",
                width=200,
            )
        st.button(
            f"Start {wording.count(len(planned), 'evaluation')}",
            type="primary",
            icon=":material/play_arrow:",
            key="start_evaluation",
            disabled=not planned,
            on_click=elements.attempt,
            args=(start, own, request, device),
        )
    if own and not planned:
        st.caption("None of these runs kept such weights.")


def start(chosen: list[services.Run], request: services.EvaluationRequest, device: str | None) -> None:
    begun = services.start_evaluations(chosen, request, device)
    st.session_state["notice"] = ("success", f"{wording.count(len(begun), 'evaluation')} queued.")


# --- jobs and results -----------------------------------------------------------------------------


@elements.explained_errors()
def running(drawn: tuple[tuple[str, str], ...]) -> None:
    elements.rerun_when_states_change(drawn)
    open_jobs = [j for j in services.jobs() if j.kind == "evaluate" and j.state in ("queued", "running")]
    for job in open_jobs[:6]:
        elements.job_line(job, job.title)
    if open_jobs:
        st.page_link("views/monitor.py", label="All jobs on Monitor", icon=":material/monitor_heart:")


def show_results(chosen: list[services.Run]) -> None:
    st.subheader("Results")
    results = services.results(chosen)
    for problem in results.problems:
        st.warning(elements.sentence(problem), icon=":material/warning:")
    found = tables.conditions(results.per_class)
    if not found:
        st.caption("These runs have no test results yet; start an evaluation above.")
        return
    condition = st.selectbox("Measured", found, format_func=lambda c: c.title, key="evaluate_condition")
    groups = tables.make_groups([run.member for run in chosen], services.method_title, merge_seeds=False)
    scores = tables.class_scores(condition.of(results.per_class), groups, services.display_name)
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
    for finding in services.findings(chosen):
        st.warning(finding, icon=":material/info:")
    percent = elements.percent_columns(scores, ["accuracy", "low", "high"])
    st.dataframe(
        percent[["series", "class_name", "accuracy", "low", "high"]],
        hide_index=True,
        key="evaluate_table",
        column_config={
            "series": "Model",
            "class_name": "Class",
            "accuracy": elements.percent_column("Accuracy"),
            "low": elements.percent_column("95 % from"),
            "high": elements.percent_column("to"),
        },
    )


elements.heading("Evaluate", "Attack trained weights on test images; results are per class, with intervals.")
available = [run for run in services.usable_runs() if run.kept]
if not available:
    st.info("No run has kept weights yet. Train one, or run the demo on Home.", icon=":material/inbox:")
    st.stop()
names = st.multiselect(
    "Runs",
    [run.name for run in available],
    default=[available[0].name],
    key="evaluate",
    bind="query-params",
)
chosen = [run for name in names if (run := services.find_run(name))]
if not chosen:
    st.info("Choose at least one run.")
    st.stop()
request = None
with elements.explained_errors():
    request = choose_request()
if request is not None:
    start_section(chosen, request)
busy = any(job.kind == "evaluate" and job.state in ("queued", "running") for job in services.jobs())
st.fragment(running, run_every=elements.LIVE_SECONDS if busy else None)(elements.states_signature())
show_results(chosen)
