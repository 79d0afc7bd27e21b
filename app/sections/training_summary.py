"""What a form on Train comes to, in sight while it is filled in: runs, cost, end, differences, and Start."""

import time
from collections.abc import Sequence
from datetime import timedelta

import streamlit as st

from app import access, drafts, elements, fields, texts, wording
from app.engine import job_queue, training_costs, training_jobs, training_settings
from app.sections.training_fields import Told, setting_key
from app.sections.training_labels import NewRuns
from app.setting_titles import setting_title

MANY_RUNS = 40
MOST_CHANGES = 12
STILL = 0.8  # seconds without a change, after which a form is worth timing


def show_summary(
    draft: drafts.Draft | None, configs: list[training_settings.RunConfig], runs: NewRuns, told: Told
) -> bool:
    """Say what the form comes to; tell whether it is to be started."""
    if told.problems or draft is None or not configs:
        named = ", ".join(setting_title(name) for name in told.problems)
        st.markdown(f"**Please correct: {texts.plain(named or 'what is said beside')}.**")
        st.button("Start", icon=":material/play_arrow:", key="start_later", disabled=True, width="stretch")
        return False
    number = wording.count(len(configs), "run")
    epochs = sum(config.train.epochs for config in configs)
    st.markdown(f"**{number}**, {epochs:,} {'epoch' if epochs == 1 else 'epochs'} in all")
    show_cost(configs, runs.device)
    code = {name for config in configs for name in training_settings.code_of(config)}
    brought = [name for name in st.session_state.get("train_code", ()) if name in code]
    ready = elements.word_for(brought, "train_word")
    started = st.button(
        f"Start {number}",
        type="primary",
        icon=":material/play_arrow:",
        key="start",
        disabled=not ready or not access.may_start(),
        width="stretch",
    )
    offer_estimate(configs, runs.device, disabled=not ready)
    show_details(draft, configs, runs)
    return started


def show_details(draft: drafts.Draft, configs: list[training_settings.RunConfig], runs: NewRuns) -> None:
    """Say what follows, what never happens, what differs from the preset, and the command for it."""
    if runs.then:
        st.caption(f"Then {texts.plain(training_jobs.PLANS[runs.then].title)}; its time is not counted here.")
    show_what_never_happens(configs)
    if len(configs) > MANY_RUNS:
        st.warning(
            f"These settings make {wording.count(len(configs), 'run')}. Fewer values or seeds make fewer.",
            icon=":material/warning:",
        )
    show_changes(draft)
    show_commands(draft, runs)


def show_what_never_happens(configs: list[training_settings.RunConfig]) -> None:
    """Say which parts of methods these runs are too short for, each with a button that sets what helps."""
    found = {one.says: one for config in configs for one in training_jobs.never_happens(config)}
    helps: dict[str, int] = {}  # the value with which all of these runs are long enough
    for one in found.values():
        pick = max if one.setting == "train.epochs" else min
        helps[one.setting] = pick(one.value, helps.get(one.setting, one.value))
    for one in found.values():
        st.warning(texts.plain(one.says), icon=":material/warning:")
        if one.setting in helps:
            value = str(helps.pop(one.setting))
            st.button(
                f"Set {setting_title(one.setting)} to {value}",
                icon=":material/build:",
                key=f"mend_{one.setting}",
                on_click=fields.choose,
                args=(one.setting, value),
                kwargs={"key": setting_key(one.setting)},
                width="stretch",
            )


def show_changes(draft: drafts.Draft) -> None:
    """List what differs from the preset."""
    changes = draft.changes()
    if changes.empty:
        st.caption("Nothing differs from the preset.")
        return
    st.markdown("What differs from the preset:")
    rows = zip(changes["setting"], changes["preset"], changes["yours"], strict=True)
    lines = [
        f"- {setting_title(setting)}: {texts.plain(preset)} → **{texts.plain(yours)}**"
        for setting, preset, yours in [*rows][:MOST_CHANGES]
    ]
    if len(changes) > MOST_CHANGES:
        lines.append(f"- and {len(changes) - MOST_CHANGES} more")
    st.markdown("\n".join(lines))


