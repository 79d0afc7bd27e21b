import dataclasses
import json
import shlex
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

from cfa.config import AttackSettings, RunConfig, TrainSettings
from cfa.errors import ConfigError
from cfa.runs.evaluations import outcomes_file, read_outcomes, save_evaluation
from cfa.runs.folder import Manifest
from cfa.runs.store import Store
from cfa.statistics import PairedCounts, paired_mean_difference, paired_worst_difference
from cfa.tables.comparison import compare, in_words, save_comparison, shared_scores
from cfa.tables.frames import PER_CLASS_COLUMNS, SUMMARY_COLUMNS
from tests.support import resumed


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


def test_the_command_to_paste_holds_nothing_that_a_shell_would_run(store):
    names = ("a;touch x", "$(touch x)", "`touch x`")
    runs = [
        store.create(RunConfig(method="trades", dataset=name, model="small-cnn", preset="demo", seed=seed))
        for seed, name in enumerate(names)
    ]
    with pytest.raises(ConfigError) as caught:
        compare(runs, runs[0], online)
    words = shlex.split(str(caught.value).partition("; run: ")[2])
    assert words[words.index("--dataset") + 1] == names[0]
    assert "touch" not in words


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


# Pairs of images -------------------------------------------------------------------------------------------


CLASSES = ("cat", "dog", "eel")
LABELS = np.repeat(np.arange(3), 100)


def with_images(run, evaluation, right):
    """Store which images a run gets right under PGD-20."""
    outcomes = {"image": np.arange(300), "label": LABELS, "pgd-20": np.where(right, LABELS, (LABELS + 1) % 3)}
    save_evaluation(run, evaluation, outcomes)


def test_outcomes_of_the_same_images_are_compared_in_pairs(make_run, evaluated):
    rng = np.random.default_rng(0)
    a, b = make_run("a"), make_run("b")
    right = rng.uniform(size=300) < 0.5
    better = right | ((LABELS == 1) & (rng.uniform(size=300) < 0.5))
    for run, chosen in ((a, right), (b, better)):
        counts = tuple(int(chosen[k == LABELS].sum()) for k in range(3))
        with_images(run, evaluated(run, {"pgd-20": counts}), chosen)
    (entry,) = compare([a, b], a, online).entries
    expected = PairedCounts.of(LABELS, right, better, 3)
    assert entry["paired"]
    assert entry["images"] == 300
    assert entry["disagreements"] == int((right != better).sum())
    for name, difference in (("mean", paired_mean_difference), ("worst", paired_worst_difference)):
        value, interval = difference(expected)
        assert (entry[f"{name}_difference"], entry[f"{name}_difference_ci"]) == (value, list(interval))
    assert entry["classes_better"] == ["dog"]
    assert in_words(entry).startswith("mean +")
    assert "; dog better; worst class " in in_words(entry)


def test_equal_runs_compare_as_equal(make_run, evaluated):
    a, b = make_run("a"), make_run("b")
    right = np.random.default_rng(0).uniform(size=300) < 0.5
    counts = tuple(int(right[k == LABELS].sum()) for k in range(3))
    for run in (a, b):
        with_images(run, evaluated(run, {"pgd-20": counts}), right)
    (entry,) = compare([a, b], a, online).entries
    assert (entry["mean_difference"], entry["worst_difference"], entry["disagreements"]) == (0, 0, 0)
    assert (entry["classes_better"], entry["classes_worse"]) == ([], [])
    assert in_words(entry) == "equal on every one of the 300 images"


