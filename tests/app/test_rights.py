"""Every function of the door to the engine says who may call it, and pages call no others."""

import ast
from pathlib import Path

import pytest

from app import access, services
from app.engine.rights import acts, looks, right_of
from tests.app.every_function import calls, door
from tests.app.guarded_store import fill_guarded
from tests.app.test_setup import APP

PAGES = [
    file
    for file in APP.rglob("*.py")
    if file.parent.name != "engine" and file.name not in ("services.py", "server.py", "main.py")
]


def unclassified(functions):
    return [
        name
        for name, function in functions.items()
        if right_of(function) is None and name not in services.OF_THE_ENGINE
    ]


def test_every_function_of_the_door_says_who_may_call_it():
    assert unclassified(door()) == []
    assert len(door()) > 90


def test_a_function_that_says_nothing_is_found():
    assert unclassified(door() | {"new": lambda: None}) == ["new"]


@pytest.mark.parametrize("file", PAGES, ids=lambda file: file.stem)
def test_pages_call_what_is_classified_and_nothing_else(file: Path):
    tree = ast.parse(file.read_text(encoding="utf-8"))
    used = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "services"
    }
    called = [name for name in used if callable(getattr(services, name)) and name not in door()]
    assert [name for name in called if not isinstance(getattr(services, name), type)] == []
    # Of a run's folder pages read the configuration; its files are the door's.
    of_folders = [node for node in ast.walk(tree) if isinstance(node, ast.Attribute) and of_a_folder(node)]
    assert {node.attr for node in of_folders} <= {"config"}


def of_a_folder(node: ast.Attribute) -> bool:
    return isinstance(node.value, ast.Attribute) and node.value.attr == "folder"


def test_every_function_is_tried_in_a_real_session(dashboard, tmp_path):
    """`tests/browser/test_rights.py` calls what is listed there."""
    fill_guarded(tmp_path / "home")
    dashboard(tmp_path / "home")
    assert set(door()) == set(calls())


def test_who_may_only_look_is_refused_before_anything_runs(monkeypatch):
    done = []
    monkeypatch.setattr("app.engine.rights.visitor", lambda: access.Visitor("ben@example.org", False))
    with pytest.raises(services.MayOnlyLook, match=r"ben@example\.org may look, and change nothing"):
        acts(done.append)("x")
    looks(lambda: done.append("looked"))()
    assert done == ["looked"]
