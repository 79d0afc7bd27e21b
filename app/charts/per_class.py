"""Charts of one measurement class by class: bars with intervals, and differences to a baseline."""

from collections.abc import Mapping

import pandas as pd
import plotly.graph_objects as go

from app.charts.figure import PERCENT, Unit, new_figure, shorten_ticks, split_by, whiskers
from app.charts.palette import CLASS_COLOURS


def class_bars(scores: pd.DataFrame, colours: Mapping[str, str]) -> go.Figure:
    """Draw accuracy per class as grouped bars with their intervals, one colour per series.

    Args:
        scores: Columns ``group, series, class_index, class_name, accuracy, low, high``; fractions.
        colours: Colour of each group.
    """
    figure = new_figure("", PERCENT, across="class")
    for group, block in split_by(scores, "group"):
        figure.add_bar(
            x=block["class_name"].tolist(),
            y=block["accuracy"].tolist(),
            name=block["series"].iloc[0],
            marker_color=colours.get(group, CLASS_COLOURS[0]),
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
    attacked: pd.DataFrame, clean: pd.DataFrame, colours: Mapping[str, str]
) -> go.Figure:
    """Draw, for every class and series, clean accuracy (hatched) beside that under attack.

    Args:
        attacked: Columns ``series, class_index, class_name, accuracy, low, high``; fractions.
        clean: The same, on the same images; may be empty.
        colours: Colour of each series.
    """
    figure = new_figure("", PERCENT, across="class")
    for series, block in split_by(attacked, "series"):
        colour = colours.get(series, CLASS_COLOURS[0])
        hatched = {"color": "rgba(0,0,0,0)", "line": {"color": colour, "width": 1}}
        hatched["pattern"] = {"shape": "/", "fgcolor": colour, "size": 6}
        of_clean = clean[clean["series"] == series]
        for rows, words, marker in ((of_clean, "clean", hatched), (block, "attacked", {"color": colour})):
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


def class_differences(differences: pd.DataFrame, colours: Mapping[str, str]) -> go.Figure:
    """Draw each class's difference to the baseline in percentage points; pale where intervals overlap.

    Args:
        differences: Columns ``group, series, class_name, difference, clear``; differences of fractions.
        colours: Colour of each group.
    """
    figure = new_figure("", Unit("points against baseline", ticks="+.0f"), across="class")
    for group, block in split_by(differences, "group"):
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
    shorten_ticks(figure)
    figure.update_layout(barmode="group", bargap=0.25)
    figure.update_yaxes(zeroline=True, zerolinecolor="rgba(128,134,150,0.8)")
    return figure
