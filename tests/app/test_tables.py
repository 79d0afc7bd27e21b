"""Frames shaped for the screen, against sums done by hand."""

import numpy as np
import pandas as pd
import pytest

from app import tables
from cfa.methods import display_name
from cfa.statistics import wilson
from cfa.tables.frames import add_group_means, summary_frame

CLASSES = ("cat", "dog", "eel")


def title(members):
    return members[0].method.upper()


def member(run_id, method="trades", seed=0, experiment=None):
    return tables.ComparedRun(run_id, f"run {run_id}", method, seed, experiment or run_id)


def per_class(
    accuracies, *, attack="pgd-20", weights="online", checkpoint="best", total=100, method="trades"
):
    """Rows of some runs: ``{"a": (0.5, 0.2, 0.9)}``."""
    blocks = []
    for run_id, values in accuracies.items():
        correct = np.array([round(value * total) for value in values])
        low, high = wilson(correct, [total] * len(values))
        blocks.append(
            pd.DataFrame(
                {
                    "run_id": run_id,
                    "run_name": f"run {run_id}",
                    "method": method,
                    "dataset": "d",
                    "model": "m",
                    "seed": 0,
                    "weights": weights,
                    "checkpoint": checkpoint,
                    "epoch": 1,
                    "split": "test",
                    "attack": attack,
                    "norm": "linf",
                    "eps": 8 / 255,
                    "class_index": range(len(values)),
                    "class_name": CLASSES,
                    "correct": correct,
                    "total": total,
                    "accuracy": correct / total,
                    "ci_low": low,
                    "ci_high": high,
                }
            )
        )
    return pd.concat(blocks, ignore_index=True)


def test_epoch_summary_is_mean_and_worst_over_classes_in_the_order_of_weights():
    rows = [
        {"weights": w, "epoch": e, "class_name": name, "accuracy": value}
        for w, e, values in [
            ("fawa", 2, (0.1, 0.5, 0.9)),
            ("online", 1, (0.4, 0.2, 0.6)),
            ("online", 2, (0.8, 0.7, 0.3)),
        ]
        for name, value in zip(CLASSES, values, strict=True)
    ]
    summary = tables.epoch_summary(pd.DataFrame(rows))
    assert summary["weights"].tolist() == ["online", "online", "fawa"]
    assert summary["epoch"].tolist() == [1, 2, 2]
    np.testing.assert_allclose(summary["mean"], [0.4, 0.6, 0.5])
    np.testing.assert_allclose(summary["worst"], [0.2, 0.3, 0.1])
    assert summary["worst_class"].tolist() == ["dog", "eel", "cat"]


def test_epoch_summary_of_nothing_is_empty():
    assert tables.epoch_summary(per_class({"a": (0.1, 0.2, 0.3)}).iloc[:0]).empty


def test_what_all_runs_share_comes_first_and_the_strongest_attack_before_clean():
    both = {"a": (0.5, 0.5, 0.5), "b": (0.5, 0.5, 0.5)}
    frame = pd.concat(
        [
            per_class(both, attack="clean"),
            per_class(both, attack="pgd-10"),
            per_class(both, attack="pgd-20"),
            per_class(both, attack="pgd-20", checkpoint="last"),
            per_class({"a": (0.5, 0.5, 0.5)}, attack="pgd-100"),
        ]
    )
    found = [(c.attack, c.checkpoint) for c in tables.conditions(frame)]
    assert found == [
        ("pgd-20", "best"),
        ("pgd-10", "best"),
        ("pgd-20", "last"),
        ("clean", "best"),
        ("pgd-100", "best"),
    ]
    assert set(tables.conditions(frame)[0].of(frame)["attack"]) == {"pgd-20"}
    assert tables.conditions(frame.iloc[:0]) == []


def test_seeds_of_one_experiment_become_one_group():
    members = [
        member("a", seed=0, experiment="x"),
        member("b", "pgd-at"),
        member("c", seed=1, experiment="x"),
    ]
    merged = tables.make_groups(members, title, merge_seeds=True)
    assert [(group.title, len(group.members)) for group in merged] == [("TRADES (2 seeds)", 2), ("PGD-AT", 1)]
    apart = tables.make_groups(members, title, merge_seeds=False)
    assert [group.title for group in apart] == ["run a", "PGD-AT", "run c"]


def test_one_run_keeps_its_wilson_intervals():
    frame = per_class({"a": (0.5, 0.2, 0.9)})
    groups = tables.make_groups([member("a")], title, merge_seeds=True)
    scores = tables.class_scores(frame, groups, display_name)
    np.testing.assert_allclose(scores["accuracy"], frame["accuracy"])
    np.testing.assert_allclose(scores["low"], frame["ci_low"])
    np.testing.assert_allclose(scores["high"], frame["ci_high"])
    assert scores["series"].unique().tolist() == ["TRADES"]


def test_several_seeds_have_mean_and_standard_deviation():
    frame = per_class({"a": (0.5, 0.2, 0.9), "b": (0.6, 0.4, 0.7), "c": (0.7, 0.3, 0.8)})
    members = [member(run, seed=i, experiment="x") for i, run in enumerate("abc")]
    groups = tables.make_groups(members, title, merge_seeds=True)
    scores = tables.class_scores(frame, groups, display_name)
    np.testing.assert_allclose(scores["accuracy"], [0.6, 0.3, 0.8])
    np.testing.assert_allclose(scores["high"] - scores["accuracy"], np.std([0.1, 0.2, 0.3], ddof=1))
    models = tables.model_summary(summary_frame(frame), groups, display_name)
    assert len(models) == 1
    # The worst class of each seed first, then the mean: 0.2, 0.4 and 0.3.
    np.testing.assert_allclose(models["worst"], np.mean([0.2, 0.4, 0.3]))
    np.testing.assert_allclose(models["worst_high"] - models["worst"], np.std([0.2, 0.4, 0.3], ddof=1))
    assert models["seeds"].tolist() == [3]


