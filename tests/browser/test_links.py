"""A link is the page with its selection: another browser that opens it sees the same."""

import re
import shutil
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Browser, expect

from cfa.runs.folder import Label, RunFolder
from cfa.runs.store import Store
from tests.app.example_store import fill
from tests.browser.dashboard import wait_for
from tests.browser.tab import Tab

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser-2")]


@pytest.fixture(scope="module")
def dashboard(open_dashboard, tmp_path_factory: pytest.TempPathFactory):
    home: Path = tmp_path_factory.mktemp("home")
    fill(home, epochs=10, hundred=False)  # averages of weights begin in epoch 8
    return open_dashboard(home)


def shared(browser: Browser, dashboard, tab: Tab, chosen: str) -> Tab:
    """Open the address of a tab in another browser, once it says what was chosen last."""
    tab.page.wait_for_url(lambda url: chosen in url)
    tab.settle()
    other = Tab.open(browser, dashboard.address)
    other.page.goto(tab.page.url)
    other.settle()
    other.check()
    return other


def test_a_comparison_is_shared_with_baseline_weights_and_measurement(browser: Browser, dashboard):
    tab = Tab.open(browser, dashboard.address)
    tab.visit("compare?runs=pgd-at-fashion-mnist-mini-s0&runs=pgd-at-cfa-fashion-mnist-mini-s0")
    tab.choose("Weights", "EMA")
    other = shared(browser, dashboard, tab, "weights=ema")
    for one in (tab, other):
        expect(one.page.get_by_text("Accuracy per class, weights: EMA")).to_be_visible()
    assert {trace["name"] for trace in other.drawn_figure("compare_scatter")} == {
        trace["name"] for trace in tab.drawn_figure("compare_scatter")
    }
    tab.close()
    other.close()


def test_filters_of_runs_are_shared(browser: Browser, dashboard):
    tab = Tab.open(browser, dashboard.address)
    tab.visit("runs")
    tab.type("Search", "pgd-at")
    other = shared(browser, dashboard, tab, "pgd-at")
    assert other.page.get_by_role("textbox", name="Search").input_value() == "pgd-at"
    other.sees("Tick rows to act on them.")
    tab.close()
    other.close()


@pytest.fixture
def tab(browser: Browser, dashboard):
    tab = Tab.open(browser, dashboard.address)
    yield tab
    tab.close()


def address(tab: Tab) -> tuple[str, dict[str, list[str]]]:
    """Return the page and the parameters of a tab's address."""
    parts = urlsplit(tab.page.url)
    return parts.path.strip("/"), parse_qs(parts.query, keep_blank_values=True)


def parameters(tab: Tab) -> dict[str, list[str]]:
    tab.settle()
    return address(tab)[1]


def ids(dashboard) -> dict[str, str]:
    return {run.name: run.id for run in Store.open(dashboard.home, shipped=None).runs()}


def test_a_link_without_a_choice_shows_the_same_after_the_next_training(
    browser: Browser, dashboard, tab: Tab
):
    """What equals the default stands in the address as well: the default is another one tomorrow."""
    pages = {
        "classes": {"run", "evaluation", "attack", "true", "predicted"},
        "compare": {"runs", "baseline", "measured", "weights", "seeds_as_one"},
        "evaluate": {"runs", "measured"},
        "sweep": {"runs"},
        "leaderboard": {"dataset", "threat", "attack", "models", "whose"},
        "monitor": {"run", "weights"},
    }
    sent = {}
    for page, names in pages.items():
        tab.visit(page)
        sent[page] = parameters(tab)
        assert names <= set(sent[page])
        assert all(run in ids(dashboard).values() for run in sent[page].get("runs", []))
    latest = Store.open(dashboard.home, shipped=None).runs()[-1]
    later = shutil.copytree(latest.path, latest.path.with_name("rfffffff1"))
    RunFolder(later).write_label(Label("made later"))
    try:
        for page, asked in sent.items():
            query = "&".join(f"{name}={value}" for name, values in asked.items() for value in values)
            other = Tab.open(browser, dashboard.address)
            other.visit(f"{page}?{query}")
            assert parameters(other) == asked
            other.check()
            other.close()
    finally:
        shutil.rmtree(later)


