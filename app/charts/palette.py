"""One palette for all charts: colours, symbols and titles of weights, and how a class's line looks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import plotly.colors

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
BRIGHT = 0.45  # from this part of HEAT on, black is easier to read than white


def group_colours(groups: Sequence[str]) -> dict[str, str]:
    """Give every group a colour, in order; they repeat after ten."""
    return {group: CLASS_COLOURS[index % len(CLASS_COLOURS)] for index, group in enumerate(groups)}


@dataclass(frozen=True)
class LineStyle:
    """How one class's line looks."""

    colour: str
    dash: str = "solid"
    width: float = 2.0
    opacity: float = 1.0
    in_legend: bool = True
    note: str = ""


def class_styles(last: Mapping[int, float]) -> dict[int, LineStyle]:
    """Style up to ten classes by name (colour and dash), more by the rank of their last value."""
    if len(last) <= len(CLASS_COLOURS):
        return {
            index: LineStyle(CLASS_COLOURS[index % len(CLASS_COLOURS)], "solid" if index % 10 < 5 else "dash")
            for index in last
        }
    ranked = sorted(last, key=lambda index: last[index])
    shades = plotly.colors.sample_colorscale(list(RANK_COLOURS), len(ranked))
    styles = {
        index: LineStyle(shade, width=1.0, opacity=0.7, in_legend=False)
        for index, shade in zip(ranked, shades, strict=True)
    }
    styles[ranked[0]] = LineStyle(RANK_COLOURS[0], width=2.5, note=" (lowest)")
    styles[ranked[-1]] = LineStyle(RANK_COLOURS[-1], width=2.5, note=" (highest)")
    return styles
