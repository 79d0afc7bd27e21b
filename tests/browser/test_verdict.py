"""The answer in ten seconds: who pays, read from the top of Compare and made again from its CSV file."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.stats
from statsmodels.stats.multitest import multipletests

from cfa.runs.store import Store
from tests.browser.tab import Tab
from tests.support.resumed import evaluate, make_run

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser-2")]

DAY = "2026-01-01T00:00:00+00:00"
# What stands in the part of the page that is seen: a row of the verdict, its cells, and the sentence below.
SEEN = """title => {
  const inside = box => { const r = box.getBoundingClientRect()
    return r.top >= 0 && r.bottom <= innerHeight && r.left >= 0 && r.right <= innerWidth }
  const rows = [...document.querySelectorAll('.cfa-verdict tbody tr')]
  const row = rows.find(one => one.querySelector('th').textContent.startsWith(title))
  const sentence = [...document.querySelectorAll('[data-testid="stMarkdown"] p')]
    .find(one => one.textContent.startsWith(title))
  return {
    cells: [...row.querySelectorAll('li')].filter(inside).map(one => (
      {state: one.classList[0], value: one.querySelector('span').textContent})),
    figures: [...row.querySelectorAll('td')].filter(inside).slice(0, 2).map(one => one.textContent),
    sentence: inside(sentence) ? sentence.textContent : '',
  }
}"""


def two_are_certain(home: Path) -> None:
    """Make three seeds of TRADES and of TRADES + CFA; two classes differ far more than seeds do."""
    store = Store.open(home, shipped=None)
    rng = np.random.default_rng(0)
    for seed in range(3):
        for method, shift in (("trades", 0), ("trades-cfa", 150)):
            run = make_run(store, f"{method}-{seed}", seed=seed, method=method)
            counts = 500 + rng.integers(-12, 13, 10)
            counts[3] += shift
            counts[7] -= shift
            evaluate(run, {"pgd-20": tuple(int(n) for n in counts)}, 1000, epoch=3, created=DAY)


@pytest.mark.parametrize(
    ("fill", "expected"),
    [
        pytest.param(lambda home: None, 0, id="the shipped demo, nothing is certain"),
        pytest.param(two_are_certain, 2, id="two classes are certain"),
    ],
)
def test_the_verdict_stands_on_the_first_screen_and_is_what_scipy_makes_of_the_file(
    browser, open_dashboard, tmp_path, fill, expected
):
    fill(tmp_path)
    tab = Tab.open(browser, open_dashboard(tmp_path).address, width=1440)
    tab.visit("compare")
    seen = tab.page.evaluate(SEEN, "TRADES + C")
    table = pd.read_csv(tab.download("Per-class CSV")[1])
    tab.check()
    tab.close()
    changes, certain = judged(table)
    assert certain.sum() == expected
    assert len(seen["cells"]) == 10
    assert seen["sentence"].startswith("TRADES + C")
    assert ("No class is certain after 3 seeds of each" in seen["sentence"]) == (expected == 0)
    for k, cell in enumerate(seen["cells"]):
        same_way = len(set(np.sign(changes[:, k]))) == 1 and changes[0, k] != 0
        assert cell["state"] == ("certain" if certain[k] else "same-way" if same_way else "mixed")
        assert float(cell["value"].replace("−", "-")) == pytest.approx(100 * changes[:, k].mean(), abs=0.051)
    for text, figure in zip(seen["figures"], (np.mean, np.min), strict=True):
        sides = per_seed(table)
        value = figure(sides[0], axis=1).mean() - figure(sides[1], axis=1).mean()
        number = re.match(r"[+−][\d.]+", text)[0]
        assert float(number.replace("−", "-")) == pytest.approx(100 * value, abs=0.051)


def per_seed(table: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Return accuracies of TRADES + CFA and of TRADES as they are reported, shape (seeds, classes)."""
    rows = table[(table["attack"] == "pgd-20") & (table["checkpoint"] == "best")]
    gated = "fawa" if "fawa" in set(rows["weights"]) else "online"
    kinds = (("trades-cfa", gated), ("trades", "online"))
    blocks = [rows[(rows["method"] == method) & (rows["weights"] == kind)] for method, kind in kinds]
    new, old = (
        block.sort_values(["seed", "class_index"])["accuracy"].to_numpy().reshape(3, 10) for block in blocks
    )
    return new, old


def judged(table: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Return the change of each seed and class, and which classes are certain."""
    new, old = per_seed(table)
    p_values = scipy.stats.ttest_ind(new, old, equal_var=False).pvalue
    return new - old, multipletests(p_values, alpha=0.05, method="holm")[0]
