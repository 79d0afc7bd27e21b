"""How soon pages show something, how long a refresh takes, and whether memory grows, on a store of 120 runs.

python benchmarks/dashboard.py [--repeats 5] [--refreshes 500] [--mlflow PYTHON] [--before FOLDER]

The store is made up: 100 runs of 200 epochs and 10 classes, 20 of 200 epochs and 100 classes, one more that
is going on. Every page is opened in headless Chromium; three browsers then watch the running one while epochs
arrive. TensorBoard (and MLflow, with the Python of an environment that has all of it) open the same rows,
exported as `cfa export` does, in the same Chromium. Without a cache: a browser that has never been there.
"""

import argparse
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from filelock import FileLock
from machine import describe_machine, write_result
from playwright.sync_api import Browser, Page, Playwright, sync_playwright

PROJECT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT))

from cfa.methods import configure  # noqa: E402
from cfa.runs.folder import RunFolder  # noqa: E402
from cfa.runs.rows import append_rows  # noqa: E402
from cfa.runs.store import Store  # noqa: E402
from cfa.tables.trackers import to_mlflow, to_tensorboard  # noqa: E402
from tests.app.example_evaluations import add_evaluations  # noqa: E402
from tests.app.example_store import FASHION, HUNDRED, epoch_rows, finished_run, started_run  # noqa: E402
from tests.browser.conftest import FLAGS  # noqa: E402
from tests.browser.dashboard import Dashboard, free_port  # noqa: E402
from tests.browser.tab import Tab  # noqa: E402

GOALS = {"first_result_seconds": 1.5, "refresh_seconds": 0.3, "megabytes_per_100_refreshes": 0.0}
RUN, WIDE = "few-000", "wide-000"
# What is the first result of each page: a chart, a table, or the form that the page is.
CHART = ".js-plotly-plot .main-svg"
TABLE = "[data-testid=stDataFrame] canvas"
PAGES = {
    "home": ("", CHART),
    "train": ("train", "[data-testid=stBaseButton-primary]"),
    "monitor": (f"monitor?run={RUN}", CHART),
    "monitor, 100 classes": (f"monitor?run={WIDE}", CHART),
    "runs": ("runs", TABLE),
    "evaluate": (f"evaluate?run={RUN}", "[data-testid=stBaseButton-primary]"),
    "classes": (f"classes?run={RUN}", CHART),
    "sweep": (f"sweep?runs={RUN}", CHART),
    "compare": (f"compare?runs={RUN}&runs=few-001", TABLE),
    "compare, 100 classes": (f"compare?runs={WIDE}&runs=wide-001", TABLE),
    "leaderboard": ("leaderboard", CHART),
}
HEADINGS = ("Train", "Monitor", "Runs", "Evaluate", "Classes", "Sweep", "Compare", "Leaderboard")
WATCHERS = 3
# Seconds in which the page was computing and drawing, one entry a refresh.
STOPWATCH = """() => {
  window.refreshes = []
  const app = document.querySelector('[data-testid="stApp"]')
  let began = null
  new MutationObserver(() => {
    const state = app.dataset.testScriptState
    if (state === 'running' && began === null) began = performance.now()
    if (state === 'notRunning' && began !== null) {
      const start = began
      began = null
      requestAnimationFrame(() => setTimeout(() => window.refreshes.push((performance.now() - start) / 1000)))
    }
  }).observe(app, {attributes: true, attributeFilter: ['data-test-script-state']})
}"""


