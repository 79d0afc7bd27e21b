"""Evaluate: what is asked for, what it costs, what is started, and what the numbers are worth."""

import shutil

import pytest
import streamlit as st

from app.engine import evaluated, evaluation_jobs, snapshots
from cfa.jobs.queue import Queue
from cfa.jobs.worker import run_job
from tests.app.pages import assert_sound, button, errors, figures, open_page, start, words
from tests.app.views.examples import method


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
    assert len(table) == 12  # mean, worst class, and ten classes of the method's own weights
    classes = table[2:]
    assert ((classes["low"] <= classes["accuracy"]) & (classes["accuracy"] <= classes["high"])).all()
    assert "Ankle boot" in classes["class_name"].tolist()
    assert table["accuracy"].iloc[0] == pytest.approx(classes["accuracy"].mean())
    assert table["accuracy"].iloc[1] == classes["accuracy"].min()
    app.pills(key="evaluate_shown_weights").set_value(["online", "ema", "fawa"]).run()
    assert len(app.dataframe[-1].value) == 36
    app.multiselect(key="evaluate_classes").set_value(["Coat", "Shirt"]).run()
    assert len(app.dataframe[-1].value) == 3 * (2 + 2)


def test_clean_stands_beside_attacked_on_the_same_images(example_home):
    run = next(run for run in snapshots.runs() if run.method == "trades")
    app = open_page("evaluate", evaluate=run.name)
    (figure,) = figures(app)
    clean, attacked = figure["data"]
    assert [trace["name"].rpartition(", ")[2] for trace in (clean, attacked)] == ["clean", "attacked"]
    assert clean["x"] == attacked["x"]
    table = app.dataframe[-1].value[2:].sort_values("class_name")
    drawn = sorted(zip(clean["x"], clean["y"], attacked["y"], strict=True))
    assert [100 * y for _, y, _ in drawn] == pytest.approx(table["clean"].tolist())
    assert [100 * y for _, _, y in drawn] == pytest.approx(table["accuracy"].tolist())


def test_the_address_asks_for_the_same_again(example_home):
    app = open_page("evaluate", runs=method("trades").id)
    app.segmented_control(key="plan").set_value("own").run()
    app.selectbox(key="evaluate_add").set_value("pgd-100").run()
    app.text_input(key="evaluate_eps").set_value("4/255")
    app.number_input(key="evaluate_images").set_value(500).run()
    assert_sound(app)
    again = open_page("evaluate", **app.query_params)
    assert again.multiselect(key="evaluate_attacks").value == ["pgd-20", "pgd-100"]
    for page in (app, again):
        assert "PGD-20, PGD-100 at 4/255 on 500 images" in words(page)


def test_a_run_that_ships_is_evaluated_into_the_users_own_store(dashboard, filled_home, tmp_path):
    shutil.copytree(filled_home / "runs", tmp_path / "shipped")
    dashboard(tmp_path / "home", shipped=tmp_path / "shipped")
    before = sorted(tmp_path.glob("shipped/**/*"))
    run = method("trades")
    app = open_page("evaluate", evaluate=run.name)
    assert "are kept in your own store" in words(app)
    app.number_input(key="evaluate_images").set_value(20)
    next(item for item in app.button if item.key == "start_evaluation").click().run()
    assert_sound(app)
    (job,) = snapshots.jobs()
    assert (job.kind, job.run_id) == ("evaluate", run.id)
    queue = Queue(tmp_path / "home")
    assert queue.claim("cpu").id == job.id
    assert run_job(tmp_path / "home", job.id) == 0
    st.cache_resource.clear()
    made = evaluated.evaluations(run)[0]
    assert made.images == 20
    assert (tmp_path / "home" / "evaluations" / run.id / made.id / "evaluation.json").exists()
    assert sorted(tmp_path.glob("shipped/**/*")) == before
    app = open_page("classes", run=run.name, evaluation=made.id)
    assert app.selectbox(key="evaluation").value == made.id


def test_one_attack_is_added_at_a_time(own_home):
    app = open_page("evaluate", evaluate=method("trades").name)
    app.segmented_control(key="plan").set_value("own").run()
    for name in ("autoattack", "pgd-100"):
        app.selectbox(key="evaluate_add").set_value(name).run()
    assert_sound(app)
    assert app.multiselect(key="evaluate_attacks").value == ["pgd-20", "autoattack", "pgd-100"]
    assert app.selectbox(key="evaluate_add").value is None
    app.multiselect(key="evaluate_attacks").set_value(["autoattack"]).run()
    next(item for item in app.button if item.key == "start_evaluation").click().run()
    assert_sound(app)
    (job,) = snapshots.jobs()
    assert list(job.spec["plan"]["attacks"]) == ["clean", "autoattack"]


def test_a_bad_eps_is_one_sentence(example_home):
    run = next(run for run in snapshots.runs() if run.method == "trades")
    app = open_page("evaluate", evaluate=run.name)
    app.text_input(key="evaluate_eps").set_value("300/255").run()
    assert not app.exception
    assert "outside (0, 1]" in errors(app)[0]


