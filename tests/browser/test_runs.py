"""Runs: rows are ticked by a click, and labels edited in the table."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from cfa.runs.store import Store
from tests.app.example_store import fill
from tests.browser.dashboard import wait_for
from tests.browser.tab import Tab

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser-2")]

ROW, HEADER = 35, 35  # pixels of a table


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home: Path = tmp_path_factory.mktemp("home")
    fill(home, epochs=6, hundred=False)
    return home


@pytest.fixture(scope="module")
def dashboard(open_dashboard, home):
    return open_dashboard(home)


@pytest.fixture
def tab(browser: Browser, dashboard) -> Iterator[Tab]:
    tab = Tab.open(browser, dashboard.address, width=1440)
    yield tab
    tab.close()


def own(home: Path):
    return Store.open(home, shipped=None)


def click(tab: Tab, row: int, x: int, *, twice: bool = False) -> None:
    """Click into a row of the table, this far from its left end."""
    tab.settle()
    table = tab.page.locator('[class*="st-key-runs_table_"]').get_by_test_id("stDataFrame").first
    table.scroll_into_view_if_needed()
    place = {"x": x, "y": HEADER + ROW * row + ROW // 2}
    if twice:
        table.dblclick(position=place)
    else:
        table.click(position=place)


def write_into_cell(tab: Tab, row: int, x: int, typed: str) -> None:
    """Double click into a cell until it can be written in: a table that is just drawn hears nothing yet."""
    field = tab.page.locator("#portal").locator("textarea, input")

    def opened() -> bool:
        click(tab, row, x, twice=True)
        tab.page.wait_for_timeout(300)
        return field.count() > 0

    wait_for(opened, "the field of the cell")
    field.first.fill(typed)
    field.first.press("Enter")


def ticked(tab: Tab) -> list[str]:
    tab.settle()
    return tab.page.evaluate("new URL(location.href).searchParams.getAll('runs')")


def test_ticks_belong_to_runs_and_not_to_the_rows_they_stand_in(tab: Tab, home: Path):
    tab.visit("runs?tag=example")
    click(tab, 1, 20)
    run = Store.open(home, shipped=None).find(wait_for(lambda: ticked(tab), "a tick in the address")[0])
    delete = tab.page.get_by_role("button", name="Delete 1 run", exact=True)
    expect(delete).to_be_visible()
    dialog = tab.page.get_by_role("dialog")
    for search in ("", run.name):  # alone in the table it stands in another row
        tab.type("Search", search)
        tab.settle()
        tab.press("Delete 1 run")
        expect(dialog).to_contain_text(run.name)
        tab.press("Keep", dialog)
        expect(dialog).to_have_count(0)
    tab.type("Search", "no run is called so")
    tab.sees("No run matches these filters.")
    expect(delete).to_have_count(0)
    tab.type("Search", "")
    tab.settle()
    click(tab, 1, 20)  # a second click takes the tick away
    wait_for(lambda: not ticked(tab), "no tick in the address")
    tab.check()


def test_ticked_runs_go_to_compare_in_one_click(tab: Tab, home: Path):
    tab.visit("runs?tag=example&state=finished")
    click(tab, 1, 20)
    wait_for(lambda: len(ticked(tab)) == 1, "one tick")
    click(tab, 2, 20)
    ids = wait_for(lambda: ticked(tab) if len(ticked(tab)) == 2 else [], "two ticks")
    tab.follow("Compare these 2", "Compare")
    assert ticked(tab) == ids
    tab.check()


def test_a_name_is_edited_in_the_table_and_a_refusal_shows_what_is_stored(tab: Tab, home: Path):
    (run,) = [run for run in own(home).runs() if run.name == "long-tailed"]
    tab.visit("runs?search=long-tailed")
    for typed, says, name in (
        ("a/b", "stands in no name", "long-tailed"),
        ("the long tail", "saved", "the long tail"),
    ):
        write_into_cell(tab, 0, 60, typed)
        tab.sees(says)
        assert run.name == name
        tab.type("Search", name)
    tab.check()


def test_a_phone_shows_runs_and_their_accuracies_in_its_first_screen(browser: Browser, dashboard):
    tab = Tab.open(browser, dashboard.address, width=400)
    tab.visit("runs")
    table = tab.page.locator('[class*="st-key-runs_table_"]').get_by_test_id("stDataFrame").first
    expect(table).to_be_in_viewport()
    assert table.bounding_box()["y"] + HEADER + ROW < tab.page.viewport_size["height"]
    tab.check()
    tab.close()
