"""Bars carry their intervals."""

import numpy as np

from app import charts
from tests.app.charts.example_frames import STYLES, scores


def test_bars_carry_their_intervals():
    frame = scores()
    for (_, block), bar in zip(frame.groupby("group"), charts.class_bars(frame, STYLES).data, strict=True):
        middle = np.array(bar.y)
        np.testing.assert_allclose(middle, block["accuracy"])
        np.testing.assert_allclose(middle + bar.error_y.array, block["high"])
        np.testing.assert_allclose(middle - bar.error_y.arrayminus, block["low"])
