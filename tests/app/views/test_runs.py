"""Runs: the list that is filtered, grouped and ticked, what is done with runs, and one run in full."""

import json

import pytest

from app.engine import run_folders, snapshots
from cfa.errors import CfaError
from cfa.home import SHIPPED_RUNS
from cfa.methods import configure
from cfa.runs.store import Store
from tests.app.example_store import FASHION, finished_run
from tests.app.pages import assert_sound, button, errors, figures, open_page, words

HUNDRED = "hundred-classes"


def table(app):
    return next(frame.value for frame in app.dataframe if "tick" in frame.value)


def ticked(app):
    rows = table(app)
    return rows[rows["tick"]]["name"].tolist()


def columns(app):
    return list(next(frame for frame in app.dataframe if "tick" in frame.value).proto.column_order)


def test_runs_lists_and_filters(example_home):
    app = open_page("runs")
    assert len(table(app)) == len(snapshots.runs())
    finished = [run for run in snapshots.runs() if run.state == "finished"]
    assert table(app)["mean"].notna().sum() == len(finished)
    app.text_input(key="search").set_value("hundred").run()
    assert table(app)["name"].tolist() == [HUNDRED]
    app.text_input(key="search").set_value("no such run").run()
    assert "No run matches" in words(app)


def test_columns_are_those_in_which_the_runs_differ(example_home):
    app = open_page("runs")
    assert {"tick", "name", "method", "dataset", "seed", "mean", "worst"} <= set(columns(app))
    app.text_input(key="search").set_value("hundred").run()
    assert columns(app) == ["tick", "name", "mean", "worst", "tags", "notes"]
    app.toggle(key="differ").set_value(False).run()
    assert {"method", "dataset", "preset", "created"} <= set(columns(app))
    app.toggle(key="differ").set_value(True)
    app.text_input(key="search").set_value("")
    app.multiselect(key="columns").set_value(["method.lambda_eps"]).run()
    assert_sound(app)
    shown = table(app).set_index("name")["method.lambda_eps"]
    own = snapshots.find_run(HUNDRED).folder.config.flat()["method.lambda_eps"]
    assert (shown["pgd-at-fashion-mnist-mini-s0"], shown[HUNDRED]) == ("–", str(own))


@pytest.mark.parametrize("group", ["method", "dataset", "tags", "method.lambda_eps", "seed"])
def test_runs_of_a_group_stand_together_and_only_what_is_alike_is_averaged(example_home, group):
    app = open_page("runs", group=group if group != "seed" else "preset")
    rows = table(app)
    assert rows["group"].tolist() == sorted(rows["group"])
    sums = next(frame.value for frame in app.dataframe if "mean_std" in frame.value).set_index("group")
    assert sums["runs"].sum() == len(rows)
    for name, block in rows.groupby("group"):
        alike = block["condition"].dropna().nunique() == 1
        assert (sums["mean_mean"].notna()[name]) == alike
        if alike:
            assert sums["mean_mean"][name] == pytest.approx(block["mean"].dropna().mean())


def test_ticked_runs_are_acted_on_and_stand_in_the_address(example_home):
    app = open_page("runs", runs=[HUNDRED, "long-tailed"])
    assert sorted(ticked(app)) == [HUNDRED, "long-tailed"]
    ids = [snapshots.find_run(name).id for name in (HUNDRED, "long-tailed")]
    assert app.query_params["runs"] == ids
    (link,) = [link for link in app.page_link if link.label == "Compare these 2"]
    assert all(run_id in link.proto.query_string for run_id in ids)
    assert "long-tailed" in [item.value.replace("\\", "") for item in app.subheader]
    app.text_input(key="search").set_value("hundred").run()
    assert not [link for link in app.page_link if link.label.startswith("Compare these")]
    app.text_input(key="search").set_value("").run()
    button(app, "Untick all").click().run()
    assert ticked(app) == []
    button(app, "Tick all").click().run()
    assert_sound(app)
    assert len(ticked(app)) == len(snapshots.runs())


