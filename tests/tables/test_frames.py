"""Frames: the columns that the design promises, and numbers against statsmodels."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from statsmodels.stats.proportion import proportion_confint

from cfa.config import RunConfig
from cfa.runs.evaluations import Evaluation, save_evaluation
from cfa.runs.folder import Manifest, RunFolder
from cfa.runs.rows import Epoch, KnobValues, Scores, append_rows
from cfa.statistics import class_groups
from cfa.tables.frames import (
    FAIRNESS_COLUMNS,
    add_group_means,
    epochs_frame,
    evaluations_frame,
    fairness_frame,
    history_frame,
    knobs_frame,
    per_class_frame,
    summary_frame,
)
from tests.support.tiny import tiny_config, tiny_run

PER_CLASS = [
    *("run_id", "run_name", "method", "dataset", "model", "seed", "weights", "checkpoint", "epoch"),
    *("split", "attack", "norm", "eps"),
    *("class_index", "class_name", "correct", "total", "accuracy", "ci_low", "ci_high"),
]
SUMMARY = [
    *PER_CLASS[:13],
    *("total", "mean_accuracy", "worst_class", "worst_accuracy"),
    *("mean_ci_low", "mean_ci_high", "worst_ci_low", "worst_ci_high"),
]
KNOBS = ["run_id", "epoch", "class_index", "class_name", "eps", "beta", "clean_weight", "robust_weight"]
EPOCHS = [
    *("run_id", "epoch", "learning_rate", "loss", "seconds", "images_per_second"),
    *("gate_worst", "gate_threshold", "gate_accepted"),
]

NAMES = ("ant", "bee", "cat")
CORRECT, TOTAL = (50, 3, 30), (100, 10, 60)


def a_run(folder: Path, config: RunConfig | None = None, name: str = "mine") -> RunFolder:
    run = tiny_run(folder, config or tiny_config("trades-cfa", seed=3), name)
    run.write_manifest(
        Manifest(
            created="",
            code_version="",
            packages={},
            device="cpu",
            threads=1,
            data_fingerprint="",
            class_names=NAMES,
            train_counts=(1, 1, 1),
            val_counts=(1, 1, 1),
            model={},
        )
    )
    return run


def scores(attack: str = "pgd-20", correct: tuple[int, ...] = CORRECT, **changes: object) -> Scores:
    clean = attack == "clean"
    fields = {
        "epoch": 4,
        "split": "test",
        "weights": "fawa",
        "attack": attack,
        "norm": "none" if clean else "linf",
        "eps": 0.0 if clean else 8 / 255,
        "correct": correct,
        "total": TOTAL,
    }
    return Scores(**{**fields, **changes})  # type: ignore[arg-type]


def save(run: RunFolder, evaluation_id: str, created: str, *rows: Scores, **changes: object) -> Evaluation:
    fields = {
        "id": evaluation_id,
        "created": f"{created}T00:00:00+00:00",
        "dataset": "tiny",
        "split": "test",
        "weights": rows[0].weights,
        "checkpoint": "best",
        "epoch": 4,
        "seed": 0,
        "limit": None,
        "scores": rows,
        "settings": {},
        "class_names": NAMES[: rows[0].classes] if rows[0].classes <= len(NAMES) else (),
    }
    evaluation = Evaluation(**{**fields, **changes})  # type: ignore[arg-type]
    save_evaluation(run, evaluation, {"image": np.arange(2)})
    return evaluation


def test_per_class_has_the_columns_of_the_design_and_wilson_intervals(tmp_path: Path) -> None:
    run = a_run(tmp_path)
    save(run, "a", "2026-01-01", scores("clean"), scores())
    frame = per_class_frame([run])
    assert list(frame.columns) == PER_CLASS
    assert len(frame) == 6
    clean = frame[frame["attack"] == "clean"]
    assert set(clean["norm"]) == {"none"}
    assert set(clean["eps"]) == {0.0}
    attacked = frame[frame["attack"] == "pgd-20"]
    assert attacked["class_name"].tolist() == list(NAMES)
    assert attacked["class_index"].tolist() == [0, 1, 2]
    assert (attacked["correct"].tolist(), attacked["total"].tolist()) == (list(CORRECT), list(TOTAL))
    np.testing.assert_allclose(attacked["accuracy"], [0.5, 0.3, 0.5])
    low, high = proportion_confint(np.array(CORRECT), np.array(TOTAL), method="wilson")
    np.testing.assert_allclose(attacked["ci_low"], low)
    np.testing.assert_allclose(attacked["ci_high"], high)
    first = attacked.iloc[0]
    assert (first["run_id"], first["run_name"], first["method"]) == (run.id, "mine", "trades-cfa")
    assert (first["dataset"], first["model"], first["seed"]) == ("tiny", "small-cnn", 3)
    assert (first["weights"], first["checkpoint"], first["epoch"], first["split"]) == (
        "fawa",
        "best",
        4,
        "test",
    )
    assert first["eps"] == 8 / 255


def test_the_newest_evaluation_of_the_same_question_wins(tmp_path: Path) -> None:
    run = a_run(tmp_path)
    save(run, "b", "2026-01-02", scores(correct=(1, 1, 1)))
    save(run, "a", "2026-01-03", scores(correct=(2, 2, 2)))
    save(run, "c", "2026-01-01", scores(correct=(3, 3, 3)), scores("clean"))
    save(run, "d", "2026-01-01", scores(correct=(4, 4, 4), eps=4 / 255))  # other questions stay
    save(run, "e", "2026-01-01", scores(correct=(5, 5, 5), weights="ema"))
    save(run, "f", "2026-01-01", scores(correct=(6, 6, 6)), checkpoint="last")
    save(run, "g", "2026-01-01", scores(correct=(7, 7, 7)), dataset="other")
    frame = per_class_frame([run])
    pgd = frame[frame["attack"] == "pgd-20"]
    assert sorted(set(pgd["correct"])) == [2, 4, 5, 6, 7]
    assert len(frame) == 3 * 6


def test_sweeps_are_left_out_but_can_be_tabulated_by_themselves(tmp_path: Path) -> None:
    run = a_run(tmp_path)
    save(run, "a", "2026-01-01", scores(correct=(2, 2, 2)))
    sweep = save(run, "b", "2026-01-02", scores(correct=(1, 1, 1)), plan={"eps_sweep": [2 / 255, 8 / 255]})
    assert set(per_class_frame([run])["correct"]) == {2}
    assert set(evaluations_frame([(run, sweep)])["correct"]) == {1}


def test_the_summary_is_computed_from_the_per_class_table(tmp_path: Path) -> None:
    one = a_run(tmp_path, name="one")
    other = a_run(tmp_path, tiny_config("pgd-at", seed=1), "other")
    save(one, "a", "2026-01-01", scores("clean", (100, 10, 60)), scores())
    save(other, "a", "2026-01-01", scores(correct=(10, 10, 60), weights="online"))
    per_class = per_class_frame([one, other])
    frame = summary_frame(per_class)
    assert list(frame.columns) == SUMMARY
    assert list(zip(frame["run_name"], frame["attack"], strict=True)) == [
        ("one", "clean"),
        ("one", "pgd-20"),
        ("other", "pgd-20"),
    ]
    row = frame.iloc[1]
    assert row["total"] == 170
    assert row["mean_accuracy"] == pytest.approx((0.5 + 0.3 + 0.5) / 3)  # over classes, not images
    assert (row["worst_class"], row["worst_accuracy"]) == ("bee", 0.3)
    assert frame.iloc[2]["worst_class"] == "ant"
    bounds = [
        proportion_confint(k, n, alpha=0.05 / 3, method="wilson") for k, n in zip(CORRECT, TOTAL, strict=True)
    ]
    assert row["worst_ci_low"] == pytest.approx(min(low for low, _ in bounds))
    assert row["worst_ci_high"] == pytest.approx(min(high for _, high in bounds))
    assert row["mean_ci_low"] < row["mean_accuracy"] < row["mean_ci_high"]
    for name in PER_CLASS[:13]:
        assert row[name] == per_class[per_class["run_name"] == "one"].iloc[3][name]


def test_of_equally_bad_classes_the_first_is_the_worst(tmp_path: Path) -> None:
    run = a_run(tmp_path)
    save(run, "a", "2026-01-01", scores(correct=(30, 3, 18)))
    assert summary_frame(per_class_frame([run])).iloc[0]["worst_class"] == "ant"


def test_history_shows_t_k_at_each_classs_own_eps(tmp_path: Path) -> None:
    run = a_run(tmp_path)
    knobs = KnobValues(
        epoch=2,
        values={
            "eps": (0.01, 0.02, 0.03),
            "clean_weight": (0.25, 0.5, 0.0),
            "robust_weight": (0.75, 0.5, 1.0),
        },
    )
    training = scores("training", epoch=2, split="train", weights="online", norm="linf")
    validation = scores("pgd-10", epoch=2, split="val", weights="online")
    append_rows(run.history_file, [knobs, training, validation])
    frame = history_frame(run)
    assert list(frame.columns) == PER_CLASS
    assert frame[frame["split"] == "train"]["eps"].tolist() == [0.01, 0.02, 0.03]
    assert frame[frame["split"] == "val"]["eps"].tolist() == [8 / 255] * 3
    assert frame[frame["split"] == "train"]["accuracy"].tolist() == [0.5, 0.3, 0.5]
    assert set(frame["attack"]) == {"training", "pgd-10"}


def test_knobs_and_epochs_have_the_columns_of_the_design(tmp_path: Path) -> None:
    run = a_run(tmp_path)
    knobs = KnobValues(
        epoch=1,
        values={"eps": (0.1, 0.2, 0.3), "clean_weight": (0.25, 0.5, 0.0), "robust_weight": (0.75, 0.5, 1.0)},
    )
    epochs = [
        Epoch(
            epoch=epoch,
            learning_rate=0.1,
            loss=2.0,
            seconds=1.0,
            images_per_second=5.0,
            gate_worst=worst,
            gate_threshold=threshold,
            gate_accepted=accepted,
        )
        for epoch, worst, threshold, accepted in (
            (1, None, None, None),
            (2, 0.1, 0.2, False),
            (3, 0.3, 0.2, True),
        )
    ]
    append_rows(run.history_file, [knobs, *epochs])
    table = knobs_frame(run)
    assert list(table.columns) == KNOBS
    assert table["class_name"].tolist() == list(NAMES)
    assert table["eps"].tolist() == [0.1, 0.2, 0.3]
    assert table["beta"].iloc[:2].tolist() == [3.0, 1.0]
    assert table["beta"].isna().tolist() == [False, False, True]  # empty without a clean term
    table = epochs_frame(run)
    assert list(table.columns) == EPOCHS
    assert table["epoch"].tolist() == [1, 2, 3]
    assert table["gate_accepted"].isna().tolist() == [True, False, False]
    assert table["gate_accepted"].iloc[1:].tolist() == [False, True]
    assert table["run_id"].tolist() == [run.id] * 3


def test_chosen_evaluations_can_be_tabulated_by_themselves(tmp_path: Path) -> None:
    run = a_run(tmp_path)
    evaluation = save(run, "a", "2026-01-01", scores("clean"), scores())
    pd.testing.assert_frame_equal(evaluations_frame([(run, evaluation)]), per_class_frame([run]))


def test_class_names_of_the_evaluated_data_set_go_before_the_runs(tmp_path: Path) -> None:
    run = a_run(tmp_path)
    save(run, "a", "2026-01-01", scores(), class_names=("x", "y", "z"), dataset="other")
    save(run, "b", "2026-01-01", scores(correct=(1, 1), total=(2, 2)), class_names=(), dataset="two")
    frame = per_class_frame([run])
    assert frame["class_name"].tolist() == ["x", "y", "z", "class 0", "class 1"]


@pytest.mark.parametrize("table", [history_frame, knobs_frame, epochs_frame])
def test_a_run_without_rows_has_an_empty_table_with_its_columns(tmp_path: Path, table) -> None:
    expected = {history_frame: PER_CLASS, knobs_frame: KNOBS, epochs_frame: EPOCHS}[table]
    frame = table(a_run(tmp_path))
    assert list(frame.columns) == expected
    assert len(frame) == 0


def test_no_runs_make_empty_tables(tmp_path: Path) -> None:
    assert list(per_class_frame([]).columns) == PER_CLASS
    summary = summary_frame(per_class_frame([a_run(tmp_path)]))
    assert list(summary.columns) == SUMMARY
    assert len(summary) == 0


def test_means_over_head_medium_and_tail_are_those_of_their_classes(tmp_path: Path) -> None:
    """Six classes: the two largest are the head, the two smallest the tail."""
    run = a_run(tmp_path)
    per_class = evaluations_frame(
        [(run, evaluation_of(run, correct=(10, 20, 30, 40, 50, 60), total=(100,) * 6))]
    )
    groups = class_groups((500, 20, 300, 10, 400, 100))
    assert groups == ("head", "tail", "medium", "tail", "head", "medium")
    summary = summary_frame(per_class)
    grouped = add_group_means(summary, per_class, {run.id: groups})
    assert list(grouped.columns) == [*SUMMARY, "head", "medium", "tail"]
    assert grouped[["head", "medium", "tail"]].iloc[0].tolist() == pytest.approx([0.3, 0.45, 0.3])
    assert add_group_means(summary, per_class, {run.id: ()}) is summary


def test_runs_without_a_tail_have_no_means_of_groups_beside_one_that_has(tmp_path: Path) -> None:
    plain, tailed = a_run(tmp_path), a_run(tmp_path, name="other")
    per_class = evaluations_frame([(run, evaluation_of(run)) for run in (plain, tailed)])
    grouped = add_group_means(
        summary_frame(per_class), per_class, {plain.id: (), tailed.id: ("head", "medium", "tail")}
    )
    assert grouped[["head", "medium", "tail"]].isna().all(axis=1).tolist() == [True, False]
    assert grouped["tail"].iloc[1] == pytest.approx(0.5)
    assert len(grouped) == 2


def evaluation_of(run: RunFolder, **counts: tuple[int, ...]) -> Evaluation:
    return save(run, f"e-{run.id}", "2026-01-01", scores(**counts))  # type: ignore[arg-type]


def test_fairness_is_that_of_the_classes_and_of_the_class_that_validation_named(tmp_path: Path) -> None:
    run, base = a_run(tmp_path), a_run(tmp_path, name="base")
    append_rows(run.history_file, [scores("pgd-10", (9, 8, 2), total=(10, 10, 10), split="val")])
    made = [
        (run, save(run, "e1", "2026-01-01T00:00:00+00:00", scores("clean", (90, 9, 54)), scores())),
        (base, save(base, "e2", "2026-01-01T00:00:00+00:00", scores(correct=(40, 2, 30)))),
    ]
    per_class = evaluations_frame(made)
    frame = fairness_frame(per_class, [base.id], {run.id: run, base.id: base})
    assert list(frame.columns) == [*PER_CLASS[:13], *FAIRNESS_COLUMNS]
    row = frame[(frame["run_id"] == run.id) & (frame["attack"] == "pgd-20")].iloc[0]
    assert row["worst_10_percent"] == pytest.approx(0.3)
    assert row["spread"] == pytest.approx(0.2)
    assert row["nsd"] == pytest.approx(np.std([0.5, 0.3, 0.5]) / np.mean([0.5, 0.3, 0.5]))
    assert row["clean_gap"] == pytest.approx(0)  # 0.9 in every class
    assert row["boundary_gap"] == pytest.approx(0.6 - (0.4 + 0.6 + 0.4) / 3)
    assert row["nrr"] == pytest.approx(2 * 0.9 * (1.3 / 3) / (0.9 + 1.3 / 3))
    assert row["rho"] == pytest.approx((0.3 - 0.2) / 0.2 + (1.3 - 1.1) / 1.1)
    assert row["validation_worst"] == pytest.approx(0.5)  # the cat was worst on validation, the bee on test
    alone = frame[frame["run_id"] == base.id].iloc[0]
    assert (alone["rho"], np.isnan(alone["nrr"]), np.isnan(alone["validation_worst"])) == (0, True, True)
