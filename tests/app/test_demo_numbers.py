"""Compare opens the shipped demo with README's numbers, and so does Home."""

import pytest

from app.engine import calibration, histories, snapshots
from benchmarks.demo_table import Demo
from cfa.methods import METHODS, display_name
from cfa.runs.store import SHIPPED_RUNS
from cfa.training import method_card
from tests.app.pages import open_page, words


@pytest.fixture
def demo(dashboard, tmp_path) -> Demo:
    dashboard(tmp_path / "empty", SHIPPED_RUNS)
    return Demo.read()


def test_compare_shows_the_numbers_of_readme(demo):
    runs = sorted(set(demo.summary.loc[demo.summary["method"].isin(["trades", "trades-cfa"]), "run_name"]))
    app = open_page("compare", runs=runs)
    table = app.dataframe[0].value
    assert set(table["images"]) == {10_000}
    assert set(table["seeds"]) == {3}
    shown = table.set_index("series")
    for method in ("trades", "trades-cfa"):
        for kind in ("online", "ema", "fawa"):
            row = shown.loc[f"{display_name(method, kind)} (3 seeds)"]
            for measure in ("mean", "worst"):
                expected = demo.figures(method, kind, "pgd-20", measure).mean()
                assert row[measure] == pytest.approx(100 * expected)
    said = words(app).replace("\\", "")
    statement = next(text for text in demo.statements() if "Calibration with TRADES" in text)
    for interval in ("4.7 [2.4, 6.9]", "7.2 [1.0, 13.5]", "4.5 [−10.9, 19.9]"):
        assert interval in statement
        assert f"worst class +{interval}" in said
    assert "on 1,000 images count" not in said  # nothing was left out in favour of less


def test_home_shows_all_of_it_on_all_images(demo):
    table = open_page("home").dataframe[0].value.set_index("series")
    assert set(table["images"]) == {10_000}
    assert len(table) == 6 * 3
    expected = 100 * demo.figures("fat", "ema", "pgd-20", "worst").mean()
    assert table.loc["FAT + EMA (3 seeds)", "worst"] == pytest.approx(expected)


def test_shipped_runs_say_of_their_method_what_pages_say(demo):
    for run in snapshots.runs():
        manifest = run.folder.manifest
        method = METHODS[run.method]
        assert manifest.method == method_card(method), run.name
        assert manifest.reported_with == method.reported_with


def test_monitor_is_given_the_knobs_that_a_method_has(demo):
    """A loss without a clean term has no weights to say anything of, though its tables hold 0 and 1."""
    for run in snapshots.runs():
        drawn = [knob.name for knob in calibration.drawn_knobs(run, histories.knobs(run))]
        assert drawn == ["eps", *(["beta"] if "trades" in run.method else [])], run.name
