"""Several people watch one run: all see every epoch, and nobody's view flickers or loses its zoom."""

import pytest

from tests.browser.dashboard import wait_for
from tests.browser.slow import Workshop, hurry
from tests.browser.tab import Tab

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.xdist_group("browser-2")]

LINES = "monitor_class_lines"


@pytest.fixture
def workshop(tmp_path):
    (tmp_path / "home").mkdir()
    (tmp_path / "work").mkdir()
    made = Workshop(tmp_path / "home", tmp_path / "work")
    yield made
    made.clear()


def last_epoch(tab: Tab) -> int:
    return max((max(trace["x"]) for trace in tab.figure(LINES)), default=0)


def zoom_in(tab: Tab) -> list[float]:
    """Draw a box and return the range seen then; nothing where an epoch arrived while it was being drawn."""
    tab.zoom(LINES, (1.2, 0.1), (1.8, 0.6))
    seen = tab.shown_range(LINES)
    if 0 < seen[1] - seen[0] < 1.5:
        return seen
    tab.reset_zoom(LINES)  # the box went elsewhere, and the next one is drawn on the whole
    return []


def test_three_browsers_watch_one_run(workshop: Workshop, open_dashboard, open_tab):
    run, job = workshop.submit("watched")
    dashboard = open_dashboard(workshop.home)
    tabs = [open_tab(dashboard), open_tab(dashboard, "dark"), open_tab(dashboard, "light", 400)]
    tabs[0].visit("monitor")  # the first visit starts the queue
    workshop.wait_for_epoch(run, 2)
    for tab in tabs:
        tab.visit(f"monitor?run={run.name}")
        wait_for(lambda tab=tab: last_epoch(tab) >= 2, "the first epochs on the screen")
        tab.count_removed_charts()
    zoomed = wait_for(lambda: zoom_in(tabs[0]), "a view of less than two epochs")
    reached = max(last_epoch(tab) for tab in tabs)
    workshop.wait_for_epoch(run, reached + 3)
    for tab in tabs:
        wait_for(lambda tab=tab: last_epoch(tab) >= reached + 3, "the next epochs on the screen")
        assert tab.removed_charts() == 0
        assert tab.faults == []
    assert tabs[0].shown_range(LINES) == zoomed
    assert tabs[1].shown_range(LINES)[1] > reached + 2  # who did not zoom sees the new epochs
    hurry(workshop.home)
    for tab in tabs:
        tab.sees("finished")
        tab.check()
    assert workshop.state(job) == "done"
    assert tabs[0].shown_range(LINES) == zoomed
