"""What is chosen in a field stands in the page's address, and what stands there is chosen."""

import ast
from pathlib import Path

import pytest
from streamlit.components.v2 import manifest_scanner
from streamlit.testing.v1 import AppTest

from tests.app.pages import installed_components, words

APP = Path(__file__).parents[2] / "app"
ABSENT = "names what is not here: absent. What is shown was not asked for."


def page():
    """A page with a field of each kind, and one that appears with another."""
    import streamlit as st

    from app import addresses, fields

    runs = st.session_state.get("test_runs", {"r1": "first", "r2": "second", "r3": "first"})
    with addresses.of("page"):
        one = fields.selectbox("One", runs, name="run", was="show")
        fields.selectbox("Maybe", runs, name="maybe", clearable=True)
        fields.multiselect("Some", runs, name="runs", default=["r2"])
        fields.multiselect("Filter", {"x": "X", "y": "Y"}, name="filter")
        fields.pills("Whose", {"ours": "Ours", "theirs": "Theirs"}, name="whose", default=["ours", "theirs"])
        fields.segmented_control("Kind", {"a": "A", "b": "B"}, name="kind", default="b")
        fields.text_input("Words", name="words")
        fields.text_input("Seeds", name="seeds", default="0")
        fields.number_input("Images", name="images", whole=True, min_value=1, max_value=9)
        if fields.toggle("More", name="more"):
            fields.selectbox("Of", {f"{one}-a": "a", f"{one}-b": "b"}, name="part", subject=one)


@pytest.fixture(autouse=True)
def no_scan(monkeypatch):
    """Each page would look through all installed packages."""
    monkeypatch.setattr(manifest_scanner, "scan_component_manifests", installed_components)


DEFAULTS = {
    "run": "r1",
    "runs": "r2",
    "whose": ["ours", "theirs"],
    "kind": "b",
    "seeds": "0",
    "more": "false",
}


def opened(**query):
    app = AppTest.from_function(page)
    app.query_params = dict(query)
    app.run()
    assert not app.exception
    return app


def value(app, name):
    kinds = ("selectbox", "multiselect", "pills", "segmented_control", "text_input", "number_input", "toggle")
    return next(item for kind in kinds for item in app.get(kind) if item.key == name).value


def test_the_address_says_all_that_is_chosen_what_equals_a_default_too():
    assert opened().query_params == DEFAULTS


@pytest.mark.parametrize(
    ("name", "asked", "shown", "address"),
    [
        ("run", "r3", "r3", "r3"),
        ("run", "second", "r2", "r2"),  # names of old addresses
        ("run", "", "r1", "r1"),
        ("maybe", "r2", "r2", "r2"),
        ("maybe", "", None, None),
        ("runs", ["r3", "r1"], ["r3", "r1"], ["r3", "r1"]),
        ("runs", ["second", "r2"], ["r2"], "r2"),
        ("runs", "", [], ""),
        ("filter", ["y"], ["y"], "y"),
        ("filter", "", [], None),
        ("whose", "theirs", ["theirs"], "theirs"),
        ("whose", "", [], ""),
        ("kind", "a", "a", "a"),
        ("words", "a b/c & d", "a b/c & d", "a b/c & d"),
        ("seeds", "0-4", "0-4", "0-4"),
        ("seeds", "", "", ""),
        ("images", "5", 5, "5"),
        ("more", "true", True, "true"),
    ],
)
def test_a_field_takes_its_value_from_the_address_and_gives_it_back(name, asked, shown, address):
    app = opened(**{name: asked})
    assert value(app, name) == shown
    assert app.query_params.get(name) == address
    assert "not here" not in words(app)
    others = {other: there for other, there in app.query_params.items() if other not in (name, "part")}
    assert others == {other: there for other, there in DEFAULTS.items() if other != name}
    again = opened(**app.query_params)
    assert again.query_params == app.query_params


@pytest.mark.parametrize(
    ("name", "asked", "shown"),
    [
        ("run", "absent", "r1"),
        ("maybe", "absent", None),
        ("runs", ["absent"], ["r2"]),
        ("runs", ["r3", "absent"], ["r3"]),
        ("filter", ["absent"], []),
        ("whose", ["absent"], ["ours", "theirs"]),
        ("kind", "absent", "b"),
        ("images", "absent", None),
        ("more", "absent", False),
    ],
)
def test_what_is_not_here_is_said_until_something_else_is_chosen(name, asked, shown):
    app = opened(**{name: asked})
    assert value(app, name) == shown
    assert ABSENT in words(app)
    app.text_input(key="words").set_value("typed").run()
    assert ABSENT in words(app)
    app.query_params = {"kind": "a"}
    app.run()
    assert ABSENT not in words(app)


