"""Evaluations of several budgets, and of the smallest perturbation of every image: what Sweep draws."""

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from app.engine.evaluated import evaluated_runs, evaluations
from app.engine.image_outcomes import ImageOutcomes
from app.engine.snapshots import Run
from app.process.opened import folder_at
from app.process.rights import looks
from app.process.stamps import stamp_of
from cfa.errors import StoreError
from cfa.notation import CLEAN
from cfa.runs.evaluations import Evaluation, columns_of, outcomes_file, read_evaluation
from cfa.tables.frames import evaluations_frame, summary_frame


@looks
def is_sweep(evaluation: Evaluation) -> bool:
    """Tell whether an evaluation is one of several budgets."""
    return bool(evaluation.plan.get("eps_sweep")) and any(row.attack != CLEAN for row in evaluation.scores)


@looks
def finds_minimum(run: Run, evaluation: Evaluation) -> bool:
    """Tell whether an evaluation of a run looked for the smallest perturbation of every image."""
    if evaluation.columns:
        return any(column.holds == "norms" for column in evaluation.columns)
    path, stamp = run.folder.path, stamp_of(outcomes_file(run.folder, evaluation.id))
    return _has_norms(str(path), evaluation.id, stamp)


@st.cache_resource(max_entries=500, show_spinner=False)
def _has_norms(path: str, evaluation_id: str, stamp: tuple[int, int]) -> bool:
    """Look into the table of an evaluation that does not say what its columns are."""
    folder = folder_at(path)
    try:
        columns = columns_of(folder, read_evaluation(folder, evaluation_id))
    except StoreError:  # Classes says what is wrong with it
        return False
    return any(column.holds == "norms" for column in columns)


@looks
def swept_runs() -> list[Run]:
    """List the runs with a sweep or smallest perturbations, newest first; unreadable ones are left out."""
    found = []
    for run in evaluated_runs():
        try:
            if any(is_sweep(evaluation) or finds_minimum(run, evaluation) for evaluation in evaluations(run)):
                found.append(run)
        except StoreError:
            continue  # Evaluate and Runs say what is wrong with it
    return found


@looks
def sweep_scores(chosen: Sequence[tuple[Run, Evaluation]]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Tabulate sweeps: per class, and reduced to mean and worst class, in the contracted columns."""
    per_class = evaluations_frame([(run.folder, evaluation) for run, evaluation in chosen])
    return per_class, summary_frame(per_class)


@looks
def smallest_perturbations(found: ImageOutcomes) -> pd.DataFrame:
    """Tabulate the smallest perturbation found of every image.

    Returns:
        Columns ``image, class_index, class_name, attack, length``; 0 where the image is wrong without a
        perturbation, infinite where none was found.

    Raises:
        StoreError: The evaluation says that it looked for them, and has none.
    """
    table = found.index.outcomes
    # In a sweep the smallest budget's attack, which comes first, saw every image.
    norms = next((column for column in found.index.columns if column.holds == "norms"), None)
    if norms is None:
        raise StoreError(f"evaluation {found.evaluation.id} has no lengths of perturbations; evaluate again")
    return pd.DataFrame(
        {
            "image": table["image"],
            "class_index": table["label"],
            "class_name": [found.class_names[label] for label in table["label"]],
            "attack": norms.attack,
            "length": table[norms.name].astype(float),
        }
    )
