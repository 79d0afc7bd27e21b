"""Runs against a baseline: differences with intervals, and the classes that gained or paid."""

import json
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cfa.errors import ConfigError
from cfa.files import write_text
from cfa.notation import format_eps
from cfa.runs.choice import Measured, measured
from cfa.runs.folder import RunFolder
from cfa.runs.pairs import one_network, paired_counts
from cfa.statistics import (
    ClassChanges,
    Interval,
    PairedCounts,
    changes_in_pairs,
    changes_of_counts,
    mean_difference,
    paired_mean_difference,
    paired_worst_difference,
    worst_difference,
)
from cfa.tables.comparability import protocol_of, refusal
from cfa.tables.exports import write_csv
from cfa.tables.frames import clean_frame, measured_frame, per_class_frame, summary_frame

CHECKPOINTS = ("best", "file", "last")  # which of a run's checkpoints stands for it, first choice first
ONE_NETWORK = (
    "one network and not two: both kept the same weights, of epoch {epoch}, so nothing can differ; until its "
    "warm-up ends a method is its plain version"
)
_ATTACK = ["dataset", "attack", "norm", "eps"]
_ROW = ("run_id", "dataset", "weights", "checkpoint", "split", "attack", "norm", "eps")  # as `Measured.row`


@dataclass(frozen=True)
class Comparison:
    """What a comparison shows.

    Attributes:
        per_class: Scores under the attacks that all runs share, columns `frames.PER_CLASS_COLUMNS`.
        summary: The same, one row per run, weights and attack, columns `frames.SUMMARY_COLUMNS`.
        entries: One per run, attack and kind of weights that both have; and automatic against automatic
            where those kinds differ. Differences are run minus baseline, in [-1, 1]. ``paired`` says whether
            both were seen image by image; intervals and tests are then paired, and everything in the entry is
            about the ``images`` that both have, which may be fewer than either has. ``one_network`` is the
            epoch of the weights where both have the same ones.
        clean: Beside each row of ``per_class``, the clean accuracy on the same images (`frames.clean_frame`).
        refused: Why some of the runs are not compared with the baseline, a sentence each.
    """

    per_class: pd.DataFrame
    summary: pd.DataFrame
    entries: tuple[dict[str, Any], ...]
    clean: pd.DataFrame
    refused: tuple[str, ...] = ()

    def document(self) -> dict[str, Any]:
        """Return the comparison as plain values for JSON."""
        found = {"scores": records(self.per_class), "comparisons": list(self.entries)}
        return found | ({"refused": list(self.refused)} if self.refused else {})


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Turn a table into dictionaries that JSON can hold; missing values are ``None``."""
    plain = frame.astype(object).where(frame.notna(), None)
    return [dict(zip(plain.columns, row, strict=True)) for row in plain.itertuples(index=False, name=None)]


def shared_scores(runs: Sequence[RunFolder], frame: pd.DataFrame | None = None) -> pd.DataFrame:
    """Tabulate the test scores that count under the attacks that all runs were evaluated with.

    Args:
        runs: The runs.
        frame: Their per-class scores, where they have been read already.

    Raises:
        ConfigError: There is no such attack; the message names the command that makes one.
    """
    frame = per_class_frame(runs) if frame is None else frame
    frame = frame[frame["split"] == "test"]
    evaluated = frame.groupby(_ATTACK, sort=False)["run_id"].nunique()
    shared = evaluated[evaluated == len({run.id for run in runs})]
    # Clean accuracy alone is no comparison of robustness, unless nobody asked for more.
    norms = set(shared.index.get_level_values("norm"))  # `none` is clean
    if not norms or (norms == {"none"} and bool((frame["norm"] != "none").any())):
        raise ConfigError(
            f"runs {', '.join(run.name for run in runs)} share no test evaluation; run: {_command(runs)}"
        )
    kept = pd.MultiIndex.from_frame(frame[_ATTACK]).isin(shared.index)
    return frame[kept].reset_index(drop=True)


def compare(
    runs: Sequence[RunFolder], baseline: RunFolder, automatic: Callable[[RunFolder], str]
) -> Comparison:
    """Compare runs with a baseline, on the test evaluations that count and that all of them share.

    Args:
        runs: Two or more, the baseline among them or not.
        baseline: What the others are measured against.
        automatic: The kind of weights that a run is reported with (`cfa.evaluation.default_weights`).

    Raises:
        ConfigError: Fewer than two runs, or no shared evaluation.
    """
    others = [run for run in _unique(runs) if run.id != baseline.id]
    if not others:
        raise ConfigError(f"a comparison needs two runs or more, and this names {baseline.name!r} alone")
    found = measured([baseline, *others])
    per_class = shared_scores([baseline, *others], measured_frame(found))
    rows = {one.row: one for one in found}
    protocol = protocol_of(baseline.config, baseline.manifest)
    refused = {run.id: refusal([protocol_of(run.config, run.manifest)], [protocol]) for run in others}
    entries = [
        entry
        for run in others
        if not refused[run.id]
        for pair in _pairs(per_class, baseline, run, automatic)
        for entry in _entries(per_class, rows, baseline, run, *pair)
    ]
    said = tuple(f"{run.name}: {refused[run.id]}" for run in others if refused[run.id])
    return Comparison(per_class, summary_frame(per_class), tuple(entries), clean_frame(found), said)


def save_comparison(comparison: Comparison, folder: Path) -> None:
    """Write ``per_class.csv``, ``summary.csv`` and ``comparison.json`` into ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    write_csv(comparison.per_class, folder / "per_class.csv")
    write_csv(comparison.summary, folder / "summary.csv")
    write_text(folder / "comparison.json", json.dumps(comparison.document(), indent=1))


