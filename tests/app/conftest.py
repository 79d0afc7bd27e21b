"""Stores for the pages, and the dashboard without its server: no test starts a worker by accident."""

import shutil

import pytest
import streamlit as st

from app.plotly_library import put_library_in_place
from cfa.runs.store import Store
from tests.app.example_store import fill


@pytest.fixture(scope="session", autouse=True)
def library():
    """What the server does when it starts: charts that change in place find plotly's library."""
    put_library_in_place()


@pytest.fixture(scope="session")
def filled_home(tmp_path_factory):
    home = tmp_path_factory.mktemp("filled")
    fill(home, epochs=10)
    return home


@pytest.fixture
def dashboard(monkeypatch):
    """Give a function that points the dashboard at a home, with no shipped runs but those given."""

    def point_at(home, shipped=None):
        monkeypatch.setenv("CFA_HOME", str(home))
        monkeypatch.setattr(Store, "open", _shipping(Store.open, shipped))
        st.cache_resource.clear()
        return home

    yield point_at
    st.cache_resource.clear()


@pytest.fixture
def example_home(dashboard, filled_home):
    """A filled home that the test only reads."""
    return dashboard(filled_home)


@pytest.fixture
def own_home(dashboard, filled_home, tmp_path):
    """A filled home of the test's own."""
    shutil.copytree(filled_home, tmp_path / "home")
    return dashboard(tmp_path / "home")


@pytest.fixture
def empty_home(dashboard, tmp_path):
    return dashboard(tmp_path / "empty")


def _shipping(original, shipped_runs):
    return lambda home=None, shipped=None: original(home, shipped_runs)
