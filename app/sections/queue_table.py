"""The queue: one line a job, what can be done to those that are ticked, and what can be undone."""

import zlib
from collections.abc import Sequence

import pandas as pd
import streamlit as st

from app import access, elements, tables, texts, wording
from app.engine import errors, job_queue, snapshots
from app.engine.job_queue import Act
from app.job_news import tell_ends
from app.setting_titles import setting_title

TALLEST = 12  # jobs in sight; others are a turn of the wheel away
STATE_ORDER = ("running", "interrupted", "queued", "paused", "failed")
REQUESTED = {"pause": "pausing", "cancel": "cancelling"}
BUTTONS: tuple[tuple[str, Act, str, str], ...] = (
    ("Pause", "pause", ":material/pause:", "A running job saves its state and stops; a queued one waits."),
    ("Resume", "resume", ":material/play_arrow:", "Goes on exactly there; a failed job is tried again."),
    ("Cancel", "cancel", ":material/close:", "Stops for good; what was trained so far is kept."),
)
MORE: tuple[tuple[str, Act, str, str], ...] = (
    ("Top", "top", ":material/vertical_align_top:", "To the front of what is queued."),
    ("Up", "up", ":material/arrow_upward:", "Before the job that stands before it."),
    ("Down", "down", ":material/arrow_downward:", "Behind the job that stands behind it."),
    ("Bottom", "bottom", ":material/vertical_align_bottom:", "To the end of the queue."),
    ("Remove", "remove", ":material/delete:", "Takes a failed job off the list; what it made stays."),
)


@elements.explained_errors()
def show_queue(drawn: tuple[tuple[str, str], ...]) -> None:
    """Show what runs and what waits; a part of the page that is drawn again and again."""
    elements.rerun_when_states_change(drawn)
    elements.show_notices()
    offer_undo()
    st.subheader("Queue")
    jobs = [job for job in snapshots.jobs() if job.state not in ("done", "cancelled")]
    if not jobs:
        st.caption("Nothing is queued or running. Start a training on Train, or the demo on Home.")
    else:
        show_jobs(jobs)
    tell_ends((job.id, texts.readable(job.title), job.state) for job in snapshots.jobs())


def show_jobs(jobs: list[snapshots.Job]) -> None:
    """Show jobs that have not ended, and what can be done to those that are ticked."""
    jobs.sort(key=lambda job: (STATE_ORDER.index(job.state), job.position))
    st.caption(summary(jobs))
    progress, trained = snapshots.progress(), what_is_trained(jobs)
    rows = [row_of(job, progress.get(job.id), trained.get(job.id, "")) for job in jobs]
    key, ticked = tick_table("queue", jobs, rows)
    with st.container(horizontal=True, gap="xsmall", key="queue_acts"):
        for label, act, icon, says in BUTTONS:
            act_button(label, act, icon, says, key, jobs, ticked)
        with st.popover("More", icon=":material/more_horiz:"):
            for label, act, icon, says in MORE:
                act_button(label, act, icon, says, key, jobs, ticked)
            chain_button(key, jobs, ticked)
        if len(job_queue.devices()) > 1:
            device_choice(key, jobs, ticked)
        cancel_all(jobs)
    for job in ticked or [job for job in jobs if job.state in ("failed", "interrupted")][:3]:
        details(job, with_log=len(ticked) == 1)


def summary(jobs: Sequence[snapshots.Job]) -> str:
    """Say how many jobs there are, and when they end."""
    states = [job.state for job in jobs]
    words = [f"{states.count(state)} {state}" for state in STATE_ORDER if state in states]
    return " · ".join([*words, *end_words(job_queue.end_of())])


def end_words(end: job_queue.End) -> list[str]:
    """Say when jobs end, as far as it was measured; nothing where nothing is left to do."""
    beside = f"{wording.count(end.unknown, 'job')} of a sort that was never measured here"
    if not end.seconds:
        return [f"end unknown: {beside}"] if end.unknown else []
    words = f"ends about {end.at:%H:%M} UTC, in {wording.duration(end.seconds)}"
    return [f"{words}, without {beside}" if end.unknown else words]


def what_is_trained(jobs: Sequence[snapshots.Job]) -> dict[str, str]:
    """Say of jobs that train, by id, with which method, and what differs between those of one method."""
    found = {job.id: snapshots.find_run(job.run_id or "") for job in jobs if job.trains}
    runs = {job_id: run for job_id, run in found.items() if run is not None and not run.problem}
    alike: dict[str, list[str]] = {}
    for job_id, run in runs.items():
        alike.setdefault(run.method, []).append(job_id)
    words = {}
    for ids in alike.values():
        table = tables.setting_differences({job: runs[job].folder.config.flat() for job in ids})
        for job in ids:
            values = zip(table["setting"], table[job], strict=True)
            said = [f"{setting_title(str(name))} {value}" for name, value in values]
            words[job] = ", ".join([runs[job].title, *said])
    return words


