"""axe-core (WCAG 2 A and AA: contrast, names, keyboard) on every page, in both themes."""

from collections.abc import Iterator
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser

from tests.app.example_store import fill
from tests.browser.tab import Tab

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser-2")]

RUN = "trades-cfa-fashion-mnist-mini-s0"
ADDRESSES = {
    "home": "",
    "train": f"train?from={RUN}",
    "monitor": f"monitor?run={RUN}",
    "runs": f"runs?show={RUN}",
    "evaluate": f"evaluate?evaluate={RUN}",
    "classes": f"classes?run={RUN}",
    "sweep": f"sweep?runs={RUN}",
    "compare": f"compare?runs={RUN}&runs=trades-fashion-mnist-mini-s0",
    "leaderboard": "leaderboard",
}
RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"], "resultTypes": ["violations"]}


@pytest.fixture(scope="module")
def dashboard(open_dashboard, tmp_path_factory: pytest.TempPathFactory):
    home = tmp_path_factory.mktemp("home")
    fill(home, epochs=6, hundred=False)
    return open_dashboard(home)


def violations(tab: Tab) -> list[str]:
    found: list[dict[str, Any]] = Axe().run(tab.page, options=RULES).response["violations"]
    return [
        f"{rule['id']}: {node['target']} {node['html'][:160]} {node['failureSummary'][:300]}"
        for rule in found
        for node in rule["nodes"]
    ]


@pytest.fixture(scope="module")
def tab(browser: Browser, dashboard) -> Iterator[Tab]:
    tab = Tab.open(browser, dashboard.address)
    yield tab
    tab.close()


@pytest.mark.parametrize("name", ADDRESSES)
def test_a_page_can_be_read_by_everybody_in_both_themes(tab: Tab, name: str):
    tab.visit(ADDRESSES[name])
    for theme in ("light", "dark"):
        tab.change_theme(theme)
        assert violations(tab) == [], theme