def main() -> None:
    """Fill the store, time pages, watch, and time the other programs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--refreshes", type=int, default=500)
    parser.add_argument("--epoch-seconds", type=float, default=5.6, help="as the demo on two cores")
    parser.add_argument("--few", type=int, default=100, help="runs with 10 classes")
    parser.add_argument("--wide", type=int, default=20, help="runs with 100 classes")
    parser.add_argument("--mlflow", metavar="PYTHON", help="of an environment with the whole of mlflow")
    parser.add_argument("--before", type=Path, help="pages alone, in turn with those of another checkout")
    settings = parser.parse_args()
    machine = describe_machine()
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        store = Store.open(Path(folder) / "home", shipped=None)
        going = fill(store, settings.few, settings.wide)
        if settings.before is not None:
            compare_pages(playwright, store, Path(folder), settings, machine)
            return
        browser = playwright.chromium.launch(executable_path=chromium, args=list(FLAGS))
        (Path(folder) / "elsewhere").mkdir()
        dashboard = Dashboard(store.home, Path(folder) / "elsewhere", os.environ)
        try:
            pages = time_pages(browser, dashboard, settings.repeats)
            with FileLock(going.lock_file):  # a run is going on as long as somebody holds its lock
                watching = watch(browser, dashboard, going, settings.refreshes, settings.epoch_seconds)
        finally:
            dashboard.stop()
        others = time_others(browser, store, Path(folder), settings.mlflow, settings.repeats)
        browser.close()
    write_result(
        "dashboard",
        {
            "what": "seconds from asking for a page to its first result (chart, table or form), medians; "
            "refreshes: from the server's start to the next frame after its end, in three browsers at once",
            "settings": {key: value for key, value in vars(settings).items() if key != "mlflow"},
            "goals": GOALS,
            "pages": pages,
            "watching": watching,
            "others": others,
            "machine": machine,
        },
    )


def compare_pages(
    playwright: Playwright, store: Store, folder: Path, settings: argparse.Namespace, machine: dict[str, Any]
) -> None:
    """Time pages of this checkout and of another one, round by round in turn, on the same store."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    browser = playwright.chromium.launch(executable_path=chromium, args=list(FLAGS))
    checkouts = {"now": PROJECT, "before": settings.before.resolve()}
    dashboards = {}
    for name, checkout in checkouts.items():
        (folder / name).mkdir()
        python, main = str(checkout / ".venv/bin/python"), checkout / "app/main.py"
        dashboards[name] = Dashboard(store.home, folder / name, os.environ, main, python)
    seconds: dict[str, dict[str, dict[str, list[float]]]] = {name: {} for name in checkouts}
    try:
        for _ in range(settings.repeats):
            for name, dashboard in dashboards.items():
                for page, found in visit_pages(browser, dashboard).items():
                    for how, value in found.items():
                        seconds[name].setdefault(page, {}).setdefault(how, []).append(value)
        memory = {
            name: round(psutil.Process(dashboard.process.pid).memory_info().rss / 2**20)
            for name, dashboard in dashboards.items()
        }
    finally:
        for dashboard in dashboards.values():
            dashboard.stop()
    write_result(
        "dashboard_pages",
        {
            "what": "as in dashboard.json, pages alone, two commits in turn; medians, and megabytes of the "
            "server after all of it (torch is loaded, since Train and Evaluate are among the pages)",
            "repeats": settings.repeats,
            "pages": {
                name: {
                    page: {how: round(statistics.median(values), 2) for how, values in found.items()}
                    for page, found in pages.items()
                }
                for name, pages in seconds.items()
            },
            "megabytes": memory,
            "machine": machine,
        },
    )


def fill(store: Store, few: int, wide: int) -> RunFolder:
    """Make the runs, one of them with evaluations of every sort, and the one that is going on."""
    kinds = (("few", few, "fashion-mnist-mini", FASHION), ("wide", wide, "cifar100", HUNDRED))
    for name, count, dataset, classes in kinds:
        for number in range(count):
            method = ("trades", "trades-cfa", "pgd-at", "pgd-at-cfa", "fat")[number % 5]
            config = configure(method, dataset, seed=number, overrides={"train.epochs": 200})
            run = finished_run(store, config, classes, name=f"{name}-{number:03d}")
            if name == "few" and number == 0:
                add_evaluations(run, seed=0)
    config = configure("trades-cfa", "fashion-mnist-mini", seed=1000, overrides={"train.epochs": 400})
    return started_run(store, config, FASHION, epochs=100, name="going-on")


# --- pages ----------------------------------------------------------------------------------------


