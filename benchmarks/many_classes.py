"""How long Monitor, Classes and Compare take with 100 and 200 classes, beside the same pages with 10.

python benchmarks/many_classes.py [--repeats 5] [--epochs 200]

The runs are made up: rows of all epochs, three kinds of weights, two evaluated runs per number of classes. A
page is opened in headless Chromium and is there once nothing is computed and every chart is drawn. The first
visit after the dashboard's start reads files; later ones are what somebody who works with it sees.
"""

import argparse
import os
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from machine import describe_machine, write_result
from playwright.sync_api import Browser, sync_playwright

PROJECT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT))

from cfa.methods import configure  # noqa: E402
from cfa.runs.store import Store  # noqa: E402
from tests.app.example_store import finished_run  # noqa: E402
from tests.browser.conftest import FLAGS  # noqa: E402
from tests.browser.dashboard import Dashboard  # noqa: E402
from tests.browser.tab import Tab  # noqa: E402

DATASETS = {10: "cifar10", 100: "cifar100", 200: "tiny-imagenet"}
PAGES = {
    "monitor": "monitor?run=c{classes}-trades-cfa",
    "classes": "classes?run=c{classes}-trades-cfa",
    "compare": "compare?runs=c{classes}-trades&runs=c{classes}-trades-cfa",
}
GOAL_SECONDS = 2.0


def main() -> None:
    """Fill a store, open every page for every number of classes in turn, several times."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=200)
    settings = parser.parse_args()
    machine = describe_machine()
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        home, elsewhere = Path(folder) / "home", Path(folder) / "elsewhere"
        elsewhere.mkdir()
        fill(home, settings.epochs)
        browser = playwright.chromium.launch(executable_path=chromium, args=list(FLAGS))
        dashboard = Dashboard(home, elsewhere, os.environ)
        try:
            pages = measured(browser, dashboard, settings.repeats)
        finally:
            dashboard.stop()
            browser.close()
    write_result(
        "many_classes",
        {
            "what": "seconds until a page is whole (nothing computed any more, every chart drawn), headless "
            "Chromium at 1280 pixels; first visit after the dashboard's start, and the median of the others; "
            "ratios are to the same page with 10 classes",
            "settings": vars(settings),
            "goal_seconds": GOAL_SECONDS,
            "pages": pages,
            "machine": machine,
        },
    )


def fill(home: Path, epochs: int) -> None:
    """Make two evaluated runs for each number of classes."""
    store = Store.open(home, shipped=None)
    for classes, dataset in DATASETS.items():
        names = tuple(f"class {index:03d}" for index in range(classes))
        for method in ("trades", "trades-cfa"):
            config = configure(
                method, dataset, model="preact-resnet18", preset="paper", overrides={"train.epochs": epochs}
            )
            finished_run(store, config, names, name=f"c{classes}-{method}")


def measured(browser: Browser, dashboard: Dashboard, repeats: int) -> dict[str, Any]:
    """Time the visits, every page with every number of classes once a round."""
    seconds: dict[tuple[str, int], list[float]] = {}
    for _ in range(repeats + 1):
        for classes in DATASETS:
            for page, address in PAGES.items():
                tab = Tab.open(browser, dashboard.address)
                started = time.perf_counter()
                tab.visit(address.format(classes=classes))
                seconds.setdefault((page, classes), []).append(time.perf_counter() - started)
                tab.check()
                tab.close()
    found: dict[str, Any] = {}
    for (page, classes), values in seconds.items():
        few = statistics.median(seconds[page, min(DATASETS)][1:])
        median = statistics.median(values[1:])
        found.setdefault(page, {})[str(classes)] = {
            "first": round(values[0], 2),
            "median": round(median, 2),
            "times_10_classes": round(median / few, 2),
        }
    return found


if __name__ == "__main__":
    main()
