"""Train: the form, its mistakes, and what a training costs and comes to."""

import os
from collections import Counter

import pytest
from PIL import Image

from app import setting_titles
from app.engine import snapshots, training_costs, training_settings
from cfa.training import timing
from cfa.training.estimate import Timing
from tests.app.pages import assert_sound, button, errors, open_page, start, visit, words


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


def test_a_teacher_is_asked_for_where_a_method_learns_from_one(example_home):
    app = open_page("train")
    assert "train_teacher" not in {field.key for field in app.selectbox}
    app = visit("train", methods="ard")
    assert "learns from a trained network; name a run or a weights file as its teacher" in errors(app)[0]
    assert "Please correct: Teacher" in words(app)
    runs = {run.name: run for run in snapshots.runs()}
    fitting = next(run for run in runs.values() if run.method == "trades" and run.kept)
    app = visit("train", methods="ard", teacher=fitting.id)
    assert not errors(app)
    assert f"--teacher {fitting.id}" in app.code[0].value
    wide = visit("train", methods="ard", teacher="hundred-classes")
    assert "'hundred-classes' knows 100 classes and the data set has 10" in errors(wide)[0]


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


def test_the_cost_is_said_once_batches_were_timed(empty_home, monkeypatch):
    asked = []

    def timed(questions):
        for one in questions.asked:
            asked.append(one.config.method)
            yield timing.Answer(timing=Timing(training=0.001, checked=0.0005, weights_bytes=1_000_000))

    monkeypatch.setattr(timing, "ask", timed)
    monkeypatch.setattr(os, "getloadavg", lambda: (0.1, 0.1, 0.1))
    app = open_page("train")
    assert "is being measured" in words(app)
    assert asked == []  # not before the form stands still
    (config,) = [training_settings.configure("trades-cfa", "fashion-mnist-mini")]
    training_costs.time_batches([config], None)
    while training_costs.are_being_timed():
        pass
    app.text_input(key="train_seeds").set_value("0-2").run()
    assert_sound(app)
    # 20 epochs of 9,000 images, three kinds validated on 1,000, and in the end tested with twice the steps.
    cost = training_costs.training_cost([config] * 3, None)
    assert 3 * 20 * (9.0 + 1.5) < cost.seconds < 3 * (20 * (9.0 + 1.5) + 60)
    assert "one after the other" in words(app)
    assert "From batches timed on this machine, beside no other job." in words(app)
    assert "Started now it ends about" in words(app)
    assert asked == ["trades-cfa"]


@pytest.mark.parametrize("given", [{"dataset": "some:data"}, {"model": "some:net"}])
def test_what_is_somebodys_code_is_timed_for_nobody_who_did_not_ask(empty_home, given):
    app = visit("train", **given)
    assert "has not been measured" in words(app)
    assert button(app, "Estimate the time") is not None


def test_a_name_that_is_taken_is_said_at_the_name(own_home):
    taken = snapshots.runs()[0].name
    app = open_page("train")
    app.text_input(key="train_name").set_value(taken).run()
    assert "is taken" in errors(app)[0]
    assert "Please correct: Name." in words(app)
    assert not [item for item in app.button if item.key == "start"]


def test_what_the_job_would_refuse_is_refused_here(empty_home):
    app = open_page("train")
    app.text_input(key="set_train.batch_size").set_value("10000").run()
    assert not app.exception
    assert "exceeds the 9000 training images" in errors(app)[0]
    assert "Please correct: Batch size." in words(app)


def test_a_reload_loses_nothing(empty_home):
    app = open_page("train")
    app.text_input(key="set_train.epochs").set_value("3")
    app.text_input(key="set_method.lambda_eps").set_value("0.3, 0.5")
    app.multiselect(key="set_averaging.gate").set_value(["mean"])
    app.text_input(key="train_seeds").set_value("0-2")
    app.text_input(key="train_name").set_value("mine")
    app.text_input(key="train_notes").set_value("why")
    app.selectbox(key="train_then").set_value("paper").run()
    assert_sound(app)
    again = start()
    again.switch_page("views/train.py")
    again.query_params.update(app.query_params)
    again.run()
    for kind in ("text_input", "multiselect", "selectbox", "pills"):
        values = [{field.key: field.value for field in page.get(kind)} for page in (app, again)]
        assert values[0] == values[1]
    assert again.text_input(key="set_method.lambda_eps").value == "0.3, 0.5"


def test_labels_and_an_evaluation_come_with_the_training(empty_home):
    app = open_page("train")
    app.session_state["train_tags"] = ["first", "second"]
    app.text_input(key="train_notes").set_value("what it is for")
    app.selectbox(key="train_then").set_value("quick")
    app.text_input(key="train_seeds").set_value("0, 1").run()
    assert_sound(app)
    assert "Then quick look: PGD-20, 1,000 images" in words(app)
    next(item for item in app.button if item.key == "start").click().run()
    assert not app.exception
    runs, jobs = snapshots.runs(), snapshots.jobs()
    assert [run.tags for run in runs] == [("first", "second")] * 2
    assert {run.notes for run in runs} == {"what it is for"}
    assert Counter(job.kind for job in jobs) == {"train": 2, "evaluate": 2}
    trained = {job.run_id: job.id for job in jobs if job.kind == "train"}
    for job in jobs:
        if job.kind == "evaluate":
            assert job.after == (trained[job.run_id],)
            assert (job.spec["weights"], job.spec["plan"]["limit"]) == ("auto", 1000)


