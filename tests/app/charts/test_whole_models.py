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


def test_the_trade_off_tells_ours_theirs_and_what_is_not_known():
    board = pd.DataFrame(
        {
            "whose": ["ours", "published", "published"],
            "label": ["A", "B", "C"],
            "mean": [0.5, 0.6, 0.55],
            "worst": [0.3, 0.2, 0.1],
            "clean_mean": [0.8, 0.9, None],
            "marks": ["one seed", "", "unverified"],
            "source": ["run a", "a paper with a long title " * 5, "another"],
        }
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
    assert [text for trace in (ours, theirs, unknown) for text in trace.text] == ["A", "B", "C"]


def test_of_many_results_the_front_and_ours_are_named():
    count = 40
    board = pd.DataFrame(
        {
            "whose": ["ours"] * 2 + ["published"] * (count - 2),
            "label": [f"result {k}" for k in range(count)],
            "mean": np.linspace(0.4, 0.6, count),
            "worst": [0.2] * (count - 1) + [0.3],
            "clean_mean": [0.8] * count,
            "marks": "",
            "source": "somewhere",
        }
    )
    front = np.array([False] * (count - 1) + [True])
    ours, theirs = charts.trade_off(board, front).data
    assert list(ours.text) == ["result 0", "result 1"]
    assert theirs.text[-1] == "result 39"
    assert 10 < sum(map(bool, [*ours.text, *theirs.text])) < 20
