"""Every cell is numbered once, and can be clicked where there are images."""

import numpy as np

from app import charts


def test_a_confusion_matrix_numbers_every_cell_once_and_frames_the_chosen_one():
    counts = np.array([[8, 2, 0], [1, 9, 0], [5, 5, 0]])
    figure = charts.confusion(counts, ("ant", "bee", "cow"), (2, 1))
    *maps, points = figure.data
    shown = np.zeros_like(counts)
    for trace in maps:
        shown += np.array([[int(text or 0) for text in row] for row in trace.text])
        drawn = np.array([[value is not None for value in row] for row in trace.z])
        assert not np.array(trace.text, object)[~drawn].any()  # a number is written where the cell is drawn
    assert (shown == counts).all()
    assert len(points.x) == 9
    assert points.selectedpoints == (7,)
    assert points.customdata[7] == ["cow", "bee", 5, 0.5]


def test_a_hundred_classes_have_points_only_where_there_are_images():
    counts = np.diag(np.full(100, 7))
    counts[3, 4] = 2
    figure = charts.confusion(counts, [f"name {k}" for k in range(100)], None)
    points = figure.data[-1]
    assert len(points.x) == 101
    assert points.selectedpoints == ()
    assert all(trace.texttemplate is None for trace in figure.data[:-1])
