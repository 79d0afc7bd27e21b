"""Curves of several runs: means and spreads over seeds, smoothing, and how far training is ahead."""

import numpy as np
import pandas as pd
import pytest

from app import curve_frames
from app.curve_frames import MEAN, WORST, RunCurve


def scores(accuracies: dict[int, list[float]], **columns) -> pd.DataFrame:
    """Make rows of a history: by epoch, the accuracy of class 0, 1, ..."""
    rows = [
        {"epoch": epoch, "class_index": k, "class_name": f"name {k}", "accuracy": accuracy}
        for epoch, values in accuracies.items()
        for k, accuracy in enumerate(values)
    ]
    return pd.DataFrame(rows).assign(**columns)


@pytest.mark.parametrize(
    ("measure", "expected"),
    [(MEAN, [0.4, 0.6]), (WORST, [0.2, 0.5]), ("name 1", [0.6, 0.5]), ("nobody", [])],
)
def test_a_measure_by_epoch(measure: str, expected: list[float]):
    frame = scores({1: [0.2, 0.6], 2: [0.7, 0.5]})
    np.testing.assert_allclose(curve_frames.of_measure(frame, "accuracy", measure), expected)


def series(*values: float, first: int = 1) -> pd.Series:
    return pd.Series(values, index=range(first, first + len(values)), dtype=float)


def test_seeds_are_their_mean_and_one_standard_deviation_on_the_epochs_that_all_have():
    found = curve_frames.as_curves(
        [
            RunCurve("a", "TRADES", "trades", series(0.2, 0.4, 0.6)),
            RunCurve("a", "TRADES", "trades", series(0.4, 0.8)),
            RunCurve("b", "PGD-AT", "pgd-at", series(0.1)),
        ]
    )
    of_a, of_b = (found[found["key"] == key] for key in "ab")
    assert of_a["series"].unique().tolist() == ["TRADES (2 seeds)"]
    assert of_a["epoch"].tolist() == [1, 2]
    np.testing.assert_allclose(of_a["value"], [0.3, 0.6])
    spread = [np.std([0.2, 0.4], ddof=1), np.std([0.4, 0.8], ddof=1)]
    np.testing.assert_allclose(of_a["high"] - of_a["low"], 2 * np.array(spread))
    assert of_b["series"].tolist() == ["PGD-AT"]
    assert of_b[["low", "high"]].isna().all().all()


def test_runs_without_a_value_are_no_curve():
    assert curve_frames.as_curves([RunCurve("a", "x", "trades", series())]).empty
    assert curve_frames.as_curves([]).empty


def test_smoothing_weighs_the_past_as_tensorboard_does():
    values, weight, last, expected = [1.0, 0.0, 0.5, 2.0], 0.6, 0.0, []
    for count, value in enumerate(values, start=1):  # the debiased moving average of its charts
        last = last * weight + (1 - weight) * value
        expected.append(last / (1 - weight**count))
    found = curve_frames.as_curves([RunCurve("a", "x", "trades", series(*values))], weight)
    np.testing.assert_allclose(found["value"], expected)
    np.testing.assert_allclose(found["measured"], values)


@pytest.mark.parametrize(
    ("accuracies", "best"),
    [
        ({1: [0.5, 0.5], 2: [0.9, 0.3], 3: [0.6, 0.6]}, 3),
        ({1: [0.5, 0.5], 2: [0.5, 0.5]}, 1),  # of equals the first
        ({4: [0.1, 0.3]}, 4),
    ],
)
def test_the_best_epoch_is_that_of_mean_plus_worst(accuracies, best: int):
    assert curve_frames.best_epoch(scores(accuracies)) == best


def test_nothing_is_best_before_the_first_epoch():
    assert curve_frames.best_epoch(pd.DataFrame(columns=["epoch", "accuracy"])) is None


def history(*, with_test: bool) -> pd.DataFrame:
    online = {"weights": "online", "attack": "pgd-10"}
    blocks = [
        scores({1: [0.6, 0.8], 2: [0.9, 0.9]}, split="train", weights="online", attack="training"),
        scores({1: [0.5, 0.7], 2: [0.5, 0.5]}, split="val", **online),
        scores({1: [0.0, 0.0], 2: [0.0, 0.0]}, split="val", weights="fawa", attack="pgd-10"),
        scores({1: [1.0, 1.0], 2: [1.0, 1.0]}, split="val", weights="online", attack="clean"),
    ]
    blocks += [scores({1: [0.4, 0.6], 2: [0.3, 0.5]}, split="test", **online)] if with_test else []
    return pd.concat(blocks, ignore_index=True)


@pytest.mark.parametrize(
    ("with_test", "measure", "unseen", "gap"),
    [
        (False, MEAN, "val", [0.1, 0.4]),
        (True, MEAN, "test", [0.2, 0.5]),
        (True, WORST, "test", [0.2, 0.6]),
        (True, "name 1", "test", [0.2, 0.4]),
    ],
)
def test_how_far_training_is_ahead(with_test: bool, measure: str, unseen: str, gap: list[float]):
    lines, found = curve_frames.overfitting_lines(history(with_test=with_test), "online", "pgd-10", measure)
    assert found == unseen
    assert set(lines["split"]) == {"train", "val", "gap"} | ({"test"} if with_test else set())
    np.testing.assert_allclose(lines[lines["split"] == "gap"]["value"], gap)


def test_where_the_learning_rate_drops():
    rates = pd.DataFrame({"epoch": [1, 2, 3, 4], "learning_rate": [0.1, 0.1, 0.01, 0.02]})
    assert curve_frames.learning_rate_drops(rates) == [3]
