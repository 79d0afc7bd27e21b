"""One run has one name on all pages, by the weights that are shown; a gate that never opened is said."""

import shutil

import pytest

from app.engine import evaluated, snapshots
from cfa.methods import configure
from cfa.runs.store import Store
from tests.app.example_store import FASHION, finished_run
from tests.app.pages import open_page, words

CLOSED = "closed"


@pytest.fixture
def closed_gate(dashboard, tmp_path):
    """A run of TRADES + CFA whose gate never opened, beside one of TRADES."""
    dashboard(tmp_path / "home")
    store = Store.open(tmp_path / "home")
    finished_run(store, configure("trades", "fashion-mnist-mini", overrides={"train.epochs": 4}), FASHION)
    config = configure("trades-cfa", "fashion-mnist-mini", overrides={"train.epochs": 4})
    run = finished_run(store, config, FASHION, name=CLOSED)
    for checkpoint in ("best", "last"):
        run.weights_file("fawa", checkpoint).unlink()
    for file in [file for place in run.evaluation_places for file in place.glob("*/evaluation.json")]:
        if '"fawa"' in file.read_text():
            shutil.rmtree(file.parent)


def test_the_name_is_that_of_the_weights_that_are_shown(closed_gate):
    run = snapshots.find_run(CLOSED)
    assert run.title == "TRADES + CCM + CCR" == evaluated.reported_title([run.member])


def test_the_name_is_the_same_everywhere(example_home):
    finished = [run for run in snapshots.usable_runs() if run.state == "finished"]
    assert {run.title for run in finished} >= {"TRADES", "TRADES + CFA"}
    assert [run.title for run in finished] == [evaluated.reported_title([run.member]) for run in finished]


def test_of_a_run_that_goes_on_nobody_knows_yet_whether_its_gate_opens(example_home):
    going_on = next(run for run in snapshots.usable_runs() if run.state != "finished")
    assert not going_on.gate_note


@pytest.mark.parametrize("page", ["runs", "evaluate", "compare", "monitor"])
def test_pages_say_that_the_gate_never_opened(closed_gate, page):
    query = {"run": CLOSED} if page in ("monitor", "runs") else {}
    if page == "evaluate":
        query = {"runs": CLOSED}
    said = words(open_page(page, **query))
    assert "TRADES + CCM + CCR" in said
    assert "TRADES + CFA" not in said
    assert "gate never opened" in said
