"""Charts over epochs hold the values of their frames, in their units."""

import itertools

import numpy as np
import pandas as pd
import pytest

from app import charts
from tests.app.charts.example_frames import EPOCHS, epoch_summary, gate_frame, history


@pytest.mark.parametrize(
    ("unit", "factor"), [(charts.PERCENT, 1.0), (charts.EPS, 255.0), (charts.BETA, 1.0)], ids=repr
)
def test_class_lines_draw_the_values_of_the_frame_in_their_unit(unit, factor):
    frame = history(4, column="value")
    figure = charts.class_lines(frame, "value", unit)
    for index, trace in enumerate(figure.data):
        expected = frame[frame["class_index"] == index].sort_values("epoch")
        assert trace.meta == f"name {index}"
        assert list(trace.x) == expected["epoch"].tolist()
        np.testing.assert_allclose(trace.y, expected["value"] * factor)


def test_eps_of_8_255_is_drawn_at_eight():
    frame = history(2, column="eps").assign(eps=8 / 255)
    figure = charts.class_lines(frame, "eps", charts.EPS)
    assert {round(y, 9) for trace in figure.data for y in trace.y} == {8.0}
    assert charts.eps_range([frame])[1] >= 8


def test_lines_of_ten_classes_differ_in_colour_and_are_all_in_the_legend():
    figure = charts.class_lines(history(10), "accuracy", charts.PERCENT)
    assert len({trace.line.color for trace in figure.data}) == 10
    assert {trace.line.dash for trace in figure.data} == {"solid", "dash"}
    assert all(trace.showlegend for trace in figure.data)


def test_a_hundred_classes_are_coloured_by_rank_and_name_only_the_extremes():
    frame = history(100)
    figure = charts.class_lines(frame, "accuracy", charts.PERCENT)
    last = frame[frame["epoch"] == EPOCHS].set_index("class_name")["accuracy"]
    legend = {trace.name for trace in figure.data if trace.showlegend}
    assert legend == {f"{last.idxmin()} (lowest)", f"{last.idxmax()} (highest)"}


def test_two_hundred_classes_are_the_lowest_lines_and_a_band():
    frame = history(200, 6)
    figure = charts.class_lines(frame, "accuracy", charts.PERCENT)
    assert len(figure.data) == 2 + 21
    band, median, *lines = figure.data
    assert band.name == "middle 80 % of 200 classes"
    last = frame[frame["epoch"] == 6].sort_values("accuracy")
    lowest = set(last["class_name"].iloc[:20]) | {last["class_name"].iloc[-1]}
    assert {trace.meta for trace in lines} == lowest
    assert median.y[-1] == pytest.approx(np.median(last["accuracy"]))
    assert band.y[len(median.x) - 1] == pytest.approx(np.quantile(last["accuracy"], 0.1))
    assert sum(trace.showlegend is not False for trace in figure.data) == 4  # band, median, lowest, highest


def test_an_axis_is_fitted_to_eps_of_classes_that_hardly_differ():
    frame = history(3, column="eps").assign(eps=lambda rows: 8 / 255 + rows["class_index"] / 2550)
    fitted = charts.class_lines(frame, "eps", charts.EPS, from_zero=False)
    assert fitted.layout.yaxis.rangemode == "normal"
    assert charts.class_lines(frame, "eps", charts.EPS).layout.yaxis.rangemode == "tozero"


@pytest.mark.parametrize("classes", [5, 30])
def test_ranks_count_from_the_best_and_ties_share_theirs(classes):
    frame = history(classes)
    frame.loc[frame["class_index"] == 1, "accuracy"] = frame.loc[frame["class_index"] == 0, "accuracy"].array
    figure = charts.class_ranks(frame)
    assert list(figure.layout.yaxis.range) == [classes + 0.5, 0.5]
    for trace in figure.data:
        for epoch, rank in zip(trace.x, trace.y, strict=True):
            of_epoch = frame[frame["epoch"] == epoch].set_index("class_name")["accuracy"]
            assert rank == 1 + (of_epoch > of_epoch[trace.meta]).sum()


@pytest.mark.parametrize("draw", [charts.class_ranks, lambda frame: charts.class_heatmap(frame, "accuracy")])
def test_charts_of_classes_say_so_to_the_browser(draw):
    assert draw(history(4)).layout.meta["classes"] is True


