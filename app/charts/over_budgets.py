"""Charts over budgets: accuracy at each eps, and the smallest perturbation found of every image."""

from collections.abc import Mapping

import pandas as pd
import plotly.graph_objects as go

from app.charts.figure import HEIGHT, PERCENT, TALL, Unit, line_mode, new_figure, shorten_ticks, split_by
from app.charts.palette import CLASS_COLOURS, class_styles


def accuracy_over_eps(frame: pd.DataFrame, unit: Unit) -> go.Figure:
    """Draw one line per class over budgets; with more than ten classes, coloured by where they end.

    Args:
        frame: Columns ``eps, class_index, class_name, accuracy``; fractions.
        unit: How eps is drawn.
    """
    figure = new_figure(unit.title, PERCENT)
    blocks = split_by(frame, "class_index")
    figure.update_layout(height=HEIGHT + 60 if len(blocks) <= len(CLASS_COLOURS) else TALL)
    styles = class_styles({index: block["accuracy"].mean() for index, block in blocks})
    for index, block in blocks:
        style = styles[index]
        name = block["class_name"].iloc[0]
        figure.add_scatter(
            x=(block["eps"] * unit.factor).tolist(),
            y=block["accuracy"].tolist(),
            name=name + style.note,
            mode=line_mode(len(block)) if style.in_legend else "lines",
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
    figure = new_figure(unit.title, PERCENT, told=("class",))
    for group, block in split_by(frame, "group"):
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
