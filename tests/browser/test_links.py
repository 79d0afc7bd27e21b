"""A link is the page with its selection: another browser that opens it sees the same."""

from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.app.example_store import fill
from tests.browser.tab import Tab

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser-2")]


@pytest.fixture(scope="module")
def dashboard(open_dashboard, tmp_path_factory: pytest.TempPathFactory):
    home: Path = tmp_path_factory.mktemp("home")
    fill(home, epochs=6, hundred=False)
    return open_dashboard(home)


def shared(browser: Browser, dashboard, tab: Tab) -> Tab:
    """Open the address of a tab in another browser."""
    tab.settle()
    other = Tab.open(browser, dashboard.address)
    other.page.goto(tab.page.url)
    other.settle()
    other.check()
    return other


def test_a_comparison_is_shared_with_baseline_weights_and_measurement(browser: Browser, dashboard):
    tab = Tab.open(browser, dashboard.address)
    tab.visit("compare?runs=pgd-at-fashion-mnist-mini-s0&runs=pgd-at-cfa-fashion-mnist-mini-s0")
    weights = tab.page.get_by_test_id("stButtonGroup").filter(has_text="Each method's own")
    weights.get_by_role("button", name="EMA", exact=True).or_(
        weights.get_by_text("EMA", exact=True)
    ).first.click()
    tab.settle()
    other = shared(browser, dashboard, tab)
    for one in (tab, other):
        expect(one.page.get_by_text("EMA: accuracy per class")).to_be_visible()
    assert {trace["name"] for trace in other.drawn_figure("compare_scatter")} == {
        trace["name"] for trace in tab.drawn_figure("compare_scatter")
    }
    tab.close()
    other.close()


def test_filters_of_runs_are_shared(browser: Browser, dashboard):
    tab = Tab.open(browser, dashboard.address)
    tab.visit("runs")
    tab.type("Search", "pgd-at")
    other = shared(browser, dashboard, tab)
    assert other.page.get_by_role("textbox", name="Search").input_value() == "pgd-at"
    other.sees("Tick rows to act on them.")
    tab.close()
    other.close()


def test_ticks_belong_to_runs_and_not_to_the_rows_they_stand_in(browser: Browser, dashboard):
    tab = Tab.open(browser, dashboard.address)
    tab.visit("runs")
    table = tab.page.get_by_test_id("stDataFrame").first
    table.click(position={"x": 15, "y": 90})  # the box of the second row
    delete = tab.page.get_by_role("button", name="Delete 1 run", exact=True)
    expect(delete).to_be_visible()
    ticked = tab.page.get_by_role("combobox", name="Run").input_value()
    dialog = tab.page.get_by_role("dialog")
    for search in ("", ticked):  # alone in the table it stands in another row
        tab.type("Search", search)
        tab.settle()
        tab.press("Delete 1 run")
        expect(dialog).to_contain_text(ticked)
        tab.press("Keep", dialog)
        expect(dialog).to_have_count(0)
    tab.type("Search", "no run is called so")
    tab.sees("No run matches these filters.")
    expect(delete).to_have_count(0)
    tab.close()
