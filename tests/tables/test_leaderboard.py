"""Our results beside published ones: whose each is, what has to be known, and the Pareto front."""

import numpy as np
import pytest

from cfa.config import TrainSettings
from cfa.methods import display_name
from cfa.statistics import worst_class_interval
from cfa.tables.leaderboard import COLUMNS, OURS, PUBLISHED, leaderboard, pareto_front
from cfa.tables.papers import PublishedNumber


def number(**changes: object) -> PublishedNumber:
    fields = {
        "table": "1",
        "label": "AT + EMA",
        "dataset": "cifar10",
        "model": "preact-resnet18",
        "checkpoint": "best",
        "attack": "autoattack",
        "mean": 0.5,
        "worst": 0.2,
        "paper": "A paper",
        "venue": "CVPR 2023",
        "read_from": "paper",
    }
    return PublishedNumber(**{**fields, **changes})  # type: ignore[arg-type]


def test_seeds_are_one_row_and_clean_accuracy_stands_beside(make_run, evaluated) -> None:
    runs = [make_run(f"r{seed}", "trades-cfa", seed=seed) for seed in (0, 1)]
    for run, correct in zip(runs, ((50, 30, 70), (60, 40, 50)), strict=True):
        evaluated(run, {"clean": (90, 80, 70), "pgd-20": correct}, weights="fawa")
    (row,) = leaderboard(runs, [], display_name).to_dict("records")
    assert list(row) == COLUMNS
    assert (row["whose"], row["label"], row["runs"], row["images"]) == (OURS, "TRADES + CFA", 2, 300)
    assert (row["mean"], row["worst"]) == (pytest.approx(0.5), pytest.approx(0.35))
    assert row["worst_spread"] == pytest.approx(np.std([0.3, 0.4], ddof=1))
    assert (row["clean_mean"], row["clean_worst"]) == (pytest.approx(0.8), pytest.approx(0.7))
    assert row["marks"] == ""


def test_ours_have_an_interval_of_seeds_or_of_images(make_run, evaluated) -> None:
    runs = [make_run(f"r{seed}", "trades-cfa", seed=seed) for seed in (0, 1)]
    for run, correct in zip(runs, ((50, 30, 70), (60, 40, 50)), strict=True):
        evaluated(run, {"pgd-20": correct}, weights="fawa")
    (several,) = leaderboard(runs, [], display_name).to_dict("records")
    spread = np.std([0.3, 0.4], ddof=1)
    assert (several["worst_low"], several["worst_high"]) == pytest.approx((0.35 - spread, 0.35 + spread))
    (one,) = leaderboard(runs[:1], [], display_name).to_dict("records")
    ends = worst_class_interval([50, 30, 70], [100, 100, 100])
    assert (one["worst_low"], one["worst_high"]) == pytest.approx(ends)


def test_only_trainings_of_one_length_are_alike(make_run, evaluated) -> None:
    runs = [
        make_run("short", train=TrainSettings(epochs=2)),
        make_run("long", train=TrainSettings(epochs=20)),
    ]
    for run in runs:
        evaluated(run, {"pgd-20": (50, 30, 70)})
    board = leaderboard(runs, [number(), number(paper="Another")], display_name)
    assert board["alike"].nunique() == 4
    ours = board[board["whose"] == OURS].set_index("source")
    assert (ours["passes"] / ours.index.map({"short": 2, "long": 20})).nunique() == 1
    assert set(ours["kind"]) == {"baseline"}


def test_published_spreads_are_intervals(make_run) -> None:
    (row,) = leaderboard([], [number(worst_spread=0.01, runs=5)], display_name).to_dict("records")
    assert (row["worst_low"], row["worst_high"]) == pytest.approx((0.19, 0.21))
    assert np.isnan(row["mean_low"])


@pytest.mark.parametrize(
    ("attack", "settings", "marks"),
    [
        ("pgd-20", {}, "one seed"),
        ("torchattacks:AutoAttack", {}, "10-step AA, not comparable; one seed"),
        ("pgd-20", {"train": TrainSettings(select_on="test")}, "selected on test; one seed"),
        ("pgd-20", {"train": TrainSettings(batch_parts=2)}, "batches in 2 parts; one seed"),
    ],
)
def test_what_has_to_be_known_about_ours(make_run, evaluated, attack, settings, marks) -> None:
    run = make_run("a", **settings)
    evaluated(run, {attack: (50, 30, 70)})
    (row,) = leaderboard([run], [], display_name).to_dict("records")
    assert row["marks"] == marks


def test_jpeg_copies_are_called_that(store, evaluated) -> None:
    from cfa.config import RunConfig

    config = RunConfig(method="trades", dataset="folder:/data/cifar10-jpeg", model="small-cnn", preset="demo")
    run = store.create(config, "a")
    evaluated(run, {"pgd-20": (50, 30, 70)}, dataset=config.dataset)
    (row,) = leaderboard([run], [], display_name).to_dict("records")
    assert row["marks"] == "JPEG copies; one seed"


def test_clean_accuracy_is_that_of_the_same_seeds(make_run, evaluated) -> None:
    first, second = (make_run(f"r{seed}", "trades", seed=seed) for seed in (0, 1))
    evaluated(first, {"clean": (90, 80, 70), "pgd-20": (50, 40, 30), "autoattack": (40, 30, 20)})
    evaluated(second, {"clean": (50, 40, 30), "pgd-20": (50, 40, 30)})
    board = leaderboard([first, second], [], display_name).set_index("attack")
    assert board.loc["pgd-20", "clean_mean"] == pytest.approx(0.6)
    assert board.loc["autoattack", "clean_mean"] == pytest.approx(0.8)
    assert board.loc["autoattack", "runs"] == 1


def test_published_numbers_carry_their_source_and_doubts(make_run, evaluated) -> None:
    run = make_run("a")
    evaluated(run, {"pgd-20": (50, 30, 70)})
    published = [
        number(),
        number(attack="clean", mean=0.82, worst=0.6),
        number(label="Other", worst=0.3, unverified=True, read_from="figure", note="One image."),
        number(label="Mean alone", worst=None),
    ]
    board = leaderboard([run], published, display_name)
    theirs = board[board["whose"] == PUBLISHED].set_index("label")
    assert theirs.loc["AT + EMA", ["clean_mean", "clean_worst"]].tolist() == [0.82, 0.6]
    assert theirs.loc["AT + EMA", "marks"] == ""
    assert theirs.loc["AT + EMA", "source"] == "A paper (CVPR 2023), 1"
    assert theirs.loc["Other", "marks"] == "unverified; read from a figure"
    assert theirs.loc["Other", "source"].endswith(". One image.")
    assert set(board["whose"]) == {OURS, PUBLISHED}
    assert board["label"].tolist()[-1] == "Mean alone"  # the highest worst class first, unknown ones last
    worst = board["worst"].dropna()
    assert worst.tolist() == sorted(worst, reverse=True)


def test_nothing_is_a_table_without_rows() -> None:
    assert list(leaderboard([], [], display_name).columns) == COLUMNS


@pytest.mark.parametrize("seed", range(5))
def test_the_front_is_what_nothing_beats(seed: int) -> None:
    rng = np.random.default_rng(seed)
    mean, worst = rng.integers(0, 12, (2, 40)) / 12
    mean[:3] = np.nan
    front = pareto_front(mean, worst)
    for i in range(40):
        beaten = any(
            mean[j] >= mean[i] and worst[j] >= worst[i] and (mean[j] > mean[i] or worst[j] > worst[i])
            for j in range(40)
        )
        assert front[i] == (not beaten and bool(np.isfinite(mean[i])))
