"""Budgets are drawn in their unit, boxes in the order of classes."""

import itertools

import pandas as pd
import pytest

from app import charts


def test_eps_is_drawn_in_its_unit():
    frame = pd.DataFrame(
        {"eps": [0, 8 / 255] * 2, "class_index": [0, 0, 1, 1], "class_name": list("aabb"), "accuracy": 0.5}
    )
    figure = charts.accuracy_over_eps(frame, charts.EPS)
    assert [trace.name for trace in figure.data] == ["a", "b"]
    assert figure.data[0].x == pytest.approx((0, 8))
    assert charts.accuracy_over_eps(frame, charts.Unit("eps (L2)")).data[0].x == pytest.approx((0, 8 / 255))


def test_boxes_stand_in_the_order_of_classes():
    frame = pd.DataFrame(
        {"class_index": [2, 0, 1, 0], "class_name": list("caba"), "length": [0.1, 0.2, 0.3, 0.4]}
    )
    figure = charts.smallest_perturbations(frame, charts.Unit("eps (L2)"))
    assert [(trace.name, trace.y) for trace in figure.data] == [
        ("a", (0.2, 0.4)),
        ("b", (0.3,)),
        ("c", (0.1,)),
    ]


def test_names_stand_at_the_ends_of_lines_where_these_are_apart():
    names = [f"class {k}" for k in range(6)]
    rows = [(k, name, eps) for k, name in enumerate(names) for eps in (0.0, 8 / 255)]
    frame = pd.DataFrame(rows, columns=["class_index", "class_name", "eps"])
    apart = frame.assign(accuracy=0.9 - 0.1 * frame["class_index"])
    figure = charts.accuracy_over_eps(apart, charts.EPS)
    assert [note.text for note in figure.layout.annotations] == names
    heights = [note.ay for note in figure.layout.annotations]
    assert heights == sorted(heights, reverse=True)
    assert not any(trace.showlegend for trace in figure.data)
    together = apart.assign(accuracy=apart["accuracy"].where(apart["eps"] == 0, 0.0))
    figure = charts.accuracy_over_eps(together, charts.EPS)
    assert not figure.layout.annotations
    assert all(trace.showlegend for trace in figure.data)


def test_names_at_the_ends_of_lines_do_not_touch():
    ends = [0.9, 0.899, 0.898, 0.5, 0.1, 0.099]
    rows = [(k, f"class {k}", eps, end) for k, end in enumerate(ends) for eps in (0.0, 8 / 255)]
    frame = pd.DataFrame(rows, columns=["class_index", "class_name", "eps", "accuracy"])
    figure = charts.accuracy_over_eps(frame, charts.EPS)
    heights = [note.ay for note in figure.layout.annotations]
    low, high = figure.layout.yaxis.range
    assert all(above - below >= 0.05 * (high - low) for above, below in itertools.pairwise(heights))
    assert low <= min(heights)
    assert max(heights) <= high
