"""Runs against a baseline: differences with intervals, and the classes that gained or paid."""

import json
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from cfa.config import format_eps
from cfa.errors import ConfigError
from cfa.files import write_text
from cfa.results.evaluations import Evaluation, outcomes_file, read_outcomes
from cfa.results.exports import write_csv
from cfa.results.frames import newest_scores, per_class_frame, summary_frame
from cfa.results.runs import RunFolder
from cfa.statistics import (
    Interval,
    PairedCounts,
    changed_classes,
    mean_difference,
    paired_changed_classes,
    paired_mean_difference,
    paired_worst_difference,
    seeds_difference,
    worst_difference,
)

CHECKPOINTS = ("best", "file", "last")  # which of a run's checkpoints stands for it, first choice first
_ATTACK = ["dataset", "attack", "norm", "eps"]


@dataclass(frozen=True)
class Comparison:
    """What a comparison shows.

    Attributes:
        per_class: Scores under the attacks that all runs share, columns `frames.PER_CLASS_COLUMNS`.
        summary: The same, one row per run, weights and attack, columns `frames.SUMMARY_COLUMNS`.
        entries: One per run, attack and kind of weights that both have; and automatic against automatic
            where those kinds differ. Differences are run minus baseline, in [-1, 1]. ``paired`` says whether
            both saw the same images, image by image; intervals and tests are then paired.
    """

    per_class: pd.DataFrame
    summary: pd.DataFrame
    entries: tuple[dict[str, Any], ...]

    def document(self) -> dict[str, Any]:
        """Return the comparison as plain values for JSON."""
        return {"scores": records(self.per_class), "comparisons": list(self.entries)}


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Turn a table into dictionaries that JSON can hold; missing values are ``None``."""
    plain = frame.astype(object).where(frame.notna(), None)
    return [dict(zip(plain.columns, row, strict=True)) for row in plain.itertuples(index=False, name=None)]


def shared_scores(runs: Sequence[RunFolder], frame: pd.DataFrame | None = None) -> pd.DataFrame:
    """Tabulate the newest test scores under the attacks that all runs were evaluated with.

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
    robust_somewhere = bool((frame["attack"] != "clean").any())
    attacks = set(shared.index.get_level_values("attack"))
    if not attacks or (robust_somewhere and attacks == {"clean"}):
        raise ConfigError(
            f"runs {', '.join(run.name for run in runs)} share no test evaluation; run: {_command(runs)}"
        )
    kept = pd.MultiIndex.from_frame(frame[_ATTACK]).isin(shared.index)
    return frame[kept].reset_index(drop=True)


