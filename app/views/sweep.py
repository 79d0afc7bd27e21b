"""Sweep: robust accuracy over eps, and how much it takes to break each image."""

import streamlit as st

from app import elements, fields
from app.engine import budgets, evaluated, runs_together, snapshots
from app.sections.smallest_perturbations import show_minimum
from app.sections.sweep_curves import show_sweeps
from app.sections.sweep_form import sweep_form
from app.sections.swept import Swept

MOST_AT_FIRST = 3
WHAT_COUNTS = "what-counts"  # of a run's evaluations, as addresses say it

# --- what to show ---------------------------------------------------------------------------------


def choose_runs() -> list[snapshots.Run]:
    """Ask for runs; at first the newest ones that belong together."""
    available = budgets.swept_runs()
    if not available:
        st.info(
            "No run has a sweep yet. Start one above: an attack at several budgets, or the search for the "
            "smallest perturbation of every image.",
            icon=":material/inbox:",
        )
        return []
    ids = fields.multiselect(
        "Runs",
        elements.run_names(available),
        name="runs",
        default=[run.id for run in runs_together.newest_together(available)[:MOST_AT_FIRST]],
        help="Runs with a sweep, or with smallest perturbations.",
    )
    chosen = [run for run_id in ids if (run := snapshots.find_run(run_id))]
    if not chosen:
        st.info("Choose at least one run.")
    return chosen


def choose_evaluations(runs: list[snapshots.Run]) -> list[Swept]:
    """Take what each run has of the weights that it has now; of a single run any can be chosen."""
    found = [
        Swept(run, evaluation)
        for run in runs
        for evaluation in evaluated.evaluations(run)
        if budgets.is_sweep(evaluation) or budgets.finds_minimum(run, evaluation)
    ]
    counting = [swept for swept in found if not swept.old]
    if len(runs) > 1:
        return counting
    if len(found) < 2:
        return found  # of old weights it says so
    evaluations = [swept.evaluation for swept in found]
    titles = elements.evaluation_titles(evaluations, evaluated.of_old_weights(runs[0]))
    options = {WHAT_COUNTS: "what counts"} if counting else {}
    options |= {one.id: title for one, title in zip(evaluations, titles, strict=True)}
    chosen = fields.selectbox("Evaluation", options, name="evaluation", subject=runs[0].id)
    return counting if chosen == WHAT_COUNTS else [one for one in found if one.evaluation.id == chosen]


elements.heading("Sweep", "Robust accuracy over eps, and how little it takes to break an image.")
above = st.container()
sweep_form(expanded=not budgets.swept_runs())
runs = choose_runs()
if runs:
    with elements.explained_errors():
        found = choose_evaluations(runs)
        show_sweeps(found, above)
        show_minimum(found)