def time_pages(browser: Browser, dashboard: Dashboard, repeats: int) -> dict[str, Any]:
    """Open every page several times: never been there, been there, and from another page."""
    seconds: dict[str, dict[str, list[float]]] = {page: {} for page in PAGES}
    for page, (address, result) in PAGES.items():  # what the first visitor after the start waits for
        seconds[page]["first_visitor"] = [opened(browser, f"{dashboard.address}/{address}", result)]
    for _ in range(repeats):
        for page, found in visit_pages(browser, dashboard).items():
            for how, value in found.items():
                seconds[page].setdefault(how, []).append(value)
    return {
        page: {how: round(statistics.median(values), 2) for how, values in found.items()}
        for page, found in seconds.items()
    }


def visit_pages(browser: Browser, dashboard: Dashboard) -> dict[str, dict[str, float]]:
    """Open every page once in each way."""
    returning = Tab.open(browser, dashboard.address)
    returning.visit("monitor")  # fills the cache with what all pages share
    seconds: dict[str, dict[str, float]] = {}
    for page, (address, result) in PAGES.items():
        seconds[page] = {
            "without_cache": opened(browser, f"{dashboard.address}/{address}", result),
            "with_cache": until(returning.page, f"{dashboard.address}/{address}", result),
        }
        returning.check()
        if page.capitalize() in HEADINGS:
            seconds[page]["from_another_page"] = walked(returning, page.capitalize())
    returning.close()
    return seconds


def opened(browser: Browser, address: str, result: str) -> float:
    """Time a visit of a browser that has never been there."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    seconds = until(context.new_page(), address, result)
    context.close()
    return seconds


def until(page: Page, address: str, result: str) -> float:
    """Time a visit until the first result is there."""
    started = time.perf_counter()
    page.goto(address, wait_until="commit")
    page.locator(result).first.wait_for(timeout=120_000)
    return time.perf_counter() - started


def walked(tab: Tab, title: str) -> float:
    """Time a click on a page's link, from Home, until its heading and first result are there."""
    tab.visit()
    result = PAGES[title.lower()][1]
    started = time.perf_counter()
    tab.page.get_by_role("link", name=title, exact=True).first.click()
    tab.page.get_by_role("heading", level=1, name=title).wait_for()
    tab.page.locator(result).first.wait_for()
    return time.perf_counter() - started


# --- watching -------------------------------------------------------------------------------------


def watch(
    browser: Browser, dashboard: Dashboard, run: RunFolder, refreshes: int, epoch_seconds: float
) -> dict[str, Any]:
    """Let three browsers watch a run to which epochs are added."""
    tabs = [Tab.open(browser, dashboard.address) for _ in range(WATCHERS)]
    for tab in tabs:
        tab.visit(f"monitor?run={run.name}")
        tab.page.evaluate(STOPWATCH)
    server = psutil.Process(dashboard.process.pid)
    rng, epoch = np.random.default_rng(0), 100
    counts, memory, late = [], [], []
    while (done := sum(len(seconds) for seconds in measured(tabs))) < refreshes:
        epoch += 1
        append_rows(run.history_file, list(epoch_rows(run.config, len(FASHION), epoch, rng)))
        added = time.perf_counter()
        tabs[epoch % WATCHERS].page.wait_for_function(
            "epoch => Math.max(...document.querySelector('.js-plotly-plot').data.map(trace => "
            "Math.max(...trace.x))) >= epoch",
            arg=epoch,
            timeout=120_000,
        )
        late.append(time.perf_counter() - added)
        counts.append(done)
        memory.append(server.memory_info().rss / 2**20)
        time.sleep(max(0.0, epoch_seconds - late[-1]))
    seconds = [value for each in measured(tabs) for value in each]
    for tab in tabs:
        tab.check()
        tab.close()
    return {
        "refreshes": len(seconds),
        "epochs_added": epoch - 100,
        "refresh_seconds": {
            "median": round(statistics.median(seconds), 3),
            "p95": round(float(np.quantile(seconds, 0.95)), 3),
        },
        "seconds_from_row_to_screen": {
            "median": round(statistics.median(late), 2),
            "p95": round(float(np.quantile(late, 0.95)), 2),
        },
        "memory": slope(counts, memory),
    }


