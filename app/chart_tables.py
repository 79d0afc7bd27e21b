"""The numbers of a figure as a table: what is drawn is what is said. Pure.

A figure's numbers are one row a point, with the columns ``series``, the two axes, the ends of an interval
where there is one, and what its hover boxes tell besides. Percent are percent, not fractions.
"""

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd
import plotly.graph_objects as go

SERIES = "series"


def numbers_of(figure: go.Figure) -> pd.DataFrame:
    """Tabulate every point of a figure; what has no hover box is drawn for the eye only and left out."""
    said = [trace for trace in figure.data if trace.hoverinfo != "skip"]
    blocks = [_cells(figure, trace) if trace.type == "heatmap" else _points(figure, trace) for trace in said]
    table = pd.concat(blocks, ignore_index=True)
    table = table.round(9)  # 28.000000000000004 % is 28 %
    return table.drop(columns=SERIES) if table[SERIES].eq("").all() else table


def for_reading(numbers: pd.DataFrame) -> pd.DataFrame:
    """Round to what means something, and put series side by side where a point is no more than two numbers.

    Percent have one digit, as everywhere; other numbers four significant ones. A series that is alone has no
    column, and the ends of the only interval are called "from" and "to". The CSV file has all of it, whole.
    """
    numbers = _with_short_titles(numbers.apply(_rounded))
    if list(numbers.columns[:1]) != [SERIES] or numbers.shape[1] != 3:
        return numbers
    _, x, y = numbers.columns
    if numbers.duplicated([SERIES, x]).any():
        return numbers
    order = list(dict.fromkeys(numbers[SERIES]))
    wide = numbers.pivot(index=x, columns=SERIES, values=y)[order]
    if not pd.api.types.is_numeric_dtype(wide.index):
        wide = wide.loc[list(dict.fromkeys(numbers[x]))]
    return wide.rename_axis(columns=None).reset_index()


def _with_short_titles(numbers: pd.DataFrame) -> pd.DataFrame:
    """Take no more room than a phone has where that is possible."""
    names = map(str, numbers.columns)
    ends = {name: name.rpartition(", ")[2] for name in names if name.endswith((", from", ", to"))}
    if len(ends) == 2:
        numbers = numbers.rename(columns=ends)
    return numbers.drop(columns=SERIES) if alone(numbers) else numbers


def alone(numbers: pd.DataFrame) -> str:
    """Name the series that has no column for reading, if one has none."""
    if SERIES not in numbers or len(numbers) < 2 or numbers[SERIES].nunique() != 1:
        return ""
    return str(numbers[SERIES].iloc[0])


def _rounded(column: pd.Series) -> pd.Series:
    if not pd.api.types.is_float_dtype(column):
        return column
    if "(%)" in str(column.name):
        return column.round(1)
    return column.map(lambda value: float(f"{value:.4g}") if abs(value) < 1000 else round(value, 1))


def _points(figure: go.Figure, trace: Any) -> pd.DataFrame:
    """Tabulate the points of lines, bars or boxes."""
    scales = [100.0 if _is_percent(axis) else 1.0 for axis in (figure.layout.xaxis, figure.layout.yaxis)]
    x, y = _titles(figure)
    table = pd.DataFrame({x: _scaled(trace.x, scales[0]), y: _scaled(trace.y, scales[1])})
    table.insert(0, SERIES, trace.meta or trace.name or "")
    for name, bars, scale in ((x, "error_x", scales[0]), (y, "error_y", scales[1])):
        whiskers = getattr(trace, bars, None)  # boxes have none
        if whiskers is not None and whiskers.array is not None:
            table[f"{name}, from"] = table[name] - _scaled(whiskers.arrayminus, scale)
            table[f"{name}, to"] = table[name] + _scaled(whiskers.array, scale)
    if trace.customdata is not None:
        for place, title in enumerate(figure.layout.meta["told"]):
            told = [_plain(row if _is_single(row) else row[place]) for row in trace.customdata]
            table[title] = pd.Series(told, index=table.index, dtype=object).infer_objects()
    return table


def _cells(figure: go.Figure, trace: Any) -> pd.DataFrame:
    """Tabulate the cells of a heatmap, whose first ``customdata`` names the row."""
    x, _ = _titles(figure)
    share = _is_percent(trace.colorbar)
    rows = [
        (trace.customdata[i][j], column, 100 * z if share else z)
        for i, line in enumerate(trace.z)
        for j, (column, z) in enumerate(zip(trace.x, line, strict=True))
        if z is not None and not math.isnan(z)
    ]
    value = f"{trace.name} (%)" if share else trace.name
    return pd.DataFrame(rows, columns=[figure.layout.meta["told"][0], x, value]).assign(**{SERIES: ""})


def _titles(figure: go.Figure) -> tuple[str, str]:
    layout = figure.layout
    names = ((layout.xaxis, layout.meta["across"]), (layout.yaxis, layout.yaxis.title.text or "value"))
    x, y = (f"{title} (%)" if _is_percent(axis) else title for axis, title in names)
    return x, y


def _is_percent(axis: Any) -> bool:
    return str(axis.tickformat or "").endswith("%")


def _scaled(values: Sequence[Any], factor: float) -> pd.Series:
    column = pd.Series(list(values))
    return column * factor if factor != 1 else column


def _is_single(row: object) -> bool:
    return isinstance(row, str | int | float)


def _plain(value: object) -> object:
    return value.replace("<br>", " ") if isinstance(value, str) else value
