"""Which evaluations count: of the present weights, on most images, told apart by settings and arithmetic."""

from typing import Any

import numpy as np
import pytest

from cfa.errors import ConfigError
from cfa.evaluation import default_weights
from cfa.methods import display_name
from cfa.models import save_weights
from cfa.runs.choice import left_out, measured
from cfa.runs.folder import Manifest, RunFolder
from cfa.statistics import PairedCounts, nrr, paired_mean_difference, paired_worst_difference
from cfa.tables.comparison import compare, in_words
from cfa.tables.frames import clean_frame, fairness_frame, measured_frame, per_class_frame, summary_frame
from cfa.tables.leaderboard import leaderboard
from tests.support.resumed import CLASSES, evaluate, keep_weights, make_run

FULL = {"clean": (900,) * 10, "pgd-20": (500,) * 9 + (300,)}
FEW = {"clean": (95,) * 10, "pgd-20": (60,) * 9 + (20,)}
PGD, SLOW = {"pgd-20": {"attack": "PGD", "step_size": "a"}}, {"pgd-20": {"attack": "PGD", "step_size": "b"}}


def rows(*runs: RunFolder) -> list[tuple[Any, ...]]:
    """Give attack, epoch, images and worst class of everything that is in tables."""
    summary = summary_frame(per_class_frame(runs))
    columns = ["attack", "epoch", "total", "worst_accuracy"]
    return list(summary[columns].itertuples(index=False, name=None))


def evaluated(run: RunFolder, *made: dict[str, Any]) -> None:
    """Store evaluations one after the other: counts, images of each class, and what differs."""
    for day, fields in enumerate(made, start=1):
        options = {"epoch": 3, "created": f"2026-01-{day:02d}T00:00:00+00:00", **fields}
        evaluate(run, options.pop("of"), options.pop("n"), **options)


