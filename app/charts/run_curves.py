"""Curves of several runs in one chart: a line a run or an experiment, a band where it has several seeds."""

from collections.abc import Mapping

import pandas as pd
import plotly.graph_objects as go
from plotly.colors import hex_to_rgb

from app.charts.figure import Unit, count_epochs, line_mode, new_figure, split_by
from app.charts.palette import NEUTRAL, LineStyle

FAINT = 0.28  # opacity of what was measured behind its smoothed line


def curves(
    lines: pd.DataFrame, unit: Unit, styles: Mapping[str, LineStyle], *, logarithmic: bool = False
) -> go.Figure:
    """Draw curves over epochs, all of them in one box where the mouse is.

    Args:
        lines: Columns ``key, series, epoch, value, low, high, measured``: ``low`` and ``high`` are the ends
            of a band, missing where there is none; ``measured`` is the value before smoothing.
        unit: How ``value`` is drawn.
        styles: How the line of each ``key`` looks.
        logarithmic: Whether the axis of the values is logarithmic.
    """
    figure = new_figure("epoch", unit)
    for key, block in split_by(lines, "key"):
        style = styles.get(str(key), LineStyle(NEUTRAL))
        epochs, values = block["epoch"].tolist(), (block["value"] * unit.factor).tolist()
        _add_band(figure, block.dropna(subset=["low"]), unit, style)
        if not block["measured"].equals(block["value"]):
            figure.add_scatter(
                x=epochs,
                y=(block["measured"] * unit.factor).tolist(),
                mode="lines",
                line={"color": style.colour, "width": 1, "dash": style.dash},
                opacity=FAINT,
                showlegend=False,
                hoverinfo="skip",
            )
        figure.add_scatter(
            x=epochs,
            y=values,
            name=str(block["series"].iloc[0]),
            mode=line_mode(len(block)),
            line={"color": style.colour, "dash": style.dash, "width": style.width},
            marker={"size": 5},
            opacity=style.opacity,
            hovertemplate=f"%{{y:{unit.hover}}}<extra>%{{fullData.name}}</extra>",
        )
    figure.update_layout(hovermode="x unified")
    count_epochs(figure, lines["epoch"])
    figure.update_yaxes(type="log" if logarithmic else "linear")
    return figure


def _add_band(figure: go.Figure, block: pd.DataFrame, unit: Unit, style: LineStyle) -> None:
    if block.empty:
        return
    epochs = block["epoch"].tolist()
    low, high = ((block[end] * unit.factor).tolist() for end in ("low", "high"))
    figure.add_scatter(
        x=[*epochs, *reversed(epochs)],
        y=[*high, *reversed(low)],
        fill="toself",
        fillcolor=_pale(style.colour),
        line={"width": 0},
        mode="lines",
        showlegend=False,
        hoverinfo="skip",
    )


def _pale(colour: str) -> str:
    """Return a colour as the ground of a band; what is no hexadecimal colour has a grey one."""
    red, green, blue = hex_to_rgb(colour) if colour.startswith("#") else (128, 134, 150)
    return f"rgba({red},{green},{blue},0.18)"
