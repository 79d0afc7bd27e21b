"""Charts are pure: counts of traces, values, units, and colours that everyone can tell apart."""

import itertools

import numpy as np
import pandas as pd
import pytest

from app import chart_tables, charts

EPOCHS = 6
# Machado, Oliveira and Fernandes 2009, severity 1, on linear RGB.
VISION = {
    "normal": np.eye(3),
    "protan": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "deutan": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
    "tritan": np.array(
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]
    ),
}
TO_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)


def history(classes, epochs=EPOCHS, column="accuracy"):
    rng = np.random.default_rng(classes)
    rows = [
        {"epoch": epoch, "class_index": k, "class_name": f"name {k}", column: rng.uniform(0.1, 0.9)}
        for epoch in range(1, epochs + 1)
        for k in range(classes)
    ]
    return pd.DataFrame(rows)


def epoch_summary():
    rows = [
        {"weights": weights, "epoch": epoch, "mean": 0.5 + epoch / 100, "worst": 0.2, "worst_class": "Shirt"}
        for weights in ("online", "ema", "fawa")
        for epoch in range(1, EPOCHS + 1)
    ]
    return pd.DataFrame(rows)


def gate_frame(accepted=(None, False, True, True)):
    none = [state is None for state in accepted]
    return pd.DataFrame(
        {
            "epoch": range(1, len(accepted) + 1),
            "gate_worst": pd.array([None if n else 0.1 * i for i, n in enumerate(none)], dtype="Float64"),
            "gate_threshold": pd.array([None if n else 0.15 for n in none], dtype="Float64"),
            "gate_accepted": pd.array(list(accepted), dtype="boolean"),
            "images_per_second": [1000.0] * len(accepted),
            "seconds": [5.0] * len(accepted),
        }
    )


def scores(groups=2, classes=3):
    rows = [
        {
            "group": f"g{g}",
            "series": f"series {g}",
            "class_index": k,
            "class_name": f"name {k}",
            "accuracy": 0.2 + 0.1 * k + 0.05 * g,
            "low": 0.15 + 0.1 * k,
            "high": 0.4 + 0.1 * k,
            "difference": 0.05 * g - 0.02 * k,
            "clear": k == 0,
        }
        for g in range(groups)
        for k in range(classes)
    ]
    return pd.DataFrame(rows)


def models():
    rows = [
        {
            "group": group,
            "title": f"run {group}",
            "series": f"{group} {weights}",
            "weights": weights,
            "mean": 0.6,
            "mean_low": 0.58,
            "mean_high": 0.62,
            "worst": 0.3,
            "worst_low": 0.2,
            "worst_high": 0.4,
            "worst_class": "Shirt",
        }
        for group in ("a", "b")
        for weights in ("online", "ema", "fawa")
    ]
    return pd.DataFrame(rows)


COLOURS = charts.group_colours(["g0", "g1", "a", "b"])
FIGURES = {
    "accuracy over epochs": (lambda: charts.accuracy_over_epochs(epoch_summary()), 6),
    "ten classes": (lambda: charts.class_lines(history(10), "accuracy", charts.PERCENT), 10),
    "a hundred classes": (lambda: charts.class_lines(history(100, 20), "accuracy", charts.PERCENT), 100),
    "one epoch": (lambda: charts.class_lines(history(10, 1), "accuracy", charts.PERCENT), 10),
    "heatmap": (lambda: charts.class_heatmap(history(10), "accuracy"), 1),
    "heatmap of a hundred": (lambda: charts.class_heatmap(history(100), "accuracy"), 1),
    "gate": (lambda: charts.gate(gate_frame(), "worst"), 4),
    "gate that always opened": (lambda: charts.gate(gate_frame((True, True)), "worst"), 3),
    "gate that never opened": (lambda: charts.gate(gate_frame((False,)), "worst"), 3),
    "speed": (lambda: charts.speed(gate_frame()), 1),
    "class bars": (lambda: charts.class_bars(scores(), COLOURS), 2),
    "differences": (lambda: charts.class_differences(scores(), COLOURS), 2),
    "mean against worst": (lambda: charts.mean_against_worst(models(), COLOURS), 6),
    "averaging": (lambda: charts.averaging(models(), "worst"), 3),
}


@pytest.mark.parametrize("name", FIGURES)
def test_every_chart_has_its_traces_and_none_is_empty(name):
    build, traces = FIGURES[name]
    figure = build()
    assert len(figure.data) == traces
    assert all(len(trace.x) > 0 and len(trace.y) > 0 for trace in figure.data)
    assert figure.layout.uirevision
    assert figure.layout.height >= 200


@pytest.mark.parametrize(
    ("unit", "factor"), [(charts.PERCENT, 1.0), (charts.EPS, 255.0), (charts.BETA, 1.0)], ids=repr
)
def test_class_lines_draw_the_values_of_the_frame_in_their_unit(unit, factor):
    frame = history(4, column="value")
    figure = charts.class_lines(frame, "value", unit)
    for index, trace in enumerate(figure.data):
        expected = frame[frame["class_index"] == index].sort_values("epoch")
        assert trace.name == f"name {index}"
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


