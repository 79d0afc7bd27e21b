"""Charts of one measurement class by class: bars with intervals."""

from collections.abc import Mapping

import pandas as pd
import plotly.graph_objects as go

from app.charts.figure import PERCENT, new_figure, shorten_ticks, split_by, whiskers
from app.charts.palette import CLASS_COLOURS, SeriesStyle


def class_bars(scores: pd.DataFrame, styles: Mapping[str, SeriesStyle]) -> go.Figure:
    """Draw accuracy per class as grouped bars with their intervals, one style per series.

    Args:
        scores: Columns ``group, series, class_index, class_name, accuracy, low, high``; fractions.
        styles: How each group looks.
    """
    figure = new_figure("", PERCENT, across="class")
    for group, block in split_by(scores, "group"):
        figure.add_bar(
            x=block["class_name"].tolist(),
            y=block["accuracy"].tolist(),
            name=block["series"].iloc[0],
            marker=styles.get(group, SeriesStyle(CLASS_COLOURS[0])).bar,
            error_y=whiskers(block["accuracy"], block["low"], block["high"]),
            customdata=block[["low", "high"]].to_numpy().tolist(),
            hovertext=block["class_name"].tolist(),
            hovertemplate="%{hovertext}: %{y:.1%} (%{customdata[0]:.1%} – %{customdata[1]:.1%})"
            "<extra>%{fullData.name}</extra>",
        )
    shorten_ticks(figure)
    figure.update_layout(barmode="group", bargap=0.25)
    figure.update_yaxes(range=[0, max(0.05, float(scores["high"].max()) * 1.03)])
    return figure


def clean_beside_attacked(
    attacked: pd.DataFrame, clean: pd.DataFrame, styles: Mapping[str, SeriesStyle]
) -> go.Figure:
    """Draw, for every class and series, clean accuracy (hatched) beside that under attack.

    Args:
        attacked: Columns ``series, class_index, class_name, accuracy, low, high``; fractions.
        clean: The same, on the same images; may be empty.
        styles: How each series looks.
    """
    figure = new_figure("", PERCENT, across="class")
    for series, block in split_by(attacked, "series"):
        style = styles.get(series, SeriesStyle(CLASS_COLOURS[0]))
        hatched = {"color": "rgba(0,0,0,0)", "line": {"color": style.colour, "width": 1}}
        hatched["pattern"] = {"shape": "/", "fgcolor": style.colour, "size": 6}
        of_clean = clean[clean["series"] == series]
        for rows, words, marker in ((of_clean, "clean", hatched), (block, "attacked", style.bar)):
            if rows.empty:
                continue
            figure.add_bar(
                x=rows["class_name"].tolist(),
                y=rows["accuracy"].tolist(),
                name=series if clean.empty else f"{series}, {words}",
                marker=marker,
                error_y=whiskers(rows["accuracy"], rows["low"], rows["high"]),
                customdata=rows[["low", "high"]].to_numpy().tolist(),
                hovertext=rows["class_name"].tolist(),
                hovertemplate="%{hovertext}: %{y:.1%} (%{customdata[0]:.1%} – %{customdata[1]:.1%})"
                "<extra>%{fullData.name}</extra>",
            )
    shorten_ticks(figure)
    figure.update_layout(barmode="group", bargap=0.25)
    largest = max(float(frame["high"].max()) for frame in (attacked, clean) if len(frame))
    figure.update_yaxes(range=[0, max(0.05, largest * 1.03)])
    return figure
