"""Charts of whole models: mean against worst class, published results beside them, and averaging."""

import textwrap
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

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


MOST_NAMED = 16  # points whose names fit beside them
LONGEST_NAME = 24


def trade_off(board: pd.DataFrame, front: np.ndarray) -> go.Figure:
    """Draw results as points, mean across and worst class up, clean accuracy as colour.

    Names stand at points: at those of the front, then at ours, then at others while they are few.

    Args:
        board: Columns ``whose, label, mean, worst, clean_mean, marks, source``; fractions, finite.
        front: Which points no other beats in both, boolean.
    """
    told = ("result", "source", "marks", "clean accuracy")
    unit = Unit("worst class", ticks=".2~%")
    figure = new_figure("mean accuracy under attack", unit, height=HEIGHT + 160, told=told)
    clean = board["clean_mean"].astype(float)
    scale = {"cmin": clean.min(), "cmax": clean.max()} if clean.notna().any() else {}
    best = board[front].sort_values("mean")
    if len(best) > 1:
        figure.add_scatter(
            x=best["mean"].tolist(),
            y=best["worst"].tolist(),
            mode="lines",
            name="Pareto front",
            line={"width": 3, "color": NEUTRAL},
            hoverinfo="skip",
        )
    names = _names_at_points(board, front)
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
                mode="markers+text",
                text=names[block.index].tolist(),
                textposition=_in_turn(block),
                textfont={"size": 11},
                cliponaxis=False,
                name=title if known else f"{title}, clean accuracy not known",
                marker=marker,
                customdata=_told(block),
                hovertemplate="<b>%{customdata[0]}</b>: mean %{x:.1%}, worst %{y:.1%}, clean "
                "%{customdata[3]}<br>%{customdata[1]}<br>%{customdata[2]}<extra>%{fullData.name}</extra>",
            )
    figure.update_xaxes(tickformat=".2~%", showgrid=True, gridcolor=GRID)
    figure.update_layout(hovermode="closest")
    return figure


_WHOSE = (("ours", "Ours", "circle", 13), ("published", "Published", "diamond-open", 12))


def _names_at_points(board: pd.DataFrame, front: np.ndarray) -> pd.Series:
    """Return the name that stands at each point; empty where there is no room for it."""
    first = pd.DataFrame({"front": ~front, "theirs": board["whose"] != "ours"}, index=board.index)
    named = first.sort_values(["front", "theirs"], kind="stable").index[:MOST_NAMED]
    short = board["label"].map(
        lambda name: name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…"
    )
    return short.where(board.index.isin(named), "")


def _in_turn(block: pd.DataFrame) -> list[str]:
    """Put names above and below in turn, from left to right: neighbours keep out of each other's way."""
    ranks = block["mean"].rank(method="first").astype(int)
    return ["top center" if rank % 2 else "bottom center" for rank in ranks]


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
