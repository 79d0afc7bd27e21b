"""What all charts start from: an empty figure with its axes, units, whiskers and names that fit an axis."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from app.charts.palette import GRID

HEIGHT = 360
TALL = 500  # for a hundred classes
LONGEST_TICK = 30  # characters of a name on an axis; hover boxes and tables have the whole


@dataclass(frozen=True)
class Unit:
    """How a column is drawn: scaled by ``factor``, with these words and formats."""

    title: str
    factor: float = 1.0
    ticks: str = ""
    hover: str = ".2f"


PERCENT = Unit("accuracy", ticks=".1~%", hover=".1%")
EPS = Unit("eps (n/255)", factor=255.0)
BETA = Unit("beta")


def new_figure(
    x_title: str, y: Unit, height: int = HEIGHT, *, across: str = "", told: tuple[str, ...] = ()
) -> go.Figure:
    """Start a figure: quiet grid, legend below, zoom kept while data arrive.

    Args:
        x_title: Of the axis, as drawn.
        y: What goes up.
        height: In pixels.
        across: What the other axis holds, where its ticks are names and it has no title.
        told: What the entries of ``customdata`` are, for the table of the figure's numbers.
    """
    figure = go.Figure()
    figure.update_layout(
        meta={"across": across or x_title, "told": told},
        height=height,
        margin={"l": 8, "r": 8, "t": 32, "b": 8},  # above: the tools that come with the mouse
        legend={"orientation": "h", "yref": "container", "yanchor": "bottom", "y": 0, "x": 0, "title": None},
        hoverlabel={"namelength": -1},
        uirevision="keep",
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
    )
    figure.update_xaxes(title=x_title or None, showgrid=False, automargin=True)
    if across:  # names, also those that look like a date or a number
        figure.update_xaxes(type="category")
    figure.update_yaxes(title=y.title or None, tickformat=y.ticks, gridcolor=GRID, automargin=True)
    return figure


def split_by(frame: pd.DataFrame, column: str) -> list[tuple[Any, pd.DataFrame]]:
    """Split by a column, in order of appearance."""
    return [(key, block) for key, block in frame.groupby(column, sort=False)]


def line_mode(points: int) -> str:
    """Mark single epochs while they are few: a line through one point is invisible."""
    return "lines+markers" if points <= 25 else "lines"


def whiskers(
    middle: Iterable[float], low: Iterable[float], high: Iterable[float], *, thin: bool = False
) -> dict[str, object]:
    """Build error bars from the ends of intervals."""
    return {
        "type": "data",
        "symmetric": False,
        "array": [max(0.0, end - at) for at, end in zip(middle, high, strict=True)],
        "arrayminus": [max(0.0, at - end) for at, end in zip(middle, low, strict=True)],
        "thickness": 1 if thin else 1.3,
        "width": 0 if thin else 3,
        "color": "rgba(128,134,150,0.6)" if thin else "rgb(93,100,116)",
    }


def shorten_ticks(figure: go.Figure) -> None:
    """Leave room for what is drawn, however long the names on the axis are."""
    names = list(dict.fromkeys(name for trace in figure.data for name in trace.x))
    if any(len(name) > LONGEST_TICK for name in names):
        figure.update_xaxes(tickvals=names, ticktext=list(map(short_name, names)))


def short_name(name: str) -> str:
    """Cut a name that is too long for an axis."""
    return name if len(name) <= LONGEST_TICK else f"{name[: LONGEST_TICK - 1]}…"


def count_epochs(figure: go.Figure, epochs: pd.Series) -> None:
    """Count epochs in whole numbers."""
    few = epochs.nunique() <= 12
    figure.update_xaxes(tickformat="d", dtick=1 if few else None)