def show_commands(draft: drafts.Draft, runs: NewRuns) -> None:
    """Show the command that trains the same, to be copied."""
    lines = draft.commands(name=runs.name, device=runs.device, tags=runs.tags, notes=runs.notes)
    with st.expander("As a command", icon=":material/terminal:"):
        st.code("\n".join(lines), language="bash", wrap_lines=True)
        if runs.name and len(lines) > 1:
            st.caption("A command a method; they leave the name out, since each would count from 1.")


# --- the cost -------------------------------------------------------------------------------------


def show_cost(configs: list[training_settings.RunConfig], device: str | None) -> None:
    """Say what trainings cost; live while that is being found out."""
    waits = bool(_to_time(configs, device))
    live = st.fragment(_cost, run_every=1.0 if waits or training_costs.are_being_timed() else None)
    live(configs, device, waits)


def _to_time(
    configs: Sequence[training_settings.RunConfig], device: str | None
) -> list[training_settings.RunConfig]:
    """List what is timed without being asked: what has a name here, for somebody who may start."""
    if not access.may_start():
        return []
    ours = [config for config in configs if training_costs.names_no_code(config)]
    return training_costs.to_be_timed(ours, device)


@elements.explained_errors()
def _cost(configs: list[training_settings.RunConfig], device: str | None, waited: bool) -> None:
    waiting = _to_time(configs, device)
    if waited and not waiting:
        st.rerun()  # once, so that it is live no more
    if waiting and not training_costs.are_being_timed() and _is_still(waiting):
        training_costs.time_batches(waiting, device)
    cost = training_costs.training_cost(configs, device)
    if cost.seconds is not None:
        st.markdown(
            f"About **{wording.duration(cost.seconds)}** one after the other, "
            f"and {wording.file_size(cost.disk_bytes)} of disk."
        )
        st.caption(end_in_words(cost.seconds, device))
        for said in list(dict.fromkeys(map(source_in_words, cost.sources)))[:2]:
            st.caption(texts.plain(said))
    elif waiting:
        st.caption("How long that takes is being measured: some batches are trained.")
    elif not cost.problems:
        st.caption("How long that takes has not been measured.")
    for problem in cost.problems[:2]:
        st.caption(f"How long that takes could not be measured: {elements.sentence(problem)}")


def _is_still(waiting: Sequence[training_settings.RunConfig]) -> bool:
    """Tell whether the form has been as it is for a moment: while somebody types nothing is timed."""
    asked = [config.key() for config in waiting]
    known: tuple[list[str], float] = st.session_state.get("train_still", ([], 0.0))
    if known[0] != asked:
        st.session_state["train_still"] = (asked, time.monotonic())
        return False
    return time.monotonic() - known[1] > STILL


def source_in_words(source: training_costs.Source) -> str:
    """Say where a time is from, and what it was beside."""
    beside = wording.count(source.beside, "other job") if source.beside else ""
    if source.run:
        return f"As the epochs of {source.run} took" + (f", beside {beside}." if beside else ", alone.")
    if beside:
        return f"From batches timed just now beside {beside}; alone it may be faster."
    if source.busy:
        return "From batches timed on this machine, which was busy with something else: it may be faster."
    return "From batches timed on this machine, beside no other job."


def end_in_words(seconds: float, device: str | None) -> str:
    """Say when it would end if it were started now."""
    before = job_queue.end_of()
    together = 1 if device else max(1, len(job_queue.devices()))
    end = before.at + timedelta(seconds=seconds / together)
    words = f"Started now it ends about {end:%Y-%m-%d %H:%M} UTC"
    words += f", after {wording.duration(before.seconds)} of what waits already" if before.seconds else ""
    if before.unknown:
        words += f", and {wording.count(before.unknown, 'job')} of which nobody knows how long"
    return f"{words}."


def offer_estimate(configs: list[training_settings.RunConfig], device: str | None, *, disabled: bool) -> None:
    """Offer to time what is a folder or somebody's code, which nothing opens unasked."""
    theirs = [config for config in configs if not training_costs.names_no_code(config)]
    waiting = training_costs.to_be_timed(theirs, device)
    if waiting:
        st.button(
            "Estimate the time",
            icon=":material/timer:",
            key="estimate",
            disabled=disabled or not access.may_start(),
            on_click=elements.attempt,
            args=(training_costs.time_batches, waiting, device),
            help="Opens the folder, or imports the code that is named, and trains some batches.",
            width="stretch",
        )
