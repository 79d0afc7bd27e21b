"""Charts over budgets: accuracy at each eps, and the smallest perturbation found of every image."""

from collections.abc import Mapping, Sequence

import pandas as pd
import plotly.graph_objects as go

from app import texts
from app.charts.figure import HEIGHT, PERCENT, TALL, Unit, line_mode, new_figure, shorten_ticks, split_by
from app.charts.palette import CLASS_COLOURS, NEUTRAL, SeriesStyle, class_styles

BAND = 0.13  # how dense the colour of an interval is
LEAST_WIDTH = 2  # of a line
LINE_STEP = 0.055  # of the axis: the height of a name
LONGEST_END = 14  # characters of a name at the end of a line
ROOM_ABOVE, ROOM_BESIDE = 1.04, 0.26  # of the axes, for names


def accuracy_over_eps(frame: pd.DataFrame, unit: Unit, trained_at: Sequence[float] = ()) -> go.Figure:
    """Draw one line per class over budgets; with more than ten classes, coloured by where they end.

    Up to ten classes have their names at the ends of their lines, unless most of these end in one place, and
    the lowest its intervals as a band: bands of all would hide lines.

    Args:
        frame: Columns ``eps, class_index, class_name, accuracy``, where known ``ci_low, ci_high``; fractions.
        unit: How eps is drawn.
        trained_at: Budgets of training, marked by upright lines.
    """
    figure = new_figure(unit.title, PERCENT)
    blocks = split_by(frame, "class_index")
    few = len(blocks) <= len(CLASS_COLOURS)
    named = few and _end_apart(frame)
    figure.update_layout(height=HEIGHT + 60 if few else TALL)
    styles = class_styles({index: block["accuracy"].mean() for index, block in blocks})
    for index, block in blocks:
        style = styles[index]
        name = block["class_name"].iloc[0]
        if few and style.note and "ci_low" in block:
            _add_band(figure, block, ("ci_low", "ci_high"), style.colour, unit, group=str(index))
        figure.add_scatter(
            x=(block["eps"] * unit.factor).tolist(),
            y=block["accuracy"].tolist(),
            name=name + style.note,
            legendgroup=str(index),
            mode=line_mode(len(block)) if style.in_legend else "lines",
            line={
                "color": style.colour,
                "dash": style.dash,
                "width": max(style.width, LEAST_WIDTH if few else 0),
            },
            marker={"size": 5},
            opacity=style.opacity,
            showlegend=style.in_legend and not named,
            meta=name,
            hovertemplate="%{meta}: %{y:.1%}, eps %{x:.3~g}<extra></extra>",
        )
    _mark(figure, trained_at, unit)
    if named:
        _name_ends(figure, frame, unit)
    else:
        figure.update_yaxes(rangemode="tozero")
    return figure


def _end_apart(frame: pd.DataFrame) -> bool:
    """Tell whether lines end so far from each other that names can stand there."""
    last = frame.loc[frame.groupby("class_index")["eps"].idxmax(), "accuracy"]
    return float(last.max() - last.min()) >= 0.5 * LINE_STEP * (len(last) - 1)


def _name_ends(figure: go.Figure, frame: pd.DataFrame, unit: Unit) -> None:
    """Write the class at the right end of each line, one below another."""
    last = frame.loc[frame.groupby("class_index")["eps"].idxmax()].sort_values("accuracy", ascending=False)
    end = float(last["eps"].max()) * unit.factor
    top = ROOM_ABOVE * max(float(frame["accuracy"].max()), LINE_STEP)
    heights = _apart(last["accuracy"].tolist(), LINE_STEP * top, top)
    for name, at, height in zip(last["class_name"], last["accuracy"], heights, strict=True):
        figure.add_annotation(
            x=end,
            y=at,
            ax=14,
            ay=height,
            ayref="y",
            text=texts.in_chart(name if len(name) <= LONGEST_END else f"{name[: LONGEST_END - 1]}…"),
            showarrow=True,
            arrowhead=0,
            arrowwidth=1,
            arrowcolor=NEUTRAL,
            xanchor="left",
            font={"size": 12},
        )
    figure.update_xaxes(range=[-0.02 * end, end * (1 + ROOM_BESIDE)])
    figure.update_yaxes(range=[0, top])


