"""Every function of the door to the engine says who may call it, and pages call no others."""

import ast
import importlib
from pathlib import Path
from types import ModuleType

import pytest

from app import access
from app.process.rights import MayOnlyLook, acts, looks, right_of
from tests.app.every_function import calls, door, functions_of
from tests.app.guarded_store import fill_guarded
from tests.app.test_setup import APP

PAGES = [
    file
    for file in APP.rglob("*.py")
    if file.parent.name not in ("engine", "process")
    and file.name not in ("server.py", "supervision.py", "main.py")
]


def unclassified(functions):
    return [name for name, function in functions.items() if right_of(function) is None]


def test_every_function_of_the_door_says_who_may_call_it():
    assert unclassified(door()) == []
    assert len(door()) > 90


def test_a_function_that_says_nothing_is_found():
    planted = ModuleType("app.engine.planted")
    exec("def new(): ...\ndef _inner(): ...\nclass Row: ...", vars(planted))
    planted.taken = looks(len)
    planted.own_use = len
    assert set(functions_of(planted)) == {"new", "taken"}
    assert unclassified(functions_of(planted)) == ["new"]


def calls_of_a_page(source):
    """Return the functions that a page takes of `app.engine`, and those of them that say no right."""
    tree = ast.parse(source)
    imported = {
        alias.asname or alias.name: importlib.import_module(f"app.engine.{alias.name}")
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == "app.engine"
        for alias in node.names
    }
    used = {
        (node.value.id, node.attr)
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in imported
    }
    taken = {f"{name}.{attribute}": getattr(imported[name], attribute) for name, attribute in used}
    functions = {n: value for n, value in taken.items() if callable(value) and not isinstance(value, type)}
    return functions, unclassified(functions)


@pytest.mark.parametrize("file", PAGES, ids=lambda file: file.stem)
def test_pages_call_what_is_classified_and_nothing_else(file: Path):
    source = file.read_text(encoding="utf-8")
    _, unclassified_calls = calls_of_a_page(source)
    assert unclassified_calls == []
    # Of a run's folder pages read the configuration; its files are the door's.
    of_folders = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Attribute)]
    assert {node.attr for node in of_folders if of_a_folder(node)} <= {"config"}


def test_a_call_of_what_is_not_for_pages_is_found():
    source = "from app.engine import demo, snapshots\ndemo.submit_demo()\nsnapshots.runs()\nsnapshots.Run"
    functions, unclassified_calls = calls_of_a_page(source)
    assert unclassified_calls == ["demo.submit_demo"]
    assert "snapshots.runs" in functions


def of_a_folder(node: ast.Attribute) -> bool:
    return isinstance(node.value, ast.Attribute) and node.value.attr == "folder"


def test_every_function_is_tried_in_a_real_session(dashboard, tmp_path):
    """`tests/browser/test_rights.py` calls what is listed there."""
    fill_guarded(tmp_path / "home")
    dashboard(tmp_path / "home")
    assert set(door()) == set(calls())


def test_who_may_only_look_is_refused_before_anything_runs(monkeypatch):
    done = []
    monkeypatch.setattr("app.process.rights.visitor", lambda: access.Visitor("ben@example.org", False))
    with pytest.raises(MayOnlyLook, match=r"ben@example\.org may look, and change nothing"):
        acts(done.append)("x")
    looks(lambda: done.append("looked"))()
    assert done == ["looked"]
