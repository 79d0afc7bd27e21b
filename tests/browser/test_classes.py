"""A click on a confusion cell shows its images, and as many as the cell says."""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser, expect

from cfa.evaluation import load_adversarial, worst_case
from cfa.runs.store import Store
from tests.app.example_evaluations import EXAMPLES
from tests.app.example_store import FASHION, fill
from tests.browser.dashboard import Dashboard
from tests.browser.tab import MILLISECONDS, Tab

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser-1")]

COAT, SHIRT, TROUSER = FASHION.index("Coat"), FASHION.index("Shirt"), FASHION.index("Trouser")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("home")
    fill(home, epochs=10, hundred=False)
    return home


@pytest.fixture(scope="module")
def dashboard(open_dashboard, home: Path) -> Dashboard:
    return open_dashboard(home)


@pytest.fixture
def tab(browser: Browser, dashboard: Dashboard, request: pytest.FixtureRequest) -> Iterator[Tab]:
    tab = Tab.open(browser, dashboard.address, width=getattr(request, "param", 1280))
    yield tab
    tab.close()


@pytest.fixture(scope="module")
def run(home: Path):
    runs = Store.open(home, shipped=None).runs()
    return next(run for run in runs if run.config.method == "trades-cfa" and run.config.seed == 0)


@pytest.fixture(scope="module")
def table(run) -> dict[str, np.ndarray]:
    return load_adversarial(run, evaluation_of(run)).outcomes


def evaluation_of(run) -> str:
    folders = (run.path / "evaluations").iterdir()
    return next(folder.name for folder in folders if folder.name.endswith(EXAMPLES[0]))


def members(table: dict[str, np.ndarray], column: str, true: int, predicted: int) -> list[int]:
    """Count by hand what the page should show."""
    return table["image"][(table["label"] == true) & (table[column] == predicted)].tolist()


def shown(tab: Tab) -> list[int]:
    """Turn over all pages and return the images on them, one by one."""
    images = []
    tab.settle()
    first = tab.page.locator('[class*="st-key-picture_"]').first
    if not first.is_visible():
        tab.page.get_by_text("One by one", exact=True).click()
    expect(first).to_be_visible(timeout=MILLISECONDS)
    while True:
        tab.settle()
        titles = tab.page.locator('[class*="st-key-picture_"]').all_inner_texts()
        images += [int(found[1]) for title in titles if (found := re.match(r"Image (\d+)", title))]
        following = tab.page.get_by_role("button", name="Next page")
        if following.count() == 0 or following.is_disabled():
            return images
        before = titles[0]
        following.click()
        expect(tab.page.locator('[class*="st-key-picture_"]').first).not_to_contain_text(
            before.split("\n")[0]
        )


@pytest.mark.parametrize("tab", [1280, 400], indirect=True)
def test_a_click_on_a_cell_shows_its_images(tab: Tab, run, table):
    tab.visit(f"classes?run={run.name}&evaluation={evaluation_of(run)}&attack=pgd-20")
    (cells,) = [trace for trace in tab.drawn_figure("classes_confusion") if trace["type"] == "scatter"]
    counts = {(true, predicted): count for true, predicted, count, _ in cells["customdata"]}
    for true, predicted in ((COAT, SHIRT), (SHIRT, COAT), (TROUSER, TROUSER)):
        tab.click_point("classes_confusion", predicted, true)
        expected = members(table, "pgd-20", true, predicted)
        assert counts[FASHION[true], FASHION[predicted]] == len(expected) > 8
        tab.sees(f"{FASHION[true]} → {FASHION[predicted]}: {len(expected)} images")
        assert shown(tab) == expected
    tab.check()


def test_a_second_click_on_a_cell_is_no_different(tab: Tab, run, table):
    tab.visit(f"classes?run={run.name}&evaluation={evaluation_of(run)}&attack=pgd-20")
    count = len(members(table, "pgd-20", COAT, SHIRT))
    for _ in range(3):
        tab.click_point("classes_confusion", SHIRT, COAT)
        tab.settle()
        tab.sees(f"Coat → Shirt: {count} images")
    tab.choose("True class", "Trouser")
    tab.sees(re.compile("Trouser → Shirt: "))
    tab.click_point("classes_confusion", SHIRT, COAT)
    tab.sees(f"Coat → Shirt: {count} images")
    tab.reload()
    tab.sees(f"Coat → Shirt: {count} images")
    tab.check()


def test_the_worst_case_says_which_attack_did_it(tab: Tab, run, table):
    names = [name for name in table if name == "pgd-20" or (name.startswith("auto") and "/" not in name)]
    worst = worst_case(table["label"], {name: table[name] for name in ("clean", *names)})
    count = int(((table["label"] == COAT) & (worst == SHIRT)).sum())
    tab.visit(f"classes?run={run.name}&evaluation={evaluation_of(run)}&true=Coat&predicted=Shirt")
    tab.sees(f"Coat → Shirt: {count} images")
    tab.page.get_by_text("One by one", exact=True).click()
    tab.sees(re.compile("broken by"))
    expect(tab.page.get_by_role("img", name=re.compile("adversarial")).first).to_be_visible()
    tab.check()
    name, file = tab.download("Confusion CSV")
    assert name == "confusion.csv"
    row = file.read_text().splitlines()[1 + COAT].split(",")
    assert row[0] == "Coat"
    assert int(row[1 + SHIRT]) == count