def _pairs(
    per_class: pd.DataFrame,
    baseline: RunFolder,
    run: RunFolder,
    automatic: Callable[[RunFolder], str],
) -> list[tuple[str, str]]:
    """List what is compared: (weights of the baseline, weights of the run)."""
    kinds = [
        list(dict.fromkeys(per_class.loc[per_class["run_id"] == which.id, "weights"]))
        for which in (baseline, run)
    ]
    pairs = [(kind, kind) for kind in kinds[0] if kind in kinds[1]]
    chosen = (automatic(baseline), automatic(run))
    if chosen[0] != chosen[1] and chosen[0] in kinds[0] and chosen[1] in kinds[1]:
        pairs.append(chosen)
    return pairs


def in_words(entry: Mapping[str, Any]) -> str:
    """Say what an entry carries: mean, classes, worst class, in percentage points with 95 % intervals."""
    fewer = on_common_images(entry)
    if entry["one_network"] is not None:
        return ONE_NETWORK.format(epoch=entry["one_network"])
    if entry["paired"] and not entry["disagreements"]:
        return f"equal on every one of the {entry['images']:,} images" + (" that both have" if fewer else "")
    return "; ".join(
        [
            *([fewer] if fewer else []),
            f"mean {in_points(entry['mean_difference'], entry['mean_difference_ci'])}",
            changed_classes(entry["classes_better"], entry["classes_worse"]),
            f"worst class {in_points(entry['worst_difference'], entry['worst_difference_ci'])}",
        ]
    )


def changed_classes(better: Sequence[str], worse: Sequence[str]) -> str:
    """Say which classes are better and which are worse for certain."""
    named = ((_listed(better), "better"), (_listed(worse), "worse"))
    return ", ".join(f"{names} {what}" for names, what in named if names) or "no class differs for certain"


def on_common_images(entry: Mapping[str, Any]) -> str:
    """Say mean and worst class of both on the images that both have; empty where each has just those."""
    if not entry["paired"] or entry["images"] == entry["run_images"] == entry["baseline_images"]:
        return ""
    mean, worst = (
        f"{100 * entry[name]:.1f} against {100 * entry[f'baseline_{name}']:.1f}" for name in ("mean", "worst")
    )
    return f"on the {entry['images']:,} images that both have: mean {mean}, worst class {worst}"


def in_points(value: float, ends: Sequence[float]) -> str:
    """Write a difference of fractions in points, with the ends of its interval where it has one."""
    # Rounded twice, so that 0.25 is one number in whatever order it was summed up; + 0.0: no minus zero.
    middle, *found = (round(round(100 * number, 9), 1) + 0.0 for number in (value, *ends))
    interval = f" [{found[0]:.1f}, {found[1]:.1f}]" if found else ""
    return f"{middle:+.1f}{interval}".replace("-", "\N{MINUS SIGN}")


def _listed(names: Sequence[str], most: int = 5) -> str:
    """Join names: ``bird and cat``; of many the first few, and how many more."""
    shown, more = list(names[:most]), len(names) - most
    if more > 0:
        shown.append(f"{more} more")
    return shown[0] if len(shown) == 1 else ", ".join(shown[:-1]) + f" and {shown[-1]}" if shown else ""


