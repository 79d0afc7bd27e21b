"""The change of every class with its interval, one under the other."""

from collections.abc import Sequence
from typing import Protocol

import plotly.graph_objects as go

from app.charts.figure import HEIGHT, Unit, new_figure, short_name
from app.charts.palette import DOWN, NEUTRAL, UP

ROW = 22  # pixels of a class
MOST_ROWS = 30


class Changed(Protocol):
    """What is drawn of a class; fractions."""

    @property
    def name(self) -> str:
        """The class."""
        ...

    @property
    def difference(self) -> float:
        """How much its accuracy changed."""
        ...

    @property
    def interval(self) -> tuple[float, float] | None:
        """The ends of the interval of the change, if there is one."""
        ...

    @property
    def certain(self) -> bool:
        """Whether the change is certain."""
        ...


def forest(classes: Sequence[Changed], *, by_change: bool) -> go.Figure:
    """Draw changes as points with whiskers: filled where certain, the largest gain on top or in class order.

    Of more than thirty classes those that changed most, either way.

    Args:
        classes: In class order.
        by_change: Sort by change; else by class.
    """
    shown = sorted(classes, key=lambda one: -abs(one.difference))[:MOST_ROWS]
    order = list(classes) if not by_change else sorted(classes, key=lambda one: -one.difference)
    rows = [one for one in order if one in shown][::-1]  # plotly draws upwards
    height = max(HEIGHT - 140, 90 + ROW * len(rows))
    figure = new_figure("change, points", Unit("class"), height=height, told=("certain",))
    names = [short_name(one.name) for one in rows]
    ends = [one.interval or (one.difference, one.difference) for one in rows]
    colours = [UP if one.difference > 0 else DOWN for one in rows]
    figure.add_scatter(
        x=[100 * one.difference for one in rows],
        y=names,
        mode="markers",
        name="change",
        showlegend=False,
        marker={
            "size": 11,
            "color": [
                colour if one.certain else "rgba(0,0,0,0)" for one, colour in zip(rows, colours, strict=True)
            ],
            "line": {"width": 2, "color": colours},
        },
        error_x={
            "type": "data",
            "symmetric": False,
            "array": [100 * (high - one.difference) for one, (_, high) in zip(rows, ends, strict=True)],
            "arrayminus": [100 * (one.difference - low) for one, (low, _) in zip(rows, ends, strict=True)],
            "thickness": 1.5,
            "width": 4,
            "color": NEUTRAL,
        },
        customdata=[["certain" if one.certain else "not certain"] for one in rows],
        hovertemplate="%{y}: %{x:+.1f} points, %{customdata[0]}<extra></extra>",
    )
    figure.update_yaxes(type="category", showgrid=False)
    figure.update_xaxes(
        tickformat="+.0f", showgrid=True, zeroline=True, zerolinecolor=NEUTRAL, zerolinewidth=1.5
    )
    return figure
