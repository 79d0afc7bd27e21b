"""A tab of the browser: what a user sees and does on the dashboard, and what went wrong meanwhile."""

import re
from pathlib import Path
from typing import Any, Literal

from playwright.sync_api import Browser, ConsoleMessage, Locator, Page, Request, expect
from playwright.sync_api import Error as PlaywrightError

from cfa.jobs.queue import Job
from tests.browser.dashboard import PATIENCE, wait_for

MILLISECONDS = 1000 * PATIENCE
SCREENSHOTS = Path(__file__).with_name("screenshots")
BACKGROUNDS = {"light": "rgb(255, 255, 255)", "dark": "rgb(14, 17, 23)"}  # app/.streamlit/config.toml
PAGES = ("home", "train", "monitor", "runs", "evaluate", "classes", "sweep", "compare", "leaderboard")

# Asked for an address such as /train, Streamlit first looks for its server below that address, logs the 404
# and then finds it one level up.
HARMLESS = re.compile(rf"404 .*/({'|'.join(PAGES)})/_stcore/(health|host-config)")

# Nothing is being computed, everything that was asked for has arrived, and every chart is drawn (of those
# that change in place: every one in sight).
SETTLED = """() => {
  const app = document.querySelector('[data-testid="stApp"]')
  if (!app || app.dataset.testScriptState !== 'notRunning' || app.dataset.testConnectionState !== 'CONNECTED')
    return false
  const waiting = '[data-testid="stSkeleton"], [data-testid="stAppSkeleton"], [data-stale="true"]'
  if (document.querySelector(waiting)) return false
  const inSight = ({top, bottom}) => top < innerHeight && bottom > 0
  const charts = [...document.querySelectorAll('[data-testid="stPlotlyChart"], .cfa-live-chart')]
  return charts.every(box => box.querySelector('.main-svg')
    || (box.matches('.cfa-live-chart') && !inSight(box.getBoundingClientRect())))
}"""

# No colour is on its way to another one.
# What is out of sight may have transitions that wait for ever for a frame: all are at their end at once.
ENDED = """() => document.getAnimations()
  .filter(each => each instanceof CSSTransition).forEach(each => each.finish())"""

# Points of every trace of every chart: cells of a heatmap, finite coordinates of anything else.
POINTS = """() => [...document.querySelectorAll('.js-plotly-plot')].map(chart => ({
  title: chart.closest('[class*="st-key-"]')?.className ?? '',
  points: chart.data.map(trace => trace.z
    ? [...trace.z].flatMap(row => [...row]).filter(Number.isFinite).length
    : [...(typeof trace.y?.[0] === 'string' ? trace.x : trace.y ?? [])].filter(Number.isFinite).length),
}))"""

# At the top of the window the pages' list would lie over it, and take the clicks.
TO_THE_MIDDLE = "key => document.querySelector(`.st-key-${key}`)?.scrollIntoView({block: 'center'})"

# The part of an axis that a chart shows, once it is drawn.
RANGE = """([key, axis]) =>
  document.querySelector(`.st-key-${key} .js-plotly-plot`)?._fullLayout?.[axis]?.range"""

# Where on the screen a chart has some coordinates.
PLACE = """([key, x, y]) => {
  const chart = document.querySelector(`.st-key-${key} .js-plotly-plot`)
  const {left, top} = chart.getBoundingClientRect()
  const {xaxis, yaxis} = chart._fullLayout
  return [left + xaxis._offset + xaxis.d2p(x), top + yaxis._offset + yaxis.d2p(y)]
}"""

# Whether a chart shows what is under the mouse.
HOVERED = """([key, wanted]) => {
  const labels = document.querySelectorAll(`.st-key-${key} .hoverlayer .hovertext`)
  return (labels.length > 0) === wanted
}"""

# From now on, count the charts that are taken off the page: each is a flicker.
COUNT_REMOVED = """() => {
  window.chartsRemoved = 0
  const chart = '.js-plotly-plot'
  new MutationObserver(changes => changes.flatMap(change => [...change.removedNodes]).forEach(node => {
    if (node.matches?.(chart) || node.querySelector?.(chart)) window.chartsRemoved += 1
  })).observe(document.body, {childList: true, subtree: true})
}"""