SAME = {"weights_hash": "a"}
CASES: dict[str, tuple[list[dict[str, Any]], list[tuple[Any, ...]]]] = {
    "the full one counts, also if it is older": (
        [{"of": FULL, "n": 1000}, {"of": FEW, "n": 100}],
        [("clean", 3, 10_000, 0.9), ("pgd-20", 3, 10_000, 0.3)],
    ),
    "and if it is newer": (
        [{"of": FEW, "n": 100}, {"of": FULL, "n": 1000}],
        [("clean", 3, 10_000, 0.9), ("pgd-20", 3, 10_000, 0.3)],
    ),
    "of equals the newest": (
        [{"of": {"pgd-20": (50,) * 10}, "n": 100}, {"of": {"pgd-20": (60,) * 10}, "n": 100}],
        [("pgd-20", 3, 1000, 0.6)],
    ),
    "clean of another plan does not replace clean": (
        [{"of": FULL, "n": 1000}, {"of": {"clean": (95,) * 10, "autoattack": (40,) * 10}, "n": 100}],
        [("clean", 3, 10_000, 0.9), ("pgd-20", 3, 10_000, 0.3), ("autoattack", 3, 1000, 0.4)],
    ),
    "other settings are another row, what differs in brackets": (
        [{"of": {"pgd-20": (50,) * 10}, "n": 100, "settings": s} for s in (SLOW, PGD)],
        [("pgd-20 (step_size=b)", 3, 1000, 0.5), ("pgd-20", 3, 1000, 0.5)],
    ),
    "of every setting the one on most images": (
        [
            {"of": {"pgd-20": (500,) * 10}, "n": 1000, "settings": SLOW},
            {"of": {"pgd-20": (60,) * 10}, "n": 100, "settings": SLOW},
            {"of": {"pgd-20": (70,) * 10}, "n": 100, "settings": PGD},
        ],
        [("pgd-20 (step_size=b)", 3, 10_000, 0.5), ("pgd-20", 3, 1000, 0.7)],
    ),
    "random starts and batches are no settings": (
        [
            {"of": {"pgd-20": (n,) * 10}, "n": 100, "seed": n, "settings": {"pgd-20": {"batch_size": n}}}
            for n in (50, 60)
        ],
        [("pgd-20", 3, 1000, 0.6)],
    ),
    "a setting that an older version did not have is none where it is off": (
        [
            {"of": {"pgd-20": (50,) * 10}, "n": 100, "settings": {"pgd-20": {"steps": 20}}},
            {"of": {"pgd-20": (60,) * 10}, "n": 100, "settings": {"pgd-20": {"steps": 20, "tau": None}}},
            {
                "of": {"pgd-20": (70,) * 10},
                "n": 100,
                "settings": {"pgd-20": {"steps": 20, "shared_step": False, "more": [], "of": {"a": 0}}},
            },
        ],
        [("pgd-20", 3, 1000, 0.7)],
    ),
    "another arithmetic is another row": (
        [{"of": {"pgd-20": (50,) * 10}, "n": 100, "arithmetic": name} for name in ("tf32", "float32")],
        [("pgd-20 (tf32)", 3, 1000, 0.5), ("pgd-20", 3, 1000, 0.5)],
    ),
    "no arithmetic is float32": (
        [{"of": {"pgd-20": (n,) * 10}, "n": 100, "arithmetic": a} for n, a in ((50, "float32"), (60, ""))],
        [("pgd-20", 3, 1000, 0.6)],
    ),
    "the fast mode is another row": (
        [
            {"of": {"autoattack": (50,) * 10}, "n": 100, "settings": {"autoattack": {"mode": mode}}}
            for mode in ("reference", "fast")
        ],
        [("autoattack", 3, 1000, 0.5), ("autoattack (fast)", 3, 1000, 0.5)],
    ),
    "a sweep is none": (
        [{"of": FEW, "n": 100}, {"of": FULL, "n": 1000, "plan": {"eps_sweep": [0.1, 0.2]}}],
        [("clean", 3, 1000, 0.95), ("pgd-20", 3, 1000, 0.2)],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_what_counts(store, case: str) -> None:
    run = make_run(store, "a")
    keep_weights(run, 0.5, 3)
    made, expected = CASES[case]
    evaluated(run, *made)
    found = rows(run)
    assert [row[:3] for row in found] == [row[:3] for row in expected]
    assert [row[3] for row in found] == pytest.approx([row[3] for row in expected])


@pytest.mark.parametrize(
    ("kept", "hashes", "epochs", "counts"),
    [
        pytest.param("first", "both", (3, 3), [1], id="by hash, though the epoch is the same"),
        pytest.param("second", "both", (3, 3), [2], id="by hash, the other ones"),
        pytest.param("first", "none", (3, 8), [1], id="by epoch where there is no hash"),
        pytest.param("second", "none", (3, 8), [2], id="by epoch, the other one"),
        pytest.param("neither", "both", (3, 8), [], id="weights that were never evaluated"),
        pytest.param("gone", "both", (3, 8), [2], id="without weights those of the newest"),
        pytest.param("gone", "none", (3, 8), [2], id="without weights and hashes as well"),
        pytest.param("damaged", "both", (3, 8), [2], id="weights that cannot be read"),
        pytest.param(
            "unnamed", "none", (3, 8), [1, 2], id="weights that name no epoch: nothing speaks against"
        ),
    ],
)
def test_only_the_weights_that_a_run_has_now_count(store, kept, hashes, epochs, counts) -> None:
    run = make_run(store, "a")
    found = [keep_weights(run, value, epoch) for value, epoch in zip((0.1, 0.2), epochs, strict=True)]
    for number, (whose, epoch) in enumerate(zip(found, epochs, strict=True), start=1):
        scores = {f"pgd-{number}": (10 * number,) * 10}
        made = f"2026-01-0{number}T00:00:00+00:00"
        evaluate(run, scores, 100, epoch=epoch, created=made, weights_hash=whose if hashes == "both" else "")
    file = run.weights_file("online", "best")
    if kept in ("first", "second", "neither"):
        number = ("first", "second", "neither").index(kept)
        keep_weights(run, (0.1, 0.2, 0.3)[number], (*epochs, 9)[number])
    elif kept == "unnamed":
        save_weights(file, {}, {})
    else:
        file.write_bytes(b"damaged") if kept == "damaged" else file.unlink()
    assert [row[0] for row in rows(run)] == [f"pgd-{number}" for number in counts]


def test_an_evaluation_from_a_gpu_that_names_no_arithmetic_took_tf32(store) -> None:
    run = make_run(store, "a")
    run.write_manifest(Manifest("", "", {}, "cuda:0 (NVIDIA H100)", 1, "data", CLASSES, (), (), {}))
    evaluated(run, {"of": FEW, "n": 100}, {"of": FEW, "n": 100, "arithmetic": "float32"})
    assert [row[0] for row in rows(run)] == ["clean (tf32)", "pgd-20 (tf32)", "clean", "pgd-20"]


def test_what_is_in_no_table_is_said(store) -> None:
    run = make_run(store, "a")
    keep_weights(run, 0.5, 8)
    evaluated(
        run,
        {"of": {"clean": (1,) * 10, "cw-20": (1,) * 10}, "n": 100},  # of epoch 3
        {"of": FULL, "n": 1000, "epoch": 8},
        {"of": FEW, "n": 100, "epoch": 8},
        {"of": FEW, "n": 100, "epoch": 8, "plan": {"eps_sweep": [0.1]}},  # has a page of its own
    )
    assert left_out(run) == [
        "a: cw-20 on 1,000 images is of epoch 3, and the best online weights are others now; "
        "it is in no table",
        "a: of pgd-20 on the best online weights, 10,000 images count and not 1,000",
    ]


# Parts of different sizes are never joined -----------------------------------------------------------------


def three_runs(store) -> list[RunFolder]:
    """Make runs with clean and PGD-20 on 10,000 images, AutoAttack on 1,000 of them in the first two."""
    runs = [make_run(store, name, seed=seed) for seed, name in enumerate("abc")]
    for run, few in zip(runs, (True, True, False), strict=True):
        evaluated(run, {"of": FULL, "n": 1000})
        if few:
            strong = {"clean": (95,) * 9 + (80,), "autoattack": (40,) * 9 + (10,)}
            evaluated(run, {"of": strong, "n": 100})
    return runs


def test_gaps_and_nrr_take_clean_from_the_same_images(store) -> None:
    run = three_runs(store)[0]
    found = measured([run])
    fairness = fairness_frame(measured_frame(found), clean=clean_frame(found)).set_index("attack")
    assert fairness.loc["pgd-20", "nrr"] == pytest.approx(nrr(0.9, 0.48))
    assert fairness.loc["autoattack", "nrr"] == pytest.approx(nrr(0.935, 0.37))
    assert fairness.loc["autoattack", "clean_gap"] == pytest.approx(0.2 - 0.065)
    alone = fairness_frame(per_class_frame([run])).set_index("attack")  # the table has clean of 10,000 only
    assert alone.loc["pgd-20", "nrr"] == pytest.approx(nrr(0.9, 0.48))
    assert alone.loc["autoattack", ["clean_gap", "boundary_gap", "nrr"]].isna().all()


def test_rho_is_against_as_many_images(store) -> None:
    base, other = make_run(store, "base"), make_run(store, "other", method="pgd-at")
    evaluated(base, {"of": FULL, "n": 1000})
    evaluated(other, {"of": FEW, "n": 100})
    assert (
        fairness_frame(per_class_frame([base, other]), [base.id])["rho"].isna().tolist()
        == [False] * 2 + [True] * 2
    )


def test_the_leaderboard_sets_clean_of_the_same_images_beside(store) -> None:
    board = leaderboard(three_runs(store), [], display_name).set_index("attack")
    assert board.loc["autoattack", ["images", "runs"]].tolist() == [1000, 2]
    assert board.loc["autoattack", ["clean_mean", "clean_worst"]].tolist() == pytest.approx([0.935, 0.8])
    assert board.loc["pgd-20", ["images", "runs"]].tolist() == [10_000, 3]
    assert board.loc["pgd-20", "clean_mean"] == pytest.approx(0.9)


def test_runs_are_compared_on_the_images_that_both_have_and_the_row_says_so(store) -> None:
    base, other = make_run(store, "base"), make_run(store, "other", method="pgd-at")
    evaluated(base, {"of": FULL, "n": 1000})
    evaluated(other, {"of": FEW, "n": 100})
    entry = next(e for e in compare([base, other], base, default_weights).entries if e["attack"] == "pgd-20")
    # The larger evaluation is right about the first hundred images of each class, as it was made.
    lost = np.array([40.0] * 9 + [80])
    expected = PairedCounts(both=100 - lost, lost=lost, gained=np.zeros(10), total=np.full(10, 100.0))
    assert (entry["paired"], entry["images"]) == (True, 1000)
    assert (entry["baseline_images"], entry["run_images"]) == (10_000, 1000)
    for name, difference in (("mean", paired_mean_difference), ("worst", paired_worst_difference)):
        value, interval = difference(expected)
        assert (entry[f"{name}_difference"], entry[f"{name}_difference_ci"]) == (value, list(interval))
    figures = [entry[name] for name in ("mean", "baseline_mean", "worst", "baseline_worst")]
    assert figures == pytest.approx([0.56, 1.0, 0.2, 1.0])
    said = "on the 1,000 images that both have: mean 56.0 against 100.0, worst class 20.0 against 100.0"
    assert in_words(entry).startswith(f"{said}; mean −44.0")
    # In the tables each stands with what it was measured on.
    summary = compare([base, other], base, default_weights).summary
    assert summary[summary["attack"] == "pgd-20"][["run_name", "total"]].to_numpy().tolist() == [
        ["base", 10_000],
        ["other", 1000],
    ]


def test_like_settings_are_compared_with_like(store) -> None:
    base, other = make_run(store, "base"), make_run(store, "other", method="pgd-at")
    few = {"of": {"pgd-20": (50,) * 10}, "n": 100}
    evaluated(base, {**few, "settings": SLOW})
    evaluated(other, {**few, "settings": SLOW}, {"of": {"pgd-20": (10,) * 10}, "n": 100, "settings": PGD})
    (entry,) = compare([base, other], base, default_weights).entries
    assert (entry["attack"], entry["mean_difference"]) == ("pgd-20 (step_size=b)", 0)


ALIKE = dict.fromkeys(("clean", "fgsm"), (60,) * 10)


@pytest.mark.parametrize(
    ("mine", "theirs", "expected"),
    [
        ({"test_fingerprint": "a"}, {"test_fingerprint": "a"}, ""),
        ({"test_fingerprint": ""}, {"test_fingerprint": "a"}, ""),
        ({"test_fingerprint": "b"}, {"test_fingerprint": "a"}, "other images"),
        ({"class_names": CLASSES[::-1]}, {}, "other classes"),
        ({"test_fingerprint": "b"}, {"test_fingerprint": "a", "class_names": CLASSES[::-1]}, "other classes"),
    ],
    ids=["the same images", "images not known", "other images", "classes in another order", "both"],
)
def test_other_data_of_the_same_name_are_another_data_set(store, mine, theirs, expected: str) -> None:
    """In one run and between runs: no row replaces, joins or is compared with one about other data."""
    both, other = make_run(store, "both"), make_run(store, "other")
    evaluated(both, {"of": ALIKE, "n": 1000, **mine}, {"of": ALIKE, "n": 100, **theirs})
    evaluated(other, {"of": ALIKE, "n": 1000, "created": "2026-01-03T00:00:00+00:00", **theirs})
    frame = summary_frame(per_class_frame([both, other]))
    name = "fashion-mnist-mini"
    marked = f"{name} ({expected})"
    of_both = frame[frame["run_name"] == "both"]
    found = sorted(set(zip(of_both["dataset"], of_both["total"], strict=True)))
    assert found == ([(name, 1000), (marked, 10_000)] if expected else [(name, 10_000)])
    comparison = compare([both, other], both, default_weights)
    assert {(e["dataset"], e["baseline_images"], e["run_images"]) for e in comparison.entries} == {
        (name, 1000 if expected else 10_000, 10_000)
    }


def test_runs_about_other_images_share_no_evaluation(store) -> None:
    one, other = make_run(store, "one"), make_run(store, "other")
    for run, images in ((one, "a"), (other, "b")):
        evaluated(run, {"of": ALIKE, "n": 100, "test_fingerprint": images})
    with pytest.raises(ConfigError, match="share no test evaluation"):
        compare([one, other], one, default_weights)


def test_images_that_are_not_known_are_the_oldest_known_ones(store) -> None:
    old, changed = make_run(store, "old"), make_run(store, "changed")
    evaluated(old, {"of": ALIKE, "n": 100, "created": "2025-01-01T00:00:00+00:00"})
    evaluated(changed, *({"of": ALIKE, "n": 100, "test_fingerprint": images} for images in "ab"))
    frame = summary_frame(per_class_frame([old, changed]))
    other = "fashion-mnist-mini (other images)"  # than the newest
    assert set(frame[frame["run_name"] == "old"]["dataset"]) == {other}
    assert {e["dataset"] for e in compare([old, changed], old, default_weights).entries} == {other}


@pytest.mark.parametrize(
    ("tested", "data", "alike"),
    [("", "data", True), ("a", "data", True), ("a", "inverted", False), ("", "inverted", False)],
    ids=["both old", "one new", "one new, of other data", "both old, of other data"],
)
def test_images_that_are_not_known_are_those_of_runs_that_saw_the_same_data(
    store, tested: str, data: str, alike: bool
) -> None:
    """The shipped runs do not store their test images; others of that name are others."""
    old, new = make_run(store, "old"), make_run(store, "new")
    new.write_manifest(Manifest("", "", {}, "cpu", 1, data, CLASSES, (900,) * 10, (100,) * 10, {}))
    evaluated(old, {"of": ALIKE, "n": 100, "created": "2025-01-01T00:00:00+00:00"})
    evaluated(new, {"of": ALIKE, "n": 100, "test_fingerprint": tested})
    if alike:
        assert {entry["paired"] for entry in compare([old, new], old, default_weights).entries} == {True}
    else:
        with pytest.raises(ConfigError, match="share no test evaluation"):
            compare([old, new], old, default_weights)
