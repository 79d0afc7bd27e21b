"""DataFrame in, plotly figure out: pure, one palette, no trace without points.

Fractions stay fractions and are shown as percent; eps is drawn in n/255. Callers check for empty frames:
an empty chart says nothing that a sentence does not say better.
"""

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import plotly.colors
import plotly.graph_objects as go

from app import texts

# Ten colours at least 20 (CIE76) apart under normal, protan, deutan and tritan vision (Machado et al. 2009),
# each with a contrast of 3:1 or more on white and on the dark theme's background (checked in tests/app).
CLASS_COLOURS = (
    *("#005AD2", "#C3875A", "#C30F78", "#5A6900", "#3C96FF"),
    *("#964B4B", "#A59600", "#784BA5", "#E16987", "#8787B4"),
)
RANK_COLOURS = ("#D9730D", "#8F8F9C", "#2C6FDB")  # worst … best, where there are too many classes for names
WEIGHTS_COLOURS = {"online": "#8787B4", "ema": "#C3875A", "fawa": "#005AD2", "file": "#784BA5"}
WEIGHTS_SYMBOLS = {"online": "circle", "ema": "square", "fawa": "diamond", "file": "cross"}
WEIGHTS_TITLES = {
    "online": "Online",
    "ema": "EMA",
    "fawa": "FAWA",
    "file": "File",
    "own": "Each method's own",
}
HEAT = "Viridis"
POINT_COLOURS = ("#D9730D", "#B04A8B", "#2C6FDB")  # low … high, for points: seen on both themes' ground
FRAME = "#FF2D95"  # frames the chosen cell; seen on every colour of HEAT
GRID = "rgba(128,134,150,0.25)"
NEUTRAL = "rgba(128,134,150,0.9)"  # what has no colour of its own; seen in both themes
HEIGHT = 360
TALL = 500  # for a hundred classes
BRIGHT = 0.45  # from this part of HEAT on, black is easier to read than white
MOST_NUMBERED = 30  # classes up to which the cells of a confusion matrix are wide enough for numbers
MOST_LINES = 100  # classes that are drawn as lines, all of them
LOWEST_LINES = 20  # of more: those that end lowest
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


def accuracy_over_epochs(summary: pd.DataFrame) -> go.Figure:
    """Draw mean (solid) and worst class (dotted) over epochs, a colour per kind of weights.

    Args:
        summary: Columns ``weights, epoch, mean, worst, worst_class``; fractions.
    """
    figure = _figure("epoch", PERCENT, told=("class",))
    for weights, block in _by(summary, "weights"):
        title = WEIGHTS_TITLES.get(str(weights), weights)
        for measure, dash, words in (("mean", "solid", "mean"), ("worst", "dot", "worst class")):
            named = block["worst_class"] if measure == "worst" else pd.Series("mean of classes", block.index)
            figure.add_scatter(
                x=block["epoch"].tolist(),
                y=block[measure].tolist(),
                name=f"{title} {words}",
                mode=_mode(len(block)),
                line={"color": WEIGHTS_COLOURS.get(weights, GRID), "dash": dash, "width": 2},
                customdata=named.tolist(),
                hovertemplate="epoch %{x}: %{y:.1%} (%{customdata})<extra>%{fullData.name}</extra>",
            )
    _epochs_axis(figure, summary["epoch"])
    figure.update_yaxes(rangemode="tozero")
    return figure


