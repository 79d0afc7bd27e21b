"""Every page with a filled store, an empty one and broken files: no exception, and what it should say."""

import json
import re
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from app import services

MAIN = Path(services.__file__).with_name("main.py")
PAGES = ("home", "train", "monitor", "runs", "evaluate", "compare")


def open_page(name, **query):
    app = AppTest.from_file(str(MAIN), default_timeout=60)
    if name != "home":
        app.run()
        app.switch_page(f"views/{name}.py")
    for key, value in query.items():
        app.query_params[key] = value
    app.run()
    assert_sound(app)
    return app


def assert_sound(app):
    """No exception box, no error box, and no chart without points."""
    assert not app.exception, app.exception[0].value
    assert not app.error, app.error[0].value
    for figure in figures(app):
        assert figure["data"]
        assert all("x" in trace and "y" in trace for trace in figure["data"])


def figures(app):
    return [json.loads(chart.proto.spec) for chart in app.get("plotly_chart")]


def words(app):
    kinds = ("title", "subheader", "markdown", "caption", "info", "warning", "success")
    return re.sub(r"[*\u00a0]", " ", " ".join(str(item.value) for kind in kinds for item in app.get(kind)))


def button(app, label):
    return next(item for item in app.button if item.label == label)


@pytest.mark.parametrize("page", PAGES)
def test_pages_show_a_filled_store(example_home, page):
    app = open_page(page)
    assert app.title[0].value in (page.capitalize(), "CFA Studio")


@pytest.mark.parametrize(
    ("page", "says"),
    [
        ("home", "Run"),
        ("train", "Nothing differs from the preset."),
        ("monitor", "There is no run yet."),
        ("runs", "There is no run yet."),
        ("evaluate", "No run has kept weights yet."),
        ("compare", "Two runs with test results are needed, and there are none."),
    ],
)
def test_an_empty_store_says_what_to_do(empty_home, page, says):
    app = open_page(page)
    assert says in words(app) + " ".join(item.label for item in app.button)
    assert not figures(app)


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize(
    "file", ["config.json", "label.json", "manifest.json", "status.json", "history.jsonl"]
)
def test_a_broken_or_missing_file_spares_the_page(own_home, page, file):
    run = next(run for run in services.runs() if run.method == "trades-cfa" and run.seed == 0)
    damaged = run.folder.path / file
    if file == "history.jsonl":
        damaged.unlink()
    else:
        damaged.write_text("{", encoding="utf-8")
    services.forget_snapshots()
    open_page(page)


# --- Home -----------------------------------------------------------------------------------------


def test_the_demo_button_queues_the_chain_and_waits_for_its_end(empty_home, monkeypatch):
    monkeypatch.setenv("CFA_DEMO_SETTINGS", "train.epochs=1")
    app = open_page("home")
    button(app, "Run the demo comparison").click().run()
    assert_sound(app)
    assert [job.kind for job in services.jobs()] == ["train"] * 4 + ["compare"]
    assert button(app, "Run the demo comparison").disabled
    assert "A demo is under way" in words(app)
    for name in ("PGD-AT", "PGD-AT + CFA", "TRADES", "TRADES + CFA", "Comparison"):
        assert f" {name} " in words(app)
    for job in services.jobs():
        services.cancel(job.id)
    app.run()
    assert not button(app, "Run the demo comparison").disabled


def test_results_that_ship_are_shown_before_the_first_run(dashboard, filled_home, tmp_path):
    dashboard(tmp_path, shipped=filled_home / "runs")
    app = open_page("home")
    table = app.dataframe[0].value
    assert {"PGD-AT", "TRADES + FAWA", "TRADES + CFA (2 seeds)"} <= set(table["series"])
    assert len(figures(app)[0]["data"]) == len(table)
    assert "Open them in Compare" in [link.label for link in app.page_link]
    open_page("compare")
    assert "cannot be evaluated anew" in words(open_page("evaluate"))
    app = open_page("runs", show="hundred-classes")
    assert {item.label: item.disabled for item in app.button}["Save"]


# --- Train ----------------------------------------------------------------------------------------


