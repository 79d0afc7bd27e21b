"""What others wrote is shown as they wrote it: nothing is fetched, nothing passes for a part of the page."""

from collections.abc import Iterator
from urllib.parse import urlencode

import pytest
from playwright.sync_api import Browser

from tests.app.hostile_store import SIGNS, fill_with_hostile_texts
from tests.browser.dashboard import Dashboard
from tests.browser.tab import Tab

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser-1")]

# Everything that the signs would have become: in Markdown, in plotly's labels, in HTML.
MARKUP = """() => [...document.querySelectorAll([
  '[href*="//canary"]', '[href*="//www"]', '[href^="mailto"]', '[src*="//canary"]',
  '.katex', 'img[alt="Streamlit logo"]', '[aria-label="lock icon"]', '.stMarkdownColoredText',
  '[data-testid="stMarkdownContainer"] :is(code, del, b, img)', 'svg a', 'svg [style*="font-weight: bold"]',
].join())].map(element => element.outerHTML.slice(0, 200))"""

TEXT = "() => document.body.innerText.replaceAll('\\u2060', '').replace(/\\s+/g, ' ')"


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    return fill_with_hostile_texts(tmp_path_factory.getbasetemp() / "hostile")


@pytest.fixture(scope="module")
def dashboard(open_dashboard, names: list[str], tmp_path_factory: pytest.TempPathFactory) -> Dashboard:
    return open_dashboard(tmp_path_factory.getbasetemp() / "hostile")


@pytest.fixture(scope="module")
def tab(browser: Browser, dashboard: Dashboard) -> Iterator[Tab]:
    # Without the content policy, which would keep pictures of others out by itself.
    context = browser.new_context(viewport={"width": 1280, "height": 900}, bypass_csp=True)
    tab = Tab(context.new_page(), dashboard.address)
    yield tab
    tab.close()


def address(page: str, names: list[str]) -> str:
    """Say which address shows most of a page."""
    calibrated, failed = names[1], names[6]
    query: dict[str, object] = {
        "monitor": {"run": failed},
        "runs": {"show": calibrated},
        "classes": {"run": calibrated},
        "compare": {"runs": names[:4]},
    }
    return f"{page}?{urlencode(query.get(page, {}), doseq=True)}"


@pytest.mark.parametrize("page", ["monitor", "runs", "classes", "compare"])
def test_texts_of_others_are_texts(tab: Tab, names: list[str], page: str):
    tab.visit(address(page, names))
    tab.page.evaluate("document.querySelectorAll('details:not([open]) > summary').forEach(s => s.click())")
    tab.grow()
    assert tab.page.evaluate(MARKUP) == []
    assert [fault for fault in tab.faults if "canary" in fault] == []
    shown = tab.page.evaluate(TEXT)
    if page != "runs":  # a name that is not usable is not shown there: the run is called by its id
        assert [sign for sign in SIGNS if sign not in shown] == [], shown[:3000]
    tab.check()
