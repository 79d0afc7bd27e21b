"""Runs against a baseline: differences with intervals, and the classes that gained or paid."""

import json
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from cfa.config import format_eps
from cfa.errors import ConfigError
from cfa.results.exports import write_csv
from cfa.results.frames import per_class_frame, summary_frame
from cfa.results.rows import write_text
from cfa.results.runs import RunFolder
from cfa.statistics import changed_classes, mean_difference, worst_difference

CHECKPOINTS = ("best", "file", "last")  # which of a run's checkpoints stands for it, first choice first
_ATTACK = ["dataset", "attack", "norm", "eps"]


@dataclass(frozen=True)
class Comparison:
    """What a comparison shows.

    Attributes:
        per_class: Scores under the attacks that all runs share, columns `frames.PER_CLASS_COLUMNS`.
        summary: The same, one row per run, weights and attack, columns `frames.SUMMARY_COLUMNS`.
        entries: One per run, attack and kind of weights that both have; and automatic against automatic
            where those kinds differ. Differences are run minus baseline, in [-1, 1].
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


def shared_scores(runs: Sequence[RunFolder]) -> pd.DataFrame:
    """Tabulate the newest test scores under the attacks that all runs were evaluated with.

    Raises:
        ConfigError: There is no such attack; the message names the command that makes one.
    """
    frame = per_class_frame(runs)
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


def _entries(
    per_class: pd.DataFrame, baseline: RunFolder, run: RunFolder, weights_of_baseline: str, weights: str
) -> list[dict[str, Any]]:
    entries = []
    for attack, block in per_class.groupby(_ATTACK, sort=False):
        pair = _same_checkpoint(
            block[(block["run_id"] == baseline.id) & (block["weights"] == weights_of_baseline)],
            block[(block["run_id"] == run.id) & (block["weights"] == weights)],
        )
        if pair is None:
            continue
        of_baseline, of_run = (
            (rows["correct"].to_numpy(float), rows["total"].to_numpy(float)) for rows in pair
        )
        names = pair[1]["class_name"].tolist()
        mean, mean_interval = mean_difference(of_run, of_baseline)
        worst, worst_interval = worst_difference(of_run, of_baseline)
        better, worse = changed_classes(of_run, of_baseline)
        entries.append(
            {
                "baseline": baseline.name,
                "baseline_weights": weights_of_baseline,
                "run": run.name,
                "weights": weights,
                **dict(zip(_ATTACK, attack, strict=True)),
                "mean_difference": mean,
                "mean_difference_ci": mean_interval,
                "worst_difference": worst,
                "worst_difference_ci": worst_interval,
                "classes_better": [names[k] for k in better],
                "classes_worse": [names[k] for k in worse],
            }
        )
    return entries


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
