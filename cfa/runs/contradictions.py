"""Evaluations that contradict themselves: counts that are not those of the outcomes stored beside them.

Whoever edits a number in ``evaluation.json`` leaves a file that reads well. What became of every image lies
beside it, and says otherwise.
"""

from collections.abc import Sequence

import numpy as np

from cfa.errors import StoreError
from cfa.notation import format_eps
from cfa.runs.evaluations import Evaluation, columns_of, read_outcomes, settings_of
from cfa.runs.folder import RunFolder
from cfa.runs.rows import Scores


def counts_of(label: np.ndarray, right: np.ndarray, classes: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Count the images that are right, and all of them, class by class."""
    total, correct = (np.bincount(found, minlength=classes) for found in (label, label[right]))
    return tuple(correct.tolist()), tuple(total.tolist())


def contradiction(run: RunFolder, evaluation: Evaluation) -> str | None:
    """Say how an evaluation contradicts itself, as a phrase; ``None`` where it does not, or nothing tells."""
    swept: Sequence[float] = evaluation.plan.get("eps_sweep") or ()
    for scores in evaluation.scores:
        known = settings_of(evaluation, scores).get("eps")
        if scores.norm != "none" and isinstance(known, float) and scores.eps not in (known, *swept):
            return f"its settings know {scores.attack} at another budget than {format_eps(scores.eps)}"
    try:
        columns = columns_of(run, evaluation)
        table = read_outcomes(run, evaluation.id, ("label", *(column.name for column in columns.wholes())))
    except StoreError:
        return None
    if "label" not in table or len(table) == 1:
        return None  # nothing was kept of the attacks
    for scores in evaluation.scores:
        column = columns.of_scores(scores)
        if column is None or column.name not in table:
            return f"its outcomes know no attack {scores.attack}"
        if not _adds_up(scores, table["label"], table[column.name]):
            return f"its counts of {scores.attack} are not those of its outcomes"
    return None


def _adds_up(scores: Scores, label: np.ndarray, predicted: np.ndarray) -> bool:
    classes = len(scores.total)
    if len(label) and not 0 <= int(label.min()) <= int(label.max()) < classes:
        return False
    return counts_of(label, predicted == label, classes) == (scores.correct, scores.total)