def class_lines(
    frame: pd.DataFrame, column: str, unit: Unit, y_range: tuple[float, float] | None = None
) -> go.Figure:
    """Draw one line per class over epochs; with more than ten classes, coloured by where they end.

    Of more than a hundred classes those lines are drawn that end lowest, and the highest; the others are a
    band, since nobody can read two hundred lines and a browser takes seconds for them.

    Args:
        frame: Columns ``epoch, class_index, class_name`` and ``column``.
        column: What is drawn.
        unit: How it is drawn.
        y_range: Common range, in the drawn unit, of charts that stand side by side.
    """
    figure = _figure("epoch", unit)
    blocks = _by(frame.dropna(subset=[column]), "class_index")
    named = len(blocks) <= len(CLASS_COLOURS)
    figure.update_layout(height=HEIGHT + 60 if named else TALL)
    last = {index: block[column].iloc[-1] for index, block in blocks}
    styles = _class_styles(last)
    if len(blocks) > MOST_LINES:
        ranked = sorted(last, key=lambda index: last[index])
        shown = {*ranked[:LOWEST_LINES], ranked[-1]}
        _add_band(figure, frame, column, unit, len(blocks))
        blocks = [(index, block) for index, block in blocks if index in shown]
    for index, block in blocks:
        style = styles[index]
        # SVG, not WebGL: without a graphics card it is four times as fast, also with 100 lines of 200 points.
        figure.add_scatter(
            x=block["epoch"].tolist(),
            y=(block[column].astype(float) * unit.factor).tolist(),
            name=block["class_name"].iloc[0] + style.note,
            mode=_mode(len(block)) if named else "lines",
            line={"color": style.colour, "dash": style.dash, "width": style.width},
            marker={"size": 5},
            opacity=style.opacity,
            showlegend=style.in_legend,
            meta=block["class_name"].iloc[0],
            hovertemplate=f"%{{meta}}: %{{y:{unit.hover}}}, epoch %{{x}}<extra></extra>",
        )
    _epochs_axis(figure, frame["epoch"])
    figure.update_yaxes(range=y_range, rangemode="normal" if y_range else "tozero")
    return figure


def _add_band(figure: go.Figure, frame: pd.DataFrame, column: str, unit: Unit, classes: int) -> None:
    """Draw the middle 80 % of the classes as a band, with their median."""
    values = frame.groupby("epoch")[column].quantile(np.array([0.1, 0.5, 0.9])).unstack() * unit.factor
    epochs = [int(epoch) for epoch in values.index]
    figure.add_scatter(
        x=[*epochs, *reversed(epochs)],
        y=[*values[0.1].tolist(), *reversed(values[0.9].tolist())],
        fill="toself",
        fillcolor="rgba(128,134,150,0.18)",
        line={"width": 0},
        name=f"middle 80 % of {classes} classes",
        hoverinfo="skip",
    )
    figure.add_scatter(
        x=epochs,
        y=values[0.5].tolist(),
        name="median",
        mode="lines",
        line={"color": NEUTRAL, "width": 2, "dash": "dot"},
        hovertemplate=f"median: %{{y:{unit.hover}}}, epoch %{{x}}<extra></extra>",
    )


def class_heatmap(frame: pd.DataFrame, column: str) -> go.Figure:
    """Draw class × epoch as colours; class order up to twenty classes, else the worst at the end first.

    Args:
        frame: Columns ``epoch, class_index, class_name`` and ``column``, fractions.
        column: What is drawn.
    """
    grid = frame.pivot_table(index=["class_index", "class_name"], columns="epoch", values=column, sort=True)
    if len(grid) > 20:
        grid = grid.sort_values(grid.columns[-1])
    names = [str(name) for _, name in grid.index]
    figure = _figure("epoch", Unit(""), height=HEIGHT + 60 if len(grid) <= 20 else TALL, told=("class",))
    figure.add_heatmap(
        name="accuracy",
        x=[int(epoch) for epoch in grid.columns],
        y=list(range(len(names))),
        z=grid.to_numpy(float).tolist(),
        customdata=[[name] * grid.shape[1] for name in names],
        zmin=0,
        zmax=max(0.01, float(grid.to_numpy(float).max())),
        colorscale=HEAT,
        colorbar={"tickformat": ".1~%", "thickness": 12, "outlinewidth": 0},
        hovertemplate="%{customdata}: %{z:.1%}, epoch %{x}<extra></extra>",
    )
    step = 1 if len(names) <= 40 else 5
    _epochs_axis(figure, frame["epoch"])
    figure.update_yaxes(
        autorange="reversed",
        showgrid=False,
        tickvals=list(range(0, len(names), step)),
        ticktext=list(map(_short, names[::step])),
    )
    return figure


