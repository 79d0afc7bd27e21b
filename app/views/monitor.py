"""Monitor: the queue, and one run live, class by class."""

import re

import pandas as pd
import streamlit as st

from app import charts, elements, fields, tables, texts, wording
from app.engine import calibration, histories, job_queue, run_folders, snapshots

CURRENT = "whatever is running, else the newest"
MOST_ROWS = 12  # jobs shown with buttons; the rest is a table


# --- the queue ------------------------------------------------------------------------------------


@elements.explained_errors()
def queue(drawn: tuple[tuple[str, str], ...]) -> None:
    elements.rerun_when_states_change(drawn)
    elements.show_notices()
    jobs, progress = snapshots.jobs(), snapshots.progress()
    open_jobs = [job for job in jobs if job.state not in ("done", "cancelled")]
    st.subheader("Queue")
    if not open_jobs:
        st.caption("Nothing is queued or running. Start a training on Train, or the demo on Home.")
    else:
        st.caption(queue_words(open_jobs))
    order = {"running": 0, "interrupted": 1, "queued": 2, "paused": 3, "failed": 4}
    open_jobs.sort(key=lambda job: (order[job.state], job.position))
    for job in open_jobs[:MOST_ROWS]:
        job_row(job, progress.get(job.id))
    if len(open_jobs) > MOST_ROWS:
        st.caption(f"And {wording.count(len(open_jobs) - MOST_ROWS, 'more job')} behind these:")
        jobs_table(open_jobs[MOST_ROWS:], "later_jobs")


def queue_words(open_jobs: list[snapshots.Job]) -> str:
    counts = {
        state: sum(job.state == state for job in open_jobs) for state in ("running", "queued", "failed")
    }
    words = [f"{number} {state}" for state, number in counts.items() if number]
    left = job_queue.seconds_until_queue_empty()
    if left:
        words.append(f"the queue will be empty in about {wording.duration(left)}")
    elif left is None:
        words.append("how long it will take is known once a job has been measured")
    return " · ".join(words) or wording.count(len(open_jobs), "job")


def job_row(job: snapshots.Job, progress: snapshots.JobProgress | None) -> None:
    with st.container(border=True, key=f"job_{job.id}"):
        what, how_far, buttons = st.columns([4, 4, 5], vertical_alignment="center")
        with what, st.container(horizontal=True, vertical_alignment="center", gap="xsmall"):
            st.markdown(f"**{texts.plain(job.title)}**", width="content")
            elements.state_badge(job.state)
            if len(job_queue.devices()) > 1:
                st.caption(texts.plain(job.ran_on or job.device or "any device"), width="content")
        with how_far:
            if job.state in ("running", "paused", "interrupted"):
                elements.job_progress(job, progress)
            if message := job_queue.job_message(job):
                st.caption(elements.sentence(message))
            if job.requested:
                st.caption(f"Asked to {texts.plain(job.requested)}; it saves its state first.")
        with buttons, st.container(horizontal=True, horizontal_alignment="right"):
            job_buttons(job)


def job_buttons(job: snapshots.Job) -> None:
    if job.state == "running":
        button("Pause", ":material/pause:", job, job_queue.pause, disabled=bool(job.requested))
    if job.state in ("paused", "interrupted"):
        button("Resume", ":material/play_arrow:", job, job_queue.resume)
    if job.state == "failed":
        button("Retry", ":material/replay:", job, job_queue.resume)
        button("Remove", ":material/delete:", job, job_queue.remove)
    if job.state == "queued":
        button("Up", ":material/arrow_upward:", job, job_queue.move, "up")
        button("Down", ":material/arrow_downward:", job, job_queue.move, "down")
        button("Pause", ":material/pause:", job, job_queue.pause)
    if job.state in ("queued", "paused") and len(job_queue.devices()) > 1:
        device_choice(job)
    if job.state in ("queued", "running", "paused", "interrupted"):
        button("Cancel", ":material/close:", job, job_queue.cancel)


def button(
    label: str, icon: str, job: snapshots.Job, action: object, *more: str, disabled: bool = False
) -> None:
    st.button(
        label,
        icon=icon,
        key=f"{label.lower()}_{job.id}",
        disabled=disabled,
        on_click=elements.attempt,
        args=(action, job.id, *more),
    )


def device_choice(job: snapshots.Job) -> None:
    with st.popover("Device", icon=":material/memory:"):
        chosen = st.selectbox(
            "Run on",
            [None, *job_queue.devices()],
            format_func=lambda device: device or "any device",
            index=[None, *job_queue.devices()].index(job.device) if job.device in job_queue.devices() else 0,
            key=f"device_{job.id}",
        )
        if chosen != job.device:
            elements.attempt(job_queue.set_device, job.id, chosen)
            st.rerun()


def jobs_table(jobs: list[snapshots.Job], key: str) -> None:
    rows = [
        {
            "state": job.state,
            "job": job.title,
            "device": job.ran_on or job.device or "any",
            "started": wording.moment(job.started),
            "ended": wording.moment(job.finished),
            "message": job.message,
        }
        for job in jobs
    ]
    st.dataframe(pd.DataFrame(rows), hide_index=True, key=key)