def compare(
    runs: Sequence[RunFolder], baseline: RunFolder, automatic: Callable[[RunFolder], str]
) -> Comparison:
    """Compare runs with a baseline, on the newest test evaluations that all of them share.

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
    per_class = shared_scores([baseline, *others])
    entries = [
        entry
        for run in others
        for pair in _pairs(per_class, baseline, run, automatic)
        for entry in _entries(per_class, baseline, run, *pair)
    ]
    return Comparison(per_class, summary_frame(per_class), tuple(entries))


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
    if entry["paired"] and not entry["disagreements"]:
        return f"equal on every one of the {entry['images']:,} images"
    better, worse = (_listed(entry[name]) for name in ("classes_better", "classes_worse"))
    changed = [f"{names} {what}" for names, what in ((better, "better"), (worse, "worse")) if names]
    return "; ".join(
        [
            f"mean {_points(entry['mean_difference'], entry['mean_difference_ci'])}",
            ", ".join(changed) or "no class differs for certain",
            f"worst class {_points(entry['worst_difference'], entry['worst_difference_ci'])}",
        ]
    )


def seeds_in_words(name: str, run: Sequence[float], baseline: Sequence[float]) -> str:
    """Say what several seeds of two methods carry about a figure, by Welch's t interval.

    Args:
        name: What the figure is: ``mean``, ``worst class``.
        run: The figure of each seed.
        baseline: The same of the baseline's.
    """
    value, interval = seeds_difference(run, baseline)
    return f"{name} {_points(value, interval)}"


def _points(value: float, ends: Sequence[float]) -> str:
    middle, low, high = (round(100 * number, 1) + 0.0 for number in (value, *ends))  # + 0.0: no minus zero
    return f"{middle:+.1f} [{low:.1f}, {high:.1f}]".replace("-", "\N{MINUS SIGN}")


def _listed(names: Sequence[str], most: int = 5) -> str:
    """Join names: ``bird and cat``; of many the first few, and how many more."""
    shown, more = list(names[:most]), len(names) - most
    if more > 0:
        shown.append(f"{more} more")
    return shown[0] if len(shown) == 1 else ", ".join(shown[:-1]) + f" and {shown[-1]}" if shown else ""


def _entries(
    per_class: pd.DataFrame, baseline: RunFolder, run: RunFolder, weights_of_baseline: str, weights: str
) -> list[dict[str, Any]]:
    entries = []
    of_baseline_images, of_run_images = _Images.of(baseline), _Images.of(run)
    for attack, block in per_class.groupby(_ATTACK, sort=False):
        pair = _same_checkpoint(
            block[(block["run_id"] == baseline.id) & (block["weights"] == weights_of_baseline)],
            block[(block["run_id"] == run.id) & (block["weights"] == weights)],
        )
        if pair is None:
            continue
        names = pair[1]["class_name"].tolist()
        counts = paired_counts(of_baseline_images, of_run_images, *pair)
        found = _Difference.paired(counts) if counts else _Difference.of_counts(*pair)
        entries.append(
            {
                "baseline": baseline.name,
                "baseline_weights": weights_of_baseline,
                "run": run.name,
                "weights": weights,
                **dict(zip(_ATTACK, attack, strict=True)),
                "mean_difference": found.mean[0],
                "mean_difference_ci": list(found.mean[1]),
                "worst_difference": found.worst[0],
                "worst_difference_ci": list(found.worst[1]),
                "classes_better": [names[k] for k in found.changed[0]],
                "classes_worse": [names[k] for k in found.changed[1]],
                "paired": counts is not None,
                "images": int(pair[1]["total"].sum()),
                "disagreements": int((counts.lost + counts.gained).sum()) if counts else None,
            }
        )
    return entries


@dataclass(frozen=True)
class _Difference:
    """Mean and worst class with their intervals, and the classes that changed."""

    mean: tuple[float, Interval]
    worst: tuple[float, Interval]
    changed: tuple[list[int], list[int]]

    @classmethod
    def paired(cls, counts: PairedCounts) -> "_Difference":
        return cls(
            paired_mean_difference(counts), paired_worst_difference(counts), paired_changed_classes(counts)
        )

    @classmethod
    def of_counts(cls, baseline: pd.DataFrame, run: pd.DataFrame) -> "_Difference":
        new, old = (
            (rows["correct"].to_numpy(float), rows["total"].to_numpy(float)) for rows in (run, baseline)
        )
        return cls(mean_difference(new, old), worst_difference(new, old), changed_classes(new, old))


@dataclass(frozen=True)
class _Images:
    """The newest evaluations of a run by what they measured, to read their outcomes from."""

    run: RunFolder
    evaluations: Mapping[tuple[object, ...], Evaluation]

    @classmethod
    def of(cls, run: RunFolder) -> "_Images":
        keyed: dict[tuple[object, ...], Evaluation] = {
            (e.dataset, e.weights, e.checkpoint, s.attack, s.norm, s.eps): e for e, s in newest_scores(run)
        }
        return cls(run, keyed)

    def outcomes(self, rows: pd.DataFrame) -> dict[str, Any] | None:
        """Read image, label and whether each was right; ``None`` where it was not kept."""
        first = rows.iloc[0]
        key = tuple(first[name] for name in ("dataset", "weights", "checkpoint", "attack", "norm", "eps"))
        evaluation = self.evaluations.get(key)
        if evaluation is None or not outcomes_file(self.run, evaluation.id).exists():
            return None
        try:
            table = read_outcomes(self.run, evaluation.id, ("image", "label", first["attack"]))
        except (OSError, pa.ArrowInvalid):  # damaged: the counts are known all the same
            return None
        if first["attack"] not in table:
            return None
        return {**table, "right": table[first["attack"]] == table["label"]}

    @property
    def fingerprint(self) -> str:
        """Tell which data set it was."""
        manifest = self.run.manifest
        return manifest.data_fingerprint if manifest else ""


def paired_counts(
    baseline: _Images, run: _Images, of_baseline: pd.DataFrame, of_run: pd.DataFrame
) -> PairedCounts | None:
    """Count who is right about each image, class by class; ``None`` unless both saw the same images."""
    if baseline.fingerprint != run.fingerprint:
        return None
    one, other = baseline.outcomes(of_baseline), run.outcomes(of_run)
    if one is None or other is None:
        return None
    if not all(np.array_equal(one[name], other[name]) for name in ("image", "label")):
        return None
    return PairedCounts.of(one["label"], one["right"], other["right"], len(of_run))


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
        command += f" --dataset {first.dataset}"
    return command