def measured(tabs: Sequence[Tab]) -> list[list[float]]:
    return [tab.page.evaluate("window.refreshes") for tab in tabs]


def slope(counts: Sequence[int], memory: Sequence[float]) -> dict[str, float]:
    """Fit a line to the server's memory after the first third, which is warm-up."""
    start = len(counts) // 3
    fit = np.polyfit(counts[start:], memory[start:], 1)
    return {
        "megabytes_at_first": round(memory[0], 1),
        "megabytes_after_warm_up": round(memory[start], 1),
        "megabytes_at_last": round(memory[-1], 1),
        "megabytes_per_100_refreshes": round(100 * float(fit[0]), 2),
    }


# --- the others -----------------------------------------------------------------------------------


def time_others(
    browser: Browser, store: Store, folder: Path, mlflow: str | None, repeats: int
) -> dict[str, Any]:
    """Export the same rows, and time how soon TensorBoard and MLflow draw a run's first chart."""
    runs = [run for run in store.runs() if run.name in (RUN, WIDE)] + [
        run for run in store.runs() if run.name not in (RUN, WIDE)
    ]
    found: dict[str, Any] = {}
    started = time.perf_counter()
    to_tensorboard(runs, folder / "tensorboard")
    found["tensorboard"] = {"export_seconds": round(time.perf_counter() - started, 1)}
    port = free_port()
    logs = str(folder / "tensorboard")
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", logs, "--port", str(port)]
    with server(command, f"http://127.0.0.1:{port}/") as ready:
        address = f"http://127.0.0.1:{port}/?runFilter={RUN}#timeseries"
        loaded = wait_for_tags(f"http://127.0.0.1:{port}/data/plugin/scalars/tags", len(runs), ready)
        chart = "scalar-card line-chart canvas, scalar-card line-chart svg"
        found["tensorboard"] |= {
            "seconds_from_start_to_all_runs_loaded": round(loaded, 1),
            **visits(browser, address, chart, repeats),
        }
    if mlflow is None:
        return found
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    started = time.perf_counter()
    (first, *_) = to_mlflow(runs, uri)
    found["mlflow"] = {"export_seconds": round(time.perf_counter() - started, 1)}
    port = free_port()
    command = [mlflow, "-m", "mlflow", "server", "--backend-store-uri", uri, "--port", str(port)]
    with server(command, f"http://127.0.0.1:{port}/health"):
        address = f"http://127.0.0.1:{port}/#/experiments/1/runs/{first}/model-metrics"
        found["mlflow"] |= visits(browser, address, CHART, repeats)
    return found


def visits(browser: Browser, address: str, result: str, repeats: int) -> dict[str, float]:
    """Time the first and the second visit of browsers that have never been there."""
    seconds: dict[str, list[float]] = {"without_cache": [], "with_cache": []}
    for _ in range(repeats):
        context = browser.new_context(viewport={"width": 1280, "height": 900})
        page = context.new_page()
        for values in seconds.values():
            page.goto("about:blank")
            values.append(until(page, address, result))
        context.close()
    return {how: round(statistics.median(values), 2) for how, values in seconds.items()}


@contextmanager
def server(command: Sequence[str], address: str) -> Iterator[float]:
    """Run another program's server, and give the time at which it was started."""
    started = time.perf_counter()
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        while not answers(address):
            if process.poll() is not None:
                raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
            time.sleep(0.1)
        yield started
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(30)


def answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def wait_for_tags(address: str, runs: int, started: float) -> float:
    """Wait until TensorBoard has read every run, and say how long that took."""
    while True:
        with urllib.request.urlopen(address, timeout=60) as answer:
            if len(json.load(answer)) >= runs:
                return time.perf_counter() - started
        time.sleep(0.2)


if __name__ == "__main__":
    main()
