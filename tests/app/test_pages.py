"""Every page with a filled store, an empty one and broken files: no exception, and what it should say."""

import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from streamlit.testing.v1 import AppTest

from app import elements, live_chart
from app.engine import (
    evaluated,
    evaluation_jobs,
    image_outcomes,
    job_queue,
    sample_sizes,
    snapshots,
    training_jobs,
)
from app.process import opened
from cfa.evaluation import default_weights
from cfa.runs.evaluations import new_id, outcomes_file, read_evaluations, save_evaluation
from cfa.runs.folder import now
from cfa.runs.store import Store
from cfa.tables.comparison import compare
from cfa.training.estimate import Estimate
from tests.app.pages import MAIN, PAGES, as_read, assert_sound, button, errors, figures, open_page, words


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
        ("classes", "No run has been evaluated yet."),
        ("sweep", "No run has a sweep yet."),
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
    run = next(run for run in snapshots.runs() if run.method == "trades-cfa" and run.seed == 0)
    damaged = run.folder.path / file
    if file == "history.jsonl":
        damaged.unlink()
    else:
        damaged.write_text("{", encoding="utf-8")
    snapshots.forget_snapshots()
    open_page(page)


# --- Home -----------------------------------------------------------------------------------------


def test_the_demo_button_queues_the_chain_and_waits_for_its_end(empty_home, monkeypatch):
    monkeypatch.setenv("CFA_DEMO_SETTINGS", "train.epochs=1")
    app = open_page("home")
    button(app, "Run the demo comparison").click().run()
    assert_sound(app)
    assert [job.kind for job in snapshots.jobs()] == ["train"] * 4 + ["compare"]
    assert button(app, "Run the demo comparison").disabled
    assert "A demo is under way" in words(app)
    for name in ("PGD-AT", "PGD-AT + CFA", "TRADES", "TRADES + CFA", "Comparison"):
        assert f" {name} " in words(app)
    for job in snapshots.jobs():
        job_queue.cancel(job.id)
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
    app.text_input(key="set_method.lambda_eps").set_value("0.3, 0.5")
    app.run()
    assert_sound(app)
    start = next(item for item in app.button if item.key == "start")
    # PGD-AT has no lambda: two seeds; TRADES + CFA: two values and two seeds.
    assert start.label == "Start 6 runs"
    start.click().run()
    assert not app.exception
    assert len(snapshots.runs()) == len(snapshots.jobs()) == 6
    assert {run.epochs for run in snapshots.runs()} == {2}


@pytest.mark.parametrize(
    ("key", "typed", "says"),
    [
        ("set_attack.eps", "9", "attack.eps='9' lies outside (0, 1]; did you mean 9/255?"),
        ("train_seeds", "first", "seeds 'first'"),
        ("set_train.batch_size", "0", "train.batch_size"),
    ],
)
def test_a_bad_value_is_one_sentence_and_starts_nothing(empty_home, key, typed, says):
    app = open_page("train")
    app.text_input(key=key).set_value(typed).run()
    assert not app.exception
    assert len(app.error) == 1
    assert says.lower() in errors(app)[0].lower()
    assert not [item for item in app.button if item.key == "start"]


def test_new_run_from_this_one_fills_the_form(example_home):
    run = next(run for run in snapshots.runs() if run.method == "trades-cfa" and run.seed == 1)
    app = open_page("train", **{"from": run.name})
    assert app.text_input(key="train_seeds").value == "1"
    assert app.text_input(key="set_train.epochs").value == "10"
    assert "What differs from the preset" in words(app)
    assert next(item for item in app.button if item.key == "start").label == "Start 1 run"