def row_of(
    job: snapshots.Job, progress: snapshots.JobProgress | None, trained: str = ""
) -> dict[str, object]:
    """Put a job into one line of the table; ``trained`` says what a training is about."""
    moves = job.state in ("running", "paused", "interrupted") and progress is not None
    share = min(1.0, progress.done / progress.total) if moves and progress and progress.total else None
    left = progress.seconds_left if progress is not None and job.state == "running" else None
    message = job_queue.job_message(job)
    words = wording.at_work(progress.phase, progress.epoch, progress.epochs) if moves and progress else []
    if job.state == "running" and progress is not None:
        words += [wording.rate(progress.rate, progress.unit)] if progress.rate else []
        words += [elements.device_words(job, progress)] if progress.memory_total else []
    return {
        "state": REQUESTED.get(job.requested or "", job.state),
        "job": texts.readable(job.title),
        "trained": texts.readable(trained),
        "done": None if share is None else 100 * share,
        "at": texts.readable(elements.plain_sentence(message) if message else " · ".join(words)),
        "left": wording.duration(left) if left is not None else "",
        "device": job.ran_on if job.state == "running" else job.device or "any",
        "id": job.id,
    }


COLUMNS = {
    "job": st.column_config.TextColumn("Job", width="medium"),
    "state": st.column_config.TextColumn("State", width="small"),
    "done": st.column_config.ProgressColumn(
        "Done", min_value=0, max_value=100, format="%.0f %%", width="small"
    ),
    "left": st.column_config.TextColumn("Left", width="small"),
    "at": st.column_config.TextColumn("What it is at", width="large"),
    "trained": st.column_config.TextColumn("Method, and what differs", width="medium"),
    "device": st.column_config.TextColumn("Device", width="small"),
    "id": st.column_config.TextColumn("Id", width="small"),
    "ended": st.column_config.TextColumn("Ended", width="small"),
}


def tick_table(
    name: str, jobs: Sequence[snapshots.Job], rows: Sequence[dict[str, object]]
) -> tuple[str, list[snapshots.Job]]:
    """Show jobs as a table, and return its key and the jobs that are ticked.

    Ticks belong to jobs: the browser knows rows by their places, so that other rows are another table.
    """
    ids = [job.id for job in jobs]
    key = f"{name}_table_{zlib.crc32(' '.join(ids).encode())}"
    kept = st.session_state.get(f"{name}_ticked", [])
    with st.container(key=f"{name}_jobs"):
        st.dataframe(
            pd.DataFrame(rows).astype({name: "float64" for name in rows[0] if name == "done"}),
            hide_index=True,
            key=key,
            column_order=[column for column in COLUMNS if column in rows[0]],
            column_config=COLUMNS,
            placeholder="",
            height="content" if len(jobs) <= TALLEST else 35 * (TALLEST + 1),
            on_select="rerun",
            selection_mode="multi-row",
            selection_default={"selection": {"rows": [ids.index(each) for each in kept if each in ids]}},
            alt=f"The {name}: {wording.count(len(jobs), 'job')}, one a row; tick rows to act on them.",
        )
    ticked = st.session_state[f"{name}_ticked"] = ticked_in(key, ids)
    return key, [job for job in jobs if job.id in ticked]


def ticked_in(key: str, ids: Sequence[str]) -> list[str]:
    """Return the ids that are ticked in a table at this moment, also within a callback."""
    rows = st.session_state[key]["selection"]["rows"] if key in st.session_state else []
    return [ids[row] for row in rows if row < len(ids)]


# --- acting ---------------------------------------------------------------------------------------


def act_button(
    label: str,
    act: Act,
    icon: str,
    says: str,
    key: str,
    jobs: Sequence[snapshots.Job],
    ticked: Sequence[snapshots.Job],
) -> None:
    """Offer to do something to the jobs that are ticked, where it can be done to one of them."""
    st.button(
        label,
        icon=icon,
        help=says,
        key=f"act_{act}_{key.partition('_')[0]}",
        disabled=not access.may_start() or not any(may_be(act, job) for job in ticked),
        on_click=act_on_ticked,
        args=(act, key, [job.id for job in jobs]),
    )


def may_be(act: Act, job: snapshots.Job) -> bool:
    """Tell whether something may be done to a job as it stands on the screen."""
    return job.state in job_queue.MAY[act] and job.requested != act


def act_on_ticked(act: Act, key: str, ids: Sequence[str]) -> None:
    """Do something to what is ticked at this moment, which may be more than when the button was drawn."""
    ticked = set(ticked_in(key, ids))
    carry_out(act, [job.id for job in snapshots.jobs() if job.id in ticked and may_be(act, job)])


def carry_out(act: Act, job_ids: Sequence[str]) -> None:
    """Do something to jobs; what is refused, and what can be undone, is said on the next drawing."""
    try:
        acted = job_queue.act_on(act, job_ids)
    except errors.CfaError as error:
        st.session_state["notice"] = ("error", elements.sentence(error))
        return
    if acted.refused:
        st.session_state["notice"] = ("error", elements.sentence("; ".join(acted.refused)))
    if acted.done and act in ("cancel", "remove"):
        st.session_state["undo"] = ("Cancelled" if act == "cancel" else "Removed", acted)


