"""Evaluations that stopped once they were certain, as rows that say so and hold their own ends.

Beside the functions here nothing turns one into a row: no table, chart, export or report takes it for an
evaluation of all images.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pandas as pd

from cfa.runs.columns import Columns
from cfa.runs.folder import RunFolder
from cfa.runs.rows import Scores
from cfa.runs.sequential import Reached, SequentialEvaluation
from cfa.tables.comparison import records
from cfa.tables.frames import LEADING_COLUMNS, PER_CLASS_COLUMNS, SUMMARY_COLUMNS, scores_frame

Stopped = tuple[RunFolder, SequentialEvaluation]


def stopped_per_class(made: Iterable[Stopped]) -> pd.DataFrame:
    """Tabulate the classes of sequential evaluations.

    Returns:
        Columns :data:`PER_CLASS_COLUMNS`: ``attack`` says how many images of how many, ``ci_low`` and
        ``ci_high`` are the ends that hold at every moment for all classes at once.
    """
    blocks = []
    for run, evaluation, reached, scores in _each(made):
        block = scores_frame(run, evaluation.counted, [scores])
        block[["ci_low", "ci_high"]] = np.asarray(reached.classes)
        blocks.append(block)
    return pd.concat(blocks, ignore_index=True) if blocks else pd.DataFrame(columns=PER_CLASS_COLUMNS)


def stopped_summary(made: Sequence[Stopped]) -> pd.DataFrame:
    """Reduce them to a row for each attack.

    Returns:
        Columns :data:`SUMMARY_COLUMNS`: the mean and its ends are empty where nobody asked for it, and
        ``worst_class`` names all classes that can be the worst one.
    """
    rows = []
    for run, evaluation, reached, scores in _each(made):
        block = scores_frame(run, evaluation.counted, [scores])
        possible = block.iloc[list(reached.candidates)]
        mean_low, mean_high = reached.mean or (None, None)
        rows.append(
            {
                **block.iloc[0][LEADING_COLUMNS],
                "total": sum(scores.total),
                "mean_accuracy": reached.mean_accuracy,
                "worst_class": ", ".join(possible["class_name"]),
                "worst_accuracy": float(possible["accuracy"].min()),
                "mean_ci_low": mean_low,
                "mean_ci_high": mean_high,
                "worst_ci_low": reached.worst[0],
                "worst_ci_high": reached.worst[1],
            }
        )
    return pd.DataFrame.from_records(rows, columns=SUMMARY_COLUMNS)


def stopped_documents(made: Sequence[Stopped]) -> list[dict[str, Any]]:
    """Return plain values for JSON: what was asked for, how images were drawn, and what is certain."""
    summary = records(stopped_summary(made))
    return [
        {
            "run": run.name,
            "evaluation": evaluation.id,
            "title": evaluation.title,
            "targets": asdict(evaluation.targets),
            "permutation_seed": evaluation.permutation_seed,
            "images_of_a_class_at_a_time": evaluation.draw,
            "images_of_each_class": list(evaluation.sizes),
            "attacked_of_each_class": list(scores.total),
            "tied": reached.tied,
            "rounds": reached.rounds,
            **row,
        }
        for (run, evaluation, reached, scores), row in zip(_each(made), summary, strict=True)
    ]


def _each(made: Iterable[Stopped]) -> Iterator[tuple[RunFolder, SequentialEvaluation, Reached, Scores]]:
    """Give what is certain under each attack, with its counts, whose attack is named for what they are."""
    for run, evaluation in made:
        columns = Columns(evaluation.counted.columns)
        for reached in evaluation.reached:
            counts = next(
                scores
                for scores in evaluation.counted.scores
                if (column := columns.of_scores(scores)) is not None and column.name == reached.column
            )
            yield run, evaluation, reached, replace(counts, attack=f"{counts.attack} ({evaluation.title})")
