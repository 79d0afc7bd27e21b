"""Bars carry their intervals, and differences are in points."""

import numpy as np

from app import charts
from tests.app.charts.example_frames import COLOURS, scores


def test_bars_carry_their_intervals():
    frame = scores()
    for (_, block), bar in zip(frame.groupby("group"), charts.class_bars(frame, COLOURS).data, strict=True):
        middle = np.array(bar.y)
        np.testing.assert_allclose(middle, block["accuracy"])
        np.testing.assert_allclose(middle + bar.error_y.array, block["high"])
        np.testing.assert_allclose(middle - bar.error_y.arrayminus, block["low"])


def test_differences_are_in_points_and_pale_where_intervals_overlap():
    bar = charts.class_differences(scores(), COLOURS).data[1]
    np.testing.assert_allclose(bar.y, [5.0, 3.0, 1.0])
    assert bar.marker.opacity == (1.0, 0.45, 0.45)
