"""A name that stands for two runs stands for neither; a link that names what is not here says so."""

import json
import shutil
import tracemalloc

import pytest

from app.engine import run_folders, snapshots
from cfa.methods import configure
from cfa.runs.store import Store
from tests.app.example_store import FASHION, finished_run
from tests.app.pages import visit, words


@pytest.fixture
def store(dashboard, tmp_path):
    """A run of the user's own, a copy of its folder, and a run that is called by the id of the first."""
    made = Store.open(tmp_path / "home")
    own = finished_run(
        made, configure("trades", "fashion-mnist-mini", overrides={"train.epochs": 2}), FASHION
    )
    shutil.copytree(own.path, own.path.with_name("copied"))
    called = shutil.copytree(own.path, own.path.with_name("called"))
    (called / "label.json").write_text(json.dumps({"name": own.id}))
    dashboard(tmp_path / "home")
    return own


def test_a_name_that_two_runs_have_gives_way_to_their_ids(store):
    names = {run.id: (run.name, run.shared_name) for run in snapshots.runs()}
    assert names == {
        store.id: (store.id, store.name),
        "copied": ("copied", store.name),
        "called": ("called", store.id),
    }
    assert snapshots.find_run(store.name) is None
    assert snapshots.find_run(store.id).folder.path == store.path


def test_a_run_that_goes_by_its_id_says_why(store):
    assert f"Another run is called {store.name} as well" in words(visit("runs", show="copied"))


@pytest.mark.parametrize(
    ("page", "parameter"),
    [
        ("monitor", "run"),
        ("runs", "show"),
        ("evaluate", "evaluate"),
        ("classes", "run"),
        ("compare", "runs"),
        ("compare", "tags"),
        ("compare", "baseline"),
    ],
)
def test_a_link_that_names_what_is_not_here_says_so(store, page, parameter):
    said = "The address of this page names what is not here: absent"
    query = {"runs": ["called", "copied"]} if parameter == "baseline" else {}
    assert said in words(visit(page, **query, **{parameter: "absent"}))
    assert said not in words(visit(page, **query))


def test_of_a_log_without_end_the_last_part_is_read(store):
    log = store.path / "log.txt"
    with log.open("r+b") as file:
        file.truncate(3 * 10**9)  # takes no room on the disk
        file.seek(0, 2)
        file.write(b"\nthe end")
    run = snapshots.find_run(store.id)
    tracemalloc.start()
    assert run_folders.run_log(run).endswith("the end")
    assert tracemalloc.get_traced_memory()[1] < 50 * 10**6
    tracemalloc.stop()
