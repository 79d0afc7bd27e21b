"""What is opened once a process and shared by all sessions: store, queue and index of ``CFA_HOME``."""

from pathlib import Path

import streamlit as st

from cfa.home import default_home
from cfa.jobs.queue import Queue
from cfa.runs.folder import RunFolder
from cfa.runs.index import Index
from cfa.runs.store import Store


def store() -> Store:
    """Return the store at ``CFA_HOME``."""
    return _store(str(default_home()))


def folder_at(path: str) -> RunFolder:
    """Return the run in a folder as this store knows it."""
    return store().at(Path(path))


def queue() -> Queue:
    """Return the queue at ``CFA_HOME``."""
    return _queue(str(default_home()))


def index() -> Index:
    """Return the index over the runs at ``CFA_HOME``."""
    return _index(str(default_home()))


@st.cache_resource(show_spinner=False)
def _store(home: str) -> Store:
    return Store.open(Path(home))


@st.cache_resource(show_spinner=False)
def _queue(home: str) -> Queue:
    return Queue(store().home)


@st.cache_resource(show_spinner=False)
def _index(home: str) -> Index:
    return Index.of(store().home)