def _apart(values: Sequence[float], step: float, top: float) -> list[float]:
    """Move falling values apart until none is nearer to the next than a step, all between 0 and a top."""
    heights, above = list[float](), top
    for place, value in enumerate(values):
        least = step * (len(values) - place - 0.5)  # room for those below
        above = min(above, max(value, min(least, above)))
        heights.append(above)
        above -= step
    return heights


def _add_band(
    figure: go.Figure, block: pd.DataFrame, ends: tuple[str, str], colour: str, unit: Unit, *, group: str
) -> None:
    """Draw intervals as a band behind their line; it comes and goes with it."""
    eps = (block["eps"] * unit.factor).tolist()
    low, high = (block[end].tolist() for end in ends)
    red, green, blue = (int(colour[place : place + 2], 16) for place in (1, 3, 5))
    figure.add_scatter(
        x=[*eps, *reversed(eps)],
        y=[*high, *reversed(low)],
        fill="toself",
        fillcolor=f"rgba({red},{green},{blue},{BAND})",
        line={"width": 0},
        mode="lines",
        legendgroup=group,
        showlegend=False,
        hoverinfo="skip",
    )


def _mark(figure: go.Figure, budgets: Sequence[float], unit: Unit) -> None:
    """Draw an upright line at each of some budgets, with its name above."""
    for eps in budgets:
        at = eps * unit.factor
        figure.add_vline(x=at, line={"color": NEUTRAL, "width": 1.5, "dash": "dashdot"})
        figure.add_annotation(
            x=at, y=1, yref="paper", yanchor="bottom", text=f"trained at {at:.3g}", showarrow=False
        )


def models_over_eps(
    frame: pd.DataFrame,
    measure: str,
    styles: Mapping[str, SeriesStyle],
    unit: Unit,
    trained_at: Sequence[float] = (),
) -> go.Figure:
    """Draw the mean or the worst class over budgets, a line a model.

    Args:
        frame: Columns ``group, series, eps, mean, worst, worst_class``, and ``mean_low, mean_high, worst_low,
            worst_high`` where intervals are known; fractions.
        measure: ``mean`` or ``worst``.
        styles: How each group looks.
        unit: How eps is drawn.
        trained_at: Budgets of training, marked by upright lines.
    """
    figure = new_figure(unit.title, PERCENT, told=("class",))
    for group, block in split_by(frame, "group"):
        style = styles.get(group, SeriesStyle(CLASS_COLOURS[0]))
        named = block["worst_class"] if measure == "worst" else pd.Series("mean of classes", block.index)
        ends = (f"{measure}_low", f"{measure}_high")
        if ends[0] in block:
            _add_band(figure, block, ends, style.colour, unit, group=str(group))
        figure.add_scatter(
            x=(block["eps"] * unit.factor).tolist(),
            y=block[measure].tolist(),
            name=block["series"].iloc[0],
            mode="lines+markers",
            legendgroup=str(group),
            showlegend=True,
            line={"color": style.colour, "dash": style.dash, "width": style.width + 0.5},
            marker={
                "size": 4 if style.quiet else 8,
                "symbol": style.symbol("circle" if measure == "mean" else "diamond"),
                "line": {"width": 2, "color": style.colour},
            },
            customdata=named.tolist(),
            hovertemplate="eps %{x:.3~g}: %{y:.1%} (%{customdata})<extra>%{fullData.name}</extra>",
        )
    _mark(figure, trained_at, unit)
    figure.update_yaxes(rangemode="tozero")
    return figure


def smallest_perturbations(frame: pd.DataFrame, unit: Unit) -> go.Figure:
    """Draw the distribution of the smallest perturbation found, a box per class.

    Args:
        frame: Columns ``class_index, class_name, length``; finite lengths.
        unit: How a length is drawn.
    """
    figure = new_figure("", unit, across="class")
    for _, block in split_by(frame.sort_values("class_index"), "class_index"):
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
    shorten_ticks(figure)
    figure.update_yaxes(rangemode="tozero", hoverformat=".3~g")
    return figure
