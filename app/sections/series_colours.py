"""How the series of a page's charts look: in their family's hue; of many, only some are in colour."""

from collections.abc import Sequence
from dataclasses import dataclass

import streamlit as st

from app import charts, fields
from app.engine import training_settings

MOST_IN_COLOUR = 8


@dataclass(frozen=True)
class Series:
    """A series of charts.

    Attributes:
        key: By which charts know it.
        title: For people.
        method: Of its runs.
    """

    key: str
    title: str
    method: str


def styles_of(series: Sequence[Series], first: Sequence[str] = ()) -> dict[str, charts.SeriesStyle]:
    """Style series, the same on every page; of more than eight all are grey but the first ones.

    Args:
        series: In the order of the legend.
        first: Keys of those that matter most; by default the first two.
    """
    loud = [one.key for one in series]
    if len(series) > MOST_IN_COLOUR:
        loud = [key for key in first if key in loud] or loud[:2]
    return _styles(series, loud)


def choose_styles(
    series: Sequence[Series], *, name: str, first: Sequence[str] = ()
) -> dict[str, charts.SeriesStyle]:
    """Style series; of more than eight, ask which are in colour.

    Args:
        series: In the order of the legend.
        name: Of the field in addresses.
        first: Keys of those that are in colour at first; by default the first two.
    """
    if len(series) <= MOST_IN_COLOUR:
        return styles_of(series)
    keys = [one.key for one in series]
    chosen = fields.multiselect(
        "In colour",
        {one.key: one.title for one in series},
        name=name,
        default=[key for key in first if key in keys] or keys[:2],
        placeholder="None",
        help=f"More than {MOST_IN_COLOUR} colours are not told apart: all others are grey, and name "
        "themselves under the mouse.",
    )
    st.caption(f"{len(series) - len(chosen)} of {len(series)} are grey.")
    return _styles(series, chosen)


def _styles(series: Sequence[Series], loud: Sequence[str]) -> dict[str, charts.SeriesStyle]:
    methods = [(one.key, one.method) for one in series]
    return charts.series_styles(methods, training_settings.family_of, set(loud))