def test_classes_without_a_value_are_left_out():
    frame = history(3, column="beta")
    frame["beta"] = frame["beta"].where(frame["class_index"] != 1)
    figure = charts.class_lines(frame, "beta", charts.BETA)
    assert [trace.name for trace in figure.data] == ["name 0", "name 2"]


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


def test_scatter_names_each_group_once_and_each_kind_of_weights_by_its_symbol():
    figure = charts.mean_against_worst(models(), COLOURS)
    assert [trace.name for trace in figure.data if trace.showlegend] == ["run a", "run b"]
    assert len({trace.marker.symbol for trace in figure.data}) == 3
    assert len({trace.marker.color for trace in figure.data}) == 2


def linear(colour):
    values = np.array([int(colour[start : start + 2], 16) for start in (1, 3, 5)]) / 255
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def lab(rgb):
    white = TO_XYZ @ np.ones(3)
    ratio = TO_XYZ @ np.clip(rgb, 0, 1) / white
    f = np.where(ratio > (6 / 29) ** 3, np.cbrt(ratio), ratio / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("vision", VISION)
def test_class_colours_are_told_apart(vision):
    seen = [lab(VISION[vision] @ linear(colour)) for colour in charts.CLASS_COLOURS]
    assert min(np.linalg.norm(a - b) for a, b in itertools.combinations(seen, 2)) >= 20


@pytest.mark.parametrize("background", ["#ffffff", "#0e1117"])
def test_colours_stand_out_from_both_themes(background):
    drawn = (*charts.CLASS_COLOURS, *charts.POINT_COLOURS)
    luminance = [float(TO_XYZ[1] @ linear(colour)) for colour in (*drawn, background)]
    *colours, behind = luminance
    contrasts = [(max(c, behind) + 0.05) / (min(c, behind) + 0.05) for c in colours]
    assert min(contrasts) >= 2.99


# --- confusion, sweeps, smallest perturbations ----------------------------------------------------


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


# --- names are names ------------------------------------------------------------------------------

LOOKS = {
    "numbers": ("007", "7", "7.0", "1e5", "100000", "-0.5"),
    "dates": ("2024-01-01", "2024-01", "2024", "2023-12-31", "10:30", "2024-01-01 00:00"),
    "words": ("NaN", "true", "Infinity", "None", "null", "1,000"),
}


def named(frame, names, column="class_name"):
    return frame.assign(
        **{column: frame[column].map(dict(zip(dict.fromkeys(frame[column]), names, strict=False)))}
    )


def boxes(names):
    rows = [
        {"class_index": k, "class_name": name, "length": 0.1 * n}
        for k, name in enumerate(names)
        for n in (1, 2)
    ]
    return pd.DataFrame(rows)


ACROSS = {
    "class bars": lambda names: charts.class_bars(named(scores(classes=6), names), COLOURS),
    "differences": lambda names: charts.class_differences(named(scores(classes=6), names), COLOURS),
    "averaging": lambda names: charts.averaging(named(models(), names, "title"), "worst"),
    "smallest perturbations": lambda names: charts.smallest_perturbations(boxes(names), charts.EPS),
}


@pytest.mark.parametrize("names", LOOKS.values(), ids=LOOKS)
@pytest.mark.parametrize("name", ACROSS)
def test_no_axis_takes_names_for_dates_or_numbers(name, names):
    figure = ACROSS[name](names)
    drawn = list(dict.fromkeys(x for trace in figure.data for x in trace.x))
    assert drawn == list(names[: len(drawn)])
    assert figure.layout.xaxis.type == "category"
    table = chart_tables.numbers_of(figure)
    across = figure.layout.meta["across"]
    assert list(dict.fromkeys(table[across])) == drawn  # and as they are in the table below


@pytest.mark.parametrize("name", [name for name in FIGURES if name not in ACROSS])
def test_axes_of_numbers_stay_axes_of_numbers(name):
    assert FIGURES[name][0]().layout.xaxis.type is None


def test_long_names_leave_room_for_what_is_drawn():
    long = [f"{k} {'x' * 300}" for k in range(3)]
    frame = scores(groups=1, classes=3).assign(class_name=long)
    figure = charts.class_bars(frame, COLOURS)
    assert list(figure.layout.xaxis.tickvals) == long
    assert [len(text) for text in figure.layout.xaxis.ticktext] == [30] * 3
    assert list(figure.data[0].hovertext) == long
    assert charts.class_bars(scores(), COLOURS).layout.xaxis.tickvals is None
    matrix = charts.confusion(np.eye(3, dtype=int), long, None)
    assert all(len(text) <= 30 for text in matrix.layout.xaxis.ticktext)


def test_texts_with_markup_keep_their_ticks():
    long = [f"<b>{k}</b> & {'x' * 40}" for k in range(3)]
    figure = charts.harmless(charts.class_bars(scores(groups=1).assign(class_name=long), COLOURS))
    assert list(figure.layout.xaxis.tickvals) == list(figure.data[0].x)  # else plotly finds none of them
    assert not any("<b>" in text for text in [*figure.layout.xaxis.ticktext, *figure.data[0].hovertext])
