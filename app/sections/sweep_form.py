"""The form on Sweep that starts one."""

import streamlit as st

from app import access, elements, wording
from app.engine import outside, snapshots, sweep_jobs

ATTACKS = {
    "pgd-20": "PGD-20 at each budget",
    "apgd-ce": "APGD-CE at each budget",
    "autoattack": "AutoAttack at each budget (slow)",
    sweep_jobs.SMALLEST: "smallest perturbation of every image (fab-min)",
}


def sweep_form(*, expanded: bool) -> None:
    """Ask for runs, attack, budgets and images, and queue a sweep of each run's own weights."""
    runs = {run.id: run for run in sweep_jobs.runs_to_sweep()}
    with st.expander("Start a sweep", expanded=expanded, icon=":material/play_arrow:", key="sweep_start"):
        if not runs:
            st.caption("No run has kept weights yet: train one, then sweep it here.")
            st.page_link("views/train.py", label="Train", icon=":material/model_training:")
            return
        with elements.explained_errors():
            _ask(runs)
    _show_jobs()


def _ask(runs: dict[str, snapshots.Run]) -> None:
    chosen = st.multiselect(
        "Runs to sweep",
        list(runs),
        default=list(runs)[:1],
        format_func=lambda run_id: runs[run_id].name,
        key="sweep_new_runs",
        help="Each with its own weights: FAWA for a CFA method whose gate ever opened, else online.",
    )
    left, middle, right = st.columns([2, 3, 1])
    attack = left.selectbox(
        "Attack of the sweep",
        list(ATTACKS),
        format_func=lambda name: ATTACKS.get(name, name),
        accept_new_options=True,
        key="sweep_new_attack",
        help="Any attack that Evaluate takes can be typed.",
    )
    usual = sweep_jobs.usual_budgets([runs[run_id] for run_id in chosen]) if chosen else ""
    typed = middle.text_input(
        "Budgets",
        placeholder=usual or "2/255, 4/255, 8/255",
        key="sweep_new_budgets",
        disabled=attack == sweep_jobs.SMALLEST,
        help="By default from a quarter of the eps of training to twice it. Clean images, eps 0, are always "
        "measured.",
    )
    limit = right.number_input(
        "Images", min_value=1, value=1000, step=500, key="sweep_new_images", help="The first of each class."
    )
    picked = [runs[run_id] for run_id in chosen]
    code = outside.untrusted_code(picked)
    ready = elements.word_for(code, "sweep_word")
    number = wording.count(len(picked), "sweep")
    if st.button(
        f"Start {number}",
        type="primary",
        icon=":material/play_arrow:",
        key="start_sweep",
        disabled=not picked or not ready or not access.may_start(),
    ):
        begun = sweep_jobs.start_sweeps(
            picked, attack, (typed or "").strip() or usual, int(limit) if limit else None, None, code
        )
        st.session_state["notice"] = ("success", f"{wording.count(len(begun), 'sweep')} queued.")
        st.rerun()


def _show_jobs() -> None:
    """Show the evaluations that run or wait, live."""
    busy = any(job.evaluates and job.state in ("queued", "running") for job in snapshots.jobs())
    st.fragment(_jobs, run_every=elements.LIVE_SECONDS if busy else None)(elements.states_signature())


@elements.explained_errors()
def _jobs(drawn: tuple[tuple[str, str], ...]) -> None:
    elements.rerun_when_states_change(drawn)
    for job in [j for j in snapshots.jobs() if j.evaluates and j.state in ("queued", "running")][:4]:
        elements.job_line(job, job.title)
