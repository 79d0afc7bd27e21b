"""Train: the form, its mistakes, and what a training costs and comes to."""

import pytest
from PIL import Image

from app.engine import snapshots, training_jobs
from cfa.training.estimate import Estimate
from tests.app.pages import assert_sound, button, errors, open_page, words


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
    app = open_page("home")
    app.session_state["train_dataset"] = f"folder:{tmp_path / 'set'}"
    app.switch_page("views/train.py")
    app.run()
    button(app, "Look at it").click().run()
    assert_sound(app)
    assert "2 training and 2 test images, 2 classes" in words(app)
    assert "val/ is the test part, for there is no other." in words(app)
