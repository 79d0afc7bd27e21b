"""Parts that pages share: errors in one sentence, charts, states of jobs and runs, progress."""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pandas as pd
import streamlit as st

from app import access, charts, fields, glossary, tables, texts, wording
from app.engine import dataset_downloads, errors, evaluated, job_queue, outside, snapshots

LIVE_SECONDS = 2  # between refreshes while something runs
IDLE_SECONDS = 10  # between looks for a job that was started elsewhere

STATES: dict[str, tuple[Any, str]] = {
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


@contextmanager
def explained_errors() -> Iterator[None]:
    """Show what the engine can explain as one sentence; anything else is a fault and stays one."""
    try:
        yield
    except errors.CfaError as error:
        st.error(sentence(error), icon=":material/error:")


def sentence(message: object) -> str:
    """Write an error, or its message, as a sentence in Markdown; names such as ``pgd-at`` keep their case."""
    return texts.plain(plain_sentence(message))


def plain_sentence(message: object) -> str:
    """Write an error, or its message, as a sentence where no Markdown is read: in a table."""
    text = errors.without_places(texts.readable(message))
    if text.partition(" ")[0].isalpha():
        text = text[:1].upper() + text[1:]
    return text if text.endswith((".", "!", "?")) else f"{text}."


def attempted(action: Callable[..., Any], *arguments: Any, done: str = "") -> bool:
    """Run a button's action; a refusal, or ``done`` (Markdown), is shown on the next drawing of the page.

    Returns:
        Whether it was done, and not refused.
    """
    try:
        action(*arguments)
    except errors.CfaError as error:
        st.session_state["notice"] = ("error", sentence(error))
        return False
    if done:
        st.session_state["notice"] = ("success", done)
    return True


def attempt(action: Callable[..., Any], *arguments: Any, done: str = "") -> None:
    """Run a button's action as :func:`attempted` does, for those who need not know whether it was done."""
    attempted(action, *arguments, done=done)


def show_notices() -> None:
    """Show, once, what the last button had to say."""
    kind, text = st.session_state.pop("notice", ("", ""))
    if kind == "error":
        st.error(text, icon=":material/error:")
    elif kind == "success":
        st.success(text, icon=":material/check_circle:")


def run_names(runs: Iterable[snapshots.Run]) -> dict[str, str]:
    """Name runs by their ids, for a field; those that share a name with their id behind it."""
    return {run.id: f"{run.shared_name} · {run.id}" if run.shared_name else run.name for run in runs}


def choose_condition(
    found: Sequence[tables.Condition], *, key: str = "measured", was: str = "", place: Any = st
) -> tables.Condition:
    """Let one of several measurements be chosen.

    Args:
        found: What was measured.
        key: Of the field.
        was: What its parameter was called in old addresses.
        place: Where it is drawn.
    """
    by_key = {one.key: one for one in found}
    titles = {one.key: one.title for one in found}
    chosen = fields.selectbox(
        "Measured",
        titles,
        name="measured",
        was=was,
        key=key,
        place=place,
        help="What accuracy was measured under: the attack and its budget eps, the checkpoint that was "
        "attacked, and the data set. Only results under the same are compared.",
    )
    return by_key[chosen]


def heading(title: str, says: str) -> None:
    """Start a page: its title and one line on what it is for."""
    st.title(title, help=glossary.explained(says))
    st.caption(says)


def state_badge(state: str) -> None:
    """Show a job's or a run's state; what is none of ours is not repeated."""
    colour, icon = STATES.get(state, ("gray", ":material/help:"))
    st.badge(state if state in STATES else "unknown", icon=icon, color=colour)


def percent_column(title: str, template: str = "%.1f %%", help: str | None = None) -> Any:
    """Configure a table's column of percent (or, with another template, of points)."""
    return st.column_config.NumberColumn(title, format=template, help=help or glossary.explained(title))


def percent_columns(frame: pd.DataFrame, columns: list[str]) -> pd.DataFrame:
    """Turn fractions into percent, for tables."""
    return frame.assign(**{column: 100 * frame[column].astype(float) for column in columns})


def evaluation_titles(evaluations: Sequence[evaluated.Evaluation], old: Collection[str] = ()) -> list[str]:
    """Name evaluations so that they can be told apart: when, what, on how many images, of which weights.

    Args:
        evaluations: Some of a run's.
        old: Ids of those of weights that the run no longer has.
    """
    titles = [evaluation_title(evaluation, old) for evaluation in evaluations]
    return [
        f"{title} · {evaluation.id[-4:]}" if titles.count(title) > 1 else title
        for title, evaluation in zip(titles, evaluations, strict=True)
    ]


def evaluation_title(evaluation: evaluated.Evaluation, old: Collection[str] = ()) -> str:
    """Name an evaluation in a line; one of old weights says of which epoch they were."""
    names = [row.attack for row in evaluation.scores if row.attack != "clean"]
    attacks = list(dict.fromkeys(names))
    words = ", ".join(wording.attack_title(name) for name in attacks[:3]) or "clean images"
    if len(attacks) > 3:
        words += f" and {len(attacks) - 3} more"
    attacked = [row for row in evaluation.scores if row.attack != "clean"]
    sweep = evaluation.plan.get("eps_sweep") or ()
    if sweep and attacked:
        words += f", {len(sweep)} budgets up to {wording.budget(attacked[0].norm, max(sweep))}"
    elif attacked:
        eps = evaluation.plan.get("eps", attacked[0].eps)
        words += f", {wording.budget(attacked[0].norm, eps)}"
    images = sum(evaluation.scores[0].total)
    title = charts.WEIGHTS_TITLES.get(evaluation.weights, evaluation.weights)
    checkpoint = "" if evaluation.checkpoint == "file" else f", {evaluation.checkpoint}"
    epoch = f" of epoch {evaluation.epoch}, in no table" if evaluation.id in old else ""
    whose = f"{title} weights{checkpoint}{epoch}"
    measured_on = f"{images:,} images of {evaluation.dataset}"
    parts = [wording.moment(evaluation.created), words, measured_on, whose, evaluation.arithmetic]
    return " · ".join(part for part in parts if part)


def not_in_tables(sentences: Sequence[str]) -> None:
    """Say which evaluations are in none of a page's tables, and why."""
    if sentences:
        with st.expander(f"Not in these tables: {len(sentences)}", icon=":material/filter_alt:"):
            for sentence in sentences:
                st.caption(texts.plain(sentence))


def gate_notes(runs: Iterable[snapshots.Run]) -> None:
    """Say of which runs FAWA weights were to be had and are not."""
    for note in filter(None, (run.gate_note for run in runs)):
        st.caption(sentence(note))


def csv_button(
    label: str, table: str | Callable[[], str], file: str, key: str, *, disabled: bool = False
) -> None:
    """Offer a table, or what makes it once it is asked for, as a CSV file."""
    st.download_button(
        label,
        table,
        file,
        "text/csv",
        icon=":material/download:",
        key=key,
        on_click="ignore",
        disabled=disabled,
    )


def job_line(job: snapshots.Job, title: str, note: str = "") -> None:
    """Show a job in one line (its state, a title, a note), with its bar below while it runs."""
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        state_badge(job.state)
        st.markdown(f"**{texts.plain(title)}**", width="content")
        if note:
            st.caption(texts.plain(note), width="content")
    if job.state == "running":
        job_progress(job, snapshots.progress().get(job.id))
    elif message := job_queue.job_message(job):
        st.caption(sentence(message))


def missing_dataset(name: str) -> None:
    """Say that a data set is not here, and offer to fetch it, with its size; live while that goes on."""
    job = dataset_downloads.fetch_job(name)
    if job is not None and job.state in ("queued", "running"):
        st.fragment(_fetching, run_every=LIVE_SECONDS)(job.id, states_signature())
        return
    info = outside.dataset_description(name)
    way = errors.without_places(info.how_to_get)
    st.warning(texts.plain(f"{info.title} is not here yet. {way}"), icon=":material/download:")
    if job is not None and (message := job_queue.job_message(job)):
        st.caption(f"The last attempt failed: {sentence(message)}")
    if info.download_bytes:
        st.button(
            f"Fetch it now ({info.download_bytes / 1e6:,.0f} MB)",
            icon=":material/download:",
            key=f"fetch_{name}",
            on_click=attempt,
            args=(dataset_downloads.fetch_dataset, name),
        )


def offer_look(name: str) -> None:
    """Say that a data set is a folder or somebody's code, and offer to look at it: nothing else opens it."""
    st.info(sentence(outside.NOT_LOOKED_AT.format(name=name)), icon=":material/folder_eye:")
    if access.may_start():
        st.button(
            "Look at it",
            icon=":material/visibility:",
            key=f"look_at_{name}",
            on_click=attempt,
            args=(outside.look_at, name),
            help="Reads the folder, or imports that module and runs it.",
        )


def word_for(code: Sequence[str], key: str) -> bool:
    """Ask for a person's word that code may run which runs name that were copied here; true without any."""
    if not code or not access.may_start():
        return not code
    st.warning(
        f"These runs were copied here and name code: {texts.plain(', '.join(code))}. Look at it first.",
        icon=":material/code:",
    )
    return st.checkbox("I know that code; it may run here", key=f"{key}_{'_'.join(code)}")


def _fetching(job_id: str, drawn: tuple[tuple[str, str], ...]) -> None:
    if states_signature() != drawn:
        outside.forget_datasets()
        st.rerun()
    for job in snapshots.jobs():
        if job.id == job_id:
            job_line(job, job.title)


def job_progress(job: snapshots.Job, progress: snapshots.JobProgress | None) -> None:
    """Show how far a job is: bar, epoch, phase, rate, time left."""
    if progress is None:
        st.progress(0.0, text=texts.plain(job.message or {"running": "starting"}.get(job.state, job.state)))
        return
    share = min(1.0, progress.done / progress.total) if progress.total else 0.0
    st.progress(share, text=progress_words(job, progress))


def progress_words(job: snapshots.Job, progress: snapshots.JobProgress) -> str:
    """Say in one line of Markdown how far a job is."""
    words = wording.at_work(progress.phase, progress.epoch, progress.epochs)
    if job.state == "running":
        if progress.rate:
            words.append(wording.rate(progress.rate, progress.unit))
        if progress.seconds_left is not None:
            words.append(f"{wording.duration(progress.seconds_left)} left")
        if progress.memory_total:
            words.append(device_words(job, progress))
    return texts.plain(" · ".join(words))


def device_words(job: snapshots.Job, progress: snapshots.JobProgress) -> str:
    """Say how much of its device is in use, by this job and by others."""
    gigabytes = [(amount or 0) / 2**30 for amount in (progress.memory_used, progress.memory_total)]
    used = f"{job.ran_on or 'device'}: {gigabytes[0]:.1f} of {gigabytes[1]:.0f} GB in use"
    return used if progress.busy is None else f"{used}, {progress.busy:.0%} busy"


def states_signature() -> tuple[tuple[str, str], ...]:
    """Summarise all jobs' states: when this changes, more than a live part has to be drawn anew."""
    return tuple((job.id, job.state) for job in snapshots.jobs())


def rerun_when_states_change(drawn: tuple[tuple[str, str], ...]) -> None:
    """Draw the whole page once when a job began or ended since ``drawn``; for the top of a live part."""
    if states_signature() != drawn:
        st.rerun()
