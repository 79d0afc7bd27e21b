"""Runs: the list, and one run in full."""

import pytest

from app.engine import snapshots
from tests.app.pages import assert_sound, button, errors, figures, open_page, words


def test_runs_lists_and_filters(example_home):
    app = open_page("runs")
    table = app.dataframe[0].value
    assert len(table) == len(snapshots.runs())
    assert table["mean"].notna().sum() == len([run for run in snapshots.runs() if run.state == "finished"])
    app.text_input(key="search").set_value("hundred").run()
    assert app.dataframe[0].value["name"].tolist() == ["hundred-classes"]
    app.text_input(key="search").set_value("no such run").run()
    assert "No run matches" in words(app)


def test_one_run_in_full(example_home):
    app = open_page("runs", show="hundred-classes")
    assert [tab.label for tab in app.tabs] == [
        *("Results", "Label", "Configuration", "Manifest", "Log", "Weights", "Export")
    ]
    code = " ".join(block.value for block in app.code)
    assert 'cfa.load("hundred-classes")' in code
    assert '"data_fingerprint"' in code
    assert "The 20 hardest classes" in words(app)
    assert len(figures(app)[0]["data"]) == 3


def test_a_run_is_renamed_and_noted(own_home):
    app = open_page("runs", show="hundred-classes")
    by_label = {item.label: item for item in app.text_input}
    by_label["Name"].set_value("renamed")
    by_label["Tags"].set_value("x, y")
    app.text_area[0].set_value("a note")
    button(app, "Save").click().run()
    assert_sound(app)
    run = snapshots.find_run("renamed")
    assert (run.tags, run.notes) == (("x", "y"), "a note")
    assert snapshots.find_run(app.selectbox(key="run").value).name == "renamed"


def field(app, label):
    return next(item for item in [*app.text_input, *app.text_area] if item.label == label)


@pytest.mark.parametrize("name", ["trades-fashion-mnist-mini-s0", "<b>x", "", "."])
def test_a_name_that_is_refused_leaves_the_page_and_what_was_typed(own_home, name):
    """Else the next Save, or Delete, would act on another run."""
    app = open_page("runs", show="hundred-classes")
    field(app, "Name").set_value(name)
    field(app, "Notes").set_value("a note")
    button(app, "Save").click().run()
    assert len(errors(app)) == 1
    assert snapshots.find_run(app.selectbox(key="run").value).name == "hundred-classes"
    assert (field(app, "Name").value, field(app, "Notes").value) == (name, "a note")
    field(app, "Name").set_value("free")
    button(app, "Save").click().run()
    assert_sound(app)
    assert snapshots.find_run("free").notes == "a note"
    assert snapshots.find_run("trades-fashion-mnist-mini-s0").notes == ""


def test_two_people_label_one_run_and_neither_undoes_the_other(own_home):
    one, other = (open_page("runs", show="hundred-classes") for _ in range(2))
    field(one, "Name").set_value("renamed")
    button(one, "Save").click().run()
    field(other, "Notes").set_value("a note")
    button(other, "Save").click().run()
    assert_sound(other)
    assert snapshots.find_run("renamed").notes == "a note"
    assert snapshots.find_run(other.selectbox(key="run").value).name == "renamed"


def test_the_list_of_runs_says_what_was_measured(example_home):
    table = open_page("runs").dataframe[0].value
    measured = table.set_index("name")["measured"]
    trades = "trades-fashion-mnist-mini-s0"
    assert measured[trades] == "PGD-20, 15/255, Online weights, 10,000 images"
    assert measured["trades-cfa-fashion-mnist-mini-s0"] == "PGD-20, 15/255, FAWA weights, 10,000 images"
    assert measured["fat-fashion-mnist-mini-s0"] == ""