def test_series_are_named_for_their_weights_and_for_the_run_where_methods_repeat():
    frame = pd.concat(
        [per_class({"a": (0.5, 0.2, 0.9), "b": (0.4, 0.3, 0.8)}, weights=w) for w in ("fawa", "online")]
    )
    groups = tables.make_groups([member("a"), member("b")], title, merge_seeds=True)
    scores = tables.class_scores(frame, groups, display_name)
    assert list(dict.fromkeys(scores["series"])) == [
        "TRADES · run a",
        "TRADES + FAWA · run a",
        "TRADES · run b",
        "TRADES + FAWA · run b",
    ]


def test_own_weights_are_added_once_more_for_each_group():
    frame = pd.concat(
        [per_class({"a": (0.5, 0.2, 0.9), "b": (0.4, 0.3, 0.8)}, weights=w) for w in ("fawa", "online")]
    )
    groups = tables.make_groups([member("a"), member("b")], title, merge_seeds=True)
    scores = tables.class_scores(frame, groups, display_name)
    both = tables.with_own_weights(scores, {"a": "online", "b": "fawa"})
    own = both[both["weights"] == "own"]
    assert own.groupby("group")["series"].unique().map(list).to_dict() == {
        "a": ["TRADES · run a"],
        "b": ["TRADES + FAWA · run b"],
    }
    assert len(both) == len(scores) + 6


@pytest.mark.parametrize(("limit", "expected"), [(1, [1]), (2, [0, 1]), (9, [0, 1, 2])])
def test_the_baselines_hardest_classes_come_in_class_order(limit, expected):
    frame = per_class({"a": (0.5, 0.2, 0.9), "b": (0.1, 0.9, 0.1)})
    groups = tables.make_groups([member("a"), member("b")], title, merge_seeds=False)
    scores = tables.class_scores(frame, groups, display_name)
    assert tables.hardest_classes(scores, "a", limit) == expected


def test_only_settings_that_differ_are_listed():
    table = tables.setting_differences(
        {
            "one": {"attack.eps": 8 / 255, "objective.beta": None, "seed": 0},
            "two": {"attack.eps": 15 / 255, "objective.beta": 6.0, "seed": 0},
        }
    )
    assert table.to_dict("records") == [
        {"setting": "attack.eps", "one": "8/255", "two": "15/255"},
        {"setting": "objective.beta", "one": "–", "two": "6.0"},
    ]
    assert tables.setting_differences({"one": {"seed": 0}, "two": {"seed": 0}}).empty


def test_the_checklist_does_not_hide_the_attack_that_counts():
    rows = [
        ("pgd-100", 1.0),
        ("pgd-100", 8 / 255),
        ("pgd-20", 8 / 255),
        ("autoattack", 8 / 255),
        ("clean", 0.0),
    ]
    frame = pd.DataFrame(
        [
            {
                "run_id": "r",
                "dataset": "d",
                "checkpoint": "best",
                "norm": "linf",
                "attack": attack,
                "eps": eps,
            }
            for attack, eps in rows
        ]
    )
    found = [(condition.attack, condition.eps) for condition in tables.conditions(frame)]
    attacked = [("autoattack", 8 / 255), ("pgd-100", 8 / 255), ("pgd-20", 8 / 255), ("pgd-100", 1.0)]
    assert found == [*attacked, ("clean", 0.0)]


def test_the_summary_of_a_long_tail_averages_its_groups_over_seeds():
    frame = per_class({"a": (0.5, 0.2, 0.9), "b": (0.7, 0.4, 0.9)})
    groups = {"a": ("tail", "medium", "head"), "b": ("tail", "medium", "head")}
    summary = add_group_means(summary_frame(frame), frame, groups)
    members = [member("a", experiment="x"), member("b", seed=1, experiment="x")]
    found = tables.model_summary(summary, tables.make_groups(members, title, merge_seeds=True), display_name)
    assert found[["head", "medium", "tail"]].iloc[0].tolist() == pytest.approx([0.9, 0.3, 0.6])
    plain = tables.model_summary(
        summary_frame(frame), tables.make_groups(members, title, merge_seeds=True), display_name
    )
    assert "tail" not in plain


def test_a_history_of_groups_averages_their_classes_and_says_how_large_they_are():
    history = pd.DataFrame(
        {
            "epoch": [1] * 6 + [2] * 6,
            "class_index": [*range(6)] * 2,
            "accuracy": [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7],
        }
    )
    groups = ("head", "tail", "medium", "tail", "head", "medium")
    found = tables.group_history(history, groups, (500, 20, 300, 10, 400, 1000))
    assert found["class_name"].unique().tolist() == [
        "head (2 classes, 400 to 500 images)",
        "medium (2 classes, 300 to 1,000 images)",
        "tail (2 classes, 10 to 20 images)",
    ]
    assert found[found["epoch"] == 1]["accuracy"].tolist() == pytest.approx([0.3, 0.45, 0.3])
    assert found[found["epoch"] == 2]["accuracy"].tolist() == pytest.approx([0.4, 0.55, 0.4])
