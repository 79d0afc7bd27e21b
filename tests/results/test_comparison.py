import json
from itertools import pairwise

import pandas as pd
import pytest

from cfa.config import AttackSettings
from cfa.errors import ConfigError
from cfa.results.comparison import compare, save_comparison, shared_scores
from cfa.results.frames import PER_CLASS_COLUMNS, SUMMARY_COLUMNS


def online(run) -> str:
    return "online"


# Which scores are compared ---------------------------------------------------------------------------------


def test_only_what_all_runs_share_is_shown(make_run, evaluated):
    a, b = make_run("a"), make_run("b")
    evaluated(a, {"clean": (90, 90, 90), "pgd-20": (50, 60, 70), "pgd-50": (1, 1, 1)})
    evaluated(a, {"pgd-20": (5, 5, 5)}, eps=16 / 255)
    evaluated(a, {"pgd-20": (6, 6, 6)}, dataset="other")
    evaluated(b, {"clean": (91, 91, 91), "pgd-20": (40, 60, 80)})
    frame = shared_scores([a, b])
    assert list(frame.columns) == PER_CLASS_COLUMNS
    assert set(zip(frame["attack"], frame["dataset"], frame["eps"], strict=True)) == {
        ("clean", "fashion", 0.0),
        ("pgd-20", "fashion", 8 / 255),
    }
    assert frame.loc[(frame["run_id"] == b.id) & (frame["attack"] == "pgd-20"), "correct"].tolist() == [
        40,
        60,
        80,
    ]


def test_the_newest_evaluation_counts(make_run, evaluated):
    a, b = make_run("a"), make_run("b")
    for correct in ((1, 1, 1), (50, 60, 70)):
        evaluated(a, {"pgd-20": correct})
    evaluated(b, {"pgd-20": (2, 2, 2)})
    assert shared_scores([a, b])["correct"].tolist() == [50, 60, 70, 2, 2, 2]


@pytest.mark.parametrize(
    ("eps_of_b", "dataset_of_b", "command"),
    [
        (8 / 255, "fashion", "cfa evaluate a 'b c' --attack pgd-20"),
        (4 / 255, "fashion", "cfa evaluate a 'b c' --attack pgd-20 --eps 8/255"),
        (8 / 255, "cifar10", "cfa evaluate a 'b c' --attack pgd-20 --dataset fashion"),
    ],
)
def test_runs_that_share_nothing_are_told_what_to_run(
    make_run, evaluated, eps_of_b, dataset_of_b, command, store
):
    a = make_run("a")
    config = a.config.model_copy(update={"attack": AttackSettings(eps=eps_of_b), "dataset": dataset_of_b})
    b = store.create(config, "b c")
    for unevaluated in (True, False):
        with pytest.raises(ConfigError) as caught:
            compare([a, b], a, online)
        assert str(caught.value).endswith(command)
        if unevaluated:  # clean accuracy alone is not enough where one was attacked
            evaluated(a, {"clean": (90, 90, 90), "pgd-20": (50, 60, 70)})
            evaluated(b, {"clean": (90, 90, 90), "pgd-50": (50, 60, 70)}, dataset=dataset_of_b, eps=eps_of_b)


def test_one_run_is_no_comparison(make_run):
    a = make_run("a")
    with pytest.raises(ConfigError, match="two runs"):
        compare([a, a], a, online)


def test_entries_for_each_kind_of_weights_and_the_automatic_ones(make_run, evaluated):
    a, b = make_run("a"), make_run("b", "trades-cfa")
    for run, shift in ((a, 0), (b, 5)):
        for weights in ("online", "ema"):
            evaluated(run, {"pgd-20": (30 + shift, 50, 70)}, weights=weights)
    evaluated(b, {"pgd-20": (60, 50, 20)}, weights="fawa")
    comparison = compare([a, b], a, lambda run: "fawa" if run.config.method == "trades-cfa" else "online")
    kinds = [(entry["baseline_weights"], entry["weights"]) for entry in comparison.entries]
    assert kinds == [("online", "online"), ("ema", "ema"), ("online", "fawa")]
    last = comparison.entries[-1]
    assert (last["baseline"], last["run"], last["attack"], last["eps"]) == ("a", "b", "pgd-20", 8 / 255)
    assert last["mean_difference"] == pytest.approx((60 + 50 + 20 - 150) / 300)
    assert last["worst_difference"] == pytest.approx(0.2 - 0.3)
    assert (last["classes_better"], last["classes_worse"]) == (["cat"], ["eel"])
    for name in ("mean_difference", "worst_difference"):
        low, high = last[f"{name}_ci"]
        assert low < last[name] < high
    assert list(comparison.summary.columns) == SUMMARY_COLUMNS
    assert len(comparison.summary) == 5


@pytest.mark.parametrize(
    ("of_a", "of_b", "compared"),
    [
        (("best", "last"), ("last", "best"), (1, 1)),
        (("best", "last"), ("last",), (2, 2)),
        (("best",), ("last",), (1, 2)),
        (("best",), ("file",), (1, 3)),
    ],
)
def test_equal_checkpoints_are_compared_where_both_have_one(make_run, evaluated, of_a, of_b, compared):
    a, b = make_run("a"), make_run("b")
    number = {"best": 1, "last": 2, "file": 3}
    for run, checkpoints, factor in ((a, of_a, 10), (b, of_b, 20)):
        for checkpoint in checkpoints:
            evaluated(run, {"pgd-20": (factor * number[checkpoint],) * 3}, checkpoint=checkpoint)
    (entry,) = compare([a, b], a, online).entries
    assert entry["mean_difference"] == pytest.approx((20 * compared[1] - 10 * compared[0]) / 100)


def test_every_other_run_is_measured_against_the_baseline(make_run, evaluated):
    runs = [make_run(name) for name in "abc"]
    for run in runs:
        evaluated(run, {"clean": (90, 90, 90), "pgd-20": (50, 60, 70)})
    comparison = compare(runs, runs[1], online)
    assert [(e["run"], e["attack"]) for e in comparison.entries] == [
        (run, attack) for run in "ac" for attack in ("clean", "pgd-20")
    ]
    assert {entry["baseline"] for entry in comparison.entries} == {"b"}


def test_a_saved_comparison_reads_back(make_run, evaluated, tmp_path):
    a, b = make_run("a"), make_run("b")
    evaluated(a, {"pgd-20": (1, 2, 3)}, total=(7, 11, 13))
    evaluated(b, {"pgd-20": (3, 2, 1)}, total=(7, 11, 13))
    comparison = compare([a, b], a, online)
    save_comparison(comparison, tmp_path / "out")
    read = pd.read_csv(tmp_path / "out" / "per_class.csv")
    pd.testing.assert_frame_equal(read, comparison.per_class, check_dtype=False, check_exact=True)
    document = json.loads((tmp_path / "out" / "comparison.json").read_text())
    assert list(document) == ["scores", "comparisons"]
    assert [list(row) for row in document["scores"]] == [PER_CLASS_COLUMNS] * 6
    assert document["scores"][0]["accuracy"] == 1 / 7
    assert all(low <= high for low, high in pairwise(document["comparisons"][0]["mean_difference_ci"]))
