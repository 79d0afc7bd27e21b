"""Our results and published ones in one table: whose each is, and what has to be known about it."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from cfa.methods import kind_of, kind_of_title, known_method, passes_an_epoch
from cfa.runs.choice import measured
from cfa.runs.folder import RunFolder
from cfa.runs.origins import passes_an_image
from cfa.runs.rows import Epoch
from cfa.statistics import SeedsInterval, over_seeds
from cfa.tables.frames import LEADING_COLUMNS, clean_frame, measured_frame, summary_frame
from cfa.tables.papers import WEAK_AUTOATTACK, PublishedNumber
from cfa.tables.seeds import distinct_seeds

OURS, PUBLISHED = "ours", "published"
COLUMNS = [
    *("whose", "label", "dataset", "model", "weights", "checkpoint", "attack", "norm", "eps"),
    *("mean", "worst", "clean_mean", "clean_worst", "mean_spread", "worst_spread"),
    *("mean_low", "mean_high", "worst_low", "worst_high"),
    *("runs", "images", "marks", "source", "link"),
    *("method", "kind", "hard_eps", "passes", "seconds", "alike", "run_ids"),
]
_KEY = ["experiment", "dataset", "model", "weights", "checkpoint"]
_ATTACK = ["attack", "norm", "eps"]


def leaderboard(
    runs: Sequence[RunFolder], published: Iterable[PublishedNumber], name: Callable[[str, str], str]
) -> pd.DataFrame:
    """Tabulate results under attack, one row per model and attack, ours averaged over seeds.

    Args:
        runs: Ours.
        published: Numbers of papers; without an accuracy under attack they are no row.
        name: Names a method with a kind of weights.

    Returns:
        Columns :data:`COLUMNS`: accuracies in [0, 1]; ``marks`` is what a reader must know, ``source`` where
        the number is from, ``link`` its paper's address or empty. From ``low`` to ``high``: of several seeds
        mean ± standard deviation, of one what the choice of test images may do (95 %), NaN where nothing is
        known. ``method`` is ours by name; ``kind`` and ``hard_eps`` as methods have them; ``passes`` of an
        image in a training, ``seconds`` of its measured epochs. Rows that are ``alike`` may be compared: of
        one network, images, choice of the checkpoint and, of published ones, paper; ``run_ids`` are those of
        our runs, with spaces between them. The highest worst class first.
    """
    rows = [*_ours(runs, name), *_published(published)]
    frame = pd.DataFrame(rows, columns=COLUMNS)
    return frame.sort_values(["worst", "mean"], ascending=False, na_position="last").reset_index(drop=True)


def pareto_front(mean: ArrayLike, worst: ArrayLike) -> np.ndarray:
    """Say which points no other matches in both and beats in one; boolean, shape (points,)."""
    m, w = np.asarray(mean, dtype=float), np.asarray(worst, dtype=float)
    beaten = (
        (m[None, :] >= m[:, None])
        & (w[None, :] >= w[:, None])
        & ((m[None, :] > m[:, None]) | (w[None, :] > w[:, None]))
    )
    known = np.isfinite(m) & np.isfinite(w)
    front: np.ndarray = known & ~beaten[:, known].any(axis=1)
    return front


def _ours(runs: Sequence[RunFolder], name: Callable[[str, str], str]) -> list[dict[str, Any]]:
    by_id = {run.id: run for run in runs}
    experiments = {run.id: run.experiment for run in runs}
    found = measured(runs)
    everything = summary_frame(measured_frame(found))
    everything = everything[everything["split"] == "test"]
    everything["experiment"] = everything["run_id"].map(experiments)
    summary = distinct_seeds(everything, experiments).kept
    summary = _with_clean(summary, summary_frame(clean_frame(found)))
    groups: Any = everything.groupby([*_KEY, *_ATTACK], sort=False)["run_id"]
    measured_so = {key: list(ids) for key, ids in groups}
    rows = []
    for key, block in summary[summary["norm"] != "none"].groupby([*_KEY, *_ATTACK], sort=False):
        values: Any = key
        members = [by_id[run] for run in block["run_id"]]
        mean, worst = over_seeds(block["mean_accuracy"]), over_seeds(block["worst_accuracy"])
        natural = block if block["clean_mean"].notna().all() else block[:0]  # of these seeds, or of none
        others = [by_id[run].name for run in measured_so[values] if by_id[run] not in members]
        rows.append(
            {
                **dict(zip([*_KEY, *_ATTACK], values, strict=True)),
                "whose": OURS,
                "label": _label(members, values[3], name),
                "mean": mean.mean,
                "worst": worst.mean,
                "clean_mean": natural["clean_mean"].mean() if len(natural) else None,
                "clean_worst": natural["clean_worst"].mean() if len(natural) else None,
                "mean_spread": mean.deviation,
                "worst_spread": worst.deviation,
                **_ends(block, "mean", mean),
                **_ends(block, "worst", worst),
                "runs": len(members),
                "images": int(block["total"].min()),
                "marks": "; ".join([*_marks(members, values[5]), *_not_averaged(others)]),
                "source": ", ".join(member.name for member in members),
                "link": "",
                **_training(members),
                "alike": _trained_alike(members, values[4], int(block["total"].min())),
                "run_ids": " ".join(member.id for member in members),
            }
        )
    return rows


def _ends(block: pd.DataFrame, measure: str, over: SeedsInterval) -> dict[str, float]:
    """Return the ends of a row's interval, as charts of methods have them."""
    if over.deviation is not None:
        low, high = over.mean - over.deviation, over.mean + over.deviation
    else:
        low, high = block[f"{measure}_ci_low"].min(), block[f"{measure}_ci_high"].max()
    return {f"{measure}_low": max(0.0, float(low)), f"{measure}_high": min(1.0, float(high))}