def test_a_link_to_a_run_keeps_it_at_the_first_click(dashboard, tab: Tab):
    run = ids(dashboard)["pgd-at-cfa-fashion-mnist-mini-s0"]
    tab.visit(f"classes?run={run}")
    tab.choose("True class", "Trouser")
    tab.sees("Trouser →")
    assert parameters(tab)["run"] == [run]
    assert parameters(tab)["true"] == ["Trouser"]
    tab.reload()
    assert parameters(tab)["run"] == [run]
    tab.sees("Trouser →")
    tab.check()


def test_back_undoes_one_choice_and_then_leaves_the_page(dashboard, tab: Tab):
    tab.visit("leaderboard")
    tab.follow("Monitor", "Monitor")
    whole = parameters(tab)
    assert {"run", "weights"} <= set(whole)
    assert not {"whose", "models"} & set(whole)  # nothing of the page before
    chosen = tab.page.get_by_test_id("stButtonGroup").locator('[data-selected="true"]')
    reported = chosen.inner_text()
    assert whole["weights"] == [reported.lower()]
    tab.page.get_by_test_id("stButtonGroup").get_by_text("EMA", exact=True).click()
    wait_for(lambda: parameters(tab)["weights"] == ["ema"], "the choice in the address")
    tab.page.go_back()
    wait_for(lambda: parameters(tab) == whole, "the address before")
    expect(chosen).to_have_text(reported)
    tab.page.go_forward()
    wait_for(lambda: parameters(tab)["weights"] == ["ema"], "the address after")
    expect(chosen).to_have_text("EMA")
    tab.page.go_back()
    wait_for(lambda: parameters(tab) == whole, "the address before")
    tab.page.go_back()
    tab.arrive("Leaderboard")
    tab.check()


def test_the_address_is_copied(dashboard, tab: Tab):
    tab.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    tab.visit("monitor")
    tab.page.get_by_test_id("stButtonGroup").get_by_text("EMA", exact=True).click()
    wait_for(lambda: parameters(tab)["weights"] == ["ema"], "the choice in the address")
    tab.press("Copy link")
    tab.sees("Copied")
    assert tab.page.evaluate("navigator.clipboard.readText()") == tab.page.url
    tab.check()


def test_a_saved_view_is_opened_on_its_own_page_and_from_another(dashboard, tab: Tab):
    tab.visit("monitor?weights=ema")
    saved = parameters(tab)
    tab.press("Views")
    tab.type("Save what Monitor shows as", "the averages")
    tab.press("Save view")
    tab.sees("Saved.")
    tab.page.keyboard.press("Escape")
    tab.page.get_by_test_id("stButtonGroup").get_by_text("FAWA", exact=True).click()
    wait_for(lambda: parameters(tab)["weights"] == ["fawa"], "the choice in the address")
    for page in ("monitor", "runs"):
        if page != "monitor":
            tab.visit(page)
        tab.press("Views")
        tab.press("the averages · Monitor")
        wait_for(lambda: parameters(tab) == saved and address(tab)[0] == "monitor", "the view's address")
        tab.arrive("Monitor")
        chosen = tab.page.get_by_test_id("stButtonGroup").locator('[data-selected="true"]')
        expect(chosen).to_have_text("EMA")
    tab.check()


def test_clicks_in_a_row_are_all_kept(dashboard, tab: Tab):
    """Each is told with the address before it, or the one before that."""
    tab.visit("train")
    field = tab.page.get_by_role("combobox", name="Methods")
    for name in ("pgd-at", "fat", "frl"):
        field.click()
        tab.page.get_by_role("option").filter(has_text=re.compile(rf"^{name} ·")).click()
    wait_for(
        lambda: {"pgd-at", "fat", "frl"} <= set(parameters(tab)["methods"]),
        "all three choices in the address",
    )
    tab.check()
