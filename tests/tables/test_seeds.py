"""Averages over seeds: each seed once, of one size, and nothing about a spread that is not there."""

import numpy as np
import pytest

from cfa.evaluation import default_weights
from cfa.methods import display_name
from cfa.runs.folder import RunFolder
from cfa.runs.store import Store
from cfa.tables.documents import build_report, markdown, table
from cfa.tables.frames import per_class_frame, summary_frame
from cfa.tables.leaderboard import leaderboard
from cfa.tables.seeds import distinct_seeds
from cfa.tables.statements import statements
from tests.support.resumed import evaluate, make_run


def a_run(store: Store, name: str, seed: int, worst: int, *, images: int = 100, method: str = "trades"):
    """Make a run whose worst class has ``worst`` percent, every other class 60."""
    run = make_run(store, name, seed=seed, method=method)
    counts = (60 * images // 100,) * 9 + (worst * images // 100,)
    evaluate(run, {"pgd-20": counts}, images, epoch=3, created="2026-01-01T00:00:00+00:00")
    return run


def command(config) -> str:
    return f"cfa train --seed {config.seed}"


def kept(*runs: RunFolder) -> tuple[list[str], tuple[str, ...]]:
    experiments = {run.id: run.config.key(without_seed=True) for run in runs}
    found = distinct_seeds(summary_frame(per_class_frame(runs)), experiments)
    return found.kept["run_name"].tolist(), found.left_out


def test_runs_of_one_seed_are_one_seed_and_are_named(store) -> None:
    runs = [a_run(store, name, seed, 30) for name, seed in (("a", 0), ("b", 1), ("again", 0), ("third", 0))]
    said = "has the seed 0 of a and the same settings: they count as one seed"
    assert kept(*runs) == (["a", "b"], (f"again {said}", f"third {said}"))


def test_another_experiment_has_seeds_of_its_own(store) -> None:
    runs = [a_run(store, "a", 0, 30), a_run(store, "b", 0, 30, method="pgd-at")]
    assert kept(*runs) == (["a", "b"], ())


@pytest.mark.parametrize(
    ("sizes", "names"),
    [
        ((1000, 100, 100), ["b", "c"]),
        ((1000, 100, 1000), ["a", "c"]),
        ((100, 1000), ["b"]),  # as many of either: the larger
    ],
)
def test_seeds_of_different_sizes_are_not_averaged(store, sizes, names) -> None:
    runs = [a_run(store, "abc"[n], n, 30, images=size) for n, size in enumerate(sizes)]
    found, said = kept(*runs)
    assert found == names
    assert [sentence.split(":")[0] for sentence in said] == [r.name for r in runs if r.name not in names]
    assert all("images is not averaged with other seeds" in sentence for sentence in said)


def test_no_place_counts_a_repeated_seed_twice(store) -> None:
    once, again = a_run(store, "once", 0, 30), a_run(store, "again", 0, 40)
    other = [a_run(store, f"o{seed}", seed, 30 + seed, method="pgd-at") for seed in (0, 1)]
    runs = [once, again, *other]
    board = leaderboard(runs, [], display_name).set_index("label")
    assert board.loc["TRADES", ["runs", "worst"]].tolist() == [1, pytest.approx(0.3)]
    assert "one seed; without again: a seed again" in board.loc["TRADES", "marks"]
    assert statements([once, again], other, default_weights) == []
    report = build_report(runs, other[0], default_weights, display_name, command)
    rows = dict(table(report))
    assert list(rows) == ["PGD-AT (2 seeds)", "TRADES"]
    cell = rows["TRADES"][0]
    assert cell is not None
    assert (cell.worst, cell.worst_spread) == (pytest.approx(0.3), None)
    assert "again has the seed 0 of once and the same settings: they count as one seed" in markdown(report)


def test_sides_of_different_sizes_are_not_compared(store) -> None:
    small = [a_run(store, f"s{n}", n, 30 + n) for n in (0, 1)]
    large = [a_run(store, f"l{n}", n, 30 + n, images=1000, method="pgd-at") for n in (0, 1)]
    (said,) = statements(small, large, default_weights)
    assert said.words == "nothing, since 10,000 images are not compared with 1,000"


def test_the_statement_is_about_distinct_seeds(store) -> None:
    base = [a_run(store, f"b{n}", seed, worst) for n, (seed, worst) in enumerate(((0, 20), (1, 24), (0, 50)))]
    other = [a_run(store, f"o{seed}", seed, 30 + 2 * seed, method="pgd-at") for seed in (0, 1, 2)]
    (said,) = statements(base, other, default_weights)
    assert said.basis == "3 and 2 seeds, Welch's t"
    difference = np.mean([30, 32, 34]) - np.mean([20, 24])
    assert f"worst class +{difference:.1f} [" in said.words
