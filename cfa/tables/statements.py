"""What a comparison carries, in words: of two checkpoints, or of two methods with several seeds each."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from cfa.errors import ConfigError
from cfa.runs.folder import RunFolder
from cfa.tables.comparison import compare, in_words, seeds_in_words
from cfa.tables.frames import per_class_frame, summary_frame
from cfa.tables.headings import MEASURED_AS, Heading
from cfa.tables.seeds import distinct_seeds

_TITLES = {"ema": "EMA", "fawa": "FAWA"}
_CONDITION = ["dataset", "checkpoint", "attack", "norm", "eps"]


@dataclass(frozen=True)
class Statement:
    """One sentence and what it rests on.

    Attributes:
        heading: What was measured: data set and attack.
        weights: Which weights, of both sides.
        words: Mean, classes, worst class, in points with intervals.
        basis: Pairs of images, counts, or seeds.
        disagreement: Share of images that exactly one of two runs gets right; ``None`` without pairs.
    """

    heading: Heading
    weights: str
    words: str
    basis: str
    disagreement: float | None = None


def statements(
    baseline: Sequence[RunFolder], others: Sequence[RunFolder], automatic: Callable[[RunFolder], str]
) -> list[Statement]:
    """Say what is certain about one side against the other.

    Args:
        baseline: One run, or the seeds of one experiment.
        others: What is compared with it, likewise.
        automatic: The kind of weights that a run is reported with.

    Returns:
        Nothing where one side has several seeds and the other one run, or they share no evaluation.
    """
    if len(baseline) == len(others) == 1:
        return _of_two_runs(baseline[0], others[0], automatic)
    if len(baseline) > 1 and len(others) > 1:
        return _of_seeds(baseline, others, automatic)
    return []


def _of_two_runs(base: RunFolder, other: RunFolder, automatic: Callable[[RunFolder], str]) -> list[Statement]:
    try:
        entries = compare([base, other], base, automatic).entries
    except ConfigError:  # they share no evaluation
        return []
    return [
        Statement(
            Heading(*(entry[name] for name in MEASURED_AS)),
            _weights_in_words(entry["baseline_weights"], entry["weights"]),
            in_words(entry),
            _basis(entry),
            entry["disagreements"] / entry["images"] if entry["paired"] else None,
        )
        for entry in entries
    ]


def _basis(entry: Mapping[str, Any]) -> str:
    if entry["paired"]:
        return "the same images, in pairs"
    sizes = (entry["run_images"], entry["baseline_images"])
    on = f", on {sizes[0]:,} and {sizes[1]:,} of them" if sizes[0] != sizes[1] else ""
    return f"counts; not the same images{on}"


def _of_seeds(
    base: Sequence[RunFolder], others: Sequence[RunFolder], automatic: Callable[[RunFolder], str]
) -> list[Statement]:
    side_of = {run.id: side for side, runs in (("base", base), ("other", others)) for run in runs}
    summary = distinct_seeds(summary_frame(per_class_frame([*base, *others])), side_of).kept
    kinds = [(kind, kind) for kind in dict.fromkeys(summary["weights"])]
    own = (automatic(base[0]), automatic(others[0]))  # as each method is reported
    found = []
    for key, block in summary[summary["checkpoint"] != "last"].groupby(_CONDITION, sort=False):
        values: Any = key
        dataset, _, attack, norm, eps = values
        for of_base, of_other in kinds if own in kinds else [*kinds, own]:
            sides = [_seeds(block, others, of_other), _seeds(block, base, of_base)]
            if min(map(len, sides)) < 2:
                continue
            words = _in_words(*sides)
            basis = f"{len(sides[0])} and {len(sides[1])} seeds, Welch's t"
            weights = _weights_in_words(of_base, of_other)
            found.append(Statement(Heading(dataset, attack, norm, eps), weights, words, basis))
    return found


def _in_words(run: pd.DataFrame, baseline: pd.DataFrame) -> str:
    """Say what seeds of both sides carry; nothing where they were measured on different numbers of images."""
    sizes = (int(run["total"].iloc[0]), int(baseline["total"].iloc[0]))
    if sizes[0] != sizes[1]:
        return f"nothing, since {sizes[0]:,} images are not compared with {sizes[1]:,}"
    return "; ".join(
        seeds_in_words(title, run[column].tolist(), baseline[column].tolist())
        for title, column in (("mean", "mean_accuracy"), ("worst class", "worst_accuracy"))
    )


def _seeds(summary: pd.DataFrame, side: Sequence[RunFolder], weights: str) -> pd.DataFrame:
    return summary[summary["run_id"].isin([run.id for run in side]) & (summary["weights"] == weights)]


def _weights_in_words(of_baseline: str, of_other: str) -> str:
    base, other = (_TITLES.get(kind, kind) for kind in (of_baseline, of_other))
    return f"{other} weights of both" if base == other else f"{other} weights, against {base}"
