"""Texts in a figure shown as they are written, where plotly would read HTML in them."""

from collections.abc import Iterable
from typing import Any

import plotly.graph_objects as go

from app import texts


def harmless(figure: go.Figure) -> go.Figure:
    """Return a figure whose texts are shown as they are, where plotly would read HTML in them."""
    traces = [
        _rewritten(trace, ("name", "meta", "customdata", "hovertext", "text", "x", "y"))
        for trace in figure.data
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