# The lines of the queue's table, in the order of the screen; nothing while it is being drawn.
QUEUE = """() => {
  const rows = [...document.querySelectorAll('.st-key-queue_jobs tbody tr')]
  const isEmpty = document.body.innerText.includes('Nothing is queued or running')
  return rows.length || isEmpty
    ? rows.map(row => [...row.querySelectorAll('[role="gridcell"]')].map(cell => cell.textContent.trim()))
    : null
}"""
TICKED = """() => [...document.querySelectorAll('.st-key-queue_jobs tbody tr')]
  .map(row => row.getAttribute('aria-selected') === 'true')"""

# What Streamlit says of itself, and which charts are drawn.
STATE = """() => ({
  ...document.querySelector('[data-testid="stApp"]')?.dataset,
  charts: [...document.querySelectorAll('[data-testid="stPlotlyChart"], .cfa-live-chart')].map(box => [
    box.closest('[class*="st-key-"]')?.className.match(/st-key-(\\S+)/)?.[1] ?? '',
    Boolean(box.querySelector('.main-svg')), Math.round(box.getBoundingClientRect().top),
  ].join(' ')),
})"""

SIDEWAYS = """() => ['html', '[data-testid="stMain"]']
  .map(name => [name, document.querySelector(name)])
  .filter(([name, box]) => box.scrollWidth > box.clientWidth)
  .map(([name, box]) => `${name} is ${box.scrollWidth} px wide in ${box.clientWidth} px`)"""


