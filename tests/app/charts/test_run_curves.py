"""Curves of several runs hold the values of their frame; a band where there is one."""

import numpy as np
import pandas as pd
import pytest

from app import chart_tables, charts
from app.charts.palette import LineStyle

STYLES = {"a": LineStyle("#005AD2"), "b": LineStyle("#C30F78", "dash")}


def lines(*, band: bool = False, smoothed: bool = False) -> pd.DataFrame:
    blocks = []
    for key, values in (("a", [0.1, 0.2, 0.4]), ("b", [0.3, 0.2, 0.1])):
        frame = pd.DataFrame({"epoch": [1, 2, 3], "value": values, "key": key, "series": f"run {key}"})
        frame["measured"] = [0.0, 0.5, 0.2] if smoothed else values
        ends = (frame["value"] - 0.05, frame["value"] + 0.05) if band and key == "a" else (np.nan, np.nan)
        blocks.append(frame.assign(low=ends[0], high=ends[1]))
    return pd.concat(blocks, ignore_index=True)


@pytest.mark.parametrize(("unit", "factor"), [(charts.PERCENT, 1.0), (charts.EPS, 255.0)])
def test_every_run_is_a_line_in_its_unit(unit, factor: float):
    figure = charts.curves(lines(), unit, STYLES)
    assert [trace.name for trace in figure.data] == ["run a", "run b"]
    np.testing.assert_allclose(figure.data[0].y, np.array([0.1, 0.2, 0.4]) * factor)
    assert [trace.line.color for trace in figure.data] == ["#005AD2", "#C30F78"]
    assert figure.layout.hovermode == "x unified"  # one box for all of them


def test_seeds_are_a_band_that_is_no_number_of_its_own():
    figure = charts.curves(lines(band=True), charts.PERCENT, STYLES)
    band, *rest = figure.data
    assert (band.hoverinfo, band.fillcolor) == ("skip", "rgba(0,90,210,0.18)")
    np.testing.assert_allclose(band.y, [0.15, 0.25, 0.45, 0.35, 0.15, 0.05])
    assert [trace.name for trace in rest] == ["run a", "run b"]
    assert set(chart_tables.numbers_of(figure)["series"]) == {"run a", "run b"}


def test_what_was_measured_stands_pale_behind_a_smoothed_line():
    figure = charts.curves(lines(smoothed=True), charts.PERCENT, STYLES)
    pale, line = figure.data[:2]
    assert pale.opacity < 0.5 < line.opacity
    assert list(pale.y) == [0.0, 0.5, 0.2]
    assert not pale.showlegend


@pytest.mark.parametrize(("logarithmic", "kind"), [(False, "linear"), (True, "log")])
def test_the_axis(logarithmic: bool, kind: str):
    assert charts.curves(lines(), charts.PERCENT, STYLES, logarithmic=logarithmic).layout.yaxis.type == kind
