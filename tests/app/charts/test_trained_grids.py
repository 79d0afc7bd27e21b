"""A grid that was trained: each run is a line through its values, each pair of values a mean."""

import pandas as pd
import pytest

from app import charts
from app.chart_tables import numbers_of

FRAME = pd.DataFrame(
    [
        ("a", 0.50, 0.20, "8/255", "0.3"),
        ("b", 0.55, 0.24, "8/255", "0.5"),
        ("c", 0.45, 0.10, "12/255", "0.3"),
        ("d", 0.47, 0.12, "12/255", "0.3"),
    ],
    columns=["name", "mean", "worst", "attack.eps", "method.lambda_eps"],
)
SETTINGS = ["attack.eps", "method.lambda_eps"]


def test_each_run_is_a_line_through_its_values():
    figure = charts.runs_across(FRAME, SETTINGS)
    assert [trace.name for trace in figure.data] == ["a", "b", "c", "d"]
    for trace, (_, row) in zip(figure.data, FRAME.iterrows(), strict=True):
        assert list(trace.x) == [*SETTINGS, "robust mean", "robust worst class"]
        said = [value for value, _ in trace.customdata]
        assert said == [*(row[name] for name in SETTINGS), f"{row['mean']:.1%}", f"{row['worst']:.1%}"]
    heights = {name: [trace.y[place] for trace in figure.data] for place, name in enumerate(figure.data[0].x)}
    assert heights["attack.eps"] == [0, 0, 1, 1]  # 8 before 12, though not by the alphabet
    assert heights["robust worst class"] == pytest.approx([10 / 14, 1, 0, 2 / 14])


def test_a_cell_is_the_mean_over_the_runs_with_both_values():
    figure = charts.worst_over_settings(FRAME, *SETTINGS)
    (cells,) = figure.data
    assert (list(cells.x), list(cells.y)) == (["8/255", "12/255"], ["0.3", "0.5"])
    assert cells.z[0] == pytest.approx([0.20, 0.11])
    assert (cells.z[1][0], cells.z[1][1]) == (0.24, None)
    assert cells.texttemplate == "%{z:.1%}"  # written on it, whatever looks like a place on the axis
    assert not figure.layout.annotations
    assert (cells.zmin, cells.zmax) == (0.10, 0.24)
    table = numbers_of(figure)
    assert table["worst class (%)"].tolist() == pytest.approx([20, 11, 24])


def test_a_setting_of_one_value_and_equal_results_are_drawn():
    same = FRAME.assign(worst=0.2, mean=0.5)
    assert charts.runs_across(same, ["attack.eps"]).data
    assert charts.worst_over_settings(same, *SETTINGS).data