def gate(epochs: pd.DataFrame, statistic: str, start_epoch: int = 1) -> go.Figure:
    """Draw the FAWA gate: the validation statistic, its threshold, and which epochs were accepted.

    Args:
        epochs: Columns ``epoch, gate_worst, gate_threshold, gate_accepted``; others are left out.
        statistic: What ``averaging.gate`` names, for the legend.
        start_epoch: When averaging starts; before it nothing is accepted, whatever it reaches.
    """
    tested = epochs.dropna(subset=["gate_worst"])
    x, y = tested["epoch"], tested["gate_worst"].astype(float)
    figure = _figure("epoch", PERCENT)
    figure.add_scatter(
        x=x.tolist(), y=y.tolist(), name=statistic, mode="lines", line={"color": "#8787B4", "width": 1.5}
    )
    figure.add_scatter(
        x=x.tolist(),
        y=tested["gate_threshold"].astype(float).tolist(),
        name="threshold",
        mode="lines",
        line={"color": "#C30F78", "dash": "dash", "width": 1.5},
    )
    accepted = tested["gate_accepted"].astype("boolean").fillna(False).astype(bool)
    before = x < start_epoch
    for chosen, name, symbol, colour in (
        (accepted & ~before, "accepted", "circle", "#005AD2"),
        (~accepted & ~before, "rejected", "x", "#C3875A"),
        (before, "before averaging starts", "circle-open", "#8787B4"),
    ):
        if chosen.any():
            figure.add_scatter(
                x=x[chosen].tolist(),
                y=y[chosen].tolist(),
                name=name,
                mode="markers",
                marker={"symbol": symbol, "size": 9, "color": colour},
                cliponaxis=False,  # whole at 0 % as well
            )
    figure.update_traces(hovertemplate="epoch %{x}: %{y:.1%}<extra>%{fullData.name}</extra>")
    _epochs_axis(figure, x)
    figure.update_yaxes(rangemode="tozero")
    return figure


def speed(epochs: pd.DataFrame) -> go.Figure:
    """Draw training images per second over epochs; ``epochs`` has ``epoch, images_per_second, seconds``."""
    figure = _figure("epoch", Unit("images per second", ticks="~s"), told=("seconds",))
    figure.add_bar(
        x=epochs["epoch"].tolist(),
        y=epochs["images_per_second"].tolist(),
        customdata=epochs["seconds"].tolist(),
        marker_color="#8787B4",
        hovertemplate="epoch %{x}: %{y:,.0f} images/s, %{customdata:.1f} s<extra></extra>",
    )
    _epochs_axis(figure, epochs["epoch"])
    return figure


def class_bars(scores: pd.DataFrame, colours: Mapping[str, str]) -> go.Figure:
    """Draw accuracy per class as grouped bars with their intervals, one colour per series.

    Args:
        scores: Columns ``group, series, class_index, class_name, accuracy, low, high``; fractions.
        colours: Colour of each group.
    """
    figure = _figure("", PERCENT, across="class")
    for group, block in _by(scores, "group"):
        figure.add_bar(
            x=block["class_name"].tolist(),
            y=block["accuracy"].tolist(),
            name=block["series"].iloc[0],
            marker_color=colours.get(group, CLASS_COLOURS[0]),
            error_y=_whiskers(block["accuracy"], block["low"], block["high"]),
            customdata=block[["low", "high"]].to_numpy().tolist(),
            hovertext=block["class_name"].tolist(),
            hovertemplate="%{hovertext}: %{y:.1%} (%{customdata[0]:.1%} – %{customdata[1]:.1%})"
            "<extra>%{fullData.name}</extra>",
        )
    _shorten_ticks(figure)
    figure.update_layout(barmode="group", bargap=0.25)
    figure.update_yaxes(range=[0, max(0.05, float(scores["high"].max()) * 1.03)])
    return figure


