"""Parts that pages share: errors in one sentence, charts, states of jobs and runs, progress."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from app import services, wording

CHART_CONFIG = {"displaylogo": False, "modeBarButtonsToRemove": ["lasso2d", "select2d", "autoScale2d"]}
LIVE_SECONDS = 2  # between refreshes while something runs
IDLE_SECONDS = 10  # between looks for a job that was started elsewhere

STATES = {
    "queued": ("gray", ":material/schedule:"),
    "running": ("blue", ":material/play_circle:"),
    "paused": ("orange", ":material/pause_circle:"),
    "interrupted": ("orange", ":material/power_off:"),
    "done": ("green", ":material/check_circle:"),
    "finished": ("green", ":material/check_circle:"),
    "failed": ("red", ":material/error:"),
    "cancelled": ("gray", ":material/cancel:"),
    "unreadable": ("red", ":material/broken_image:"),
}
PERCENT_COLUMN = st.column_config.NumberColumn(format="%.1f %%", width="small")


@contextmanager
def explained_errors() -> Iterator[None]:
    """Show what the engine can explain as one sentence; anything else is a fault and stays one."""
    try:
        yield
    except services.CfaError as error:
        st.error(sentence(error), icon=":material/error:")


def sentence(error: Exception) -> str:
    """Write an error's message as a sentence."""
    text = str(error).strip()
    return f"{text[:1].upper()}{text[1:]}{'' if text.endswith(('.', '!', '?')) else '.'}"


def attempt(action: Callable[..., Any], *arguments: Any, done: str = "") -> None:
    """Run a button's action; a refusal is shown on the next drawing of the page. For ``on_click``."""
    try:
        action(*arguments)
    except services.CfaError as error:
        st.session_state["notice"] = ("error", sentence(error))
    else:
        if done:
            st.session_state["notice"] = ("success", done)


def show_notices() -> None:
    """Show, once, what the last button had to say."""
    kind, text = st.session_state.pop("notice", ("", ""))
    if kind == "error":
        st.error(text, icon=":material/error:")
    elif kind == "success":
        st.success(text, icon=":material/check_circle:")


def heading(title: str, says: str) -> None:
    """Start a page: its title and one line on what it is for."""
    st.title(title)
    st.caption(says)


def chart(title: str, figure: go.Figure | None, key: str, *, says: str = "", empty: str = "") -> None:
    """Show a chart under its title, or say why there is none."""
    st.markdown(f"**{title}**")
    if figure is None or not figure.data:
        st.caption(empty or "Nothing to show yet.")
        return
    if says:
        st.caption(says)
    st.plotly_chart(figure, key=key, config=CHART_CONFIG, theme="streamlit")


def state_badge(state: str) -> None:
    """Show a job's or a run's state."""
    colour, icon = STATES.get(state, ("gray", ":material/help:"))
    st.badge(state, icon=icon, color=colour)


def percent_columns(frame: pd.DataFrame, columns: list[str]) -> pd.DataFrame:
    """Turn fractions into percent, for tables."""
    return frame.assign(**{column: 100 * frame[column].astype(float) for column in columns})


def job_progress(job: services.Job, progress: services.JobProgress | None) -> None:
    """Show how far a job is: bar, epoch, phase, rate, time left."""
    if progress is None:
        st.progress(0.0, text=job.message or ("starting" if job.state == "running" else job.state))
        return
    share = min(1.0, progress.done / progress.total) if progress.total else 0.0
    st.progress(share, text=progress_words(job, progress))


def progress_words(job: services.Job, progress: services.JobProgress) -> str:
    """Say how far a job is in one line."""
    words = []
    if progress.epoch is not None:
        words.append(f"epoch {progress.epoch} of {progress.epochs}")
    words.append(progress.phase)
    if job.state == "running":
        if progress.rate:
            words.append(f"{progress.rate:,.0f} {progress.unit}/s")
        if progress.seconds_left is not None:
            words.append(f"{wording.duration(progress.seconds_left)} left")
    return " · ".join(words)


def states_signature() -> tuple[tuple[str, str], ...]:
    """Summarise all jobs' states: when this changes, more than a live part has to be drawn anew."""
    return tuple((job.id, job.state) for job in services.jobs())


def rerun_when_states_change(drawn: tuple[tuple[str, str], ...]) -> None:
    """Draw the whole page once when a job began or ended since ``drawn``; for the top of a live part."""
    if states_signature() != drawn:
        st.rerun()