def _entries(
    per_class: pd.DataFrame,
    rows: Mapping[tuple[object, ...], Measured],
    baseline: RunFolder,
    run: RunFolder,
    weights_of_baseline: str,
    weights: str,
) -> list[dict[str, Any]]:
    entries = []
    for attack, block in per_class.groupby(_ATTACK, sort=False):
        pair = _same_checkpoint(
            block[(block["run_id"] == baseline.id) & (block["weights"] == weights_of_baseline)],
            block[(block["run_id"] == run.id) & (block["weights"] == weights)],
        )
        if pair is None:
            continue
        old, new = (rows[tuple(side.iloc[0][list(_ROW)])] for side in pair)
        entries.append(
            {
                "baseline": baseline.name,
                "baseline_weights": weights_of_baseline,
                "run": run.name,
                "weights": weights,
                "baseline_checkpoint": old.evaluation.checkpoint,
                "checkpoint": new.evaluation.checkpoint,
                **dict(zip(_ATTACK, attack, strict=True)),
                **_difference(old, new, pair[1]["class_name"].tolist()),
            }
        )
    return entries


def _difference(baseline: Measured, run: Measured, names: Sequence[str]) -> dict[str, Any]:
    """Compare two measurements: in pairs on the images that both have, or else their counts."""
    counts = paired_counts(baseline, run)
    found = _Difference.paired(counts) if counts else _Difference.of_counts(baseline, run)
    return {
        "mean_difference": found.mean[0],
        "mean_difference_ci": list(found.mean[1]),
        "worst_difference": found.worst[0],
        "worst_difference_ci": list(found.worst[1]),
        "classes_better": [names[k] for k in found.changed.better],
        "classes_worse": [names[k] for k in found.changed.worse],
        "paired": counts is not None,
        "images": int(counts.total.sum()) if counts else run.images,
        "disagreements": int((counts.lost + counts.gained).sum()) if counts else None,
        "baseline_images": baseline.images,
        "run_images": run.images,
        "one_network": one_network(baseline, run),
        "baseline_mean": float(found.accuracies[0].mean()),
        "mean": float(found.accuracies[1].mean()),
        "baseline_worst": float(found.accuracies[0].min()),
        "worst": float(found.accuracies[1].min()),
    }


@dataclass(frozen=True, eq=False)
class _Difference:
    """Mean and worst class with their intervals, the classes that changed, and accuracies of both sides."""

    mean: tuple[float, Interval]
    worst: tuple[float, Interval]
    changed: ClassChanges
    accuracies: tuple[np.ndarray, np.ndarray]

    @classmethod
    def paired(cls, counts: PairedCounts) -> "_Difference":
        return cls(
            paired_mean_difference(counts),
            paired_worst_difference(counts),
            changes_in_pairs(counts),
            (counts.baseline / counts.total, counts.run / counts.total),
        )

    @classmethod
    def of_counts(cls, baseline: Measured, run: Measured) -> "_Difference":
        new, old = (
            (np.array(one.scores.correct, float), np.array(one.scores.total, float))
            for one in (run, baseline)
        )
        return cls(
            mean_difference(new, old),
            worst_difference(new, old),
            changes_of_counts(new, old),
            (old[0] / old[1], new[0] / new[1]),
        )


def _same_checkpoint(baseline: pd.DataFrame, run: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame] | None:
    """Pick a checkpoint that both have, or else each one's first choice; ``None`` where one has none."""
    theirs, ours = set(baseline["checkpoint"]), set(run["checkpoint"])
    if not theirs or not ours:
        return None
    common = [c for c in CHECKPOINTS if c in theirs and c in ours]
    chosen = [common[0] if common else min(found, key=_preference) for found in (theirs, ours)]
    return baseline[baseline["checkpoint"] == chosen[0]], run[run["checkpoint"] == chosen[1]]


def _preference(checkpoint: str) -> tuple[int, str]:
    known = CHECKPOINTS.index(checkpoint) if checkpoint in CHECKPOINTS else len(CHECKPOINTS)
    return known, checkpoint


def _unique(runs: Sequence[RunFolder]) -> list[RunFolder]:
    return list({run.id: run for run in runs}.values())


def _command(runs: Sequence[RunFolder]) -> str:
    """Write the command that evaluates all runs alike."""
    first = runs[0].config
    names = " ".join(shlex.quote(run.name) for run in runs)
    command = f"cfa evaluate {names} --attack pgd-20"
    if len({run.config.attack.eps for run in runs}) > 1:
        command += f" --eps {format_eps(first.attack.eps)}"
    if len({run.config.dataset for run in runs}) > 1:
        command += f" --dataset {shlex.quote(first.dataset)}"
    return command
