"""The numbers under a chart are those that went into it."""

import numpy as np
import pandas as pd
import pytest

from app import chart_tables, charts

HISTORY = pd.DataFrame(
    [
        {"epoch": epoch, "class_index": k, "class_name": name, "accuracy": 0.1 * epoch + 0.05 * k}
        for epoch in (1, 2, 3)
        for k, name in enumerate(("cat", "dog"))
    ]
)


def test_lines_become_a_column_a_class():
    numbers = chart_tables.numbers_of(charts.class_lines(HISTORY, "accuracy", charts.PERCENT))
    assert list(numbers.columns) == ["series", "epoch", "accuracy (%)"]
    wide = chart_tables.for_reading(numbers)
    assert list(wide.columns) == ["epoch", "cat", "dog"]
    expected = 100 * HISTORY.pivot(index="epoch", columns="class_name", values="accuracy")
    np.testing.assert_allclose(wide[["cat", "dog"]], expected)


def test_numbers_are_rounded_to_what_means_something_for_reading_and_whole_in_files():
    frame = HISTORY.assign(accuracy=(10 / 61) + HISTORY["accuracy"] / 3, eps=HISTORY["epoch"] * 5.4222 / 255)
    shares = chart_tables.numbers_of(charts.class_lines(frame, "accuracy", charts.PERCENT))
    eps = chart_tables.numbers_of(charts.class_lines(frame, "eps", charts.EPS))
    assert chart_tables.for_reading(shares)["cat"].tolist() == [19.7, 23.1, 26.4]
    assert chart_tables.for_reading(eps)["dog"].tolist() == [5.422, 10.84, 16.27]
    assert eps["eps (n/255)"].iloc[-1] == pytest.approx(16.2666)


def test_eps_is_in_the_unit_of_its_axis():
    frame = HISTORY.assign(eps=8 / 255)
    numbers = chart_tables.numbers_of(charts.class_lines(frame, "eps", charts.EPS))
    assert numbers["eps (n/255)"].round(9).eq(8).all()


def test_heatmaps_name_their_rows():
    numbers = chart_tables.numbers_of(charts.class_heatmap(HISTORY, "accuracy"))
    assert list(numbers.columns) == ["class", "epoch", "accuracy (%)"]
    merged = HISTORY.merge(numbers, left_on=["class_name", "epoch"], right_on=["class", "epoch"])
    assert len(merged) == len(HISTORY)
    np.testing.assert_allclose(merged["accuracy (%)"], 100 * merged["accuracy"])


def test_bars_have_their_intervals():
    scores = pd.DataFrame(
        {
            "group": ["a", "a"],
            "series": ["TRADES", "TRADES"],
            "class_index": [0, 1],
            "class_name": ["cat", "dog"],
            "accuracy": [0.5, 0.7],
            "low": [0.4, 0.65],
            "high": [0.6, 0.8],
        }
    )
    numbers = chart_tables.numbers_of(charts.class_bars(scores, {"a": charts.SeriesStyle("#000000")}))
    expected = {
        "series": ["TRADES", "TRADES"],
        "class": ["cat", "dog"],
        "accuracy (%)": [50.0, 70.0],
        "accuracy (%), from": [40.0, 65.0],
        "accuracy (%), to": [60.0, 80.0],
    }
    pd.testing.assert_frame_equal(numbers, pd.DataFrame(expected))
    read = {"class": ["cat", "dog"], "accuracy (%)": [50.0, 70.0], "from": [40.0, 65.0], "to": [60.0, 80.0]}
    pd.testing.assert_frame_equal(chart_tables.for_reading(numbers), pd.DataFrame(read))


def test_a_confusion_names_true_and_predicted_classes():
    counts = np.array([[8, 2], [3, 7]])
    numbers = chart_tables.numbers_of(charts.confusion(counts, ("cat", "dog"), None))
    assert len(numbers) == 4
    for _, row in numbers.iterrows():
        i, j = (("cat", "dog").index(row[name]) for name in ("true class", "predicted class"))
        assert (row["images"], row["share"]) == (counts[i, j], counts[i, j] / 10)


def test_what_is_drawn_for_the_eye_only_is_left_out():
    many = pd.concat(
        [HISTORY.assign(class_index=k, class_name=f"class {k}", accuracy=k / 200) for k in range(101)]
    )
    figure = charts.class_lines(many, "accuracy", charts.PERCENT)
    band = next(trace for trace in figure.data if trace.hoverinfo == "skip")
    numbers = chart_tables.numbers_of(figure)
    assert band.name not in set(numbers["series"])
    assert "median" in set(numbers["series"])


@pytest.mark.parametrize("column", ["result", "source", "marks"])
def test_points_say_what_their_hover_box_says(column):
    board = pd.DataFrame(
        {
            "whose": ["ours", "published"],
            "label": ["mine", "theirs"],
            "mean": [0.5, 0.52],
            "worst": [0.2, 0.25],
            "clean_mean": [0.8, np.nan],
            "marks": ["", "unverified"],
            "source": ["a run", "a paper with a very long title " * 4],
            "runs": 1,
        }
    )
    board = board.assign(mean_low=None, mean_high=None, worst_low=[0.1, np.nan], worst_high=[0.3, np.nan])
    numbers = chart_tables.numbers_of(charts.trade_off(board, np.array([False, True])))
    source = {"result": "label"}.get(column, column)
    assert [text.strip() for text in numbers[column]] == [text.strip() for text in board[source]]
