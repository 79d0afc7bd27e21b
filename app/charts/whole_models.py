"""Charts of whole models: mean against worst class, published results beside them, and averaging."""

import math
import textwrap
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from app import texts
from app.charts.figure import (
    HEIGHT,
    Unit,
    new_figure,
    shorten_ticks,
    split_by,
    whiskers,
)
from app.charts.palette import (
    CLASS_COLOURS,
    GRID,
    NEUTRAL,
    POINT_COLOURS,
    WEIGHTS_COLOURS,
    WEIGHTS_SYMBOLS,
    WEIGHTS_TITLES,
    SeriesStyle,
)


def mean_against_worst(summary: pd.DataFrame, styles: Mapping[str, SeriesStyle]) -> go.Figure:
    """Draw each model as a point: mean accuracy across, worst class up; a symbol per kind of weights.

    Args:
        summary: Columns ``group, title, series, weights, mean, mean_low, mean_high, worst, worst_low,
            worst_high, worst_class``; fractions.
        styles: How each group looks.
    """
    figure = new_figure("mean accuracy", Unit("worst class", ticks=".1~%"), told=("which",))
    reported = set(summary.loc[summary["series"] == summary["title"], "group"])
    named: set[str] = set()
    row: Any
    for row in summary.itertuples():
        style = styles.get(row.group, SeriesStyle(CLASS_COLOURS[0]))
        # The legend shows the symbol of the weights that it names.
        is_legend = row.group not in named and (row.series == row.title or row.group not in reported)
        figure.add_scatter(
            x=[row.mean],
            y=[row.worst],
            name=row.title,
            legendgroup=row.group,
            showlegend=is_legend,
            mode="markers",
            marker={
                "color": style.colour,
                "symbol": style.symbol(WEIGHTS_SYMBOLS.get(row.weights, "circle")),
                "size": 8 if style.quiet else 12,
                "line": {"width": 2},
            },
            error_x=whiskers([row.mean], [row.mean_low], [row.mean_high], thin=True),
            error_y=whiskers([row.worst], [row.worst_low], [row.worst_high], thin=True),
            meta=row.series,
            customdata=[row.worst_class],
            hovertemplate="mean %{x:.1%}, worst %{y:.1%} (%{customdata})<extra>%{meta}</extra>",
        )
        named |= {row.group} if is_legend else set()
    figure.update_xaxes(tickformat=".1~%", showgrid=True, gridcolor=GRID)
    figure.update_layout(hovermode="closest", height=HEIGHT + 60)
    return figure


PLOT_HEIGHT = 300  # pixels that axes, legend and margins leave
LINE_HEIGHT = 16  # of a name
LONGEST_NAME = 34
LEAST_SPAN = 0.1  # of an axis: less would make rows differ that nobody can tell apart


def trade_off(board: pd.DataFrame, front: np.ndarray, named: np.ndarray | None = None) -> go.Figure:
    """Draw results as points, mean across and worst class up, clean accuracy as colour.

    Args:
        board: Columns ``whose, label, mean, worst, clean_mean, marks, source, runs`` and ends of intervals,
            ``mean_low, mean_high, worst_low, worst_high``; fractions, mean and worst finite.
        front: Which points are joined, boolean: those that nothing comparable beats in both. The line is
            dotted where one of them is of a single seed.
        named: Which points have their names, boolean; by default those of the front.
    """
    told = ("result", "source", "marks", "clean accuracy")
    unit = Unit("worst class", ticks=".3~%")
    figure = new_figure("mean accuracy under attack", unit, height=HEIGHT + 40, told=told)
    clean = board["clean_mean"].astype(float)
    scale = {"cmin": clean.min(), "cmax": clean.max()} if clean.notna().any() else {}
    best = board[front].sort_values("mean")
    if len(best) > 1:
        single = (best["runs"] == 1).any()
        figure.add_scatter(
            x=best["mean"].tolist(),
            y=best["worst"].tolist(),
            mode="lines",
            name="Pareto front" + (" of single seeds" if single else ""),
            line={"width": 3, "color": NEUTRAL, "dash": "dot" if single else "solid"},
            hoverinfo="skip",
        )
    _add_points(figure, board, scale)
    across, up = (_span(board, measure) for measure in ("mean", "worst"))
    figure.update_xaxes(tickformat=".3~%", showgrid=True, gridcolor=GRID, range=across)
    figure.update_yaxes(range=up)
    figure.update_layout(
        hovermode="closest", annotations=_names(board[front if named is None else named], across, up)
    )
    return figure