class Tab:
    """One tab on one dashboard."""

    def __init__(self, page: Page, address: str) -> None:
        """Listen to a fresh page of the browser."""
        self.page = page
        self.address = address
        self.faults: list[str] = []
        page.set_default_timeout(MILLISECONDS)
        page.on("console", self._hear)
        page.on("pageerror", lambda error: self.faults.append(f"uncaught: {error}"))
        page.on("request", self._watch)
        page.on("crash", lambda: self.faults.append("the browser's tab crashed"))

    @classmethod
    def open(
        cls, browser: Browser, address: str, theme: Literal["light", "dark"] = "light", width: int = 1280
    ) -> "Tab":
        """Open a tab in a context of its own; the dashboard follows the system's theme."""
        context = browser.new_context(color_scheme=theme, viewport={"width": width, "height": 900})
        return cls(context.new_page(), address)

    def close(self) -> None:
        """Close the tab with its context."""
        self.page.context.close()

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            said = f"{message.text} {message.location.get('url', '')}"
            if not HARMLESS.search(said):
                self.faults.append(f"console: {said}")

    def _watch(self, request: Request) -> None:
        if not request.url.startswith((self.address, self.address.replace("http", "ws"), "data:", "blob:")):
            self.faults.append(f"a request left this machine: {request.url}")

    # --- what a user does -------------------------------------------------------------------------

    def visit(self, path: str = "") -> None:
        """Open an address and wait until all of it is there; earlier faults are forgotten."""
        self.faults.clear()
        self.page.goto(f"{self.address}/{path}")
        self.settle()

    def reload(self) -> None:
        """Reload the page."""
        self.page.reload()
        self.settle()

    def change_theme(self, theme: Literal["light", "dark"]) -> None:
        """Let the system's theme change, which the page follows."""
        self.page.emulate_media(color_scheme=theme)
        app = self.page.get_by_test_id("stApp")
        expect(app).to_have_css("background-color", BACKGROUNDS[theme], timeout=MILLISECONDS)
        self.settle()
        self.page.evaluate(ENDED)

    def settle(self) -> None:
        """Wait until nothing is being computed and every chart is drawn."""
        self.page.locator("h1").first.wait_for()
        self.page.wait_for_function(SETTLED)

    def follow(self, link: str | re.Pattern[str], heading: str) -> None:
        """Click a link and wait for the page with this heading."""
        self.page.get_by_role("link", name=link).first.click()
        self.arrive(heading)

    def arrive(self, heading: str) -> None:
        """Wait for the page with this heading."""
        expect(self.page.get_by_role("heading", level=1, name=heading)).to_be_visible(timeout=MILLISECONDS)
        self.settle()

    def tick(self, *jobs: Job) -> None:
        """Tick the lines of these jobs in the queue, and no others."""
        self.settle()
        table = self.page.locator(".st-key-queue_jobs").get_by_test_id("stDataFrame")
        wanted = [any(job.title in cells for job in jobs) for cells in self.queue()]
        for row, (is_wanted, is_ticked) in enumerate(zip(wanted, self.page.evaluate(TICKED), strict=True)):
            if is_wanted != is_ticked:
                table.click(position={"x": 15, "y": 35 * (row + 1) + 17})  # below the heads of the columns
        wait_for(lambda: self.page.evaluate(TICKED) == wanted, "the ticks to be seen")
        self.settle()

    def act(self, button: str, *jobs: Job, under: str = "") -> None:
        """Tick jobs in the queue, and press a button for them, which may be under another one."""
        self.tick(*jobs)
        acts = self.page.locator(".st-key-queue_acts")
        if under:
            self.press(under, acts)
        self.press(button, None if under else acts)

    def press(self, button: str, within: Locator | None = None) -> None:
        """Press a button once it can be pressed."""
        (within or self.page).get_by_role("button", name=button, exact=True).click()

    def type(self, label: str, text: str) -> None:
        """Type into the field with this label and leave it."""
        field = self.page.get_by_role("textbox", name=label, exact=True)
        field.fill(text)
        field.press("Tab")

    def choose(self, label: str, option: str) -> None:
        """Choose from the list with this label; in the middle of the window, since scrolling closes it."""
        box = self.page.get_by_role("combobox", name=label)
        box.evaluate("element => element.scrollIntoView({block: 'center'})")
        box.click()
        self.page.get_by_role("option", name=option).click()

    def download(self, button: str) -> tuple[str, Path]:
        """Press a download button and return the file's name and where it is."""
        with self.page.expect_download() as started:
            self.press(button)
        return started.value.suggested_filename, started.value.path()

    def click_point(self, chart: str, x: float, y: float) -> None:
        """Click with the mouse where a chart has these coordinates."""
        self.settle()
        self.page.evaluate(TO_THE_MIDDLE, chart)
        self.settle()  # it is drawn when it comes near
        place = self.page.evaluate(PLACE, [chart, x, y])
        # Plotly clicks what it hovers over, and a chart that was drawn anew hovers over nothing.
        self.page.mouse.move(0, 0)
        self.page.wait_for_function(HOVERED, arg=[chart, False])
        self.page.mouse.move(*place)
        self.page.wait_for_function(HOVERED, arg=[chart, True])
        self.page.mouse.click(*place)

    def zoom(self, chart: str, start: tuple[float, float], end: tuple[float, float]) -> None:
        """Draw a box over a part of a chart, which zooms into it."""
        self.page.evaluate(TO_THE_MIDDLE, chart)
        self.settle()  # it is drawn when it comes near
        self.page.mouse.move(*self.page.evaluate(PLACE, [chart, *start]))
        self.page.mouse.down()
        self.page.mouse.move(*self.page.evaluate(PLACE, [chart, *end]), steps=5)
        self.page.mouse.up()

    # --- what a user sees -------------------------------------------------------------------------

    def sees(self, text: str | re.Pattern[str], within: Locator | None = None) -> None:
        """Wait until a text can be read."""
        found = (within or self.page).get_by_text(text).locator("visible=true").first
        expect(found).to_be_visible(timeout=MILLISECONDS)

    def queue(self) -> list[list[str]]:
        """Return the lines of the queue's table, as a screen reader has them."""
        found: list[list[list[str]]] = wait_for(
            lambda: [rows for rows in [self.page.evaluate(QUEUE)] if rows is not None], "the queue's table"
        )
        return found[0]

    def line(self, job: Job) -> list[str]:
        """Return the cells of a job's line in the queue; none where it is not in sight."""
        return next((cells for cells in self.queue() if job.title in cells), [])

    def sees_job(self, job: Job, state: str) -> None:
        """Wait until a job's line shows this state."""
        wait_for(lambda: state in self.line(job), f"{job.title} to be {state}: {self.queue()}")

    def sees_no_job(self, job: Job) -> None:
        """Wait until a job has left the queue."""
        wait_for(lambda: not self.line(job), f"{job.title} to leave the queue")

    def figure(self, key: str) -> list[dict[str, Any]]:
        """Scroll to the chart with this key and return its traces; none while it is not drawn."""
        self.page.bring_to_front()  # a tab that nobody looks at gets no frames, and draws nothing
        self.page.evaluate(TO_THE_MIDDLE, key)
        traces: list[dict[str, Any]] = self.page.evaluate(
            "key => document.querySelector(`.st-key-${key} .js-plotly-plot`)?.data ?? []", key
        )
        return traces

    def drawn_figure(self, key: str) -> list[dict[str, Any]]:
        """Scroll to the chart with this key and return its traces once it is drawn."""
        self.figure(key)
        self.settle()
        return self.figure(key)

    def shown_range(self, key: str, axis: Literal["xaxis", "yaxis"] = "xaxis") -> list[float]:
        """Scroll to the chart with this key and return what it shows of an axis, once it is drawn."""
        self.drawn_figure(key)
        found: list[float] = self.page.wait_for_function(RANGE, arg=[key, axis]).json_value()
        return found

    def reset_zoom(self, chart: str) -> None:
        """Let a chart show all of it again, by its own button."""
        self.page.evaluate(TO_THE_MIDDLE, chart)
        box = self.page.locator(f".st-key-{chart} .js-plotly-plot")
        box.hover()
        box.locator('[data-title="Reset axes"]').click()

    def count_removed_charts(self) -> None:
        """Count, from now on, the charts that are taken off the page."""
        self.page.evaluate(COUNT_REMOVED)

    def removed_charts(self) -> int:
        """Return how many charts were taken off the page since counting began."""
        return int(self.page.evaluate("window.chartsRemoved"))

    # --- what nobody should see -------------------------------------------------------------------

    def check(self) -> None:
        """Fail for an exception box, console error, empty trace, sideways scroll or missing heading."""
        self.settle()
        assert self.page.get_by_test_id("stException").all_inner_texts() == []
        assert self.faults == [], self.faults  # pytest does not explain asserts of this module
        assert self.page.locator("h1:visible").count() == 1
        assert self.empty_charts() == []
        assert self.page.evaluate(SIDEWAYS) == []

    def empty_charts(self) -> list[str]:
        """Name the charts that have no trace, or a trace without a point."""
        charts = self.page.evaluate(POINTS)
        return [chart["title"] for chart in charts if not chart["points"] or 0 in chart["points"]]

    def grow(self) -> None:
        """Make the window as high as the page, so that all of it is drawn."""
        window = self.page.viewport_size or {"width": 1280, "height": 900}
        height = self.page.evaluate("document.querySelector('[data-testid=\"stMain\"]').scrollHeight")
        self.page.set_viewport_size({"width": window["width"], "height": max(height, window["height"])})
        self.settle()

    def screenshot(self, name: str) -> None:
        """Take a picture of the whole page, not only of what fits into the window."""
        window = self.page.viewport_size or {"width": 1280, "height": 900}
        self.grow()
        SCREENSHOTS.mkdir(exist_ok=True)
        self.page.screenshot(path=SCREENSHOTS / f"{name}.png", animations="disabled")
        self.page.set_viewport_size(window)

    def describe(self, picture: str) -> str:
        """Say where this tab is and what it shows, after a failure; its picture is kept."""
        try:
            SCREENSHOTS.mkdir(exist_ok=True)
            self.page.screenshot(path=SCREENSHOTS / f"{re.sub(r'[^A-Za-z0-9-]', '-', picture)}.png")
            state = self.page.evaluate(STATE)
            text = self.page.locator("body").inner_text()
        except PlaywrightError as error:
            return f"{self.page.url} cannot be looked at: {error}"
        return f"{self.page.url}\n{state}\nfaults: {self.faults}\n{text[:3000]}"