def test_own_choice_offers_any_attack_and_a_sweep(own_home):
    run = method("trades")
    app = open_page("evaluate", evaluate=run.name)
    app.segmented_control(key="plan").set_value("own").run()
    app.session_state["evaluate_attacks"] = ["fgsm", "autoattack"]
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
    app.session_state[key] = typed
    app.run()
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
    app = start()
    app.switch_page("views/evaluate.py")
    app.query_params["evaluate"] = method("trades-cfa").name
    app.run()
    assert not app.exception
    assert "Square beat the gradient attacks" in words(app)
    assert "of 5 checks failed" in errors(app)[0]
    assert "a sanity check failed; see the checks below" in words(app)
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
    assert app.multiselect(key="evaluate").value == [snapshots.find_run("brought.make").id]
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


def test_the_page_opens_on_a_run_that_is_trained_to_the_end(example_home):
    newest = next(run for run in snapshots.usable_runs() if run.kept)
    app = open_page("evaluate")
    (first,) = app.multiselect(key="evaluate").value
    assert snapshots.find_run(first).state == "finished"
    assert newest.state == "finished" or first != newest.id


def test_the_plan_is_not_called_by_other_images_than_are_asked_for(example_home):
    app = open_page("evaluate", runs=method("trades").id, images="300")
    plan = app.segmented_control(key="plan")
    assert not any("images" in option for option in plan.proto.options.__str__().splitlines())
    assert "on 300 images of" in words(app)


def test_a_measured_time_is_scaled_to_other_numbers_of_images(example_home, monkeypatch):
    monkeypatch.setattr(evaluation_jobs, "load_model", lambda *of_run: None)
    asked = []

    def seconds(model, shape, images, classes, plan, device):
        asked.append(images)
        return 0.5 * images

    monkeypatch.setattr(evaluation_jobs, "estimate_evaluation_seconds", seconds)
    run = method("trades")
    whole, part = (evaluation_jobs.EvaluationRequest(preset="quick", limit=limit) for limit in (1000, 300))
    evaluation_jobs.measure_evaluations([run], whole)
    assert evaluation_jobs.evaluation_cost([run], whole).seconds == pytest.approx(500)
    assert evaluation_jobs.evaluation_cost([run], part).seconds == pytest.approx(150)
    evaluation_jobs.measure_evaluations([run], part)
    assert asked == [1000]


@pytest.mark.parametrize("label", ["Plan", "Norm", "Measured"])
def test_choices_of_an_evaluation_are_explained(example_home, label):
    app = open_page("evaluate", runs=method("trades").id)
    fields = [*app.selectbox, *app.segmented_control]
    assert all(field.proto.help for field in fields if field.label == label)


def column_order(frame):
    return list(frame.proto.column_order)


def test_what_is_evaluated_already_is_said_before_the_form(example_home):
    run = method("trades")
    app = open_page("evaluate", runs=run.id)
    known = next(frame.value for frame in app.dataframe if "measured" in frame.value)
    results = evaluated.results([run]).summary
    attacked = results[results["norm"] != "none"]
    assert len(known) == len(attacked)
    assert sorted(known["worst_accuracy"]) == pytest.approx(sorted(100 * attacked["worst_accuracy"]))
    first = app.subheader[0].value.replace("\\", "")
    own = known[known["weights"].str.lower() == evaluated.own_weights(run)].iloc[0]
    assert first.startswith(f"{run.name} keeps {own['worst_accuracy']:.1f}\u00a0% in its worst class, ")
    assert first.endswith(f"and {own['mean_accuracy']:.1f}\u00a0% in the mean.")


def test_a_run_without_an_evaluation_is_said_to_have_none(own_home):
    run = method("trades")
    shutil.rmtree(run.folder.path / "evaluations")
    st.cache_resource.clear()
    app = open_page("evaluate", runs=run.id)
    assert app.subheader[0].value.replace("\\", "") == f"{run.name}: not evaluated yet."
    assert "Nothing yet: a plan, and Start." in words(app)


def test_several_runs_are_summed_up(example_home):
    runs = [method("trades"), method("pgd-at")]
    app = open_page("evaluate", runs=[run.id for run in runs])
    assert app.subheader[0].value.startswith("2 of 2 runs are evaluated alike: worst classes from ")
    known = next(frame.value for frame in app.dataframe if "measured" in frame.value)
    assert set(known["run_name"]) == {run.name for run in runs}


def test_results_of_one_model_need_no_more_than_four_columns(example_home):
    app = open_page("evaluate", runs=method("trades").id)
    table = app.dataframe[-1]
    assert column_order(table) == ["class_name", "accuracy", "range", "clean"]
    assert "images a class" in words(app)
    app.pills(key="evaluate_shown_weights").set_value(["online", "ema"]).run()
    assert column_order(app.dataframe[-1])[:2] == ["class_name", "series"]


def test_what_has_a_default_is_folded_away_behind_plan_and_start(example_home):
    app = open_page("evaluate", runs=method("trades").id)
    (folded,) = (box for box in app.expander if box.label.startswith("Weights, checkpoint, norm"))
    assert not folded.proto.expanded
    assert {pills.key for pills in folded.pills} == {"evaluate_weights"}
    assert {box.key for box in folded.selectbox} >= {"evaluate_norm", "evaluate_transfer"}