def class_differences(differences: pd.DataFrame, colours: Mapping[str, str]) -> go.Figure:
    """Draw each class's difference to the baseline in percentage points; pale where intervals overlap.

    Args:
        differences: Columns ``group, series, class_name, difference, clear``; differences of fractions.
        colours: Colour of each group.
    """
    figure = _figure("", Unit("points against baseline", ticks="+.0f"), across="class")
    for group, block in _by(differences, "group"):
        figure.add_bar(
            x=block["class_name"].tolist(),
            y=(100 * block["difference"]).tolist(),
            name=block["series"].iloc[0],
            marker={
                "color": colours.get(group, CLASS_COLOURS[0]),
                "opacity": [1.0 if clear else 0.45 for clear in block["clear"]],
            },
            hovertext=block["class_name"].tolist(),
            hovertemplate="%{hovertext}: %{y:+.1f} points<extra>%{fullData.name}</extra>",
        )
    _shorten_ticks(figure)
    figure.update_layout(barmode="group", bargap=0.25)
    figure.update_yaxes(zeroline=True, zerolinecolor="rgba(128,134,150,0.8)")
    return figure


def mean_against_worst(summary: pd.DataFrame, colours: Mapping[str, str]) -> go.Figure:
    """Draw each model as a point: mean accuracy across, worst class up; a symbol per kind of weights.

    Args:
        summary: Columns ``group, title, series, weights, mean, mean_low, mean_high, worst, worst_low,
            worst_high, worst_class``; fractions.
        colours: Colour of each group.
    """
    figure = _figure("mean accuracy", Unit("worst class", ticks=".1~%"), told=("which",))
    named: set[str] = set()
    row: Any
    for row in summary.itertuples():
        figure.add_scatter(
            x=[row.mean],
            y=[row.worst],
            name=row.title,
            legendgroup=row.group,
            showlegend=row.group not in named,
            mode="markers",
            marker={
                "color": colours.get(row.group, CLASS_COLOURS[0]),
                "symbol": WEIGHTS_SYMBOLS.get(row.weights, "circle"),
                "size": 12,
            },
            error_x=_whiskers([row.mean], [row.mean_low], [row.mean_high], thin=True),
            error_y=_whiskers([row.worst], [row.worst_low], [row.worst_high], thin=True),
            meta=row.series,
            customdata=[row.worst_class],
            hovertemplate="mean %{x:.1%}, worst %{y:.1%} (%{customdata})<extra>%{meta}</extra>",
        )
        named.add(row.group)
    figure.update_xaxes(tickformat=".1~%", showgrid=True, gridcolor=GRID)
    figure.update_layout(hovermode="closest", height=HEIGHT + 60)
    return figure


def trade_off(board: pd.DataFrame, front: np.ndarray) -> go.Figure:
    """Draw results as points, mean across and worst class up, clean accuracy as colour.

    Args:
        board: Columns ``whose, label, mean, worst, clean_mean, marks, source``; fractions, finite.
        front: Which points no other beats in both, boolean.
    """
    told = ("result", "source", "marks", "clean accuracy")
    unit = Unit("worst class", ticks=".1~%")
    figure = _figure("mean accuracy under attack", unit, height=HEIGHT + 160, told=told)
    clean = board["clean_mean"].astype(float)
    scale = {"cmin": clean.min(), "cmax": clean.max()} if clean.notna().any() else {}
    best = board[front].sort_values("mean")
    if len(best) > 1:
        figure.add_scatter(
            x=best["mean"].tolist(),
            y=best["worst"].tolist(),
            mode="lines",
            name="Pareto front",
            line={"dash": "dot", "width": 1.5, "color": NEUTRAL},
            hoverinfo="skip",
        )
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
                mode="markers",
                name=title if known else f"{title}, clean accuracy not known",
                marker=marker,
                customdata=_told(block),
                hovertemplate="<b>%{customdata[0]}</b>: mean %{x:.1%}, worst %{y:.1%}, clean "
                "%{customdata[3]}<br>%{customdata[1]}<br>%{customdata[2]}<extra>%{fullData.name}</extra>",
            )
    figure.update_xaxes(tickformat=".1~%", showgrid=True, gridcolor=GRID)
    figure.update_layout(hovermode="closest")
    return figure


