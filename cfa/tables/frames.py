"""Rows into pandas: the only place where pandas appears, and the source of every table, chart and CSV."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from cfa.notation import CLEAN
from cfa.runs.choice import Measured, clean_beside, measured
from cfa.runs.evaluations import Evaluation
from cfa.runs.folder import RunFolder
from cfa.runs.rows import Epoch, KnobValues, Scores
from cfa.statistics import (
    GROUPS,
    Group,
    boundary_error,
    class_mean_interval,
    frl_gap,
    gini,
    nrr,
    nsd,
    rho_of,
    spread,
    standard_deviation,
    wilson,
    worst_class_interval,
    worst_share,
)

IDENTITY_COLUMNS = ["run_id", "run_name", "method", "dataset", "model", "seed"]
SCORE_COLUMNS = ["weights", "checkpoint", "epoch", "split", "attack", "norm", "eps"]
LEADING_COLUMNS = [*IDENTITY_COLUMNS, *SCORE_COLUMNS]
PER_CLASS_COLUMNS = [
    *LEADING_COLUMNS,
    *("class_index", "class_name", "correct", "total", "accuracy", "ci_low", "ci_high"),
]
SUMMARY_COLUMNS = [
    *LEADING_COLUMNS,
    *("total", "mean_accuracy", "worst_class", "worst_accuracy"),
    *("mean_ci_low", "mean_ci_high", "worst_ci_low", "worst_ci_high"),
]
FAIRNESS_COLUMNS = [
    *("worst_10_percent", "spread", "deviation", "nsd", "gini", "rho"),
    *("clean_gap", "boundary_gap", "nrr", "validation_worst"),
]
_CLEAN_KEYS = ["run_id", "dataset", "weights", "checkpoint"]
KNOBS_COLUMNS = [
    "run_id",
    "epoch",
    "class_index",
    "class_name",
    "eps",
    "beta",
    "clean_weight",
    "robust_weight",
]
EPOCHS_COLUMNS = [
    *("run_id", "epoch", "learning_rate", "loss", "seconds", "images_per_second"),
    *("gate_worst", "gate_threshold", "gate_accepted"),
]


def per_class_frame(runs: Iterable[RunFolder]) -> pd.DataFrame:
    """Tabulate the test scores that count of some runs (`cfa.runs.choice` says which do).

    Returns:
        One row per class, columns :data:`PER_CLASS_COLUMNS`; accuracies in [0, 1], 95 % Wilson intervals.
    """
    return measured_frame(measured(runs))


def measured_frame(found: Iterable[Measured]) -> pd.DataFrame:
    """Tabulate chosen scores, columns :data:`PER_CLASS_COLUMNS`, attacks as they are told apart."""
    return _of_runs((one, replace(one.scores, attack=one.attack)) for one in found)


def clean_frame(found: Sequence[Measured]) -> pd.DataFrame:
    """Tabulate, beside each row of :func:`measured_frame`, the clean accuracy on the same images.

    Returns:
        The same columns; ``correct`` and ``accuracy`` are of clean images, everything else is the row's own.
        Rows whose images were not predicted clean are left out.
    """
    beside = clean_beside(found)
    return _of_runs(
        (one, replace(one.scores, attack=one.attack, correct=beside[one.row].correct))
        for one in found
        if one.row in beside
    )


def _of_runs(found: Iterable[tuple[Measured, Scores]]) -> pd.DataFrame:
    """Tabulate scores run by run."""
    blocks: dict[str, tuple[RunFolder, list[tuple[Evaluation | None, Scores]]]] = {}
    for one, scores in found:
        blocks.setdefault(one.run.id, (one.run, []))[1].append((one.evaluation, scores))
    return _joined([_class_rows(run, rows) for run, rows in blocks.values()], PER_CLASS_COLUMNS)


def evaluations_frame(evaluations: Iterable[tuple[RunFolder, Evaluation]]) -> pd.DataFrame:
    """Tabulate chosen evaluations, each with its run, columns :data:`PER_CLASS_COLUMNS`."""
    blocks = [
        _class_rows(run, [(evaluation, scores) for scores in evaluation.scores])
        for run, evaluation in evaluations
    ]
    return _joined(blocks, PER_CLASS_COLUMNS)


def scores_frame(run: RunFolder, evaluation: Evaluation, scores: Sequence[Scores]) -> pd.DataFrame:
    """Tabulate counts of a part of an evaluation, which may have classes without an image.

    Returns:
        Columns :data:`PER_CLASS_COLUMNS`; the accuracy on no image is NaN.
    """
    return _joined([_class_rows(run, [(evaluation, row) for row in scores])], PER_CLASS_COLUMNS)


def summary_frame(per_class: pd.DataFrame) -> pd.DataFrame:
    """Reduce a per-class table to one row per run, weights and attack, columns :data:`SUMMARY_COLUMNS`.

    The mean is over classes; the worst class's interval covers under ties (`cfa.statistics`).
    """
    records = []
    for key, block in per_class.groupby(LEADING_COLUMNS, sort=False, dropna=False):
        correct, total = block["correct"].to_numpy(float), block["total"].to_numpy(float)
        worst = int(np.argmin(correct / total))
        records.append(
            {
                **dict(zip(LEADING_COLUMNS, key if isinstance(key, tuple) else (key,), strict=True)),
                "total": int(total.sum()),
                "mean_accuracy": float(np.mean(correct / total)),
                "worst_class": block["class_name"].iloc[worst],
                "worst_accuracy": float((correct / total)[worst]),
                **_ends("mean", class_mean_interval(correct, total)),
                **_ends("worst", worst_class_interval(correct, total)),
            }
        )
    return pd.DataFrame.from_records(records, columns=SUMMARY_COLUMNS)


def add_group_means(
    summary: pd.DataFrame, per_class: pd.DataFrame, groups: Mapping[str, Sequence[Group]]
) -> pd.DataFrame:
    """Add the mean accuracy over head, medium and tail classes to a summary, where a run has such groups.

    Args:
        summary: What :func:`summary_frame` makes of ``per_class``.
        per_class: Columns :data:`PER_CLASS_COLUMNS`.
        groups: By run id, the group of each class; empty for a run whose classes are equally large.

    Returns:
        The summary with columns ``head``, ``medium``, ``tail`` (NaN for runs without groups), or as it is
        where no run has groups.
    """
    if not any(groups.values()):
        return summary
    grouped = [
        (groups.get(run) or ("",) * (index + 1))[index]
        for run, index in zip(per_class["run_id"], per_class["class_index"], strict=True)
    ]
    keys = [*LEADING_COLUMNS, "group"]
    means = per_class.assign(group=grouped).groupby(keys, sort=False, dropna=False)["accuracy"].mean()
    table = means.unstack("group").reindex(columns=list(GROUPS)).reset_index()
    return summary.merge(table, on=LEADING_COLUMNS, how="left")


def fairness_frame(
    per_class: pd.DataFrame,
    baseline: Collection[str] = (),
    runs: Mapping[str, RunFolder] | None = None,
    clean: pd.DataFrame | None = None,
    worst: Callable[[RunFolder], Mapping[tuple[str, int], int]] | None = None,
) -> pd.DataFrame:
    """Tabulate the field's fairness metrics (`cfa.statistics.fairness`), a row per run, weights and attack.

    Args:
        per_class: Columns :data:`PER_CLASS_COLUMNS`.
        baseline: Ids of the runs that rho is against, their mean where there are several: weights of the same
            kind under the same attack on as many images of every class.
        runs: Run folders by id, from whose history the class is known that was worst on validation.
        clean: Clean accuracies on the images of each row, which gaps and NRR take (:func:`clean_frame`).
            Without it, the clean rows of ``per_class`` that are of the same weights and as many images.
        worst: Knows what :func:`worst_on_validation` reads from a run's history, which takes its time.

    Returns:
        Columns :data:`LEADING_COLUMNS` and :data:`FAIRNESS_COLUMNS`; NaN where something is not known.
    """
    records = []
    chosen = {run_id: (worst or worst_on_validation)(folder) for run_id, folder in (runs or {}).items()}
    beside = _by_row(_clean_rows(per_class) if clean is None else clean)
    for key, block in per_class.groupby(LEADING_COLUMNS, sort=False, dropna=False):
        values: tuple[Any, ...] = key if isinstance(key, tuple) else (key,)
        lead = dict(zip(LEADING_COLUMNS, values, strict=True))
        block = block.sort_values("class_index")
        accuracy = block["accuracy"].to_numpy(float)
        total, natural = beside.get(values, ([], np.zeros(0)))
        same = total == block["total"].tolist()
        at = (str(lead["weights"]), int(block["epoch"].iloc[0]))
        index = chosen.get(str(lead["run_id"]), {}).get(at)
        records.append(
            {
                **lead,
                **_fairness(accuracy, natural if same else np.zeros(0)),
                "validation_worst": accuracy[index] if index is not None else np.nan,
            }
        )
    frame = pd.DataFrame.from_records(records, columns=[*LEADING_COLUMNS, *FAIRNESS_COLUMNS])
    return with_rho(frame, per_class, dict.fromkeys(frame["run_id"], baseline))


def _clean_rows(per_class: pd.DataFrame) -> pd.DataFrame:
    """Give every row the clean accuracy of its weights, where the table has it."""
    rows = per_class[[*LEADING_COLUMNS, "class_index"]]
    clean = per_class.loc[per_class["attack"] == CLEAN, [*_CLEAN_KEYS, "class_index", "accuracy", "total"]]
    return rows.merge(clean, on=[*_CLEAN_KEYS, "class_index"])


def _by_row(clean: pd.DataFrame) -> dict[tuple[Any, ...], tuple[list[int], np.ndarray]]:
    """Return totals and accuracies of the classes in order, by the leading columns."""
    found: dict[tuple[Any, ...], tuple[list[int], np.ndarray]] = {}
    for key, block in clean.groupby(LEADING_COLUMNS, sort=False, dropna=False):
        ordered = block.sort_values("class_index")
        values: tuple[Any, ...] = key if isinstance(key, tuple) else (key,)
        found[values] = (ordered["total"].tolist(), ordered["accuracy"].to_numpy(float))
    return found


def _fairness(robust: np.ndarray, clean: np.ndarray) -> dict[str, float]:
    known = len(clean) == len(robust)
    return {
        "worst_10_percent": worst_share(robust),
        "spread": spread(robust),
        "deviation": standard_deviation(robust),
        "nsd": nsd(robust),
        "gini": gini(robust),
        "clean_gap": frl_gap(1 - clean) if known else np.nan,
        "boundary_gap": frl_gap(boundary_error(clean, robust)) if known else np.nan,
        "nrr": nrr(float(clean.mean()), float(robust.mean())) if known else np.nan,
    }


def with_rho(
    frame: pd.DataFrame, per_class: pd.DataFrame, against: Mapping[str, Collection[str]]
) -> pd.DataFrame:
    """Fill the column ``rho`` of fairness metrics.

    Args:
        frame: What :func:`fairness_frame` makes of ``per_class``.
        per_class: Columns :data:`PER_CLASS_COLUMNS`.
        against: By run id, the ids of the runs that its rho is against, as there; NaN for runs without any.
    """
    grouped = per_class.groupby(LEADING_COLUMNS, sort=False, dropna=False)
    ends = grouped["accuracy"].agg(mean="mean", worst="min").reset_index()
    ends["images"] = grouped["total"].agg(tuple).to_numpy()  # of every class: sizes are never mixed
    like = ["dataset", "weights", "checkpoint", "attack", "norm", "eps", "images"]
    sides = {run_id: frozenset(ids) for run_id, ids in against.items()}
    bases = {
        ids: ends[ends["run_id"].isin(ids)].groupby(like)[["mean", "worst"]].mean()
        for ids in set(sides.values())
    }
    values = []
    for row in ends.to_dict("records"):
        key = tuple(row[name] for name in like)
        base = bases.get(sides.get(row["run_id"], frozenset()))
        if base is None or key not in base.index:
            values.append(np.nan)
        else:
            values.append(rho_of(row["mean"], row["worst"], *base.loc[key]))
    return frame.assign(rho=values)


def worst_on_validation(run: RunFolder) -> dict[tuple[str, int], int]:
    """Return the class that was worst on validation under attack, by kind of weights and epoch.

    Its test accuracy has no selection bias: the minimum over classes is taken on other images.
    """
    return {
        (row.weights, row.epoch): int(np.argmin(np.array(row.correct) / np.array(row.total)))
        for row in run.rows()
        if isinstance(row, Scores) and row.split == "val" and row.attack != "clean"
    }


def history_frame(run: RunFolder) -> pd.DataFrame:
    """Tabulate a run's per-class scores of every epoch, columns :data:`PER_CLASS_COLUMNS`.

    ``split`` train with attack ``training`` is t_k, the running training accuracy at the class's own eps_k;
    its ``eps`` column holds that eps_k.
    """
    rows = run.rows()
    eps_of_class = {row.epoch: row.eps for row in rows if isinstance(row, KnobValues)}
    scores = [row for row in rows if isinstance(row, Scores)]
    frame = _class_rows(run, [(None, row) for row in scores])
    if scores:
        frame["eps"] = np.concatenate(
            [
                eps_of_class.get(row.epoch, _repeated(row.eps, row))
                if row.attack == "training"
                else _repeated(row.eps, row)
                for row in scores
            ]
        )
    return frame


def knobs_frame(run: RunFolder) -> pd.DataFrame:
    """Tabulate what the rule set per epoch and class, columns :data:`KNOBS_COLUMNS`, others behind them.

    A loss without a clean term is all robust: its weights are 0 and 1.
    """
    rows = [row for row in run.rows() if isinstance(row, KnobValues)]
    own_names, sizes = run.class_names, [len(row.eps) for row in rows]
    fields: dict[str, Any] = {
        "run_id": run.id,
        "epoch": np.repeat([row.epoch for row in rows], sizes) if rows else [],
        "class_index": [index for size in sizes for index in range(size)],
        "class_name": [name for size in sizes for name in _names(own_names, size)],
        "eps": [value for row in rows for value in row.eps],
        "beta": pd.array([value for row in rows for value in row.beta], dtype="Float64"),
    }
    weights = {"clean_weight": 0.0, "robust_weight": 1.0}
    others = dict.fromkeys(name for row in rows for name in row.values if name not in fields)
    for name in {**weights, **others}:
        usual = weights.get(name, np.nan)
        fields[name] = [x for row in rows for x in row.values.get(name, (usual,) * row.classes)]
    return pd.DataFrame(fields)


def epochs_frame(run: RunFolder) -> pd.DataFrame:
    """Tabulate the epochs as wholes, columns :data:`EPOCHS_COLUMNS`."""
    records = [{"run_id": run.id, **vars(row)} for row in run.rows() if isinstance(row, Epoch)]
    frame = pd.DataFrame.from_records(records, columns=EPOCHS_COLUMNS)
    measured = dict.fromkeys(("loss", "seconds", "images_per_second"), "float64")
    gate = {"gate_worst": "Float64", "gate_threshold": "Float64", "gate_accepted": "boolean"}
    return frame.astype(measured | gate)


def _class_rows(run: RunFolder, scored: Sequence[tuple[Evaluation | None, Scores]]) -> pd.DataFrame:
    """Expand rows of counts into one line per class; the run's files are read once for all of them."""
    if not scored:
        return pd.DataFrame(columns=PER_CLASS_COLUMNS)
    config, own_names = run.config, run.class_names
    correct = np.concatenate([scores.correct for _, scores in scored])
    total = np.concatenate([scores.total for _, scores in scored])
    low, high = wilson(correct, total)
    with np.errstate(invalid="ignore"):
        accuracy = correct / total
    names = [
        _names(evaluation.class_names if evaluation and evaluation.class_names else own_names, len(row.total))
        for evaluation, row in scored
    ]

    def each(values: Iterable[Any]) -> np.ndarray:
        sizes = [len(row.total) for _, row in scored]
        return np.repeat(np.asarray(list(values)), sizes)

    fields: dict[str, Any] = {
        "run_id": run.id,
        "run_name": run.name,
        "method": config.method,
        "dataset": each(evaluation.dataset if evaluation else config.dataset for evaluation, _ in scored),
        "model": config.model,
        "seed": config.seed,
        "weights": each(row.weights for _, row in scored),
        "checkpoint": each(evaluation.checkpoint if evaluation else "last" for evaluation, _ in scored),
        "epoch": each(row.epoch for _, row in scored),
        "split": each(row.split for _, row in scored),
        "attack": each(row.attack for _, row in scored),
        "norm": each(row.norm for _, row in scored),
        "eps": each(row.eps for _, row in scored),
        "class_index": np.concatenate([range(len(row.total)) for _, row in scored]),
        "class_name": [name for block in names for name in block],
        "correct": correct,
        "total": total,
        "accuracy": accuracy,
        "ci_low": low,
        "ci_high": high,
    }
    return pd.DataFrame(fields)[PER_CLASS_COLUMNS]


def _repeated(eps: float, row: Scores) -> tuple[float, ...]:
    return (eps,) * len(row.total)


def _names(names: Sequence[str], classes: int) -> list[str]:
    return list(names) if len(names) == classes else [f"class {index}" for index in range(classes)]


def _ends(prefix: str, interval: tuple[float, float]) -> dict[str, float]:
    return {f"{prefix}_ci_low": interval[0], f"{prefix}_ci_high": interval[1]}


def _joined(blocks: list[pd.DataFrame], columns: list[str]) -> pd.DataFrame:
    blocks = [block for block in blocks if len(block)]
    if not blocks:
        return pd.DataFrame(columns=columns)
    return pd.concat(blocks, ignore_index=True)[columns]