@pytest.mark.parametrize("images", ["0", "10", "1e400", "nan", "5.5"])
def test_a_number_that_the_field_does_not_take_is_not_taken(images):
    app = opened(images=images)
    assert value(app, "images") is None
    assert "names what is not here" in words(app)


def test_a_parameter_by_the_name_that_it_had_before():
    app = opened(show="second")
    assert app.query_params["run"] == "r2"
    assert "show" not in app.query_params


def test_two_options_of_one_name_are_told_apart():
    assert opened().selectbox(key="run").options == ["first · r1", "second", "first · r3"]


def test_a_choice_changes_the_address_and_no_foreign_parameter_stays():
    app = opened(foreign="x", run="r2")
    app.selectbox(key="run").set_value("r3").run()
    assert app.query_params == DEFAULTS | {"run": "r3"}


def test_an_address_that_is_over_does_not_undo_a_choice():
    """The browser sends the address that it has, which may be the one before: a click came in between."""
    app = opened()
    before = dict(app.query_params)
    app.selectbox(key="run").set_value("r3").run()
    app.query_params = before
    app.segmented_control(key="kind").set_value("a").run()
    assert app.query_params == DEFAULTS | {"run": "r3", "kind": "a"}
    app.query_params = {}
    app.run()
    assert app.query_params == DEFAULTS | {"run": "r3", "kind": "a"}


def test_another_address_is_followed_by_every_field():
    app = opened(run="r3", words="typed", filter="x")
    app.text_input(key="words").set_value("other").run()
    app.query_params = {"run": "r2"}
    app.run()
    assert app.query_params == DEFAULTS | {"run": "r2"}
    assert (value(app, "words"), value(app, "filter")) == ("", [])


def test_fields_of_something_else_start_anew():
    app = opened(more="true", part="r1-b")
    assert app.query_params["part"] == "r1-b"
    app.selectbox(key="run").set_value("r3").run()
    assert app.query_params["part"] == "r3-a"
    app.toggle(key="more").set_value(False).run()
    assert "part" not in app.query_params


def test_a_new_name_of_what_is_chosen_changes_nothing():
    app = opened(run="r2", runs=["r2", "r1"])
    app.session_state["test_runs"] = {"r2": "renamed", "r1": "first"}
    app.run()
    assert app.query_params == DEFAULTS | {"run": "r2", "runs": ["r2", "r1"]}


def test_what_is_gone_gives_way_to_the_default():
    app = opened(run="r2", runs=["r2", "r1"])
    app.session_state["test_runs"] = {"r1": "first", "r4": "fourth"}
    app.run()
    assert app.query_params == DEFAULTS | {"run": "r1", "runs": "r1"}


def bound_otherwise(source):
    """Name what reads or writes an address by itself, by line."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.keyword) and node.arg == "bind":
            found.append((node.value.lineno, "bind"))
        if isinstance(node, ast.Attribute) and node.attr == "query_params":
            found.append((node.lineno, "query_params"))
        if isinstance(node, ast.ImportFrom) and "query_params" in [alias.name for alias in node.names]:
            found.append((node.lineno, "query_params"))
    return found


@pytest.mark.parametrize("file", sorted(APP.rglob("*.py")), ids=lambda file: file.name)
def test_nothing_else_reads_or_writes_an_address(file: Path) -> None:
    if file != APP / "addresses.py":
        assert bound_otherwise(file.read_text(encoding="utf-8")) == []


def test_such_a_page_is_found() -> None:
    bound = 'st.selectbox("Run", names, key="run", bind="query-params")\n'
    assert bound_otherwise(bound) == [(1, "bind")]
    assert bound_otherwise('\nst.query_params["run"] = "x"') == [(2, "query_params")]
    assert bound_otherwise("from streamlit import query_params") == [(1, "query_params")]
    assert bound_otherwise('st.page_link("x", query_params={"run": "x"})') == []