_WHOSE = (("ours", "Ours", "circle", 13), ("published", "Published", "diamond-open", 12))


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
    figure = _figure("", Unit(title, ticks=".1~%"), across="method", told=("model",))
    for weights, block in _by(summary, "weights"):
        figure.add_bar(
            x=block["title"].tolist(),
            y=block[measure].tolist(),
            name=WEIGHTS_TITLES.get(weights, weights),
            marker_color=WEIGHTS_COLOURS.get(weights, CLASS_COLOURS[0]),
            error_y=_whiskers(block[measure], block[f"{measure}_low"], block[f"{measure}_high"]),
            customdata=block["series"].tolist(),
            hovertemplate="%{customdata}: %{y:.1%}<extra>%{fullData.name}</extra>",
        )
    _shorten_ticks(figure)
    figure.update_layout(barmode="group", bargap=0.3)
    return figure


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
    figure = _figure("predicted class", Unit("true class"), height=height, told=told)
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
    ticks["ticktext"] = list(map(_short, names[::step]))
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


def accuracy_over_eps(frame: pd.DataFrame, unit: Unit) -> go.Figure:
    """Draw one line per class over budgets; with more than ten classes, coloured by where they end.

    Args:
        frame: Columns ``eps, class_index, class_name, accuracy``; fractions.
        unit: How eps is drawn.
    """
    figure = _figure(unit.title, PERCENT)
    blocks = _by(frame, "class_index")
    figure.update_layout(height=HEIGHT + 60 if len(blocks) <= len(CLASS_COLOURS) else TALL)
    styles = _class_styles({index: block["accuracy"].mean() for index, block in blocks})
    for index, block in blocks:
        style = styles[index]
        name = block["class_name"].iloc[0]
        figure.add_scatter(
            x=(block["eps"] * unit.factor).tolist(),
            y=block["accuracy"].tolist(),
            name=name + style.note,
            mode=_mode(len(block)) if style.in_legend else "lines",
            line={"color": style.colour, "dash": style.dash, "width": style.width},
            marker={"size": 5},
            opacity=style.opacity,
            showlegend=style.in_legend,
            meta=name,
            hovertemplate="%{meta}: %{y:.1%}, eps %{x:.3~g}<extra></extra>",
        )
    figure.update_yaxes(rangemode="tozero")
    return figure


def mean_and_worst_over_eps(frame: pd.DataFrame, colours: Mapping[str, str], unit: Unit) -> go.Figure:
    """Draw mean (solid) and worst class (dotted) over budgets, a colour per run.

    Args:
        frame: Columns ``group, series, eps, mean, worst, worst_class``; fractions.
        colours: Colour of each group.
        unit: How eps is drawn.
    """
    figure = _figure(unit.title, PERCENT, told=("class",))
    for group, block in _by(frame, "group"):
        for measure, dash, words in (("mean", "solid", "mean"), ("worst", "dot", "worst class")):
            named = block["worst_class"] if measure == "worst" else pd.Series("mean of classes", block.index)
            figure.add_scatter(
                x=(block["eps"] * unit.factor).tolist(),
                y=block[measure].tolist(),
                name=f"{block['series'].iloc[0]}, {words}",
                mode="lines+markers",
                line={"color": colours.get(group, CLASS_COLOURS[0]), "dash": dash, "width": 2},
                customdata=named.tolist(),
                hovertemplate="eps %{x:.3~g}: %{y:.1%} (%{customdata})<extra>%{fullData.name}</extra>",
            )
    figure.update_yaxes(rangemode="tozero")
    return figure


def smallest_perturbations(frame: pd.DataFrame, unit: Unit) -> go.Figure:
    """Draw the distribution of the smallest perturbation found, a box per class.

    Args:
        frame: Columns ``class_index, class_name, length``; finite lengths.
        unit: How a length is drawn.
    """
    figure = _figure("", unit, across="class")
    for _, block in _by(frame.sort_values("class_index"), "class_index"):
        name = block["class_name"].iloc[0]
        figure.add_box(
            x=[name] * len(block),
            y=(block["length"] * unit.factor).round(4).tolist(),
            name=name,
            boxpoints=False,
            marker_color=CLASS_COLOURS[0],
            line_width=1.5,
            showlegend=False,
            hoverinfo="y",
        )
    _shorten_ticks(figure)
    figure.update_yaxes(rangemode="tozero", hoverformat=".3~g")
    return figure