def test_training_from_the_form(empty_home):
    app = open_page("train")
    app.session_state["train_methods"] = ["pgd-at", "trades-cfa"]
    app.run()
    app.text_input(key="train_seeds").set_value("0, 1")
    app.text_input(key="set_train.epochs").set_value("2")
    app.text_input(key="set_rule.lambda_eps").set_value("0.3, 0.5")
    app.run()
    assert_sound(app)
    start = next(item for item in app.button if item.key == "start")
    # PGD-AT has no lambda: two seeds; TRADES + CFA: two values and two seeds.
    assert start.label == "Start 6 runs"
    start.click().run()
    assert not app.exception
    assert len(services.runs()) == len(services.jobs()) == 6
    assert {run.epochs for run in services.runs()} == {2}


@pytest.mark.parametrize(
    ("key", "typed", "says"),
    [
        ("set_attack.eps", "9", "attack.eps"),
        ("train_seeds", "first", "seeds 'first'"),
        ("set_train.batch_size", "0", "train.batch_size"),
    ],
)
def test_a_bad_value_is_one_sentence_and_starts_nothing(empty_home, key, typed, says):
    app = open_page("train")
    app.text_input(key=key).set_value(typed).run()
    assert not app.exception
    assert len(app.error) == 1
    assert says.lower() in app.error[0].value.lower()
    assert not [item for item in app.button if item.key == "start"]


def test_new_run_from_this_one_fills_the_form(example_home):
    run = next(run for run in services.runs() if run.method == "trades-cfa" and run.seed == 1)
    app = open_page("train", **{"from": run.name})
    assert app.text_input(key="train_seeds").value == "1"
    assert app.text_input(key="set_train.epochs").value == "10"
    assert "What differs from the preset" in words(app)
    assert next(item for item in app.button if item.key == "start").label == "Start 1 run"


def test_the_cost_is_measured_on_demand(empty_home, monkeypatch):
    measured = services.Estimate(
        seconds=90, seconds_per_epoch=4, disk_bytes=2_000_000, peak_disk_bytes=3_000_000
    )
    monkeypatch.setattr(services, "estimate_seconds", lambda config, info, device: measured)
    app = open_page("train")
    assert "has not been measured" in words(app)
    app.text_input(key="train_seeds").set_value("0-2").run()
    next(item for item in app.button if item.key == "estimate").click().run()
    assert_sound(app)
    assert "4 min 30 s" in words(app)
    assert "6.0 MB" in words(app)


# --- Monitor --------------------------------------------------------------------------------------


def test_monitor_draws_one_run_class_by_class(example_home):
    run = next(
        run for run in services.runs() if run.method == "trades-cfa" and run.dataset == "fashion-mnist-mini"
    )
    app = open_page("monitor", run=run.name)
    traces = [len(figure["data"]) for figure in figures(app)]
    # Clean and robust accuracy; lines and heatmap per class; eps; beta; gate; speed.
    assert traces == [6, 6, 10, 1, 10, 10, 3, 1]
    assert "Shirt (worst)" in " ".join(metric.label for metric in app.metric)
    values = [metric.value.replace("\u00a0", " ") for metric in app.metric]
    assert "10 of 10" in values
    assert any(re.fullmatch(r"\d+\.\d %", value) for value in values)


def test_monitor_draws_a_hundred_classes(example_home):
    app = open_page("monitor", run="hundred-classes")
    assert 100 in [len(figure["data"]) for figure in figures(app)]


def test_monitor_says_why_a_chart_is_missing(example_home):
    run = next(run for run in services.runs() if run.method == "fat")
    app = AppTest.from_file(str(MAIN), default_timeout=60).run()
    app.switch_page("views/monitor.py")
    app.query_params["run"] = run.name
    app.run()
    assert not app.exception
    assert "The loss is not finite in epoch 4" in app.error[0].value
    assert "there is no beta" in words(app)
    assert "averaging starts in epoch 8" in words(app)


def test_jobs_can_be_moved_and_cancelled(empty_home):
    for name in ("first", "second"):
        services.queue().submit("train", {}, name)
    app = open_page("monitor")
    job = services.jobs()[1]
    next(item for item in app.button if item.key == f"up_{job.id}").click().run()
    assert [job.title for job in services.jobs()] == ["second", "first"]
    next(item for item in app.button if item.key == f"cancel_{job.id}").click().run()
    assert_sound(app)
    assert services.queue().get(job.id).state == "cancelled"
    assert "Ended jobs (1)" in [item.label for item in app.expander]


def test_a_refused_action_is_one_sentence(empty_home):
    job = services.queue().submit("train", {}, "first")
    app = open_page("monitor")
    services.cancel(job.id)
    services.remove(job.id)  # someone else was faster
    next(item for item in app.button if item.key == f"pause_{job.id}").click().run()
    assert not app.exception
    assert job.id in app.error[0].value