def _add_points(figure: go.Figure, board: pd.DataFrame, scale: dict[str, float]) -> None:
    clean = board["clean_mean"].astype(float)
    scaled = False  # one colour bar is enough
    low, middle, high = POINT_COLOURS
    for whose, title, symbol, size in _WHOSE:
        for known in (True, False):
            block = board[(board["whose"] == whose) & (clean.notna() == known)]
            if block.empty:
                continue
            marker = {"symbol": symbol, "size": size, "line": {"width": 2.5 if whose == "published" else 1}}
            if known:
                bar = {"title": "clean", "tickformat": ".1~%", "thickness": 12, "outlinewidth": 0}
                marker |= {"color": block["clean_mean"].astype(float).tolist(), **scale}
                marker |= {"colorscale": [[0, low], [0.5, middle], [1, high]]}
                marker |= {"colorbar": bar, "showscale": not scaled}
                scaled = True
            else:
                marker |= {"color": NEUTRAL}
            figure.add_scatter(
                x=block["mean"].tolist(),
                y=block["worst"].tolist(),
                **_intervals(block),
                mode="markers",
                name=title if known else f"{title}, clean accuracy not known",
                marker=marker,
                customdata=_told(block),
                hovertemplate="<b>%{customdata[0]}</b>: mean %{x:.1%}, worst %{y:.1%}, clean "
                "%{customdata[3]}<br>%{customdata[1]}<br>%{customdata[2]}<extra>%{fullData.name}</extra>",
            )


_WHOSE = (("ours", "Ours", "circle", 13), ("published", "Published", "diamond-open", 12))


def _intervals(block: pd.DataFrame) -> dict[str, object]:
    """Build the whiskers of points; a point of which none is known has none."""
    bars: dict[str, object] = {}
    for axis, measure in (("error_x", "mean"), ("error_y", "worst")):
        middle = block[measure].astype(float)
        ends = [block[f"{measure}_{end}"].astype(float) for end in ("low", "high")]
        if ends[0].notna().any():
            bars[axis] = whiskers(middle, *(end.fillna(middle) for end in ends), thin=True)
    return bars


def _span(board: pd.DataFrame, measure: str) -> tuple[float, float]:
    """Return the ends of an axis: with all intervals, room for names, never less than :data:`LEAST_SPAN`."""
    values = board[[measure, f"{measure}_low", f"{measure}_high"]].astype(float)
    low, high = values.min().min(), values.max().max()
    room = max(0.1 * (high - low), (LEAST_SPAN - (high - low)) / 2)
    return float(low - room), float(high + room)


def _names(
    points: pd.DataFrame, across: tuple[float, float], up: tuple[float, float]
) -> list[dict[str, Any]]:
    """Write the names of points, each on a line of its own, however wide the chart is."""
    pixel = (up[1] - up[0]) / PLOT_HEIGHT
    taken, found = -math.inf, list[dict[str, Any]]()
    ordered = points.sort_values(["worst", "mean"], ascending=[True, False])
    for point in ordered.to_dict("records"):
        height = max((point["worst"] - up[0]) / pixel + LINE_HEIGHT, taken + LINE_HEIGHT)
        taken = height
        left = point["mean"] < sum(across) / 2
        name = point["label"]
        name = name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…"
        found.append(
            {
                "x": point["mean"],
                "y": point["worst"],
                "text": texts.in_chart(name),
                "ax": 12 if left else -12,
                "ay": (point["worst"] - up[0]) / pixel - height,
                "xanchor": "left" if left else "right",
                "yanchor": "middle",
                "showarrow": True,
                "arrowhead": 0,
                "arrowwidth": 1,
                "arrowcolor": NEUTRAL,
                "font": {"size": 12},
            }
        )
    return found


def _told(block: pd.DataFrame) -> list[list[str]]:
    """Say in a hover box what a result is, where it is from, and what has to be known about it."""
    columns = (block["label"], block["source"], block["marks"], block["clean_mean"].astype(float))
    return [
        [label, wrapped(source), marks, "–" if pd.isna(clean) else f"{clean:.1%}"]
        for label, source, marks, clean in zip(*columns, strict=True)
    ]


def wrapped(text: str, width: int = 70) -> str:
    """Break a long text into lines for a hover box."""
    return "<br>".join(textwrap.wrap(text, width))


def averaging(summary: pd.DataFrame, measure: str) -> go.Figure:
    """Draw what averaging does to each run: online, EMA and FAWA side by side, with intervals.

    Args:
        summary: As for :func:`mean_against_worst`.
        measure: ``mean`` or ``worst``.
    """
    title = "mean of classes" if measure == "mean" else "worst class"
    figure = new_figure("", Unit(title, ticks=".1~%"), across="method", told=("model",))
    for weights, block in split_by(summary, "weights"):
        figure.add_bar(
            x=block["title"].tolist(),
            y=block[measure].tolist(),
            name=WEIGHTS_TITLES.get(weights, weights),
            marker_color=WEIGHTS_COLOURS.get(weights, CLASS_COLOURS[0]),
            error_y=whiskers(block[measure], block[f"{measure}_low"], block[f"{measure}_high"]),
            customdata=block["series"].tolist(),
            hovertemplate="%{customdata}: %{y:.1%}<extra>%{fullData.name}</extra>",
        )
    shorten_ticks(figure)
    figure.update_layout(barmode="group", bargap=0.3)
    return figure