def test_overfitting_is_drawn_with_its_marks():
    lines = pd.DataFrame(
        [
            {"split": split, "epoch": epoch, "value": value + epoch / 100}
            for split, value in (("train", 0.6), ("val", 0.5), ("test", 0.4), ("gap", 0.2))
            for epoch in range(1, 7)
        ]
    )
    figure = charts.robust_overfitting(lines, [4])
    charts.mark_kept(figure, {"fawa": 3})
    names = ["training", "validation", "test", "ahead on training images"]
    assert [trace.name for trace in figure.data] == names
    np.testing.assert_allclose(figure.data[2].y, 0.4 + np.arange(1, 7) / 100)
    assert [shape.x0 for shape in figure.layout.shapes] == [3.5, 3]
    assert [note.text for note in figure.layout.annotations] == ["learning rate drops", "FAWA kept, epoch 3"]


def test_kept_epochs_are_marked_with_whose_they_are():
    figure = charts.class_lines(history(2), "accuracy", charts.PERCENT)
    charts.mark_kept(figure, {"fawa": 3, "online": 1, "ema": 3})
    assert [shape.x0 for shape in figure.layout.shapes] == [3, 1]
    said = [note.text for note in figure.layout.annotations]
    assert said == ["FAWA, EMA kept, epoch 3", "Online kept, epoch 1"]


def test_classes_without_a_value_are_left_out():
    frame = history(3, column="beta")
    frame["beta"] = frame["beta"].where(frame["class_index"] != 1)
    figure = charts.class_lines(frame, "beta", charts.BETA)
    assert [trace.meta for trace in figure.data] == ["name 0", "name 2"]


@pytest.mark.parametrize(
    ("values", "lowest"),
    [([0.5, 0.2, 0.9], ["name 1 (lowest)"]), ([0.2, 0.2, 0.9], []), ([0.4, 0.4, 0.4], []), ([0.3], [])],
)
def test_the_class_that_ends_below_all_others_is_drawn_strongest(values, lowest):
    """Where some are equal none is named: whichever came first would be."""
    frame = history(len(values), column="value")
    frame["value"] = frame["class_index"].map(dict(enumerate(values)))
    figure = charts.class_lines(frame, "value", charts.PERCENT)
    assert [trace.name for trace in figure.data if trace.name != trace.meta] == lowest
    widths = {trace.name: trace.line.width for trace in figure.data}
    strongest = [name for name, width in widths.items() if width > 2]
    assert strongest == lowest


@pytest.mark.parametrize("classes", [3, 30])
def test_heatmap_holds_every_class_and_epoch_once(classes):
    frame = history(classes)
    heat = charts.class_heatmap(frame, "accuracy").data[0]
    drawn = {
        (heat.customdata[row][0], heat.x[column]): heat.z[row][column]
        for row, column in itertools.product(range(classes), range(EPOCHS))
    }
    expected = frame.set_index(["class_name", "epoch"])["accuracy"].to_dict()
    assert drawn == pytest.approx(expected)


def test_heatmap_of_many_classes_puts_the_worst_first():
    frame = history(30)
    heat = charts.class_heatmap(frame, "accuracy").data[0]
    last = [row[-1] for row in heat.z]
    assert last == sorted(last)


def test_mean_and_worst_are_drawn_as_given():
    figure = charts.accuracy_over_epochs(epoch_summary())
    by_name = {trace.name: trace for trace in figure.data}
    assert list(by_name["FAWA mean"].y) == pytest.approx([0.5 + epoch / 100 for epoch in range(1, 7)])
    assert list(by_name["EMA worst class"].y) == [0.2] * 6
    assert by_name["EMA worst class"].line.dash != by_name["EMA mean"].line.dash


def test_gate_marks_accepted_and_rejected_epochs():
    figure = charts.gate(gate_frame((None, False, True, True)), "worst")
    by_name = {trace.name: trace for trace in figure.data}
    assert list(by_name["rejected"].x) == [2]
    assert list(by_name["accepted"].x) == [3, 4]
    assert set(by_name["threshold"].y) == {0.15}
    assert list(by_name["worst"].x) == [2, 3, 4]


def test_gate_rejects_nothing_before_averaging_starts():
    figure = charts.gate(gate_frame((False, False, True, False)), "worst", start_epoch=3)
    marks = {trace.name: list(trace.x) for trace in figure.data if trace.mode == "markers"}
    assert marks == {"accepted": [3], "rejected": [4], "before averaging starts": [1, 2]}