def group_colours(groups: Sequence[str]) -> dict[str, str]:
    """Give every group a colour, in order; they repeat after ten."""
    return {group: CLASS_COLOURS[index % len(CLASS_COLOURS)] for index, group in enumerate(groups)}


def eps_range(frames: Sequence[pd.DataFrame]) -> tuple[float, float]:
    """Return the range in n/255 that holds the eps of all frames, for charts side by side."""
    largest = max(float(frame["eps"].max()) for frame in frames)
    return 0.0, largest * 255 * 1.08


def harmless(figure: go.Figure) -> go.Figure:
    """Return a figure whose texts are shown as they are, where plotly would read HTML in them."""
    traces = [
        _rewritten(trace, ("name", "meta", "customdata", "hovertext", "x", "y")) for trace in figure.data
    ]
    axes = [_rewritten(axis, ("ticktext", "tickvals")) for axis in (figure.layout.xaxis, figure.layout.yaxis)]
    if not any([*traces, *axes]):
        return figure  # the usual case, and a copy takes a quarter of a second for a hundred classes
    shown = go.Figure(figure)
    parts = [*shown.data, shown.layout.xaxis, shown.layout.yaxis]
    for part, written in zip(parts, [*traces, *axes], strict=True):
        part.update(written, overwrite=True)
    return shown


def _rewritten(part: Any, names: Iterable[str]) -> dict[str, Any]:
    """Say which texts of a part of a figure have to be written differently, and how."""
    found = {name: part[name] for name in names if name in part and part[name] is not None}
    written = {name: texts.in_chart(values) for name, values in found.items()}
    return {name: values for name, values in written.items() if _plain_lists(found[name]) != values}


def _plain_lists(values: Any) -> Any:
    return [_plain_lists(part) for part in values] if isinstance(values, list | tuple) else values


# --- shared parts ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Style:
    """How one class's line looks."""

    colour: str
    dash: str = "solid"
    width: float = 2.0
    opacity: float = 1.0
    in_legend: bool = True
    note: str = ""


def _class_styles(last: Mapping[int, float]) -> dict[int, _Style]:
    """Style up to ten classes by name (colour and dash), more by the rank of their last value."""
    if len(last) <= len(CLASS_COLOURS):
        return {
            index: _Style(CLASS_COLOURS[index % len(CLASS_COLOURS)], "solid" if index % 10 < 5 else "dash")
            for index in last
        }
    ranked = sorted(last, key=lambda index: last[index])
    shades = plotly.colors.sample_colorscale(list(RANK_COLOURS), len(ranked))
    styles = {
        index: _Style(shade, width=1.0, opacity=0.7, in_legend=False)
        for index, shade in zip(ranked, shades, strict=True)
    }
    styles[ranked[0]] = _Style(RANK_COLOURS[0], width=2.5, note=" (lowest)")
    styles[ranked[-1]] = _Style(RANK_COLOURS[-1], width=2.5, note=" (highest)")
    return styles


def _by(frame: pd.DataFrame, column: str) -> list[tuple[Any, pd.DataFrame]]:
    """Split by a column, in order of appearance."""
    return [(key, block) for key, block in frame.groupby(column, sort=False)]


def _mode(points: int) -> str:
    """Mark single epochs while they are few: a line through one point is invisible."""
    return "lines+markers" if points <= 25 else "lines"


def _whiskers(
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


def _figure(
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
        margin={"l": 8, "r": 8, "t": 24, "b": 8},
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


def _shorten_ticks(figure: go.Figure) -> None:
    """Leave room for what is drawn, however long the names on the axis are."""
    names = list(dict.fromkeys(name for trace in figure.data for name in trace.x))
    if any(len(name) > LONGEST_TICK for name in names):
        figure.update_xaxes(tickvals=names, ticktext=list(map(_short, names)))


def _short(name: str) -> str:
    return name if len(name) <= LONGEST_TICK else f"{name[: LONGEST_TICK - 1]}…"


def _epochs_axis(figure: go.Figure, epochs: pd.Series) -> None:
    """Count epochs in whole numbers."""
    few = epochs.nunique() <= 12
    figure.update_xaxes(tickformat="d", dtick=1 if few else None)
