"""A run that another user keeps to themselves hides no other on any page, as `cfa runs` does it."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from cfa.methods import configure
from cfa.runs.store import Store
from tests.app.example_store import FASHION, finished_run
from tests.support import unmeasured

AS_NOBODY = """
import json, os, sys
import streamlit as st
from tests.app.pages import PAGES, errors, visit

for page in PAGES:
    visit(page)  # imports what it needs while it may
st.cache_resource.clear()
if os.getuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
for place in sys.argv[1:]:
    try:
        os.listdir(place)
        sys.exit("it may be read")
    except PermissionError:
        pass
said = {}
for page in PAGES:
    app = visit(page)
    said[page] = [*(item.value for item in app.exception), *errors(app)]
    if page == "runs":
        said["listed"] = sorted(app.dataframe[0].value["state"])
print(json.dumps(said))
"""


@pytest.fixture
def open_home():
    """A home that others may look into: they may read none of pytest's own folders."""
    with tempfile.TemporaryDirectory() as scratch:
        Path(scratch).chmod(0o755)
        yield Path(scratch)


def test_runs_of_another_user_are_listed_and_the_pages_go_on(open_home):
    store = Store.open(open_home / "home", shipped=None)
    config = configure("trades", "fashion-mnist-mini", overrides={"train.epochs": 2})
    names = ("whole", "closed", "half closed")
    runs = {name: finished_run(store, config, FASHION, name=name).path for name in names}
    closed = [runs["closed"], runs["half closed"] / "evaluations", runs["half closed"] / "weights"]
    for folder in closed:
        folder.chmod(0o700 if os.getuid() == 0 else 0)
    ran = subprocess.run(
        [sys.executable, "-c", AS_NOBODY, *map(str, closed)],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
        env=unmeasured.environment() | {"CFA_HOME": str(store.home), "HOME": str(open_home)},
        check=False,
    )
    assert ran.returncode == 0, ran.stderr[-2000:]
    said = json.loads(ran.stdout.splitlines()[-1])
    shipped = ["finished"] * (len(said["listed"]) - 3)
    assert said.pop("listed") == sorted([*shipped, "finished", "finished", "unreadable"])
    assert [(page, found) for page, found in said.items() if found] == []
    for folder in closed:
        folder.chmod(0o755)
