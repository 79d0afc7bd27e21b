"""The forest shows every class where it is, and filled exactly where it is certain."""

import numpy as np
import pytest

from app import chart_tables, charts
from tests.app.charts.example_frames import LOOKS, changes

CLEAR = "rgba(0,0,0,0)"


@pytest.mark.parametrize("by_change", [True, False])
def test_whiskers_leave_out_0_where_a_class_is_filled(by_change):
    shown = {one.name: one for one in changes()}
    (points,) = charts.forest(changes(), by_change=by_change).data
    for k, name in enumerate(points.y):
        one = shown[name]
        assert points.x[k] == pytest.approx(100 * one.difference)
        low, high = points.x[k] - points.error_x.arrayminus[k], points.x[k] + points.error_x.array[k]
        assert (low, high) == pytest.approx(tuple(100 * end for end in one.interval or (one.difference,) * 2))
        assert (points.marker.color[k] != CLEAR) == one.certain
        if one.certain:
            assert low > 0 or high < 0


def test_the_largest_gain_is_on_top_or_the_first_class_is():
    by_change = charts.forest(changes()[::-1], by_change=True).data[0]
    assert list(by_change.x) == sorted(by_change.x)  # plotly draws upwards
    by_class = charts.forest(changes(), by_change=False).data[0]
    assert list(by_class.y)[::-1] == [one.name for one in changes()]


def test_of_many_classes_those_are_drawn_that_changed_most():
    many = changes([f"class {k}" for k in range(100)])
    drawn = charts.forest(many, by_change=False).data[0].y
    smallest = np.sort([-abs(one.difference) for one in many])[len(drawn) - 1]
    assert len(drawn) == 30
    assert all(-abs(one.difference) <= smallest for one in many if one.name in drawn)


@pytest.mark.parametrize("names", LOOKS.values(), ids=LOOKS)
def test_names_that_look_like_numbers_or_dates_stay_names(names):
    figure = charts.forest(changes(names), by_change=False)
    assert figure.layout.yaxis.type == "category"
    assert list(figure.data[0].y) == list(names)[::-1]
    assert set(chart_tables.numbers_of(figure)["class"]) == set(names)
