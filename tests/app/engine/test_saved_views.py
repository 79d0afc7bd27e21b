"""Saved views: kept under a name in the store, one file, and never in the way."""

import json

import pytest

from app.engine import saved_views
from app.process import opened
from cfa.errors import CfaError, ConfigError
from tests.app.pages import assert_sound, button, visit, words

QUERY = {"runs": ["r1", "r2"], "kind": [""]}


def names():
    found = saved_views.saved_views()
    assert found.problem == ""
    return [view.name for view in found.views]


def test_a_view_is_kept_renamed_and_deleted(empty_home):
    assert names() == []
    saved_views.save_view("  TRADES beside CFA ", "compare", QUERY)
    saved_views.save_view("another", "", {})
    (_, view) = saved_views.saved_views().views
    assert (view.name, view.page, view.query) == ("TRADES beside CFA", "compare", QUERY)
    saved_views.rename_view("another", "Zuletzt")
    assert names() == ["TRADES beside CFA", "Zuletzt"]
    saved_views.rename_view("Zuletzt", "zuletzt")
    saved_views.delete_view("TRADES beside CFA")
    saved_views.delete_view("TRADES beside CFA")
    assert names() == ["zuletzt"]


@pytest.mark.parametrize("name", ["", " ", "a/b", "mine", "MINE", "x" * 101])
def test_a_name_that_is_no_name_or_taken_is_refused(empty_home, name):
    saved_views.save_view("Mine", "runs", QUERY)
    saved_views.save_view("other", "runs", QUERY)
    for change in (
        lambda: saved_views.save_view(name, "runs", QUERY),
        lambda: saved_views.rename_view("other", name),
    ):
        with pytest.raises(CfaError):
            change()
    assert names() == ["Mine", "other"]


def test_what_is_gone_cannot_be_renamed(empty_home):
    with pytest.raises(CfaError, match="no view is called 'mine' any more"):
        saved_views.rename_view("mine", "other")


@pytest.mark.parametrize(
    "content",
    [
        "",
        "nonsense",
        "[]",
        json.dumps({"views": [{"name": "a", "page": "../etc", "query": {}}]}),
        json.dumps({"views": [{"name": "a", "page": "runs", "query": {"run": "r1"}}]}),
        json.dumps({"views": [], "more": 1}),
        "[" * 100_000,
    ],
)
def test_a_damaged_file_is_said_kept_and_stops_nothing(example_home, content, request):
    file = example_home / "views.json"
    file.write_text(content)
    request.addfinalizer(file.unlink)
    found = saved_views.saved_views()
    assert found.views == ()
    assert "views.json" in found.problem
    with pytest.raises(CfaError, match=r"views\.json"):
        saved_views.save_view("mine", "runs", QUERY)
    assert file.read_text() == content
    app = visit("runs", {"views_menu": True})
    assert_sound(app)
    assert "The saved views cannot be read" in words(app)


def test_a_page_is_saved_as_it_is_and_opened_again(own_home):
    app = visit("runs", {"views_menu": True}, search="hundred")
    app.text_input(key="view_name").set_value("the hundred")
    button(app, "Save view").click().run()
    assert_sound(app)
    assert "Saved." in words(app)
    (view,) = saved_views.saved_views().views
    assert (view.name, view.page) == ("the hundred", "runs")
    assert view.query == {"search": ["hundred"], "differ": ["true"]}
    app = visit("leaderboard", {"views_menu": True})
    app.button(key="open_view_the hundred").click().run()
    assert_sound(app)
    assert app.text_input(key="search").value == "hundred"


def test_a_view_is_renamed_and_deleted_on_the_page(own_home):
    saved_views.save_view("mine", "runs", {"search": ["x"]})
    app = visit("runs", {"views_menu": True})
    app.text_input(key="new_name_mine").set_value("renamed").run()
    button(app, "Rename").click().run()
    assert names() == ["renamed"]
    button(app, "Delete").click().run()
    assert_sound(app)
    assert names() == []


def test_home_lists_the_views(own_home):
    saved_views.save_view("the hundred", "runs", {"search": ["hundred"], "differ": ["true"]})
    app = visit("home")
    app.button(key="home_view_the hundred").click().run()
    assert_sound(app)
    assert app.text_input(key="search").value == "hundred"


def test_two_views_of_one_name_are_said_and_a_view_that_cannot_be_read_again_is_not_written(example_home):
    file = opened.store().home / saved_views.FILE
    file.write_text('{"views": [' + ",".join(['{"name": "v", "page": "", "query": {}}'] * 2) + "]}")
    assert "names 'v' twice" in saved_views.saved_views().problem
    file.unlink()
    for query in ({"search": ["a" * 2001]}, {"search": ["é" * 2000] * 2000}):
        with pytest.raises(ConfigError, match=r"cannot be saved|bytes at most"):
            saved_views.save_view("long", "runs", query)
        assert not file.exists()