def test_ticked_runs_have_their_curves_in_one_chart(example_home):
    names = ["trades-fashion-mnist-mini-s0", "pgd-at-fashion-mnist-mini-s0"]
    first = figures(open_page("runs", runs=names, curves="true"))[0]
    assert set(names) <= {trace["name"] for trace in first["data"]}


def test_a_link_to_one_run_ticks_it(example_home):
    for name in ("run", "show"):
        assert ticked(open_page("runs", **{name: HUNDRED})) == [HUNDRED]


def test_tags_are_given_to_several_runs_and_taken_away(own_home):
    app = open_page("runs", runs=[HUNDRED, "long-tailed"])
    app.multiselect(key="bulk_tags").set_value(["a tag", "example"]).run()
    button(app, "Add").click().run()
    assert_sound(app)
    assert [snapshots.find_run(name).tags for name in (HUNDRED, "long-tailed")] == [("example", "a tag")] * 2
    app.multiselect(key="bulk_tags").set_value(["example"]).run()
    button(app, "Take away").click().run()
    assert [snapshots.find_run(name).tags for name in (HUNDRED, "long-tailed")] == [("a tag",)] * 2
    app.multiselect(key="bulk_tags").set_value(["a/b"]).run()
    button(app, "Add").click().run()
    assert "stands in no name" in errors(app)[0]
    with pytest.raises(CfaError):
        run_folders.tag_runs([snapshots.find_run(HUNDRED)], ["x" * 101], [])


def test_what_a_grid_varied_is_a_column_by_itself(dashboard, tmp_path):
    dashboard(tmp_path / "home")
    store = Store.open(tmp_path / "home")
    for steps in (2, 5):
        settings = {"train.epochs": 2, "attack.steps": steps}
        finished_run(store, configure("trades", "fashion-mnist-mini", overrides=settings), FASHION)
    # Another method has settings of its own, which nobody varied.
    finished_run(
        store, configure("pgd-at", "fashion-mnist-mini", overrides={"train.epochs": 2}), FASHION, name="other"
    )
    app = open_page("runs")
    shown = columns(app)
    assert "attack.steps" in shown
    assert not [name for name in shown if name.startswith("method.")]
    assert set(table(app)["attack.steps"]) >= {"2", "5"}
    assert "Attack steps" in json.dumps(json.loads(editor(app).proto.columns))


def test_accuracies_come_right_after_the_name(example_home):
    assert columns(open_page("runs"))[:4] == ["tick", "name", "mean", "worst"]


def editor(app):
    return next(frame for frame in app.dataframe if "tick" in frame.value)


def test_a_grid_is_drawn(dashboard, tmp_path):
    store = Store.open(tmp_path / "home", shipped=None)
    for value in (0.3, 0.5, 0.7):
        for seed in (0, 1):
            settings = {
                "train.epochs": 2,
                "method.lambda_eps": value,
                "method.lambda_beta": round(1 - value, 1),
            }
            config = configure("trades-cfa", "fashion-mnist-mini", seed=seed, overrides=settings)
            finished_run(store, config, FASHION)
    dashboard(tmp_path / "home")
    assert figures(open_page("runs")) == []
    app = open_page("runs", grid="true", across="method.lambda_beta")
    lines, cells = figures(app)
    assert len(lines["data"]) == 6
    assert "6 runs of TRADES + CFA, all with PGD-20, 15/255, 10,000 images of fashion-mnist-mini." in words(
        app
    )
    assert set(lines["data"][0]["x"][:2]) == {"method.lambda_eps", "method.lambda_beta"}
    assert cells["data"][0]["x"] == ["0.3", "0.5", "0.7"]
    assert (app.selectbox(key="across").value, app.selectbox(key="up").value) == (
        "method.lambda_beta",
        "method.lambda_eps",
    )


def test_one_run_in_full(example_home):
    app = open_page("runs", show=HUNDRED)
    assert [tab.label for tab in app.tabs] == [
        *("Results", "Label", "Configuration", "Manifest", "Log", "Weights", "Export")
    ]
    code = " ".join(block.value for block in app.code)
    assert 'cfa.load("hundred-classes")' in code
    assert '"data_fingerprint"' in code
    assert "The 20 hardest classes" in words(app)
    assert len(figures(app)[-1]["data"]) == 3