def test_the_cost_is_measured_on_demand(empty_home, monkeypatch):
    measured = Estimate(
        seconds=90,
        seconds_per_epoch=4,
        validation_seconds_per_epoch=1,
        disk_bytes=2_000_000,
        peak_disk_bytes=3_000_000,
    )
    monkeypatch.setattr(training_jobs, "estimate_seconds", lambda config, info, device: measured)
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
        run for run in snapshots.runs() if run.method == "trades-cfa" and run.dataset == "fashion-mnist-mini"
    )
    app = open_page("monitor", run=run.name)
    traces = [len(figure["data"]) for figure in figures(app)]
    # Clean and robust accuracy; lines and heatmap per class; eps; beta; gate; speed.
    assert traces == [6, 6, 10, 1, 10, 10, 3, 1]
    assert "Shirt (worst)" in " ".join(as_read(metric.label) for metric in app.metric)
    values = [metric.value.replace("\u00a0", " ") for metric in app.metric]
    assert "10 of 10" in values
    assert any(re.fullmatch(r"\d+\.\d %", value) for value in values)


def test_monitor_draws_where_nothing_can_be_written_beside_the_program(example_home, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setattr(live_chart, "STATIC", tmp_path / "file" / "static")
    live_chart.put_library_in_place()
    app = open_page("monitor", run="hundred-classes")
    assert not app.get("bidi_component")
    assert len(app.get("plotly_chart")) == 5  # its knobs are the same for all classes


def test_monitor_draws_a_hundred_classes(example_home):
    app = open_page("monitor", run="hundred-classes")
    assert 100 in [len(figure["data"]) for figure in figures(app)]


def test_monitor_says_why_a_chart_is_missing(example_home):
    run = next(run for run in snapshots.runs() if run.method == "fat")
    app = AppTest.from_file(MAIN, default_timeout=60).run()
    app.switch_page("views/monitor.py")
    app.query_params["run"] = run.name
    app.run()
    assert not app.exception
    assert "The loss is not finite in epoch 4" in errors(app)[0]
    assert "all classes have 15/255 in all epochs so far" in words(app)
    assert "averaging starts in epoch 8" in words(app)


def test_jobs_can_be_moved_and_cancelled(empty_home):
    for name in ("first", "second"):
        opened.queue().submit("train", {}, name)
    app = open_page("monitor")
    job = snapshots.jobs()[1]
    next(item for item in app.button if item.key == f"up_{job.id}").click().run()
    assert [job.title for job in snapshots.jobs()] == ["second", "first"]
    next(item for item in app.button if item.key == f"cancel_{job.id}").click().run()
    assert_sound(app)
    assert opened.queue().get(job.id).state == "cancelled"
    assert "Ended jobs (1)" in [item.label for item in app.expander]


def test_a_refused_action_is_one_sentence(empty_home):
    job = opened.queue().submit("train", {}, "first")
    app = open_page("monitor")
    job_queue.cancel(job.id)
    job_queue.remove(job.id)  # someone else was faster
    next(item for item in app.button if item.key == f"pause_{job.id}").click().run()
    assert not app.exception
    assert job.id in errors(app)[0]


# --- Runs -----------------------------------------------------------------------------------------


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
    assert app.selectbox(key="show").value == "renamed"


# --- Evaluate -------------------------------------------------------------------------------------


def test_an_evaluation_starts_as_a_job(own_home):
    run = next(run for run in snapshots.runs() if run.method == "trades")
    app = open_page("evaluate", evaluate=run.name)
    app.number_input(key="evaluate_images").set_value(500)
    app.text_input(key="evaluate_eps").set_value("4/255").run()
    assert_sound(app)
    next(item for item in app.button if item.key == "start_evaluation").click().run()
    assert_sound(app)
    (job,) = snapshots.jobs()
    assert (job.kind, job.run_id, job.spec["plan"]["limit"]) == ("evaluate", run.id, 500)
    assert job.spec["plan"]["eps"] == pytest.approx(4 / 255)
    assert "1 evaluation queued" in words(app)


def test_evaluate_shows_each_class_with_its_interval(example_home):
    run = next(run for run in snapshots.runs() if run.method == "trades")
    app = open_page("evaluate", evaluate=run.name)
    table = app.dataframe[-1].value
    assert len(table) == 30  # ten classes, three kinds of weights
    assert ((table["low"] <= table["accuracy"]) & (table["accuracy"] <= table["high"])).all()
    assert "Ankle boot" in table["class_name"].tolist()


def test_a_bad_eps_is_one_sentence(example_home):
    run = next(run for run in snapshots.runs() if run.method == "trades")
    app = open_page("evaluate", evaluate=run.name)
    app.text_input(key="evaluate_eps").set_value("300/255").run()
    assert not app.exception
    assert "outside (0, 1]" in errors(app)[0]


def method(name):
    return next(run for run in snapshots.runs() if run.method == name and run.seed == 0)


def test_own_choice_offers_any_attack_and_a_sweep(own_home):
    run = method("trades")
    app = open_page("evaluate", evaluate=run.name)
    app.segmented_control(key="plan").set_value("own").run()
    app.multiselect(key="evaluate_attacks").set_value(["fgsm", "autoattack"])
    app.text_input(key="evaluate_sweep").set_value("4/255, 2/255")
    app.segmented_control(key="evaluate_mode").set_value("fast")
    app.number_input(key="evaluate_images").set_value(100)
    app.number_input(key="evaluate_megabytes").set_value(3.0)
    app.selectbox(key="evaluate_transfer").set_value(method("pgd-at").id).run()
    assert_sound(app)
    assert "at 2/255, 4/255 on 100 images of fashion-mnist-mini, AutoAttack in the fast mode" in words(app)
    next(item for item in app.button if item.key == "start_evaluation").click().run()
    assert_sound(app)
    (job,) = snapshots.jobs()
    plan = job.spec["plan"]
    assert list(plan["attacks"]) == ["clean", "fgsm", "autoattack", "transfer"]
    assert list(plan["eps_sweep"]) == pytest.approx([2 / 255, 4 / 255])
    assert (plan["mode"], plan["limit"], plan["keep_megabytes"]) == ("fast", 100, 3.0)
    assert plan["transfer_from"] == method("pgd-at").id


@pytest.mark.parametrize(
    ("plan", "says"),
    [
        ("quick", "PGD-20 at 15/255 on 1,000 images"),
        ("paper", "AutoAttack at 15/255 on 10,000 images"),
        ("sanity", "noise, Square at 15/255 on 500 images"),
    ],
)
def test_presets_say_what_will_run(example_home, plan, says):
    app = open_page("evaluate", evaluate=method("trades").name)
    app.segmented_control(key="plan").set_value(plan).run()
    assert_sound(app)
    assert says in words(app)
    assert evaluation_jobs.PLANS[plan].summary in words(app)


def test_forward_passes_are_counted_before_the_start(example_home):
    app = open_page("evaluate", evaluate=method("trades").name)
    # A clean pass, then 20 steps and the judge's pass of every image.
    assert "22,000 forward passes (1,000 images)" in words(app)


@pytest.mark.parametrize(
    ("key", "typed", "says"),
    [
        ("evaluate_attacks", ["pgd-twenty"], "unknown attack 'pgd-twenty'"),
        ("evaluate_attacks", [], "no attack is chosen"),
        ("evaluate_attacks", ["pgd-20@x/255"], "no readable eps behind @"),
        ("evaluate_sweep", "2/255, many", "is not a list of budgets"),
        ("evaluate_sweep", "2/255, 300/255", "outside (0, 1]"),
        ("evaluate_sweep", "2/255, 4", "did you mean 4/255?"),
        ("evaluate_eps", "8", "did you mean 8/255?"),
        ("evaluate_eps", "many", "is not a number"),
        ("evaluate_norm", "l2", "needs a budget of its own"),
        ("evaluate_images", 5, "less than one image for each of 10 classes"),
    ],
)
def test_a_bad_plan_is_one_sentence_before_the_start(example_home, key, typed, says):
    app = open_page("evaluate", evaluate=method("trades").name)
    app.segmented_control(key="plan").set_value("own").run()
    kinds = ("multiselect", "text_input", "selectbox", "number_input")
    field = next(item for kind in kinds for item in app.get(kind) if item.key == key)
    field.set_value(typed).run()
    assert not app.exception
    assert len(app.error) == 1
    assert says.lower() in errors(app)[0].lower()
    assert not [item for item in app.button if item.key == "start_evaluation"]


def test_a_plan_for_another_norm_needs_its_own_budget(own_home):
    app = open_page("evaluate", evaluate=method("trades").name)
    app.text_input(key="evaluate_eps").set_value("0.5")
    app.selectbox(key="evaluate_norm").set_value("l2").run()
    assert_sound(app)
    assert "PGD-20 at 0.5 L2 on" in words(app)


def test_the_time_is_measured_on_demand_and_adds_up(example_home, monkeypatch):
    asked = []

    def measured(model, shape, images, classes, plan, device):
        asked.append((shape, images, classes))
        return 45.0

    monkeypatch.setattr(evaluation_jobs, "estimate_evaluation_seconds", measured)
    app = open_page("evaluate", evaluate=[method("trades").name, method("pgd-at").name])
    assert "time not measured yet" in words(app)
    next(item for item in app.button if item.key == "estimate_evaluation").click().run()
    assert_sound(app)
    assert "1 min 30 s" in words(app)
    assert asked == [((1, 28, 28), 1000, 10)]  # the two networks are alike


def test_findings_and_verdicts_stand_beside_the_numbers(example_home):
    app = AppTest.from_file(MAIN, default_timeout=60).run()
    app.switch_page("views/evaluate.py")
    app.query_params["evaluate"] = method("trades-cfa").name
    app.run()
    assert not app.exception
    assert "Square beat the gradient attacks" in words(app)
    assert "of 5 checks failed" in errors(app)[0]
    table = app.table[0].value
    assert len(table) == 6
    verdicts = set(table["Verdict"])
    assert verdicts == {":green[passed]", ":red[failed]", ":gray[not made]"}
    assert "Sweep" in [link.label for link in app.page_link]


def test_a_model_of_ones_own_becomes_a_run_that_is_chosen(own_home, tmp_path, monkeypatch):
    source = "import torch\n\ndef make():\n    flat = torch.nn.Flatten()\n"
    (tmp_path / "brought.py").write_text(
        source + "    return torch.nn.Sequential(flat, torch.nn.Linear(784, 10))\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    app = open_page("evaluate", evaluate=method("trades").name)
    app.segmented_control(key="own_source").set_value("factory").run()
    app.text_input(key="own_factory").set_value("brought:make")
    button(app, "Add this model").click().run()
    assert_sound(app)
    assert app.multiselect(key="evaluate").value == ["brought.make"]
    assert snapshots.find_run("brought.make").kept == (("file", "file"),)
    assert "brought.make is a run now" in words(app)
    assert next(item for item in app.button if item.key == "start_evaluation").label == "Start 1 evaluation"


@pytest.mark.parametrize(
    ("path", "says"), [("", "No model is given"), ("nowhere.pt", "There is no file 'nowhere.pt'")]
)
def test_a_model_that_cannot_be_read_is_one_sentence(own_home, path, says):
    app = open_page("evaluate", evaluate=method("trades").name)
    app.text_input(key="own_path").set_value(path)
    button(app, "Add this model").click().run()
    assert not app.exception
    assert [says in error for error in errors(app)] == [True]


# --- Classes --------------------------------------------------------------------------------------


def example_of(run, ending):
    return next(found for found in evaluated.evaluations(run) if found.id.endswith(ending))


def open_images(**query):
    run = method("trades-cfa")
    found = image_outcomes.outcomes(run, example_of(run, "images"))
    return open_page("classes", run=run.name, evaluation=found.evaluation.id, **query), found


def test_classes_counts_what_the_outcomes_say(example_home):
    app, found = open_images(attack="pgd-20")
    table = found.index.outcomes
    bars, matrix = figures(app)
    for trace, column in zip(bars["data"], ("clean", "pgd-20"), strict=True):
        right = [((table["label"] == k) & (table[column] == k)).sum() / 100 for k in range(10)]
        assert trace["y"] == pytest.approx(right)
    cells = next(trace for trace in matrix["data"] if trace["type"] == "scatter")
    names = found.class_names
    for true, predicted, count, _ in cells["customdata"]:
        wanted = (table["label"] == names.index(true)) & (table["pgd-20"] == names.index(predicted))
        assert count == wanted.sum()


def test_a_cell_shows_as_many_images_as_it_counts(example_home):
    app, found = open_images(attack="pgd-20", true="Coat", predicted="Shirt")
    table = found.index.outcomes
    count = int(((table["label"] == 4) & (table["pgd-20"] == 6)).sum())
    assert f"Coat → Shirt: {count} images" in [as_read(item.value) for item in app.subheader]
    assert len([item for item in app.markdown if item.value.startswith("Image ")]) == 8
    assert re.search("broken by +PGD-20", words(app))
    assert "Images 1 to 8" in words(app)


def test_the_boxes_choose_a_cell_as_well(example_home):
    app, _ = open_images(attack="pgd-20")
    app.selectbox(key="classes_true").set_value("Trouser")
    app.selectbox(key="classes_predicted").set_value("Bag").run()
    assert_sound(app)
    assert "Trouser → Bag: 0 images" in [as_read(item.value) for item in app.subheader]
    assert "No image is in this cell." in words(app)
    assert app.query_params["true"] == "Trouser"


def test_images_that_were_not_kept_become_a_job(own_home):
    app, found = open_images(attack="pgd-20", true="Coat", predicted="Shirt")
    (here,) = [item for item in app.button if item.label.startswith("Make these again")]
    here.click().run()
    assert_sound(app)
    (job,) = snapshots.jobs()
    assert (job.kind, job.run_id, job.spec["column"]) == ("reproduce", found.run.id, "pgd-20")
    assert f"({len(job.spec['images'])})" in here.label
    (here,) = [item for item in app.button if item.label.startswith("Make these again")]
    assert here.disabled


def test_shipped_runs_show_originals_and_make_nothing(dashboard, filled_home, tmp_path):
    dashboard(tmp_path, shipped=filled_home / "runs")
    app, _ = open_images(attack="pgd-20", true="Coat", predicted="Shirt")
    assert "cannot be made again: this run ships with CFA Studio" in words(app)
    assert not [item for item in app.button if item.label.startswith("Make")]


def test_evaluations_from_before_have_classes_too(example_home):
    run = method("pgd-at")
    app = open_page("classes", run=run.name)
    assert len(figures(app)) == 2
    assert "The adversarial images were not kept; the originals are shown." in words(app)


@pytest.mark.parametrize("file", ["outcomes.parquet", "adversarial.safetensors", "batches.parquet"])
def test_a_damaged_evaluation_is_one_sentence(own_home, file):
    run = method("trades-cfa")
    found = example_of(run, "images")
    (run.folder.path / "evaluations" / found.id / file).write_bytes(b"nothing")
    app = AppTest.from_file(MAIN, default_timeout=60).run()
    app.switch_page("views/classes.py")
    app.query_params.update({"run": run.name, "evaluation": found.id})
    app.run()
    assert not app.exception
    assert "evaluate again" in errors(app)[0]


def test_a_hundred_classes_keep_names_and_numbers(example_home):
    app = open_page("classes", run="hundred-classes")
    bars, matrix = figures(app)
    assert len(bars["data"][0]["x"]) == 20
    assert "The 20 hardest of 100 classes" in words(app)
    assert len(matrix["data"][0]["z"]) == 100
    assert "The images cannot be shown" in words(app)


# --- Sweep ----------------------------------------------------------------------------------------


def test_sweep_draws_every_budget_and_clean_images_as_zero(example_home):
    run = method("trades-cfa")
    app = open_page("sweep", runs=[run.name])
    summary, classes, boxes, needed = figures(app)
    assert summary["data"][0]["x"] == pytest.approx([0, 2, 4, 8, 16, 32])
    assert len(classes["data"]) == len(boxes["data"]) == len(needed["data"]) == 10
    table = image_outcomes.outcomes(run, example_of(run, "sweep")).index.outcomes
    trouser = next(trace for trace in classes["data"] if trace["name"] == "Trouser")
    right = [(table["label"] == 1) & (table[f"pgd-20@{n}/255"] == 1) for n in (2, 4, 8, 16, 32)]
    assert trouser["y"][1:] == pytest.approx([found.sum() / 100 for found in right])
    assert all(trace["y"] == sorted(trace["y"], reverse=True) for trace in classes["data"])
    assert "broken at a smaller eps counts as broken at every larger one" in words(app)


def test_sweep_compares_runs(example_home):
    app = open_page("sweep", runs=[method("trades-cfa").name, method("pgd-at-cfa").name])
    summary = figures(app)[0]
    assert len(summary["data"]) == 4
    assert len({trace["line"]["color"] for trace in summary["data"]}) == 2


def test_smallest_perturbations_count_what_has_none(example_home):
    run = method("trades-cfa")
    app = open_page("sweep", runs=[run.name])
    table = image_outcomes.outcomes(run, example_of(run, "smallest")).index.outcomes
    none, wrong = int(np.isinf(table["fab-min/norm"]).sum()), int((table["fab-min/norm"] == 0).sum())
    assert none > 0
    assert f"Of 1000 images, {wrong} are wrong without a perturbation (0), and for {none} none" in words(app)
    statistics = app.dataframe[-1].value
    assert statistics["none_found"].sum() == none
    assert statistics["wrong"].sum() == wrong


# --- Compare --------------------------------------------------------------------------------------


def chosen_runs(*methods):
    wanted = [
        run for run in snapshots.runs() if run.method in methods and run.dataset == "fashion-mnist-mini"
    ]
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
    assert labels[:3] == ["Per-class CSV", "Summary CSV", "Fairness CSV"]
    assert labels[3:] == ["HTML", "PDF", "LaTeX", "Markdown", "PNG and SVG"]


def test_compare_lists_what_differs_in_the_settings(example_home):
    app = open_page("compare", runs=chosen_runs("trades", "pgd-at-cfa"))
    table = app.dataframe[-1].value.set_index("setting")
    assert {"method", "method.beta", "method.lambda_eps"} <= set(table.index)
    assert "seed" not in table.index


def test_compare_says_which_run_was_not_measured_alike(example_home):
    app = open_page("compare", runs=[*chosen_runs("trades", "pgd-at"), "hundred-classes"])
    assert "Not measured like this: hundred-classes" in words(app)


def test_runs_that_share_no_evaluation_make_no_report(example_home):
    app = open_page("compare", runs=[*chosen_runs("trades"), "hundred-classes"])
    assert "There is no report. Runs " in words(app)
    assert "cfa evaluate" in words(app)
    assert not any(item.label == "HTML" for item in app.get("download_button"))


def test_compare_takes_all_runs_with_a_tag(example_home):
    app = open_page("compare", tags="example")
    assert app.multiselect(key="runs").disabled
    table = app.dataframe[0].value
    assert sorted(table["seeds"].unique()) == [1, 2]
    assert {"PGD-AT", "PGD-AT + CFA", "TRADES"} <= set(table["series"])


def test_no_folder_of_this_machine_is_on_the_screen(example_home, monkeypatch):
    said = elements.sentence(f"cannot read {example_home}/runs/x, nor {Path.home()}/data")
    assert as_read(said) == "Cannot read CFA_HOME/runs/x, nor ~/data."
    monkeypatch.setenv("HOME", "/")
    assert as_read(elements.sentence("eps 8/255 is too much")) == "Eps 8/255 is too much."


def test_compare_says_when_runs_were_measured_on_different_images(own_home):
    names = chosen_runs("trades", "pgd-at")
    store = Store.open(own_home)
    run = store.find(names[0])
    whole = next(e for e in read_evaluations(run) if e.weights == "online")
    few = tuple(
        replace(row, correct=tuple(n // 10 for n in row.correct), total=tuple(n // 10 for n in row.total))
        for row in whole.scores
    )
    later = replace(whole, id=new_id(), created=now(), scores=few)
    save_evaluation(run, later, {})
    assert "Not all on the same images" not in words(
        open_page("compare", runs=names)
    )  # the larger one counts
    shutil.rmtree(outcomes_file(run, whole.id).parent)
    app = open_page("compare", runs=names)
    assert "Not all on the same images: from 1,000" in words(app)
    assert "the evaluation on most images counts" in words(app)
    table = app.dataframe[0].value
    assert table[table["images"] == 1000]["mean_difference"].isna().all()  # of other images: no difference


def test_the_list_of_runs_says_what_was_measured(example_home):
    table = open_page("runs").dataframe[0].value
    measured = table.set_index("name")["measured"]
    trades = "trades-fashion-mnist-mini-s0"
    assert measured[trades] == "PGD-20, 15/255, Online weights, 10,000 images"
    assert measured["trades-cfa-fashion-mnist-mini-s0"] == "PGD-20, 15/255, FAWA weights, 10,000 images"
    assert measured["fat-fashion-mnist-mini-s0"] == ""


def test_train_says_what_a_run_is_too_short_for(empty_home):
    app = open_page("train")
    app.text_input(key="set_train.epochs").set_value("2").run()
    assert_sound(app)
    assert "all epochs are warm-up (method.warmup_epochs=4): nothing will be calibrated" in words(app)
    assert "there will be no EMA or FAWA weights" in words(app)


def test_one_run_is_nothing_to_compare(example_home):
    app = open_page("compare", runs=chosen_runs("trades"))
    assert "Choose two or more runs." in words(app)


# --- Long tails and data that are not here --------------------------------------------------------


def test_a_long_tail_shows_its_groups_wherever_it_is_shown(example_home):
    monitor = open_page("monitor", run="long-tailed")
    assert "Head, medium and tail, Online weights" in words(monitor)
    assert "Head, medium and tail" not in words(open_page("monitor", run="hundred-classes"))
    compare = open_page("compare", runs=["long-tailed", "trades-cfa-fashion-mnist-mini-s0"])
    table = next(frame.value for frame in compare.dataframe if "worst_class" in frame.value)
    assert {"head", "medium", "tail"} <= set(table)
    classes = open_page("classes", run="long-tailed")
    table = next(frame.value for frame in classes.dataframe if "trained" in frame.value)
    assert dict(zip(table["class_name"], table["part"], strict=True))["Ankle boot"] == "tail"
    evaluate = open_page("evaluate", evaluate="long-tailed")
    assert any("part" in frame.value for frame in evaluate.dataframe)
    assert table["trained"].max() == 900


def test_a_data_set_that_is_not_here_can_be_fetched_from_where_it_is_missed(empty_home):
    app = open_page("train")
    app.selectbox(key="train_dataset").select("cifar10").run()
    assert_sound(app)
    assert "CIFAR-10 is not here yet" in words(app)
    fetch = next(item for item in app.button if item.label.startswith("Fetch it now"))
    assert "(170 MB)" in fetch.label
    fetch.click().run()
    assert_sound(app)
    (job,) = snapshots.jobs()
    assert (job.kind, job.spec["dataset"], job.state) == ("fetch", "cifar10", "queued")
    assert not any(item.label.startswith("Fetch it now") for item in app.button)
    assert job.title in words(app)


def test_compare_says_what_is_certain(example_home):
    app = open_page("compare", runs=chosen_runs("trades", "pgd-at-cfa"))
    text = words(app)
    assert re.search(r"PGD-AT \+ CFA\s+against TRADES\s+- Online weights of both: mean [+−]\d", text)
    assert "(the same images, in pairs)" in text
    fairness = next(frame.value for frame in app.dataframe if "gini" in frame.value)
    assert fairness["gini"].between(0, 1).all()
    assert fairness["validation_worst"].notna().any()


def test_a_claim_in_pairs_rests_on_how_often_these_models_disagree(example_home):
    names = chosen_runs("trades", "pgd-at-cfa")
    text = words(
        open_page("compare", runs=names, measured="PGD-20, 15/255 · best checkpoint · fashion-mnist-mini")
    )
    store = Store.open(example_home)
    base, other = sorted((store.find(name) for name in names), key=lambda run: run.config.method != "trades")
    entries = compare([base, other], base, default_weights).entries
    chosen = [e for e in entries if e["attack"] == "pgd-20" and e["paired"]]
    share = max(e["disagreements"] / e["images"] for e in chosen)
    images = sample_sizes.paired_images_needed(0.05, share, classes=10)
    assert f"disagree on up to {100 * share:.1f} % of the images" in text
    assert f"about {images:,} images of that class" in re.sub(r"\s+", " ", text)


def test_seeds_are_compared_as_methods_and_one_run_against_seeds_not_at_all(example_home):
    text = words(open_page("compare", runs=chosen_runs("trades", "trades-cfa")))
    assert re.search(r"TRADES \+ CFA \(2 seeds\)\s+against TRADES: nothing can be said; it takes", text)


def test_equal_runs_are_said_to_be_equal(example_home):
    text = words(open_page("compare", runs=chosen_runs("trades", "pgd-at")))
    assert "equal on every one of the 10,000 images" in text


def test_the_leaderboard_tells_ours_from_theirs(example_home):
    app = open_page("leaderboard")
    app.selectbox(key="board_dataset").select("fashion-mnist-mini").run()
    assert_sound(app)
    table = next(frame.value for frame in app.dataframe if "whose" in frame.value)
    assert set(table["whose"]) == {"Ours"}
    app.selectbox(key="board_dataset").select("cifar10").run()
    assert_sound(app)
    table = next(frame.value for frame in app.dataframe if "whose" in frame.value)
    assert set(table["whose"]) == {"Published"}
    assert table["source"].str.contains("CVPR 2023").any()
    (figure,) = figures(app)
    assert "Published" in {trace["name"] for trace in figure["data"]}


def test_an_empty_store_has_the_published_numbers_on_the_leaderboard(empty_home):
    app = open_page("leaderboard")
    table = next(frame.value for frame in app.dataframe if "whose" in frame.value)
    assert set(table["whose"]) == {"Published"}


def test_what_is_taken_for_what_in_a_folder_is_said_on_train(empty_home, tmp_path):
    for number, place in enumerate(("train/a", "train/b", "val/a", "val/b")):
        (tmp_path / "set" / place).mkdir(parents=True)
        Image.new("RGB", (8, 8), (number, 0, 0)).save(tmp_path / "set" / place / "0.png")
    app = open_page("home")
    app.session_state["train_dataset"] = f"folder:{tmp_path / 'set'}"
    app.switch_page("views/train.py")
    app.run()
    button(app, "Look at it").click().run()
    assert_sound(app)
    assert "2 training and 2 test images, 2 classes" in words(app)
    assert "val/ is the test part, for there is no other." in words(app)