def offer_undo() -> None:
    """Say what was cancelled or removed last, and bring it back at a press."""
    if "undo" not in st.session_state:
        return
    what, acted = st.session_state["undo"]
    names = ", ".join(acted.done[:3]) + (f" and {len(acted.done) - 3} more" if len(acted.done) > 3 else "")
    with st.container(horizontal=True, vertical_alignment="center", key="undo_line"):
        st.caption(texts.plain(f"{what}: {names}."), width="content")
        if acted.undo:
            st.button("Undo", icon=":material/undo:", key="undo_acts", on_click=undo_last)


def undo_last() -> None:
    """Bring back what was cancelled or removed last."""
    _, acted = st.session_state.pop("undo")
    elements.attempt(job_queue.undo, acted)


def chain_button(key: str, jobs: Sequence[snapshots.Job], ticked: Sequence[snapshots.Job]) -> None:
    """Offer to cancel jobs with all that wait for them."""
    ids = [job.id for job in ticked]
    behind = len(job_queue.chain_of(ids)) - sum(job.state not in ("failed",) for job in ticked)
    st.button(
        f"Cancel with {behind} that wait{'s' * (behind == 1)}" if behind > 0 else "Cancel with what waits",
        icon=":material/playlist_remove:",
        help="Cancels the ticked jobs and all that wait for them.",
        key="act_chain",
        disabled=not access.may_start() or not ids or behind <= 0,
        on_click=cancel_chain,
        args=(key, [job.id for job in jobs]),
    )


def cancel_chain(key: str, ids: Sequence[str]) -> None:
    """Cancel what is ticked at this moment, and all that waits for it."""
    chain = job_queue.chain_of(ticked_in(key, ids))
    carry_out("cancel", [job.id for job in chain])


def cancel_all(jobs: Sequence[snapshots.Job]) -> None:
    """Offer to cancel everything that has not ended, after one more question."""
    open_ids = [job.id for job in jobs if may_be("cancel", job)]
    with st.popover("Cancel all", icon=":material/cancel:", disabled=not access.may_start() or not open_ids):
        st.caption("Running jobs stop for good; their runs keep what was trained so far.")
        st.button(
            f"Cancel {wording.count(len(open_ids), 'job')}",
            key="act_all",
            on_click=carry_out,
            args=("cancel", open_ids),
        )


def device_choice(key: str, jobs: Sequence[snapshots.Job], ticked: Sequence[snapshots.Job]) -> None:
    """Offer another device for ticked jobs that do not run."""
    movable = [job for job in ticked if job.state in ("queued", "paused", "interrupted", "failed")]
    with st.popover("Device", icon=":material/memory:", disabled=not access.may_start() or not movable):
        for device in (None, *job_queue.devices()):
            st.button(
                device or "any device",
                key=f"device_{device}",
                on_click=elements.attempt,
                args=(job_queue.set_device, [job.id for job in movable], device),
            )


# --- details, and what has ended ------------------------------------------------------------------


def details(job: snapshots.Job, *, with_log: bool) -> None:
    """Say of one job what the table has no room for."""
    if message := job_queue.job_message(job):
        st.caption(f"**{texts.plain(job.title)}**: {elements.sentence(message)}")
    if with_log:
        with st.expander(f"Log of {texts.plain(job.title)}", icon=":material/terminal:"):
            st.code(job_queue.job_log(job) or "It printed nothing yet.", language=None, height=240)


@elements.explained_errors()
def show_ended(drawn: tuple[tuple[str, str], ...]) -> None:
    """List the jobs that have ended, newest first: to read their logs, start them again or remove them."""
    elements.rerun_when_states_change(drawn)
    ended = [job for job in reversed(snapshots.jobs()) if job.state in ("done", "cancelled")]
    if not ended:
        return
    with st.expander(f"Ended jobs ({len(ended)})", icon=":material/history:"):
        rows: list[dict[str, object]] = [
            {
                "state": job.state,
                "job": texts.readable(job.title),
                "at": texts.readable(job_queue.job_message(job)),
                "device": job.ran_on or "",
                "ended": wording.moment(job.finished),
                "id": job.id,
            }
            for job in ended
        ]
        key, ticked = tick_table("ended", ended, rows)
        with st.container(horizontal=True, gap="xsmall"):
            act_button(
                "Start again",
                "resume",
                ":material/replay:",
                "A cancelled job is queued again, and goes on from where it stopped.",
                key,
                ended,
                ticked,
            )
            act_button(
                "Remove from the list",
                "remove",
                ":material/delete:",
                "The log goes; what the job made stays.",
                key,
                ended,
                ticked,
            )
        if len(ticked) == 1:
            st.code(job_queue.job_log(ticked[0]) or "It printed nothing.", language=None, height=240)