# --- Runs -----------------------------------------------------------------------------------------


def test_runs_lists_and_filters(example_home):
    app = open_page("runs")
    table = app.dataframe[0].value
    assert len(table) == len(services.runs())
    assert table["mean"].notna().sum() == len([run for run in services.runs() if run.state == "finished"])
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
    run = services.find_run("renamed")
    assert (run.tags, run.notes) == (("x", "y"), "a note")
    assert app.selectbox(key="show").value == "renamed"


# --- Evaluate -------------------------------------------------------------------------------------


def test_an_evaluation_starts_as_a_job(own_home):
    run = next(run for run in services.runs() if run.method == "trades")
    app = open_page("evaluate", evaluate=run.name)
    app.number_input(key="evaluate_images").set_value(500)
    app.text_input(key="evaluate_eps").set_value("4/255").run()
    assert_sound(app)
    next(item for item in app.button if item.key == "start_evaluation").click().run()
    assert_sound(app)
    (job,) = services.jobs()
    assert (job.kind, job.run_id, job.spec["plan"]["limit"]) == ("evaluate", run.id, 500)
    assert job.spec["plan"]["eps"] == pytest.approx(4 / 255)
    assert "1 evaluation queued" in words(app)


def test_evaluate_shows_each_class_with_its_interval(example_home):
    run = next(run for run in services.runs() if run.method == "trades")
    app = open_page("evaluate", evaluate=run.name)
    table = app.dataframe[0].value
    assert len(table) == 30  # ten classes, three kinds of weights
    assert ((table["low"] <= table["accuracy"]) & (table["accuracy"] <= table["high"])).all()
    assert "Ankle boot" in table["class_name"].tolist()


def test_a_bad_eps_is_one_sentence(example_home):
    app = open_page("evaluate")
    app.text_input(key="evaluate_eps").set_value("300/255").run()
    assert not app.exception
    assert "outside (0, 1]" in app.error[0].value


# --- Compare --------------------------------------------------------------------------------------


def chosen_runs(*methods):
    wanted = [run for run in services.runs() if run.method in methods and run.dataset == "fashion-mnist-mini"]
    return [run.name for run in wanted]


def test_compare_shows_all_three_kinds_of_weights(example_home):
    app = open_page("compare", runs=chosen_runs("trades", "pgd-at-cfa"))
    table = app.dataframe[0].value
    assert table["weights"].tolist() == ["Online", "EMA", "FAWA"] * 2
    assert {"TRADES", "TRADES + EMA", "PGD-AT + CFA"} <= set(table["series"])
    baseline = table[table["series"].str.startswith("TRADES")]
    assert baseline["mean_difference"].isna().all()
    others = table[table["series"].str.startswith("PGD-AT")].reset_index(drop=True)
    expected = others["mean"] - baseline["mean"].reset_index(drop=True)
    assert others["mean_difference"].tolist() == pytest.approx(expected.tolist())


def test_compare_merges_seeds_and_can_show_them_apart(example_home):
    app = open_page("compare", runs=chosen_runs("trades", "trades-cfa"))
    assert app.dataframe[0].value["seeds"].tolist() == [1, 1, 1, 2, 2, 2]
    app.toggle(key="merge_seeds").set_value(False).run()
    assert_sound(app)
    assert app.dataframe[0].value["seeds"].tolist() == [1] * 9


def test_compare_downloads_are_the_contracted_tables(example_home):
    app = open_page("compare", runs=chosen_runs("trades", "pgd-at"))
    labels = [item.label for item in app.get("download_button")]
    assert labels == ["Per-class CSV", "Summary CSV"]


def test_compare_lists_what_differs_in_the_settings(example_home):
    app = open_page("compare", runs=chosen_runs("trades", "pgd-at-cfa"))
    table = app.dataframe[-1].value.set_index("setting")
    assert {"method", "objective.beta", "rule.lambda_eps"} <= set(table.index)
    assert "seed" not in table.index


def test_compare_says_which_run_was_not_measured_alike(example_home):
    app = open_page("compare", runs=[*chosen_runs("trades", "pgd-at"), "hundred-classes"])
    assert "Not measured like this: hundred-classes" in words(app)


def test_one_run_is_nothing_to_compare(example_home):
    app = open_page("compare", runs=chosen_runs("trades"))
    assert "Choose two or more runs." in words(app)
