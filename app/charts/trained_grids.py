"""Charts of a grid that was trained: runs across their settings, and the worst class over two of them."""

from collections.abc import Sequence

import pandas as pd
import plotly.colors
import plotly.graph_objects as go

from app.charts.figure import HEIGHT, Unit, new_figure, short_name
from app.charts.palette import HEAT, POINT_COLOURS

RESULTS = {"mean": "robust mean", "worst": "robust worst class"}


def runs_across(frame: pd.DataFrame, settings: Sequence[str]) -> go.Figure:
    """Draw each run as a line across its settings to its results: parallel coordinates.

    Args:
        frame: Columns ``name, mean, worst`` (fractions) and a column of texts for each setting.
        settings: The settings, in the order in which they are drawn.
    """
    figure = new_figure("", Unit(""), height=HEIGHT + 40, across="setting", told=("value", "run"))
    places = {name: _places(frame[name]) for name in settings}
    for name in RESULTS:
        low, high = float(frame[name].min()), float(frame[name].max())
        places[name] = [(value - low) / (high - low or 1.0) for value in frame[name]]
    said = {name: list(frame[name]) for name in settings}
    said |= {name: [f"{value:.1%}" for value in frame[name]] for name in RESULTS}
    axes = [RESULTS.get(name, name) for name in places]
    scale = [[0, POINT_COLOURS[0]], [0.5, POINT_COLOURS[1]], [1, POINT_COLOURS[2]]]
    shades = plotly.colors.sample_colorscale(scale, places["worst"])
    for row, name in enumerate(frame["name"]):
        figure.add_scatter(
            x=axes,
            y=[places[axis][row] for axis in places],
            name=name,
            mode="lines+markers",
            line={"color": shades[row], "width": 1.5},
            marker={"size": 7},
            showlegend=False,
            customdata=[[said[axis][row], name] for axis in places],
            hovertemplate="%{x}: %{customdata[0]}<extra>%{customdata[1]}</extra>",
        )
    for axis, title in zip(places, axes, strict=True):
        _write_values(figure, title, dict(zip(said[axis], places[axis], strict=True)))
    figure.update_layout(hovermode="closest")
    figure.update_yaxes(visible=False)
    figure.update_xaxes(tickvals=axes, ticktext=[short_name(title) for title in axes])
    return figure


def _places(values: pd.Series) -> list[float]:
    """Place values between 0 and 1: numbers and eps by their order of size, words by that of the alphabet."""
    ordered = sorted(set(values), key=_size)
    return [ordered.index(value) / max(1, len(ordered) - 1) for value in values]


def _size(text: str) -> tuple[int, float, str]:
    number, _, over = text.partition("/")
    try:
        return 0, float(number) / float(over or 1), text
    except (ValueError, ZeroDivisionError):
        return 1, 0.0, text


def _write_values(figure: go.Figure, axis: str, places: dict[str, float]) -> None:
    """Write beside an axis what its places stand for; only the ends where there are many."""
    shown = sorted(places.items(), key=lambda pair: pair[1])
    for text, place in shown if len(shown) <= 8 else (shown[0], shown[-1]):
        figure.add_annotation(
            x=axis, y=place, text=short_name(text), showarrow=False, xanchor="left", xshift=8, yshift=8
        )


def worst_over_settings(frame: pd.DataFrame, across: str, up: str) -> go.Figure:
    """Draw the worst class over two settings as colours, with the numbers on them.

    Args:
        frame: Columns ``worst`` (fractions), ``across`` and ``up``.
        across: The setting from left to right.
        up: The setting from bottom to top.
    """
    grid = frame.pivot_table(index=up, columns=across, values="worst", aggfunc="mean")
    grid = grid.loc[sorted(grid.index, key=_size), sorted(grid.columns, key=_size)]
    values = grid.to_numpy(float)
    low, high = float(frame["worst"].min()), float(frame["worst"].max())
    figure = new_figure(across, Unit(up), height=HEIGHT + 40, told=(up,))
    figure.add_heatmap(
        name="worst class",
        x=list(grid.columns),
        y=list(grid.index),
        z=[[None if value != value else value for value in row] for row in values.tolist()],
        customdata=[[name] * grid.shape[1] for name in grid.index],
        zmin=low,
        zmax=max(high, low + 0.01),
        texttemplate="%{z:.1%}",
        colorscale=HEAT,
        colorbar={"tickformat": ".1~%", "thickness": 12, "outlinewidth": 0},
        hovertemplate=f"{across} %{{x}}, {up} %{{y}}: %{{z:.1%}}<extra></extra>",
        xgap=2,
        ygap=2,
    )
    figure.update_xaxes(type="category")
    figure.update_yaxes(type="category", showgrid=False)
    return figure
