"""Chromium, dashboards and tabs; everything that a test started ends with it."""

import shutil
from collections.abc import Callable, Generator, Iterator, Mapping
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.browser.dashboard import MAIN, Dashboard, end_workers
from tests.browser.tab import Tab
from tests.support.require import require

CHROMIUM = ("chromium", "google-chrome")
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
)

FAILED = pytest.StashKey[bool]()
OpenDashboard = Callable[..., Dashboard]
OpenTab = Callable[..., Tab]


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    executable = next(filter(None, map(shutil.which, CHROMIUM)), None)
    require("browser", executable, f"there is no Chromium: none of {', '.join(CHROMIUM)} can be started")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=executable, args=list(FLAGS))
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def open_dashboard(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenDashboard]:
    """Give a function that starts a dashboard on a home; without a browser nothing is started."""
    started: list[Dashboard] = []

    def start(
        home: Path,
        folder: Path | None = None,
        environment: Mapping[str, str] | None = None,
        main: Path = MAIN,
    ) -> Dashboard:
        foreign = folder or tmp_path_factory.mktemp("elsewhere")
        started.append(Dashboard(home, foreign, environment, main))
        return started[-1]

    yield start
    for dashboard in started:
        dashboard.stop()
    for home in {dashboard.home for dashboard in started}:
        end_workers(home)


@pytest.fixture
def open_tab(browser: Browser, request: pytest.FixtureRequest) -> Iterator[OpenTab]:
    """Give a function that opens a tab; each has cookies and a cache of its own, like another person's."""
    opened: list[Tab] = []

    def open_one(dashboard: Dashboard, theme: Literal["light", "dark"] = "light", width: int = 1280) -> Tab:
        opened.append(Tab.open(browser, dashboard.address, theme, width))
        return opened[-1]

    yield open_one
    if request.node.stash.get(FAILED, False):
        for number, tab in enumerate(opened):
            print(tab.describe(f"failed-{request.node.name}-{number}"))  # pytest shows it beside the failure
    for tab in opened:
        tab.close()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run a browser test that fails once more; the summary names it.

    A click takes two processes, a socket and a screen on a machine that others keep busy: one test in some
    hundreds is too late, and it is never the same one. What is broken fails twice.
    """
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent) and item.get_closest_marker("browser"):
            item.add_marker(pytest.mark.flaky(reruns=1))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Remember that a test failed, so that its tabs can say what they showed."""
    report = yield
    if report.when == "call":
        item.stash[FAILED] = report.outcome in ("failed", "rerun")
    return report
