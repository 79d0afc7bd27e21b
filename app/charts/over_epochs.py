"""Charts over epochs: accuracy, one line a class, the gate of FAWA and speed."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from app.charts.figure import (
    HEIGHT,
    PERCENT,
    TALL,
    Unit,
    count_epochs,
    line_mode,
    new_figure,
    short_name,
    split_by,
)
from app.charts.palette import (
    CLASS_COLOURS,
    GRID,
    HEAT,
    NEUTRAL,
    WEIGHTS_COLOURS,
    WEIGHTS_TITLES,
    class_styles,
)

MOST_LINES = 100  # classes that are drawn as lines, all of them
LOWEST_LINES = 20  # of more: those that end lowest


def accuracy_over_epochs(summary: pd.DataFrame) -> go.Figure:
    """Draw mean (solid) and worst class (dotted) over epochs, a colour per kind of weights.

    Args:
        summary: Columns ``weights, epoch, mean, worst, worst_class``; fractions.
    """
    figure = new_figure("epoch", PERCENT, told=("class",))
    for weights, block in split_by(summary, "weights"):
        title = WEIGHTS_TITLES.get(str(weights), weights)
        for measure, dash, words in (("mean", "solid", "mean"), ("worst", "dot", "worst class")):
            named = block["worst_class"] if measure == "worst" else pd.Series("mean of classes", block.index)
            figure.add_scatter(
                x=block["epoch"].tolist(),
                y=block[measure].tolist(),
                name=f"{title} {words}",
                mode=line_mode(len(block)),
                line={"color": WEIGHTS_COLOURS.get(weights, GRID), "dash": dash, "width": 2},
                customdata=named.tolist(),
                hovertemplate="epoch %{x}: %{y:.1%} (%{customdata})<extra>%{fullData.name}</extra>",
            )
    count_epochs(figure, summary["epoch"])
    figure.update_yaxes(rangemode="tozero")
    return figure


def class_lines(
    frame: pd.DataFrame,
    column: str,
    unit: Unit,
    y_range: tuple[float, float] | None = None,
    *,
    from_zero: bool = True,
    ranked_by: str = "",
) -> go.Figure:
    """Draw one line per class over epochs; with more than ten classes, coloured by where they end.

    A click on a class leaves it alone, here and in all charts of the page that draw classes (live_chart.js).

    Of more than a hundred classes those lines are drawn that end lowest, and the highest; the others are a
    band, since nobody can read two hundred lines and a browser takes seconds for them.

    Args:
        frame: Columns ``epoch, class_index, class_name`` and ``column``.
        column: What is drawn.
        unit: How it is drawn.
        y_range: Common range, in the drawn unit, of charts that stand side by side.
        from_zero: Whether the axis begins at 0; else it is fitted to the lines.
        ranked_by: The column by whose last value classes are coloured where they are many; by default the
            one that is drawn.
    """
    figure = new_figure("epoch", unit)
    _alone_at_a_click(figure)
    blocks = split_by(frame.dropna(subset=[column]), "class_index")
    named = len(blocks) <= len(CLASS_COLOURS)
    figure.update_layout(height=HEIGHT + 60 if named else TALL)
    last = {index: block[ranked_by or column].iloc[-1] for index, block in blocks}
    styles = class_styles(last)
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
            mode=line_mode(len(block)) if named else "lines",
            line={"color": style.colour, "dash": style.dash, "width": style.width},
            marker={"size": 5},
            opacity=style.opacity,
            showlegend=style.in_legend,
            meta=block["class_name"].iloc[0],
            hovertemplate=f"%{{meta}}: %{{y:{unit.hover}}}, epoch %{{x}}<extra></extra>",
        )
    count_epochs(figure, frame["epoch"])
    figure.update_yaxes(range=y_range, rangemode="normal" if y_range or not from_zero else "tozero")
    return figure


def class_ranks(frame: pd.DataFrame) -> go.Figure:
    """Draw the rank of every class over epochs, the best on top; classes that tie share the better rank.

    Args:
        frame: Columns ``epoch, class_index, class_name, accuracy``.
    """
    ranks = frame.groupby("epoch")["accuracy"].rank(ascending=False, method="min")
    unit = Unit("rank", ticks="d", hover=".0f")
    figure = class_lines(frame.assign(rank=ranks), "rank", unit, from_zero=False, ranked_by="accuracy")
    classes = frame["class_index"].nunique()
    figure.update_yaxes(range=[classes + 0.5, 0.5], dtick=1 if classes <= 12 else None)
    return figure


def _alone_at_a_click(figure: go.Figure) -> None:
    """Mark a figure whose lines (or rows) are classes, by which a click finds them in all charts."""
    figure.update_layout(meta={**figure.layout.meta, "classes": True})


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
    figure = new_figure("epoch", Unit(""), height=HEIGHT + 60 if len(grid) <= 20 else TALL, told=("class",))
    _alone_at_a_click(figure)
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
    count_epochs(figure, frame["epoch"])
    figure.update_yaxes(
        autorange="reversed",
        showgrid=False,
        tickvals=list(range(0, len(names), step)),
        ticktext=list(map(short_name, names[::step])),
    )
    return figure


def robust_overfitting(lines: pd.DataFrame, drops: Sequence[int]) -> go.Figure:
    """Draw robust accuracy on training, validation and test images, and how far training is ahead.

    Args:
        lines: Columns ``split, epoch, value``; ``split`` is ``train``, ``val``, ``test`` or ``gap``.
        drops: Epochs that begin with a lower learning rate than the one before.
    """
    figure = new_figure("epoch", PERCENT)
    for split, block in split_by(lines, "split"):
        name, colour, dash = _OVERFITTING[str(split)]
        figure.add_scatter(
            x=block["epoch"].tolist(),
            y=block["value"].tolist(),
            name=name,
            mode=line_mode(len(block)),
            line={"color": colour, "dash": dash, "width": 2},
            marker={"size": 5},
            hovertemplate="epoch %{x}: %{y:.1%}<extra>%{fullData.name}</extra>",
        )
    for epoch in drops:
        _mark_epoch(figure, epoch - 0.5, "learning rate drops", "dash", "bottom")
    count_epochs(figure, lines["epoch"])
    figure.update_yaxes(rangemode="tozero")
    return figure


_OVERFITTING = {
    "train": ("training", NEUTRAL, "solid"),
    "val": ("validation", "#005AD2", "solid"),
    "test": ("test", "#C30F78", "solid"),
    "gap": ("ahead on training images", "#C3875A", "dot"),
}


def mark_kept(figure: go.Figure, kept: Mapping[str, int]) -> None:
    """Draw an upright line at every epoch of which weights were kept, with whose they are.

    Args:
        figure: Whose x axis is epochs.
        kept: The kept epoch of each kind of weights.
    """
    epochs = list(dict.fromkeys(kept.values()))
    last = max(max(trace.x) for trace in figure.data)
    for epoch in epochs:
        whose = [WEIGHTS_TITLES[kind] for kind, one in kept.items() if one == epoch]
        says = f"{', '.join(whose)} kept, epoch {epoch}"
        if len(epochs) > 1:  # beside each other they would lie on each other
            _mark_epoch(figure, epoch, says, "dot", "top")
            continue
        figure.add_vline(x=epoch, line={"color": NEUTRAL, "dash": "dot", "width": 1.2})
        figure.add_annotation(
            x=epoch,
            y=1,
            yref="paper",
            text=says,
            showarrow=False,
            font={"size": 11},
            xanchor="right" if 2 * epoch > last else "left",
            yanchor="bottom",
        )


def _mark_epoch(figure: go.Figure, epoch: float, says: str, dash: str, side: str) -> None:
    """Draw an upright line at an epoch, with a word on it."""
    figure.add_vline(
        x=epoch,
        line={"color": NEUTRAL, "dash": dash, "width": 1.2},
        annotation={"text": says, "textangle": -90, "font": {"size": 11}, "xanchor": "right"},
        annotation_position=f"{side} left",
    )


def gate(epochs: pd.DataFrame, statistic: str, start_epoch: int = 1) -> go.Figure:
    """Draw the FAWA gate: the validation statistic, its threshold, and which epochs were accepted.

    Args:
        epochs: Columns ``epoch, gate_worst, gate_threshold, gate_accepted``; others are left out.
        statistic: What ``averaging.gate`` names, for the legend.
        start_epoch: When averaging starts; before it nothing is accepted, whatever it reaches.
    """
    tested = epochs.dropna(subset=["gate_worst"])
    x, y = tested["epoch"], tested["gate_worst"].astype(float)
    figure = new_figure("epoch", PERCENT)
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
    count_epochs(figure, x)
    figure.update_yaxes(rangemode="tozero")
    return figure


def speed(epochs: pd.DataFrame) -> go.Figure:
    """Draw training images per second over epochs; ``epochs`` has ``epoch, images_per_second, seconds``."""
    figure = new_figure("epoch", Unit("images per second", ticks="~s"), told=("seconds",))
    figure.add_bar(
        x=epochs["epoch"].tolist(),
        y=epochs["images_per_second"].tolist(),
        customdata=epochs["seconds"].tolist(),
        marker_color="#8787B4",
        hovertemplate="epoch %{x}: %{y:,.0f} images/s, %{customdata:.1f} s<extra></extra>",
    )
    count_epochs(figure, epochs["epoch"])
    return figure


def eps_range(frames: Sequence[pd.DataFrame]) -> tuple[float, float]:
    """Return the range in n/255 that holds the eps of all frames, for charts side by side."""
    largest = max(float(frame["eps"].max()) for frame in frames)
    return 0.0, largest * 255 * 1.08
