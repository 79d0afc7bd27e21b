"""The confusion matrix, whose cells can be clicked."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import plotly.graph_objects as go

from app.charts.figure import Unit, new_figure, short_name
from app.charts.palette import BRIGHT, FRAME, HEAT

MOST_NUMBERED = 30  # classes up to which the cells of a confusion matrix are wide enough for numbers
CHANGE = ("#2C6FDB", "#E9E9EF", "#D9730D")  # fewer, as many, more
DARK_FROM = 0.6  # from this part of CHANGE's ends on, white is easier to read than black

View = Literal["share", "confused", "logarithm", "change"]


def confusion(
    counts: np.ndarray,
    names: Sequence[str],
    chosen: tuple[int, int] | None,
    view: View = "share",
    clean: np.ndarray | None = None,
) -> go.Figure:
    """Draw a confusion matrix: rows are true classes, coloured by their share, with counts where they fit.

    Invisible markers lie on the cells, since only points can be clicked; the chosen one is framed.

    Args:
        counts: Images by true class and predicted class.
        names: The classes.
        chosen: True and predicted class of the framed cell.
        view: What colours stand for: the ``share`` of the true class; the same of what is ``confused`` alone,
            without the diagonal; the ``logarithm`` of the number of images; or the ``change`` of the share
            against clean images, whose cells then hold points.
        clean: The same images without an attack, for ``change``.
    """
    classes, named = len(names), len(names) <= MOST_NUMBERED
    told = ("true class", "predicted class", "images", "share")  # the first two instead of the axes' indices
    height = (200 + 34 * classes) if named else 640
    figure = new_figure("predicted class", Unit("true class"), height=height, told=told)
    shares = _shares(counts)
    drawn = _drawn(counts, view, clean)
    first = True
    for some, colour in ((~drawn.bright, "white"), (drawn.bright, "black")):
        if (some & drawn.known).any():
            figure.add_heatmap(**_cells(drawn, some & drawn.known, colour, named), showscale=first)
            first = False
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


@dataclass(frozen=True)
class _Drawn:
    """What the cells of a matrix are coloured by.

    Attributes:
        values: One a cell.
        known: Which cells have a colour.
        bright: On which a number is black.
        texts: What stands on them.
        scale: Smallest and largest value, and the colours between them.
        bar: How the bar beside the matrix is labelled.
    """

    values: np.ndarray
    known: np.ndarray
    bright: np.ndarray
    texts: np.ndarray
    scale: tuple[float, float, Any]
    bar: dict[str, Any]


def _shares(counts: np.ndarray) -> np.ndarray:
    """Divide by the images of each true class."""
    shares: np.ndarray = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    return shares


def _drawn(counts: np.ndarray, view: View, clean: np.ndarray | None) -> _Drawn:
    shares, everywhere = _shares(counts), np.ones(counts.shape, bool)
    texts = np.where(counts > 0, counts.astype(str), "")
    percent: dict[str, Any] = {"tickformat": ".1~%"}
    signed: dict[str, Any] = {"tickformat": "+.1~%"}
    if view == "change" and clean is not None:
        change = shares - _shares(clean)
        most = max(float(np.abs(change).max()), 0.01)
        points = np.array([[_points(value) for value in row] for row in change])
        ends = [[0, CHANGE[0]], [0.5, CHANGE[1]], [1, CHANGE[2]]]
        return _Drawn(
            change, everywhere, np.abs(change) < DARK_FROM * most, points, (-most, most, ends), signed
        )
    if view == "logarithm":
        values = np.log10(1 + counts)
        most = float(values.max())
        ticks = [n for n in (0, 1, 10, 100, 1000, 10_000) if np.log10(1 + n) <= most]
        bar: dict[str, Any] = {
            "tickvals": [float(np.log10(1 + n)) for n in ticks],
            "ticktext": [f"{n:,}" for n in ticks],
        }
        return _Drawn(values, everywhere, values > BRIGHT * most, texts, (0.0, most, HEAT), bar)
    known = ~np.eye(len(counts), dtype=bool) if view == "confused" else everywhere
    most = max(float(shares[known].max(initial=0)), 1e-9)
    return _Drawn(shares, known, shares > BRIGHT * most, texts, (0.0, most, HEAT), percent)


def _points(change: float) -> str:
    """Write a change of a share in points; nothing where it rounds to none."""
    text = f"{100 * change:+.0f}"
    return "" if text in ("+0", "-0") else text.replace("-", "−")


def _cells(drawn: _Drawn, some: np.ndarray, colour: str, named: bool) -> dict[str, Any]:
    """Describe the heatmap of those cells of a confusion matrix whose numbers have one colour."""
    classes = list(range(len(some)))
    smallest, largest, colours = drawn.scale
    return {
        "x": classes,
        "y": classes,
        "z": np.where(some, drawn.values.astype(object), np.array(None)).tolist(),
        "zmin": smallest,
        "zmax": largest,
        "text": np.where(some, drawn.texts, "").tolist() if named else None,
        "texttemplate": "%{text}" if named else None,
        "textfont": {"color": colour},
        "colorscale": colours,
        "colorbar": {"thickness": 12, "outlinewidth": 0, **drawn.bar},
        "hoverinfo": "skip",
        "xgap": 1 if named else 0,
        "ygap": 1 if named else 0,
    }
