"""A click on a class leaves it alone in every chart of the page, and another one shows all again."""

import pytest

from cfa.methods import configure
from cfa.runs.store import Store
from tests.app.example_store import FASHION, finished_run
from tests.browser.dashboard import Dashboard, wait_for
from tests.browser.tab import Tab

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser-2")]

CHARTS = ("monitor_class_lines", "monitor_ranks", "monitor_eps", "monitor_beta")


@pytest.fixture(scope="module")
def dashboard(open_dashboard, tmp_path_factory) -> Dashboard:
    home = tmp_path_factory.mktemp("home")
    config = configure("trades-cfa", "fashion-mnist-mini", seed=0, overrides={"train.epochs": 10})
    finished_run(Store.open(home), config, FASHION, name="one")
    return open_dashboard(home)


@pytest.fixture
def tab(open_tab, dashboard: Dashboard) -> Tab:
    opened: Tab = open_tab(dashboard)
    opened.visit("monitor?run=one")
    return opened


def seen(tab: Tab, chart: str) -> list[str]:
    """Return the classes that a chart shows."""
    return [trace["meta"] for trace in tab.drawn_figure(chart) if trace.get("visible") in (None, True)]


def rows_seen(tab: Tab) -> float:
    """Return how many rows of the heatmap are in sight."""
    low, high = tab.shown_range("monitor_heatmap", "yaxis")
    return abs(low - high)


@pytest.mark.parametrize("clicked", ["point", "legend", "row"])
def test_a_class_that_is_clicked_is_alone_in_all_charts(tab: Tab, clicked: str):
    def click() -> None:
        if clicked == "legend":
            legend = tab.page.locator(".st-key-monitor_class_lines .legendtoggle")
            legend.nth(FASHION.index("Shirt")).click()
        elif clicked == "row":
            tab.click_point("monitor_heatmap", 9, FASHION.index("Shirt"))  # averages begin with epoch 8
        else:
            lines = tab.drawn_figure("monitor_class_lines")
            shirt = next(trace for trace in lines if trace["meta"] == "Shirt")
            tab.click_point("monitor_class_lines", shirt["x"][1], shirt["y"][1])

    assert all(len(seen(tab, chart)) == 10 for chart in CHARTS)
    click()
    for chart in CHARTS:
        wait_for(lambda chart=chart: seen(tab, chart) == ["Shirt"], f"Shirt alone in {chart}")
    assert rows_seen(tab) == pytest.approx(1)
    click()
    for chart in CHARTS:
        wait_for(lambda chart=chart: len(seen(tab, chart)) == 10, f"all classes in {chart}")
    assert rows_seen(tab) == pytest.approx(10)
    tab.check()


def test_the_axis_of_eps_is_fitted_to_the_classes(tab: Tab):
    lines = tab.drawn_figure("monitor_eps")
    values = [value for trace in lines for value in trace["y"]]
    low, high = tab.shown_range("monitor_eps", "yaxis")
    assert 0 < low < min(values)
    assert max(values) < high
    assert (max(values) - min(values)) / (high - low) > 0.75