def ended_jobs() -> None:
    ended = [job for job in reversed(snapshots.jobs()) if job.state in ("done", "cancelled")]
    if not ended:
        return
    with st.expander(f"Ended jobs ({len(ended)})", icon=":material/history:"):
        jobs_table(ended, "ended_jobs")
        chosen = st.selectbox(
            "Job",
            ended,
            format_func=lambda job: f"{job.title} · {job.state} · {job.id}",
            index=None,
            placeholder="Choose a job to read its log, start it again or remove it",
            key="ended_job",
        )
        if chosen is not None:
            with st.container(horizontal=True):
                if chosen.state == "cancelled":
                    button("Start again", ":material/replay:", chosen, job_queue.resume)
                button("Remove from the list", ":material/delete:", chosen, job_queue.remove)
            st.code(job_queue.job_log(chosen) or "It printed nothing.", language=None, height=240)


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
    weights = fields.segmented_control(
        "Weights in the class charts",
        {kind: charts.WEIGHTS_TITLES[kind] for kind in ("online", "ema", "fawa")},
        name="weights",
        was="monitor_weights",
        key="monitor_weights",
        place=kind,
    )
    shown = next((run for run in available if run.id == chosen), current_run(available))
    live = shown.state == "running" and follow.toggle(
        "Live", value=True, key="monitor_live", help="Off holds everything still; zoom is kept either way."
    )
    every = elements.LIVE_SECONDS if live else None
    st.fragment(live_run, run_every=every)(shown.id, weights, elements.states_signature())


@elements.explained_errors()
def live_run(run_id: str, weights: str, drawn: tuple[tuple[str, str], ...]) -> None:
    elements.rerun_when_states_change(drawn)
    run = snapshots.find_run(run_id)
    if run is None:
        st.info("This run was deleted.")
        return
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
        run_metrics(run, history[history["split"] == "val"], epochs)
        elements.show_cards(cards(run.id, weights, histories.history_stamp(run)), view=run.id)
    log(run, job)


@st.cache_resource(max_entries=10, show_spinner=False)
def cards(run_id: str, weights: str, stamp: tuple[int, int]) -> list[elements.Card]:
    """Draw a run's charts, once for everybody who watches it with these weights."""
    run = snapshots.find_run(run_id)
    if run is None:
        return []
    history, epochs = histories.history(run), histories.epochs(run)
    validation = history[history["split"] == "val"]
    return [
        *accuracy_cards(validation),
        *class_cards(run, validation, weights),
        *group_cards(run, validation, weights),
        *calibration_cards(run),
        *gate_and_speed_cards(run, epochs),
    ]


def run_header(run: snapshots.Run, job: snapshots.Job | None) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(f"**{texts.plain(run.name)}**")
        elements.state_badge(run.state)
        st.caption(texts.plain(f"{run.title} · {run.dataset} · {run.model} · seed {run.seed}"))
    if job is not None and job.state in ("running", "paused", "interrupted"):
        elements.job_progress(job, snapshots.progress().get(job.id))
    if run.state in ("failed", "interrupted") and run.message:
        st.error(elements.sentence(run.message), icon=":material/error:")


def run_metrics(run: snapshots.Run, validation: pd.DataFrame, epochs: pd.DataFrame) -> None:
    attack = tables.robust_attack(validation)
    robust = tables.epoch_summary(validation[validation["attack"] == attack])
    cells = [("Epoch", f"{int(epochs['epoch'].max())} of {run.epochs}")]
    for weights in ("online", "fawa"):
        block = robust[robust["weights"] == weights]
        if len(block):
            last, title = block.iloc[-1], charts.WEIGHTS_TITLES[weights]
            cells.append((f"{title}, mean", wording.percent(last["mean"])))
            worst = texts.plain(f"{title}, {last['worst_class']} (worst)")
            cells.append((worst, wording.percent(last["worst"])))
    if pd.notna(rate := epochs["images_per_second"].iloc[-1]):
        cells.append(("Images per second", f"{rate:,.0f}"))
    with st.container(horizontal=True):
        for label, value in cells:
            st.metric(label, value, border=True, width=165)
    words = []
    if attack:
        words.append(f"Accuracy on validation images under {texts.plain(wording.attack_title(attack))}.")
    if epochs["seconds"].notna().any():
        so_far = "" if run.state == "finished" else " so far"
        words.append(f"{wording.duration(epochs['seconds'].sum())} of training{so_far}.")
    st.caption(" ".join(words))


def accuracy_cards(validation: pd.DataFrame) -> list[elements.Card]:
    cards = []
    for name, title in (("clean", "Clean accuracy"), (tables.robust_attack(validation), "Robust accuracy")):
        summary = tables.epoch_summary(validation[validation["attack"] == name])
        figure = charts.accuracy_over_epochs(summary) if len(summary) else None
        says = "Validation; solid: mean of the classes, dotted: worst class."
        cards.append(elements.Card(title, f"monitor_{title}", figure, says))
    return cards