@pytest.mark.parametrize(
    "damage",
    ["other images", "gone", "broken", "other data", "counts that are not theirs", "no such class"],
)
def test_without_the_same_images_counts_are_compared(make_run, evaluated, damage):
    a, b = make_run("a"), make_run("b")
    right = np.random.default_rng(0).uniform(size=300) < 0.5
    counts = tuple(int(right[k == LABELS].sum()) for k in range(3))
    for run in (a, b):
        evaluation = evaluated(run, {"pgd-20": counts})
        with_images(run, evaluation, right)
    file = outcomes_file(b, evaluation.id)
    if damage == "other images":
        outcomes = {"image": np.arange(300) + 5, "label": LABELS, "pgd-20": LABELS}
        save_evaluation(b, evaluation, outcomes)
    elif damage == "counts that are not theirs":
        claimed = dataclasses.replace(evaluation.scores[0], correct=tuple(n + 1 for n in counts))
        save_evaluation(
            b, dataclasses.replace(evaluation, scores=(claimed,)), read_outcomes(b, evaluation.id)
        )
    elif damage == "no such class":
        save_evaluation(b, evaluation, {**read_outcomes(b, evaluation.id), "label": LABELS + 1})
    elif damage == "gone":
        file.unlink()
    elif damage == "broken":
        file.write_bytes(b"PAR1 and then nothing")
    else:
        b.write_manifest(Manifest("", "", {}, "cpu", 1, "another", CLASSES, (), (), {}))
    (entry,) = compare([a, b], a, online).entries
    assert not entry["paired"]
    assert entry["disagreements"] is None
    assert "no class differs for certain" in in_words(entry)


def test_long_lists_of_classes_are_cut():
    entry = {
        "paired": False,
        "one_network": None,
        "mean_difference": -0.004,
        "mean_difference_ci": [-0.012, 0.004],
        "worst_difference": 0.061,
        "worst_difference_ci": [0.01, 0.112],
        "classes_better": ["bird", "cat"],
        "classes_worse": [f"class {k}" for k in range(8)],
    }
    assert in_words(entry) == (
        "mean −0.4 [−1.2, 0.4]; bird and cat better, class 0, class 1, class 2, class 3, class 4 and 3 more "
        "worse; worst class +6.1 [1.0, 11.2]"
    )


def test_a_checkpoint_chosen_on_test_is_refused_beside_one_that_was_not(make_run, evaluated):
    a, b, c = make_run("a"), make_run("b", train=TrainSettings(select_on="test")), make_run("c")
    for run in (a, b, c):
        evaluated(run, {"pgd-20": (3, 2, 1)}, total=(7, 11, 13))
    comparison = compare([a, b, c], a, online)
    assert {entry["run"] for entry in comparison.entries} == {"c"}
    (said,) = comparison.refused
    assert said.startswith("b: Not comparable: its checkpoint was chosen on test images")
    assert comparison.document()["refused"] == [said]


def test_a_saved_comparison_reads_back(make_run, evaluated, tmp_path):
    a, b = make_run("a"), make_run("b")
    evaluated(a, {"pgd-20": (1, 2, 3)}, total=(7, 11, 13))
    evaluated(b, {"pgd-20": (3, 2, 1)}, total=(7, 11, 13))
    comparison = compare([a, b], a, online)
    save_comparison(comparison, tmp_path / "out")
    read = pd.read_csv(tmp_path / "out" / "per_class.csv", dtype=str)
    for name in comparison.per_class.select_dtypes("number"):  # pandas before 3 rounds the last digit
        read[name] = read[name].map(float)
    pd.testing.assert_frame_equal(read, comparison.per_class, check_dtype=False, check_exact=True)
    document = json.loads((tmp_path / "out" / "comparison.json").read_text())
    assert list(document) == ["scores", "comparisons"]
    assert [list(row) for row in document["scores"]] == [PER_CLASS_COLUMNS] * 6
    assert document["scores"][0]["accuracy"] == 1 / 7
    assert all(low <= high for low, high in pairwise(document["comparisons"][0]["mean_difference_ci"]))


def test_one_network_under_two_names_is_said_and_is_no_difference(tmp_path):
    """Two methods that kept the same epoch of a warm-up were shown as equal, with intervals."""
    store = Store.open(tmp_path, shipped=None)
    runs = [resumed.make_run(store, method, method=method) for method in ("trades", "trades-cfa")]
    for run in runs:
        resumed.evaluate(
            run, {"pgd-20": (50,) * 10}, 100, epoch=1, created="2026-01-01T00:00:00+00:00", weights_hash="a"
        )
    (entry,) = compare(runs, runs[0], lambda run: "online").entries
    assert entry["one_network"] == 1
    assert in_words(entry).startswith("one network and not two: both kept the same weights, of epoch 1")
