"""Histories of several runs as curves: one measure over epochs, seeds of one experiment as a band. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

MEAN, WORST = "mean of classes", "worst class"
COLUMNS = ["key", "series", "epoch", "value", "low", "high", "measured"]


@dataclass(frozen=True, eq=False)
class RunCurve:
    """One run's measure over epochs.

    Attributes:
        key: Equal for runs that are one curve.
        series: What the legend calls it.
        method: Its run's.
        values: By epoch.
    """

    key: str
    series: str
    method: str
    values: pd.Series


def of_measure(frame: pd.DataFrame, column: str, measure: str) -> pd.Series:
    """Return a measure by epoch.

    Args:
        frame: Columns ``epoch, class_name`` and ``column``, a row a class and epoch.
        column: What is measured.
        measure: :data:`MEAN`, :data:`WORST` (the lowest), or the name of a class.
    """
    if measure in (MEAN, WORST):
        grouped = frame.dropna(subset=[column]).groupby("epoch")[column]
        return (grouped.mean() if measure == MEAN else grouped.min()).astype(float)
    own = frame[frame["class_name"] == measure].dropna(subset=[column])
    return own.set_index("epoch")[column].astype(float).sort_index()


def as_curves(measured: Sequence[RunCurve], smoothing: float = 0.0) -> pd.DataFrame:
    """Put runs of one key together: their mean, and one standard deviation over seeds on either side.

    Of several seeds only the epochs count that all of them have reached: a mean of other seeds in every epoch
    would move because seeds come and go.

    Args:
        measured: Runs, in the order of the legend.
        smoothing: Weight of the past in [0, 1), as in TensorBoard; 0 leaves everything as it was measured.

    Returns:
        Columns :data:`COLUMNS`; no band where there is one seed.
    """
    frames = []
    for key in dict.fromkeys(one.key for one in measured):
        alike = [one for one in measured if one.key == key and len(one.values)]
        if not alike:
            continue
        table = pd.concat([one.values for one in alike], axis=1, join="inner").sort_index()
        middle, spread = table.mean(axis=1), table.std(axis=1, ddof=1)
        several = len(alike) > 1
        frame = pd.DataFrame({"epoch": table.index, "measured": middle.to_numpy()})
        frame["value"] = smoothed(middle, smoothing).to_numpy()
        for name, ends in (("low", middle - spread), ("high", middle + spread)):
            frame[name] = smoothed(ends, smoothing).to_numpy() if several else float("nan")
        seeds = f" ({len(alike)} seeds)" if several else ""
        frames.append(frame.assign(key=key, series=alike[0].series + seeds))
    if not frames:
        return pd.DataFrame(columns=COLUMNS)
    return pd.concat(frames, ignore_index=True)[COLUMNS]


def smoothed(values: pd.Series, weight: float) -> pd.Series:
    """Return the mean of each value and all before it, each counting ``weight`` times its successor."""
    return values.ewm(alpha=1 - weight, adjust=True).mean() if weight > 0 else values


def best_epoch(validation: pd.DataFrame) -> int | None:
    """Return the epoch whose weights are kept as the best: mean plus worst class, the first of equals.

    Args:
        validation: Robust accuracy of one kind of weights, columns ``epoch, accuracy``.
    """
    if validation.empty:
        return None
    grouped = validation.groupby("epoch")["accuracy"]
    score = (grouped.mean() + grouped.min()).round(12)  # equal counts are equal, in whatever order
    best: int = score.index.to_numpy()[score.to_numpy().argmax()]
    return int(best)


def best_epochs(robust: pd.DataFrame) -> dict[str, int]:
    """Return the epoch whose weights are kept as the best, by kind of weights.

    Args:
        robust: Robust accuracy on the images that choose, columns ``weights, epoch, accuracy``.
    """
    found = {str(kind): best_epoch(block) for kind, block in robust.groupby("weights", sort=False)}
    return {kind: epoch for kind, epoch in found.items() if epoch is not None}


def overfitting_lines(
    history: pd.DataFrame, weights: str, attack: str, measure: str
) -> tuple[pd.DataFrame, str]:
    """Return robust accuracy by split, and how far training is ahead of the images it never saw.

    Args:
        history: Per-class scores of every epoch and split.
        weights: Of the validation and the test probe; training is always that of the online weights.
        attack: What validation attacks with.
        measure: As in :func:`of_measure`.

    Returns:
        Columns ``split, epoch, value``, the last split ``gap``; and the split that the gap is to.
    """
    training = history[(history["split"] == "train") & (history["attack"] == "training")]
    attacked = history[(history["attack"] == attack) & (history["weights"] == weights)]
    found = {
        "train": of_measure(training, "accuracy", measure),
        **{s: of_measure(attacked[attacked["split"] == s], "accuracy", measure) for s in ("val", "test")},
    }
    unseen = "test" if len(found["test"]) else "val"
    found["gap"] = (found["train"] - found[unseen]).dropna()
    blocks = [
        pd.DataFrame({"split": split, "epoch": values.index, "value": values.to_numpy()})
        for split, values in found.items()
        if len(values)
    ]
    table = (
        pd.concat(blocks, ignore_index=True) if blocks else pd.DataFrame(columns=["split", "epoch", "value"])
    )
    return table, unseen


def learning_rate_drops(epochs: pd.DataFrame) -> list[int]:
    """Return the epochs that begin with a lower learning rate than the one before."""
    ordered = epochs.sort_values("epoch")
    drops = ordered["learning_rate"].diff() < -1e-12
    return [int(epoch) for epoch in ordered.loc[drops, "epoch"]]