def class_cards(run: snapshots.Run, validation: pd.DataFrame, weights: str) -> list[elements.Card]:
    attack = tables.robust_attack(validation)
    chosen = validation[(validation["attack"] == attack) & (validation["weights"] == weights)]
    title = charts.WEIGHTS_TITLES[weights]
    empty = (
        f"no {title} weights yet; averaging starts in epoch {run.folder.config.averaging.start_epoch}, "
        "and FAWA with the first epoch that passes its gate."
    )
    lines = charts.class_lines(chosen, "accuracy", charts.PERCENT) if len(chosen) else None
    heat = charts.class_heatmap(chosen, "accuracy") if len(chosen) else None
    says = f"Validation, {wording.attack_title(attack or '')}."
    return [
        elements.Card(
            f"Robust accuracy per class, {title} weights", "monitor_class_lines", lines, says, empty
        ),
        elements.Card(
            f"Class × epoch, {title} weights",
            "monitor_heatmap",
            heat,
            "The same numbers as colours; dark is low.",
            empty,
        ),
    ]


def group_cards(run: snapshots.Run, validation: pd.DataFrame, weights: str) -> list[elements.Card]:
    """Show head, medium and tail where classes are not equally large."""
    groups, manifest = run_folders.class_groups(run), run_folders.manifest(run)
    if not groups or manifest is None:
        return []
    attack = tables.robust_attack(validation)
    chosen = validation[(validation["attack"] == attack) & (validation["weights"] == weights)]
    parts = tables.group_history(chosen, groups, manifest.train_counts) if len(chosen) else chosen
    return [
        elements.Card(
            f"Head, medium and tail, {charts.WEIGHTS_TITLES[weights]} weights",
            "monitor_groups",
            charts.class_lines(parts, "accuracy", charts.PERCENT) if len(parts) else None,
            f"Mean robust accuracy of thirds of the classes, by training images. Validation, "
            f"{wording.attack_title(attack or '')}.",
            "no weights of this kind yet.",
        )
    ]


def calibration_cards(run: snapshots.Run) -> list[elements.Card]:
    """Draw every knob of the run's method that varies, and say what the others are."""
    knobs = histories.knobs(run)
    if knobs.empty:
        return []
    return [knob_card(run, knobs, knob) for knob in calibration.drawn_knobs(run, knobs)]


def knob_card(run: snapshots.Run, knobs: pd.DataFrame, knob: calibration.DrawnKnob) -> elements.Card:
    summary = f"A larger value: {knob.card.summary}. " if knob.card.summary else ""
    alike = f"All classes alike up to epoch {knob.alike_until}. " if knob.alike_until else ""
    value = wording.eps_255(knob.value or 0) if knob.card.unit else f"{knob.value or 0:g}"
    unit = charts.EPS if knob.card.unit else charts.Unit(knob.card.label)
    return elements.Card(
        f"{knob.card.label} per class",
        re.sub(r"\W", "_", f"monitor_{knob.name}"),
        charts.class_lines(knobs, knob.name, unit) if knob.varies else None,
        f"{alike}{summary}".strip(),
        f"all classes have {value} in all epochs so far.",
    )


def gate_and_speed_cards(run: snapshots.Run, epochs: pd.DataFrame) -> list[elements.Card]:
    settings = run.folder.config.averaging
    tested = epochs.dropna(subset=["gate_worst"])
    averaged = tested[tested["epoch"] >= settings.start_epoch]
    accepted = int(averaged["gate_accepted"].fillna(False).sum())
    statistic = f"validation, {settings.gate.replace('-', ' ')}"
    return [
        elements.Card(
            "FAWA gate",
            "monitor_gate",
            charts.gate(epochs, statistic, settings.start_epoch) if len(tested) else None,
            f"{accepted} of {wording.count(len(averaged), 'epoch')} accepted: from epoch "
            f"{settings.start_epoch} on, an epoch enters the average when its validation statistic reaches "
            f"{wording.percent(settings.threshold)}.",
            f"averaging starts in epoch {settings.start_epoch}; the gate is drawn from then on.",
        ),
        elements.Card(
            "Speed",
            "monitor_speed",
            charts.speed(epochs) if epochs["seconds"].notna().any() else None,
            "Training images per second.",
            "it was not kept where this run was trained.",
        ),
    ]


def log(run: snapshots.Run, job: snapshots.Job | None) -> None:
    with st.expander("Log", icon=":material/terminal:", expanded=run.state in ("failed", "interrupted")):
        text = run_folders.run_log(run) or (job_queue.job_log(job) if job else "")
        st.code(text or "Nothing was printed yet.", language=None, height=260)


elements.heading("Monitor", "What runs, what waits, and what happens to every class while it does.")
refresh = elements.LIVE_SECONDS if job_queue.anything_active() else elements.IDLE_SECONDS
st.fragment(queue, run_every=refresh)(elements.states_signature())
with st.container():  # so that nothing below moves, and is drawn anew, when the first job has ended
    ended_jobs()
run_section()
