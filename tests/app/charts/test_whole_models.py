"""Models as points: each named once, ours told from theirs."""

import numpy as np
import pandas as pd

from app import charts
from tests.app.charts.example_frames import STYLES, models


def test_scatter_names_each_group_once_and_each_kind_of_weights_by_its_symbol():
    figure = charts.mean_against_worst(models(), STYLES)
    assert [trace.name for trace in figure.data if trace.showlegend] == ["run a", "run b"]
    assert len({trace.marker.symbol for trace in figure.data}) == 3
    assert len({trace.marker.color for trace in figure.data}) == 2


def test_the_legend_shows_the_symbol_of_the_weights_that_it_names():
    """A circle for TRADES + CFA, which is a diamond in the chart, was taken for the best point of all."""
    table = models()
    own = (table["group"] == "a") & (table["weights"] == "fawa")
    table.loc[own, "series"] = table.loc[own, "title"]
    figure = charts.mean_against_worst(table, STYLES)
    in_legend = {trace.name: trace.marker.symbol for trace in figure.data if trace.showlegend}
    assert {name: symbol.removesuffix("-open") for name, symbol in in_legend.items()} == {
        "run a": "diamond",
        "run b": "circle",
    }


def board_of(mean, worst, **columns):
    count = len(mean)
    given = {
        "whose": ["published"] * count,
        "label": [f"result {k}" for k in range(count)],
        "mean": mean,
        "worst": worst,
        "clean_mean": [0.8] * count,
        "marks": "",
        "source": "somewhere",
        "runs": 5,
    }
    ends = {f"{measure}_{end}": None for measure in ("mean", "worst") for end in ("low", "high")}
    return pd.DataFrame({**given, **ends, **columns})


def test_the_trade_off_tells_ours_theirs_and_what_is_not_known():
    board = board_of(
        [0.5, 0.6, 0.55],
        [0.3, 0.2, 0.1],
        whose=["ours", "published", "published"],
        label=["A", "<b>B", "C"],
        clean_mean=[0.8, 0.9, None],
        marks=["one seed", "", "unverified"],
        source=["run a", "a paper with a long title " * 5, "another"],
        mean_low=[0.45, None, None],
        mean_high=[0.55, None, None],
        worst_low=[0.2, None, None],
        worst_high=[0.42, None, None],
    )
    figure = charts.trade_off(board, np.array([True, True, False]))
    names = [trace.name for trace in figure.data]
    assert names == ["Pareto front", "Ours", "Published", "Published, clean accuracy not known"]
    front, ours, theirs, unknown = figure.data
    assert list(front.x) == [0.5, 0.6]
    assert (ours.marker.symbol, theirs.marker.symbol) == ("circle", "diamond-open")
    assert list(theirs.marker.color) == [0.9]
    assert isinstance(unknown.marker.color, str)  # grey, not the colour of a low accuracy
    assert [trace.marker.showscale for trace in (ours, theirs)] == [True, False]
    assert "<br>" in theirs.customdata[0][1]
    assert list(unknown.customdata[0][2:]) == ["unverified", "–"]
    assert front.line.width >= 3
    assert np.allclose([*ours.error_y.array, *ours.error_y.arrayminus], [0.12, 0.1])
    assert theirs.error_y.array is None
    assert {name.text for name in figure.layout.annotations} == {
        "A",
        "&lt;b&gt;B",
    }  # those of the front alone


def test_axes_are_wider_than_intervals_and_than_what_can_be_told_apart():
    alone = charts.trade_off(board_of([0.706, 0.709], [0.27, 0.22]), np.array([True, True]))
    for axis in (alone.layout.xaxis, alone.layout.yaxis):
        assert axis.range[1] - axis.range[0] > 0.0999
    wide = board_of([0.706], [0.27], worst_low=[0.1], worst_high=[0.6], mean_low=[0.6], mean_high=[0.8])
    figure = charts.trade_off(wide, np.array([False]))
    for axis, low, high in ((figure.layout.yaxis, 0.1, 0.6), (figure.layout.xaxis, 0.6, 0.8)):
        assert axis.range[0] < low < high < axis.range[1]


def test_names_of_a_front_do_not_overlap_however_wide_the_chart_is():
    count = 8
    board = board_of(np.linspace(0.45, 0.46, count), np.linspace(0.31, 0.3, count))
    figure = charts.trade_off(board, np.array([True] * count))
    low, high = figure.layout.yaxis.range
    lines = [(name.y - low) / (high - low) * 400 - name.ay for name in figure.layout.annotations]
    assert np.diff(sorted(lines)).min() > 14  # pixels, of letters of 12


def test_a_front_of_single_seeds_is_dotted():
    board = board_of([0.5, 0.6], [0.3, 0.2], runs=[1, 3])
    front = charts.trade_off(board, np.array([True, True])).data[0]
    assert (front.line.dash, front.name) == ("dot", "Pareto front of single seeds")
