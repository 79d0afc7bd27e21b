"""The confusion matrix, whose cells can be clicked."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from app.charts.figure import Unit, new_figure, short_name
from app.charts.palette import BRIGHT, FRAME, HEAT

MOST_NUMBERED = 30  # classes up to which the cells of a confusion matrix are wide enough for numbers


def confusion(counts: np.ndarray, names: Sequence[str], chosen: tuple[int, int] | None) -> go.Figure:
    """Draw a confusion matrix: rows are true classes, coloured by their share, with counts where they fit.

    Invisible markers lie on the cells, since only points can be clicked; the chosen one is framed.

    Args:
        counts: Images by true class and predicted class.
        names: The classes.
        chosen: True and predicted class of the framed cell.
    """
    classes, named = len(names), len(names) <= MOST_NUMBERED
    told = ("true class", "predicted class", "images", "share")  # the first two instead of the axes' indices
    height = (200 + 34 * classes) if named else 640
    figure = new_figure("predicted class", Unit("true class"), height=height, told=told)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    bright = shares > BRIGHT * shares.max()  # the number on a cell is white or black
    for drawn, colour in ((~bright, "white"), (bright, "black")):
        if drawn.any():
            figure.add_heatmap(**_cells(counts, shares, drawn, colour, named))
    cells = [(i, j) for i in range(classes) for j in range(classes) if named or counts[i, j]]
    figure.add_scatter(
        x=[j for _, j in cells],
        y=[i for i, _ in cells],
        mode="markers",
        marker={
            "symbol": "square-open",
            "size": 28 if named else 9,
            "opacity": 0,
            "color": FRAME,
            "line_width": 3,
        },
        selected={"marker": {"opacity": 1}},
        unselected={"marker": {"opacity": 0}},
        selectedpoints=[cells.index(chosen)] if chosen in cells else [],
        customdata=[[names[i], names[j], int(counts[i, j]), float(shares[i, j])] for i, j in cells],
        hovertemplate="%{customdata[0]} → %{customdata[1]}: %{customdata[2]} (%{customdata[3]:.1%})"
        "<extra></extra>",
        showlegend=False,
    )
    step = 1 if classes <= 40 else 5
    ticks = {"tickvals": list(range(0, classes, step)), "showgrid": False}
    ticks["ticktext"] = list(map(short_name, names[::step]))
    figure.update_xaxes(**ticks, range=[-0.5, classes - 0.5], tickangle=-45, zeroline=False)
    figure.update_yaxes(**ticks, range=[classes - 0.5, -0.5], zeroline=False)
    figure.update_layout(hovermode="closest", hoverdistance=-1 if named else 20, clickmode="event+select")
    return figure


def _cells(
    counts: np.ndarray, shares: np.ndarray, drawn: np.ndarray, colour: str, named: bool
) -> dict[str, Any]:
    """Describe the heatmap of those cells of a confusion matrix whose numbers have one colour."""
    classes = list(range(len(counts)))
    return {
        "x": classes,
        "y": classes,
        "z": np.where(drawn, shares.astype(object), np.array(None)).tolist(),
        "zmin": 0,
        "zmax": float(shares.max()),
        "text": np.where(drawn & (counts > 0), counts.astype(str), "").tolist() if named else None,
        "texttemplate": "%{text}" if named else None,
        "textfont": {"color": colour},
        "colorscale": HEAT,
        "showscale": colour == "white",
        "colorbar": {"tickformat": ".1~%", "thickness": 12, "outlinewidth": 0},
        "hoverinfo": "skip",
        "xgap": 1 if named else 0,
        "ygap": 1 if named else 0,
    }
