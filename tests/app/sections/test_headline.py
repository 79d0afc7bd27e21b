"""Home's headline: one pair, chosen before its figures are seen, and certain only where that is so."""

import pytest

from app.engine import snapshots
from app.sections import headline
from cfa.home import SHIPPED_RUNS
from cfa.runs.store import Store
from tests.app.pages import assert_sound, open_page, words
from tests.support.resumed import evaluate, make_run


def seeds(store: Store, method: str, worst: list[int]) -> None:
    """Make runs of one method with a seed each: nine classes of 60 %, and the worst one."""
    for seed, correct in enumerate(worst):
        run = make_run(store, f"{method}-{seed}", method=method, seed=seed)
        counts = {"pgd-20": (60 + seed,) * 9 + (correct,)}
        evaluate(run, counts, 100, epoch=3, created="2026-01-01T00:00:00+00:00")


@pytest.mark.parametrize(
    ("treated", "says"),
    [
        ([20, 45, 12], "No class is certain after 3 seeds of each."),
        ([70, 71, 72], "For certain after 3 seeds of each: "),
    ],
)
def test_the_headline_is_as_certain_as_its_seeds(dashboard, tmp_path, treated, says):
    store = Store.open(dashboard(tmp_path / "home"), shipped=None)
    seeds(store, "trades", [20, 21, 22])
    seeds(store, "trades-cfa", treated)
    app = open_page("home")
    said = words(app)
    assert "What your newest runs say" in said
    assert "TRADES + CCM + CCR against TRADES" in said  # no gate has opened: online weights
    assert says in said
    assert "a statement about these methods" in said


def test_of_single_runs_it_is_about_two_networks(dashboard, tmp_path):
    store = Store.open(dashboard(tmp_path / "home"), shipped=None)
    seeds(store, "trades", [20])
    seeds(store, "trades-cfa", [70])
    said = words(open_page("home"))
    assert "a statement about these two networks, not about their methods" in said
    assert " gain" not in said.partition("What your newest runs say")[2].partition("See it for yourself")[0]


def test_of_pairs_with_as_many_seeds_it_is_the_last_one_of_the_demo(dashboard, tmp_path):
    store = Store.open(dashboard(tmp_path / "home"), shipped=None)
    for method in ("fat", "fat-cfa", "trades", "trades-cfa", "pgd-at", "pgd-at-cfa"):
        seeds(store, method, [20, 21])
    found = headline.finding(snapshots.usable_runs())
    assert found is not None
    assert found.title == "TRADES + CCM + CCR against TRADES"


def test_without_a_pair_nothing_is_said(dashboard, tmp_path):
    store = Store.open(dashboard(tmp_path / "home"), shipped=None)
    seeds(store, "trades-cfa", [20, 21, 22])
    assert headline.finding(snapshots.usable_runs()) is None
    app = open_page("home")
    assert_sound(app)
    assert "Nothing can be said yet" in words(app)


def test_a_method_that_is_reported_with_averages_is_compared_with_equal_weights_too(dashboard, tmp_path):
    """With FAWA against online weights the worst class fell in the demo, and rose with FAWA on both sides."""
    dashboard(tmp_path, shipped=SHIPPED_RUNS)
    said = words(open_page("home"))
    assert "TRADES + CFA against TRADES (FAWA against Online weights)" in said
    assert "FAWA weights of both" in said
    found = headline.finding(snapshots.usable_runs())
    assert found.verdict.weights == ("fawa", "online")
    assert found.same_weights.weights == ("fawa", "fawa")
    assert found.same_weights.worst.difference != found.verdict.worst.difference
