"""What a sweep says first: where the worst class breaks, what is left there, and by how much runs differ."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from app import texts, wording

HALF = 0.5  # below it a class is more often wrong than right


@dataclass(frozen=True)
class SweepAnswer:
    """What sweeps come to, as Markdown.

    Attributes:
        headline: In a sentence.
        of_each: A sentence a run.
        note: What to know of the difference; empty of a single run.
    """

    headline: str
    of_each: tuple[str, ...]
    note: str = ""


def answer(summary: pd.DataFrame, areas: pd.DataFrame, norm: str, trained: Sequence[float]) -> SweepAnswer:
    """Say what sweeps come to.

    Args:
        summary: Columns ``series, eps, mean, worst, worst_class, worst_low, worst_high``; clean images are
            eps 0.
        areas: As `areas_under_curves` returns them.
        norm: Of the attack.
        trained: Budgets of training; what is left is said at the nearest to their largest.
    """
    curves = {str(name): block.sort_values("eps") for name, block in summary.groupby("series", sort=False)}
    at = reference(list(curves.values()), trained)
    where = "on clean images" if at == 0 else f"at {wording.budget(norm, at)}"
    of_each = tuple(
        f"**{texts.plain(name)}**: {left_at(curve, at, where)}; {breaks(curve, norm)}; {area(areas, name)}."
        for name, curve in curves.items()
    )
    names = list(curves)
    if len(curves) == 1:
        first = breaks(curves[names[0]], norm)
        return SweepAnswer(f"{first[:1].upper()}{first[1:]}.", of_each)
    points = {name: at_budget(curve, at) for name, curve in curves.items()}
    ordered = sorted(points, key=lambda name: -float(points[name]["worst"]))
    best, least = ordered[0], ordered[-1]
    both = [f"{wording.percent(points[one]['worst'])} with {texts.plain(one)}" for one in (best, least)]
    headline = f"{where[:1].upper()}{where[1:]} the worst class keeps {both[0]}, {both[1]}."
    return SweepAnswer(headline, of_each, note_on(curves[best], curves[least], norm))


def reference(curves: Sequence[pd.DataFrame], trained: Sequence[float]) -> float:
    """Choose the budget that is spoken of: of those measured of all the nearest to training's."""
    shared = set.intersection(*({float(eps) for eps in curve["eps"]} for curve in curves)) or {0.0}
    return min(shared, key=lambda eps: abs(eps - max(trained))) if trained else max(shared)


def at_budget(curve: pd.DataFrame, eps: float) -> pd.Series:
    """Return what was measured at a budget, or at the nearest one."""
    return curve.iloc[int((curve["eps"] - eps).abs().to_numpy().argmin())]


def left_at(curve: pd.DataFrame, eps: float, where: str) -> str:
    """Say what is left of mean and worst class at a budget."""
    point = at_budget(curve, eps)
    worst = f"{wording.percent(point['worst'])} in the worst class ({texts.plain(point['worst_class'])})"
    return f"{where} {wording.percent(point['mean'])} in the mean and {worst}"


def breaks(curve: pd.DataFrame, norm: str) -> str:
    """Say from which measured budget on the worst class is more often wrong than right."""
    below = curve[curve["worst"] < HALF]
    if below.empty:
        largest = wording.budget(norm, curve["eps"].iloc[-1])
        return f"no class is more often wrong than right up to {largest}"
    first = below.iloc[0]
    name = f"its worst class, {texts.plain(first['worst_class'])},"
    if first["eps"] == 0:
        return f"{name} is more often wrong than right even without an attack"
    return f"{name} is more often wrong than right from {wording.budget(norm, first['eps'])} on"


def area(areas: pd.DataFrame, series: str) -> str:
    """Say how much is left over all budgets, in the mean and in the class that keeps least."""
    own = areas[areas["series"] == series]
    least = own.iloc[int(own["area"].to_numpy().argmin())]
    return (
        f"area under the curve {wording.percent(own['area'].mean())} in the mean, "
        f"{wording.percent(least['area'])} for {texts.plain(least['class_name'])}"
    )


def note_on(best: pd.DataFrame, least: pd.DataFrame, norm: str) -> str:
    """Say where the intervals of two runs' worst classes part, and that these are networks, not methods."""
    both = best.merge(least, on="eps", suffixes=("", "_other")).query("eps > 0")
    apart = both[both["worst_low"] > both["worst_high_other"]]
    parted = (
        "Their 95 % intervals of the worst class overlap at every eps"
        if apart.empty
        else f"Their 95 % intervals of the worst class lie apart at "
        f"{', '.join(wording.budget(norm, eps) for eps in apart['eps'])}"
    )
    return f"{parted}. These are single networks, not methods: another seed may turn the order."
