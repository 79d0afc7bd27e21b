"""What a comparison carries, in words: of two checkpoints, or of two methods with several seeds each."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from cfa.errors import ConfigError
from cfa.runs.folder import RunFolder
from cfa.tables.comparability import protocol_of, refusal
from cfa.tables.comparison import changed_classes, compare, in_words
from cfa.tables.frames import per_class_frame, summary_frame
from cfa.tables.headings import MEASURED_AS, Heading
from cfa.tables.seeds import common_weights, distinct_seeds
from cfa.tables.verdict_words import change
from cfa.tables.verdicts import PairVerdict, verdict_over_seeds

_TITLES = {"ema": "EMA", "fawa": "FAWA"}
WELCH = "Welch's t"
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
        Nothing where one side has several seeds and the other one run, they share no evaluation, or they are
        not comparable.
    """
    if refusal(*([protocol_of(run.config, run.manifest) for run in side] for side in (others, baseline))):
        return []
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
    per_class = per_class_frame([*base, *others])
    scores = distinct_seeds(summary_frame(per_class), side_of).of(per_class)
    kinds = [(kind, kind) for kind in dict.fromkeys(scores["weights"])]
    own = (common_weights(base, automatic), common_weights(others, automatic))  # as each is reported
    found = []
    for key, block in scores[scores["checkpoint"] != "last"].groupby(_CONDITION, sort=False):
        values: Any = key
        dataset, _, attack, norm, eps = values
        for of_base, of_other in kinds if own in kinds else [*kinds, own]:
            sides = [_seeds(block, others, of_other), _seeds(block, base, of_base)]
            counts = [side["seed"].nunique() for side in sides]
            if min(counts) < 2:
                continue
            verdict = verdict_over_seeds(sides[0], sides[1], (of_other, of_base))
            paired = verdict is not None and verdict.basis == "paired seeds"
            basis = f"{counts[0]} and {counts[1]} seeds, {'in pairs' if paired else WELCH}"
            words = _other_images(sides) if verdict is None else _in_words(verdict)
            weights = _weights_in_words(of_base, of_other)
            found.append(Statement(Heading(dataset, attack, norm, eps), weights, words, basis))
    return found


def _in_words(verdict: PairVerdict) -> str:
    """Say what seeds of both sides carry, in the order of the words about two runs."""
    better, worse = ([one.name for one in verdict.certain if one.difference * sign > 0] for sign in (1, -1))
    return "; ".join(
        [
            f"mean {change(verdict.mean)}",
            changed_classes(better, worse),
            f"worst class {change(verdict.worst)}",
        ]
    )


def _other_images(sides: Sequence[pd.DataFrame]) -> str:
    sizes = [int(side[side["seed"] == side["seed"].iloc[0]]["total"].sum()) for side in sides]
    return f"nothing, since {sizes[0]:,} images are not compared with {sizes[1]:,}"


def _seeds(scores: pd.DataFrame, side: Sequence[RunFolder], weights: str) -> pd.DataFrame:
    return scores[scores["run_id"].isin([run.id for run in side]) & (scores["weights"] == weights)]


def _weights_in_words(of_baseline: str, of_other: str) -> str:
    base, other = (_TITLES.get(kind, kind) for kind in (of_baseline, of_other))
    return f"{other} weights of both" if base == other else f"{other} weights, against {base}"
