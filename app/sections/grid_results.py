"""What a grid of settings came to: runs across their settings, and the worst class over two of them."""

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from app import cards, charts, fields, wording
from app.engine import evaluated, snapshots
from app.sections.runs_table import best_results, condition, differing_settings
from app.tables import conditions

FEWEST = 3  # trainings that make a grid
MOST_SETTINGS = 10  # across: more cannot be read
MOST_VALUES = 30  # of a setting, in a heatmap


def show_grid(runs: Sequence[snapshots.Run]) -> None:
    """Draw the runs of one method, data set and network that differ in their settings, if there are such."""
    frame, settings = grid_of(runs)
    if not settings:
        return
    named = f"{', '.join(settings[:3])}{' and more' if len(settings) > 3 else ''}"
    if not fields.toggle(f"What {named} came to", name="grid"):
        return
    says = f"{wording.count(len(frame), 'run')} of {frame['what'].iloc[0]}."
    cards.show_card(
        cards.Card(
            "Each run across its settings",
            "runs_lines",
            charts.runs_across(frame, settings),
            f"{says} A line is a run; orange has a low worst class under attack, blue a high one.",
        )
    )
    if len(settings) > 1:
        show_heatmap(frame, settings)


def grid_of(runs: Sequence[snapshots.Run]) -> tuple[pd.DataFrame, list[str]]:
    """Return the largest grid among runs, with results, and the settings in which its runs differ.

    Returns:
        Columns ``name, what, mean, worst`` (fractions) and a column of texts for each setting.
    """
    usable = [run for run in runs if not run.problem and not run.is_external]
    kinds: dict[tuple[str, ...], list[snapshots.Run]] = {}
    for run in usable:
        kinds.setdefault((run.method, run.dataset, run.model), []).append(run)
    largest = max(kinds.values(), key=len, default=[])
    results = evaluated.results(largest)
    best = best_results(results.summary, conditions(results.per_class))
    said = {run.id: condition(best[run.id]) for run in largest if run.id in best}
    usual = max(set(said.values()), key=list(said.values()).count, default="")
    measured = [run for run in largest if said.get(run.id) == usual]  # others cannot stand in one chart
    settings = {name: values for name, values in differing_settings(measured).items() if name != "seed"}
    if len(measured) < FEWEST or not 0 < len(settings) <= MOST_SETTINGS:
        return pd.DataFrame(), []
    rows = [
        {
            "name": run.name,
            "what": f"{run.title}, all with {usual}",
            "mean": best[run.id]["mean_accuracy"],
            "worst": best[run.id]["worst_accuracy"],
            **{name: values[run.id] for name, values in settings.items()},
        }
        for run in measured
    ]
    return pd.DataFrame(rows), list(settings)


def show_heatmap(frame: pd.DataFrame, settings: Sequence[str]) -> None:
    """Draw the worst class over two settings that are chosen, the mean over whatever else differs."""
    options = {name: name for name in settings if frame[name].nunique() <= MOST_VALUES}
    if len(options) < 2:
        return
    left, right = st.columns(2)
    across = fields.selectbox("Across", options, name="across", place=left)
    others = {name: name for name in options if name != across}
    up = fields.selectbox("Up", others, name="up", place=right)
    cards.show_card(
        cards.Card(
            "Worst class over two settings",
            "runs_heatmap",
            charts.worst_over_settings(frame, across, up),
            "Worst class under attack; the mean where several runs have both values (seeds, say).",
        )
    )