def test_every_setting_has_a_title_of_its_own():
    names = training_settings.settings_of(training_settings.METHODS)
    titles = Counter(setting_titles.setting_title(name) for name in names)
    assert max(titles.values()) == 1, titles.most_common(1)
    # A method's own may go by their names, so that adding a method touches nothing here.
    assert all(name in setting_titles.TITLES for name in names if not name.startswith("method."))
    assert setting_titles.setting_title("method.some_thing") == "Some thing"
    of_optimiser, of_method = map(setting_titles.setting_title, ("optimizer.momentum", "method.momentum"))
    assert of_optimiser != of_method


def test_train_says_what_a_run_is_too_short_for(empty_home):
    app = open_page("train")
    app.text_input(key="set_train.epochs").set_value("2").run()
    assert_sound(app)
    assert "all epochs are warm-up (method.warmup_epochs=4): all classes will be treated alike" in words(app)
    assert "there will be no EMA or FAWA weights" in words(app)


def test_what_is_taken_for_what_in_a_folder_is_said_on_train(empty_home, tmp_path):
    for number, place in enumerate(("train/a", "train/b", "val/a", "val/b")):
        (tmp_path / "set" / place).mkdir(parents=True)
        Image.new("RGB", (8, 8), (number, 0, 0)).save(tmp_path / "set" / place / "0.png")
    app = open_page("train", dataset=f"folder:{tmp_path / 'set'}")
    button(app, "Look at it").click().run()
    assert not app.exception
    # An image a class is too little to hold one out: the job would refuse it as well.
    assert "leaves none to train on" in errors(app)[0]
    assert "2 training and 2 test images, 2 classes" in words(app)
    assert "val/ is the test part, for there is no other." in words(app)


def test_a_batch_larger_than_a_folders_images_is_refused_at_its_field(empty_home, tmp_path):
    for place in ("train/a", "train/b", "test/a", "test/b"):
        (tmp_path / "set" / place).mkdir(parents=True)
        for number in range(30):
            Image.new("RGB", (8, 8), (number, 0, 0)).save(tmp_path / "set" / place / f"{number}.png")
    app = visit("train", dataset=f"folder:{tmp_path / 'set'}", methods="trades")
    assert not app.error  # of what nobody looked at nothing is known
    button(app, "Look at it").click().run()
    assert "exceeds the 58 training images" in errors(app)[0]
    app.text_input(key="set_train.batch_size").set_value("58").run()
    assert_sound(app)


def test_every_method_is_explained_before_it_is_chosen(empty_home):
    options = open_page("train").multiselect(key="train_methods").options
    assert len(options) == len(training_settings.METHODS)
    families = [option.partition(" · ")[2].partition(":")[0] for option in options]
    assert list(dict.fromkeys(families)) == list(training_settings.KINDS.values())  # each in one place
    for option in options:
        assert training_settings.METHODS[option.partition(" · ")[0]].summary in option


@pytest.mark.parametrize("epochs", [1, 2, 5, "2, 9"])
def test_one_press_mends_what_a_run_is_too_short_for(empty_home, epochs):
    app = visit("train", methods="trades-cfa")
    app.text_input(key="set_train.epochs").set_value(str(epochs))
    app.text_input(key="set_method.warmup_epochs").set_value("10")
    app.text_input(key="set_averaging.start_epoch").set_value("50").run()
    assert "all epochs are warm-up" in words(app)
    for setting in ("method.warmup_epochs", "averaging.start_epoch", "train.epochs"):
        for item in [item for item in app.button if item.key == f"mend_{setting}"]:
            item.click().run()
            assert_sound(app)
    assert "are warm-up" not in words(app)
    assert "is never reached" not in words(app)
    assert not [item for item in app.button if item.key.startswith("mend_")]


@pytest.mark.parametrize(
    ("setting", "typed", "says"),
    [
        ("train.epochs", "many", "should be a whole number"),
        ("method.lambda_eps", "x", "should be a number"),
        ("attack.step_size", "x", "cannot be read"),
    ],
)
def test_errors_are_not_about_python(empty_home, setting, typed, says):
    app = visit("train", methods="trades-cfa")
    app.text_input(key=f"set_{setting}").set_value(typed).run()
    (error,) = errors(app)
    assert says in error
    assert not [word for word in ("parse", "integer", "string", "dictionary", "instance") if word in error]


def test_where_a_time_is_from_is_said_once_and_not_while_it_is_measured(empty_home, monkeypatch):
    monkeypatch.setattr(os, "getloadavg", lambda: (0.1, 0.1, 0.1))

    def timed(questions):
        for _ in questions.asked:
            yield timing.Answer(timing=Timing(training=0.001, checked=0.0005, weights_bytes=1_000_000))

    monkeypatch.setattr(timing, "ask", timed)
    methods = ["pgd-at", "trades", "trades-cfa"]
    configs = [training_settings.configure(name, "fashion-mnist-mini") for name in methods]
    training_costs.time_batches(configs[:2], None)
    while training_costs.are_being_timed():
        pass
    partly = words(visit("train", methods=methods))
    assert "is being measured" in partly
    assert "From batches timed" not in partly
    training_costs.time_batches(configs, None)
    while training_costs.are_being_timed():
        pass
    assert words(visit("train", methods=methods)).count("From batches timed") == 1
