"""Every page, in both themes, on a desk and on a phone; pictures go to tests/browser/screenshots."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from cfa.runs.evaluations import read_evaluations
from cfa.runs.store import Store
from tests.app.example_evaluations import EXAMPLES
from tests.app.example_store import fill
from tests.browser.dashboard import Dashboard
from tests.browser.tab import BACKGROUNDS, PAGES, Tab

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser-1")]

CHARTS = {  # at least
    "home": 0,
    "train": 0,
    "monitor": 8,
    "runs": 1,
    "evaluate": 1,
    "classes": 2,
    "sweep": 5,
    "compare": 7,
    "leaderboard": 1,
}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("home")
    fill(home)
    return home


@pytest.fixture(scope="module")
def dashboard(open_dashboard, home: Path) -> Dashboard:
    return open_dashboard(home)


# The theme that pages are opened in, each on one of the widths; the other follows while they are open.
@pytest.fixture(scope="module", params=[("light", 1280), ("dark", 400)])
def tab(browser: Browser, dashboard: Dashboard, request: pytest.FixtureRequest) -> Iterator[Tab]:
    theme, width = request.param
    tab = Tab.open(browser, dashboard.address, theme, width)
    yield tab
    tab.close()


@pytest.fixture(scope="module")
def desk(browser: Browser, dashboard: Dashboard) -> Iterator[Tab]:
    tab = Tab.open(browser, dashboard.address)
    yield tab
    tab.close()


@pytest.fixture(scope="module")
def empty(browser: Browser, open_dashboard, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    tab = Tab.open(browser, open_dashboard(tmp_path_factory.mktemp("empty")).address)
    yield tab
    tab.close()


@pytest.fixture(scope="module")
def addresses(home: Path) -> dict[str, str]:
    """Say which address shows most of each page: a run that calibrates, and everything that is compared."""
    runs = names_by_method(home)
    calibrated = runs["trades-cfa"]
    return {
        "home": "",
        "train": "train",
        "monitor": f"monitor?run={calibrated}",
        "runs": f"runs?show={calibrated}",
        "evaluate": f"evaluate?evaluate={calibrated}",
        "classes": f"classes?run={calibrated}&evaluation={images_of(home, calibrated)}",
        "sweep": f"sweep?runs={calibrated}&runs={runs['pgd-at-cfa']}",
        "leaderboard": "leaderboard",
        "compare": "compare?" + "&".join(f"runs={runs[m]}" for m in ("trades", "trades-cfa", "pgd-at")),
    }


def names_by_method(home: Path) -> dict[str, str]:
    """Name the run of each method on the embedded data."""
    runs = [run for run in Store.open(home).runs() if not run.read_only and run.config.seed == 0]
    return {run.config.method: run.name for run in runs if run.config.dataset == "fashion-mnist-mini"}


def images_of(home: Path, run: str) -> str:
    """Return the id of the run's evaluation that has adversarial images."""
    found = read_evaluations(Store.open(home).find(run))
    return next(evaluation.id for evaluation in found if evaluation.id.endswith(EXAMPLES[0]))


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_whole_in_both_themes(
    tab: Tab, addresses: dict[str, str], name: str, request: pytest.FixtureRequest
):
    theme, width = request.node.callspec.params["tab"]
    tab.page.emulate_media(color_scheme=theme)
    tab.visit(addresses[name])
    for seen in (theme, "dark" if theme == "light" else "light"):
        tab.change_theme(seen)
        tab.check()
        assert background(tab) == BACKGROUNDS[seen]
        tab.screenshot(f"{name}-{seen}-{width}")  # all of the page was in sight, so every chart is drawn
        assert tab.page.locator(".js-plotly-plot").count() >= CHARTS[name]
        tab.check()


def background(tab: Tab) -> str:
    app = tab.page.get_by_test_id("stApp")
    return str(app.evaluate("element => getComputedStyle(element).backgroundColor"))


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("monitor?run=hundred-classes", "hundred-classes"),
        ("compare?runs=hundred-classes&runs={trades-cfa}", "Not measured like this: "),
        ("monitor?run={fat}", "lower optimizer.lr"),
        ("runs?show={fat}", "lower optimizer.lr"),
        ("monitor?run={trades-ccm}", "interrupted"),
        ("runs?show={trades-ccm}", "interrupted"),
        ("train?from={trades-cfa}", "differs from the preset"),
        ("compare?runs=nobody", "At a glance"),
        ("classes?run=nobody", "What is taken for what"),
        ("classes?run=hundred-classes", "The images cannot be shown"),
        ("classes?run={trades-cfa}&evaluation=nothing&true=nobody", "What is taken for what"),
        ("sweep?runs=nobody", "Robust accuracy over eps"),
        ("evaluate?evaluate=hundred-classes", "is not here yet"),
        ("monitor?run=nobody", "One run, class by class"),
    ],
)
def test_what_is_unusual_looks_deliberate(desk: Tab, home: Path, address: str, says: str):
    desk.visit(address.format_map(names_by_method(home)))
    desk.sees(says)
    desk.check()


@pytest.mark.parametrize(
    ("address", "chart", "columns"),
    [
        ("monitor?run={trades-cfa}", "monitor_eps", "series,epoch,eps (n/255)"),
        ("classes?run={trades-cfa}", "classes_confusion", "predicted class,true class,images,share"),
        ("compare?runs={trades}&runs={trades-cfa}", "compare_bars", "series,class,accuracy (%)"),
    ],
)
def test_a_chart_has_its_numbers(desk: Tab, home: Path, address: str, chart: str, columns: str):
    desk.visit(address.format_map(names_by_method(home)))
    opener = desk.page.locator(f".st-key-{chart}_numbers").get_by_text("Numbers")
    opener.scroll_into_view_if_needed()
    desk.settle()  # charts are drawn when they come near, and what is below them moves
    opener.click()
    desk.page.locator(f".st-key-{chart}_numbers").get_by_test_id("stDataFrame").wait_for()
    desk.check()
    with desk.page.expect_download() as started:
        desk.page.locator(f".st-key-{chart}_csv").get_by_role("button").click()
    written = started.value.path().read_text().splitlines()
    assert written[0].startswith(columns)
    assert len(written) > 10
    assert started.value.suggested_filename == f"{chart}.csv"


@pytest.mark.parametrize("name", PAGES)
def test_an_empty_store_looks_deliberate(empty: Tab, name: str):
    empty.visit("" if name == "home" else name)
    empty.check()
    empty.screenshot(f"{name}-empty-1280")


@pytest.mark.parametrize("width", [1280, 400])
def test_the_menu_leads_everywhere(browser: Browser, dashboard: Dashboard, width: int):
    tab = Tab.open(browser, dashboard.address, width=width)
    tab.visit()
    if width == 400:
        tab.page.get_by_test_id("stExpandSidebarButton").click()  # it stays open until it is closed
    for name in [*PAGES[1:], "home"]:
        tab.follow(name.capitalize(), "CFA Studio" if name == "home" else name.capitalize())
    tab.check()
    tab.close()
