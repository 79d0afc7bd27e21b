"""Charts over budgets: accuracy at each eps, and the smallest perturbation found of every image."""

from collections.abc import Mapping, Sequence

import pandas as pd
import plotly.graph_objects as go

from app.charts.figure import HEIGHT, PERCENT, TALL, Unit, line_mode, new_figure, shorten_ticks, split_by
from app.charts.palette import CLASS_COLOURS, NEUTRAL, SeriesStyle, class_styles

BAND = 0.13  # how dense the colour of an interval is


def accuracy_over_eps(frame: pd.DataFrame, unit: Unit, trained_at: Sequence[float] = ()) -> go.Figure:
    """Draw one line per class over budgets; with more than ten classes, coloured by where they end.

    Args:
        frame: Columns ``eps, class_index, class_name, accuracy``, where known ``ci_low, ci_high``;
            fractions. Intervals are drawn as bands, of up to ten classes.
        unit: How eps is drawn.
        trained_at: Budgets of training, marked by upright lines.
    """
    figure = new_figure(unit.title, PERCENT)
    blocks = split_by(frame, "class_index")
    figure.update_layout(height=HEIGHT + 60 if len(blocks) <= len(CLASS_COLOURS) else TALL)
    styles = class_styles({index: block["accuracy"].mean() for index, block in blocks})
    for index, block in blocks:
        style = styles[index]
        name = block["class_name"].iloc[0]
        if style.in_legend and len(blocks) <= len(CLASS_COLOURS) and "ci_low" in block:
            _add_band(figure, block, ("ci_low", "ci_high"), style.colour, unit, group=str(index))
        figure.add_scatter(
            x=(block["eps"] * unit.factor).tolist(),
            y=block["accuracy"].tolist(),
            name=name + style.note,
            legendgroup=str(index),
            mode=line_mode(len(block)) if style.in_legend else "lines",
            line={"color": style.colour, "dash": style.dash, "width": style.width},
            marker={"size": 5},
            opacity=style.opacity,
            showlegend=style.in_legend,
            meta=name,
            hovertemplate="%{meta}: %{y:.1%}, eps %{x:.3~g}<extra></extra>",
        )
    _mark(figure, trained_at, unit)
    figure.update_yaxes(rangemode="tozero")
    return figure


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


def mean_and_worst_over_eps(
    frame: pd.DataFrame, styles: Mapping[str, SeriesStyle], unit: Unit, trained_at: Sequence[float] = ()
) -> go.Figure:
    """Draw mean (solid) and worst class (dashed) over budgets, a style per run.

    Args:
        frame: Columns ``group, series, eps, mean, worst, worst_class``, and ``mean_low, mean_high, worst_low,
            worst_high`` where intervals are known; fractions.
        styles: How each group looks.
        unit: How eps is drawn.
        trained_at: Budgets of training, marked by upright lines.
    """
    figure = new_figure(unit.title, PERCENT, told=("class",))
    for group, block in split_by(frame, "group"):
        style = styles.get(group, SeriesStyle(CLASS_COLOURS[0]))
        colour = style.colour
        for measure, dash, words in (("mean", "solid", "mean"), ("worst", "dash", "worst class")):
            named = block["worst_class"] if measure == "worst" else pd.Series("mean of classes", block.index)
            ends = (f"{measure}_low", f"{measure}_high")
            if ends[0] in block:
                _add_band(figure, block, ends, colour, unit, group=f"{group} {measure}")
            figure.add_scatter(
                x=(block["eps"] * unit.factor).tolist(),
                y=block[measure].tolist(),
                name=f"{block['series'].iloc[0]}, {words}",
                mode="lines+markers",
                legendgroup=f"{group} {measure}",
                line={"color": colour, "dash": dash, "width": style.width + 0.5},
                marker={
                    "size": 4 if style.quiet else 7,
                    "symbol": style.symbol("circle" if measure == "mean" else "diamond"),
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
