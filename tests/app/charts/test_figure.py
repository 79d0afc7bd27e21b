"""What holds for every chart: it has points, and names on its axes stay names."""

import numpy as np
import pytest

from app import chart_tables, charts
from tests.app.charts.example_frames import ACROSS, FIGURES, LOOKS, STYLES, scores


@pytest.mark.parametrize("name", FIGURES)
def test_every_chart_has_its_traces_and_none_is_empty(name):
    build, traces = FIGURES[name]
    figure = build()
    assert len(figure.data) == traces
    assert all(len(trace.x) > 0 and len(trace.y) > 0 for trace in figure.data)
    assert figure.layout.uirevision
    assert figure.layout.height >= 200


@pytest.mark.parametrize("names", LOOKS.values(), ids=LOOKS)
@pytest.mark.parametrize("name", ACROSS)
def test_no_axis_takes_names_for_dates_or_numbers(name, names):
    figure = ACROSS[name](names)
    drawn = list(dict.fromkeys(x for trace in figure.data for x in trace.x))
    assert drawn == list(names[: len(drawn)])
    assert figure.layout.xaxis.type == "category"
    table = chart_tables.numbers_of(figure)
    across = figure.layout.meta["across"]
    assert list(dict.fromkeys(table[across])) == drawn  # and as they are in the table below


@pytest.mark.parametrize("name", [name for name in FIGURES if name not in ACROSS])
def test_axes_of_numbers_stay_axes_of_numbers(name):
    assert FIGURES[name][0]().layout.xaxis.type is None


def test_long_names_leave_room_for_what_is_drawn():
    long = [f"{k} {'x' * 300}" for k in range(3)]
    frame = scores(groups=1, classes=3).assign(class_name=long)
    figure = charts.class_bars(frame, STYLES)
    assert list(figure.layout.xaxis.tickvals) == long
    assert [len(text) for text in figure.layout.xaxis.ticktext] == [30] * 3
    assert list(figure.data[0].hovertext) == long
    assert charts.class_bars(scores(), STYLES).layout.xaxis.tickvals is None
    matrix = charts.confusion(np.eye(3, dtype=int), long, None)
    assert all(len(text) <= 30 for text in matrix.layout.xaxis.ticktext)
