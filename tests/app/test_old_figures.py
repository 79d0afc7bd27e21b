"""On no page does a figure stand unmarked that is of weights which a run no longer has."""

import base64
import json
import re

import numpy as np
import pytest

from app.engine import evaluated, snapshots
from cfa.runs.store import Store
from tests.app.pages import figures, open_page, words
from tests.support.resumed import OLD_FRACTIONS, OLD_PERCENT, peer_run, resumed_run


@pytest.fixture(scope="module")
def resumed_home(tmp_path_factory):
    home = tmp_path_factory.mktemp("resumed")
    store = Store.open(home, shipped=None)
    resumed_run(store, hashed=True)
    peer_run(store)
    return home


def drawn(value: object) -> list[float]:
    """List all numbers of a figure, those that plotly packs as bytes as well."""
    if isinstance(value, dict):
        if "bdata" in value:
            return np.frombuffer(base64.b64decode(value["bdata"]), value["dtype"]).astype(float).tolist()
        return [number for part in value.values() for number in drawn(part)]
    if isinstance(value, list):
        return [number for part in value for number in drawn(part)]
    return [float(value)] if isinstance(value, int | float) and not isinstance(value, bool) else []


def unmarked(app) -> list[object]:
    """List what a page shows of the old figures: in words, tables and charts."""
    said = re.sub(r"[^.]*of epoch 3[^.]*", "", words(app))
    found: list[object] = [text for text in OLD_PERCENT if text in said]
    numbers = [number for figure in figures(app) for number in drawn(figure["data"])]
    for table in app.dataframe:
        frame = table.value.select_dtypes("number")
        numbers += [number for column in frame for number in frame[column].tolist()]
        text = json.dumps(table.value.astype(str).to_numpy().tolist())
        found += [number for number in ("10,000", "10000") if number in text]
    old = [*OLD_FRACTIONS, *(100 * value for value in OLD_FRACTIONS)]
    return found + [n for n in numbers if any(abs(n - value) < 1e-9 for value in old)]


@pytest.mark.parametrize(
    ("page", "query"),
    [
        ("compare", {"runs": ["resumed", "peer"]}),
        ("runs", {}),
        ("runs", {"show": "resumed"}),
        ("evaluate", {"evaluate": ["resumed"]}),
        ("evaluate", {"evaluate": ["resumed", "peer"]}),
        ("leaderboard", {"board_dataset": "fashion-mnist-mini"}),
        ("classes", {"run": "resumed"}),
        ("monitor", {"run": "resumed"}),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(value) or "all",
)
def test_no_page_shows_it_unmarked(dashboard, resumed_home, page, query):
    dashboard(resumed_home)
    app = open_page(page, **query)
    assert unmarked(app) == []


def test_where_it_is_listed_it_says_of_which_epoch(dashboard, resumed_home):
    dashboard(resumed_home)
    run = snapshots.find_run("resumed")
    (old,) = evaluated.of_old_weights(run)
    options = open_page("classes", run="resumed").selectbox(key="evaluation").options
    assert [("of epoch 3, in no table" in option, "10,000 images" in option) for option in options] == [
        (False, False),
        (True, True),
    ]
    app = open_page("classes", run="resumed", evaluation=old)  # asked for by its address, it is shown
    assert "46.3" in words(app).replace("\u00a0", " ")
    assert "of epoch 3, in no table" in words(open_page("evaluate", evaluate=["resumed"]))
    left_out = "pgd-20, pgd-50 on 10,000 images is of epoch 3"
    assert left_out in words(open_page("compare", runs=["resumed", "peer"]))


def test_new_weights_are_seen_at_once(dashboard, tmp_path):
    """Nothing else changes when training replaces the best weights: what was cached is made anew."""
    from tests.support.resumed import NEW, evaluate, keep_weights, make_run

    home = dashboard(tmp_path / "home")
    run = make_run(Store.open(home, shipped=None), "live")
    whose = keep_weights(run, 0.25, 3)
    evaluate(run, NEW, 100, epoch=3, created="2026-01-01T00:00:00+00:00", weights_hash=whose)
    (known,) = snapshots.usable_runs()
    assert len(evaluated.results([known]).summary) == 2
    keep_weights(run, 0.5, 8)
    assert len(evaluated.results([known]).summary) == 0
