"""Budgets are drawn in their unit, boxes in the order of classes."""

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