def shown(app):
    return snapshots.find_run(app.query_params["runs"]).name


def test_a_run_is_renamed_and_noted(own_home):
    app = open_page("runs", show=HUNDRED)
    field(app, "Name").set_value("renamed")
    field(app, "Tags").set_value("x, y")
    app.text_area[0].set_value("a note")
    button(app, "Save").click().run()
    assert_sound(app)
    run = snapshots.find_run("renamed")
    assert (run.tags, run.notes) == (("x", "y"), "a note")
    assert shown(app) == "renamed"


def field(app, label):
    return next(item for item in [*app.text_input, *app.text_area] if item.label == label)


@pytest.mark.parametrize("name", ["trades-fashion-mnist-mini-s0", "<b>x", "", "."])
def test_a_name_that_is_refused_leaves_the_page_and_what_was_typed(own_home, name):
    """Else the next Save, or Delete, would act on another run."""
    app = open_page("runs", show=HUNDRED)
    field(app, "Name").set_value(name)
    field(app, "Notes").set_value("a note")
    button(app, "Save").click().run()
    assert len(errors(app)) == 1
    assert shown(app) == HUNDRED
    assert (field(app, "Name").value, field(app, "Notes").value) == (name, "a note")
    field(app, "Name").set_value("free")
    button(app, "Save").click().run()
    assert_sound(app)
    assert snapshots.find_run("free").notes == "a note"
    assert snapshots.find_run("trades-fashion-mnist-mini-s0").notes == ""


def test_two_people_label_one_run_and_neither_undoes_the_other(own_home):
    one, other = (open_page("runs", show=HUNDRED) for _ in range(2))
    field(one, "Name").set_value("renamed")
    button(one, "Save").click().run()
    field(other, "Notes").set_value("a note")
    button(other, "Save").click().run()
    assert_sound(other)
    assert snapshots.find_run("renamed").notes == "a note"
    assert shown(other) == "renamed"


def test_the_list_of_runs_says_what_was_measured(example_home):
    measured = table(open_page("runs")).set_index("name")["measured"]
    trades = "trades-fashion-mnist-mini-s0"
    assert measured[trades] == "PGD-20, 15/255, Online weights, 10,000 images"
    assert measured["trades-cfa-fashion-mnist-mini-s0"] == "PGD-20, 15/255, FAWA weights, 10,000 images"
    assert measured["fat-fashion-mnist-mini-s0"] == ""


def test_it_says_first_what_there_is_and_which_worst_class_is_highest(example_home):
    app = open_page("runs")
    rows = table(app)
    assert app.subheader[0].value.startswith(f"{len(rows)} runs: ")
    for state, number in rows["state"].value_counts().items():
        assert f"{number} {state}" in app.subheader[0].value
    alike = rows[rows["condition"] == rows["condition"].value_counts().index[0]]
    top = alike.loc[alike["worst"].idxmax()]
    assert f"Highest worst class of {len(alike)} runs under " in words(app)
    said = next(item.value for item in app.markdown if item.value.startswith("Highest")).replace("\\", "")
    assert (
        f"**{top['name']}**, {top['worst']:.1f}\u00a0% ({top['worst_class']}), mean {top['mean']:.1f}" in said
    )
    app.text_input(key="search").set_value("hundred").run()
    assert app.subheader[0].value.startswith("1 run: ")
    assert f"1 of {len(rows)} runs: “hundred”." in words(app)


def test_runs_that_ship_alone_are_not_offered_for_deletion(dashboard, tmp_path):
    dashboard(tmp_path, shipped=SHIPPED_RUNS)
    app = open_page("runs", runs=["shipped-trades-s0", "shipped-trades-cfa-s0"])
    assert app.subheader[0].value == "18 runs, all finished."
    assert not [button for button in app.button if button.label.startswith("Delete")]