def _training(members: Sequence[RunFolder]) -> dict[str, Any]:
    """Say what kind of method runs are of, and what a training of it cost."""
    config = members[0].config
    method = known_method(config.method)
    if config.is_external:
        return {"method": config.method, "kind": None, "hard_eps": None, "passes": None, "seconds": None}
    seconds = [
        sum(row.seconds or 0.0 for row in member.rows() if isinstance(row, Epoch)) for member in members
    ]
    return {
        "method": config.method,
        "kind": kind_of(config.method),
        "hard_eps": method.hard_eps if method else None,
        "passes": max(
            passes_an_image(member.config, member.manifest, passes_an_epoch(member.config))
            for member in members
        ),
        "seconds": float(np.mean(seconds)) if all(seconds) else None,
    }


def _trained_alike(members: Sequence[RunFolder], checkpoint: str, images: int) -> str:
    """Say what results must share to be compared: network, length, choice of the checkpoint, test images."""
    config = members[0].config
    if config.is_external:
        return f"Models of others: {config.model}, {images:,} images"
    epochs = "1 epoch" if config.train.epochs == 1 else f"{config.train.epochs:,} epochs"
    chosen = ", chosen on test" if config.train.select_on == "test" else ""
    return f"Ours: {config.model}, {epochs}, {checkpoint} checkpoint{chosen}, {images:,} images"


def _with_clean(summary: pd.DataFrame, clean: pd.DataFrame) -> pd.DataFrame:
    """Add mean and worst class on the clean images of each row, where they are known."""
    columns = {"mean_accuracy": "clean_mean", "worst_accuracy": "clean_worst"}
    beside = clean[[*LEADING_COLUMNS, *columns]].rename(columns=columns)
    return summary.merge(beside, on=LEADING_COLUMNS, how="left")


def _label(members: Sequence[RunFolder], weights: str, name: Callable[[str, str], str]) -> str:
    config = members[0].config
    return members[0].name if config.is_external else name(config.method, weights)


def _marks(members: Sequence[RunFolder], attack: str) -> list[str]:
    marks = dict.fromkeys(mark.partition(":")[0] for member in members for mark in member.marks)
    if attack == "torchattacks:AutoAttack":
        marks[WEAK_AUTOATTACK] = None
    if any(part in members[0].config.dataset.lower() for part in ("jpeg", "jpg")):
        marks["JPEG copies"] = None
    if len(members) == 1:
        marks["one seed"] = None
    return list(marks)


def _not_averaged(names: Sequence[str]) -> list[str]:
    return [f"without {', '.join(names)}: a seed again, or other images"] if names else []


def _published(numbers: Iterable[PublishedNumber]) -> list[dict[str, Any]]:
    found = list(numbers)
    clean = {_same_row(number): number for number in found if number.attack == "clean"}
    rows = []
    for number in found:
        if number.attack == "clean":
            continue
        natural = clean.get(_same_row(number))
        rows.append(
            {
                "whose": PUBLISHED,
                "label": number.label,
                "dataset": number.dataset,
                "model": number.model,
                "weights": number.weights or "",
                "checkpoint": number.checkpoint,
                "attack": number.attack,
                "norm": "linf",
                "eps": number.eps,
                "mean": number.mean,
                "worst": number.worst,
                "clean_mean": natural.mean if natural else None,
                "clean_worst": natural.worst if natural else None,
                "mean_spread": number.mean_spread,
                "worst_spread": number.worst_spread,
                **_published_ends(number),
                "runs": number.runs,
                "images": None,
                "marks": "; ".join(number.marks),
                "source": f"{number.paper} ({number.venue}), {number.table}"
                + (f". {said}" if (said := " ".join(filter(None, (number.note, number.about_all)))) else ""),
                "link": number.link,
                "method": "",
                "kind": kind_of_title(number.label),
                "alike": f"{number.paper.partition(':')[0]}: {number.model}, {number.checkpoint} checkpoint",
                "run_ids": "",
            }
        )
    return rows


def _published_ends(number: PublishedNumber) -> dict[str, float]:
    """Return the ends of mean ± standard deviation where a source has it."""
    of = {"mean": (number.mean, number.mean_spread), "worst": (number.worst, number.worst_spread)}
    return {
        f"{measure}_{end}": value + sign * spread
        for measure, (value, spread) in of.items()
        if value is not None and spread is not None
        for end, sign in (("low", -1), ("high", 1))
    }


def _same_row(number: PublishedNumber) -> tuple[object, ...]:
    row = (number.table, number.label, number.dataset, number.model, number.checkpoint, number.over)
    return (number.paper, *row)
