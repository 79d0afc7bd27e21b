"""Values from addresses, typed texts and copied runs only fill fields: a button opens what they name.

A viewer gets one and the same sentence, whatever is behind a name.
"""

import re
import shutil
import sys
from pathlib import Path

import pytest
import streamlit as st

from app import access
from app.engine import snapshots
from app.process import opened
from cfa.runs.trusted import Trusted
from tests.app.guarded_store import CANARY, SECRET, fill_guarded, write_canary
from tests.app.pages import PAGES, button, errors, visit, words


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    folder = tmp_path_factory.mktemp("guarded")
    fill_guarded(folder / "home")
    return folder


@pytest.fixture
def guarded(filled, dashboard, tmp_path, monkeypatch):
    """A guarded store that is only read; the dashboard was started in a folder that holds the canary."""
    write_canary(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    dashboard(filled / "home")
    yield filled
    sys.modules.pop("canary", None)


@pytest.fixture
def changeable(guarded, dashboard, tmp_path):
    """A guarded store of the test's own."""
    shutil.copytree(guarded / "home", tmp_path / "home")
    dashboard(tmp_path / "home")
    return tmp_path


@pytest.fixture
def viewer(monkeypatch):
    """Somebody who has signed in and is not named among those who may start."""
    user = _User({"email": "ben@example.org", "email_verified": True})
    monkeypatch.setattr(access, "login_is_on", lambda: True)
    monkeypatch.setattr(st, "user", user)
    monkeypatch.setattr(st, "secrets", {"access": {"may_start": ["ana@example.org"]}})


class _User(dict):
    is_logged_in = True


@pytest.fixture(params=["viewer", "owner"])
def visitor(request):
    if request.param == "viewer":
        request.getfixturevalue("viewer")
    return request.param


def imported():
    """Tell whether the canary was imported in the folder of this test."""
    return Path("canary-was-imported").exists()


def text_of(app):
    """Read a page; it must not have failed."""
    assert not app.exception, app.exception[0].value
    return words(app) + " ".join(errors(app))


def has_button(app, label):
    return label in [item.label for item in app.button]


@pytest.fixture(params=["code", "no-code", "folder", "no-folder", "library"])
def name(request, guarded):
    """A name of somebody's code, or of a folder, that is there or not."""
    names = {
        "code": CANARY,
        "no-code": "canary:absent",
        "folder": f"folder:{guarded / SECRET}",
        "no-folder": f"folder:{guarded}/absent",
        "library": "shutil:rmtree",
    }
    return names[request.param]


def test_a_typed_data_set_is_opened_by_a_button_alone(guarded, visitor, name):
    app = visit("train", dataset=name)
    assert f"{name!r} is a folder or somebody's code; looked at once somebody who may start asks" in text_of(
        app
    )
    assert has_button(app, "Look at it") == (visitor == "owner")
    assert not imported()


def test_a_model_of_ones_own_is_described_by_a_button_alone(guarded, visitor, name):
    text_of(visit("evaluate", {"own_dataset": name}, evaluate="own"))
    assert not imported()


def test_a_folder_is_described_once_its_button_was_pressed(guarded):
    app = visit("train", dataset=f"folder:{guarded / SECRET}")
    button(app, "Look at it").click().run()
    assert "8 training and 8 test images, 2 classes, 8 × 8 pixels" in text_of(app)


def test_what_cannot_be_looked_at_is_one_sentence(guarded):
    app = visit("train", dataset=CANARY)
    button(app, "Look at it").click().run()
    text_of(app)
    assert "write @" in errors(app)[0]  # it is no data set, and only a button found that out
    assert imported()


@pytest.mark.parametrize("source", ["secret", "absent"])
def test_a_viewer_learns_of_no_weights_file(guarded, viewer, source):
    app = visit("evaluate", evaluate="own")
    there = guarded / SECRET / "weights.pt"
    app.text_input(key="own_path").set_value(str(there if source == "secret" else guarded / "absent.pt"))
    button(app, "Add this model").click().run()
    text_of(app)
    assert [error.partition(";")[0] for error in errors(app)] == [
        "Ben@example.org may look, and change nothing".replace("Ben", "ben")
    ]


@pytest.mark.parametrize("source", ["secret", "absent"])
def test_a_viewer_learns_of_no_start(guarded, viewer, source):
    app = visit("train", init=str(guarded / (SECRET if source == "secret" else "absent")))
    said = text_of(app).replace(str(guarded / source), "PATH")
    assert "How long that takes has not been measured." in said
    assert "PATH" not in said
    assert button(app, "Start 1 run").disabled


@pytest.mark.parametrize("source", ["secret", "absent"])
def test_a_viewer_learns_of_no_teacher(guarded, viewer, source):
    there = str(guarded / (SECRET if source == "secret" else "absent"))
    app = visit("train", methods="ard", teacher=there)
    said = text_of(app).replace(str(guarded / source), "PATH")
    assert "How long that takes has not been measured." in said
    assert "PATH" not in said
    assert button(app, "Start 1 run").disabled


FOREIGN = ("foreign-code", "foreign-method", "foreign-folder")


@pytest.mark.parametrize(
    ("page", "query"),
    [
        *[(page, {"runs": FOREIGN}) for page in ("home", "sweep", "compare", "leaderboard")],
        ("evaluate", {"evaluate": FOREIGN}),
        *[("train", {"from": run}) for run in FOREIGN],
        *[("runs", {"show": run}) for run in FOREIGN],
        *[(page, {"run": run}) for page in ("monitor", "classes") for run in FOREIGN],
    ],
)
def test_looking_at_runs_of_others_opens_nothing(guarded, page, query, monkeypatch):
    scanned = []
    monkeypatch.setattr("cfa.data.image_folder.scan_folder", lambda *path: scanned.append(path))
    text_of(visit(page, **query))
    assert not imported()
    assert scanned == []


@pytest.mark.parametrize("page", PAGES)
def test_addresses_with_names_of_code_fill_fields_at_most(guarded, page):
    names = dict.fromkeys(("from", "show", "run", "evaluation", "attack", "true", "measured"), CANARY)
    lists = {key: [CANARY, "shutil:rmtree", f"folder:{SECRET}"] for key in ("runs", "evaluate", "tags")}
    text_of(visit(page, **names, **lists))
    assert not imported()


def test_code_that_a_copied_run_names_takes_a_word_before_it_is_trained_with(changeable):
    app = visit("train", **{"from": "foreign-code"})
    assert "name code: canary:run. Look at it first." in text_of(app)
    assert app.selectbox(key="train_dataset").value == CANARY
    assert button(app, "Start 1 run").disabled
    assert button(app, "Estimate the time").disabled
    app.checkbox[0].check().run()
    assert not imported()
    assert not button(app, "Start 1 run").disabled
    button(app, "Start 1 run").click().run()
    assert imported()


def test_code_that_a_copied_run_names_takes_a_word_before_it_is_evaluated(changeable):
    app = visit("evaluate", evaluate="foreign-code")
    assert "images of canary:run" in text_of(app)
    assert "Not counted: canary:run" in text_of(app)
    start = next(item for item in app.button if item.key == "start_evaluation")
    assert start.disabled
    app.checkbox[0].check().run()
    assert not imported()
    app.button(key="start_evaluation").click().run()
    assert "1 evaluation queued" in text_of(app)
    (job,) = [job for job in snapshots.jobs() if job.kind == "evaluate"]
    assert CANARY in Trusted.of(opened.store()).read(job.run_id).names


def test_an_attack_of_ones_own_is_named_before_the_start_and_imported_by_it(changeable, visitor):
    app = visit("evaluate", evaluate="own")
    app.segmented_control(key="plan").set_value("own").run()
    app.multiselect(key="evaluate_attacks").set_value(["pgd-20", CANARY]).run()
    assert "PGD-20, canary:run at 15/255 on 10,000 images" in text_of(app)
    assert not imported()
    start = app.button(key="start_evaluation")
    assert start.disabled == (visitor == "viewer")
    if visitor == "owner":
        start.click().run()
        assert imported()
        assert "AttackSource" in errors(app)[0]  # it is none, which only a start finds out


@pytest.mark.parametrize("run", ["foreign-code", "foreign-folder"])
def test_images_of_others_are_opened_by_a_button_that_names_them(guarded, visitor, run):
    app = visit("classes", run=run)
    said = text_of(app)
    named = CANARY if run == "foreign-code" else f"folder:{guarded / SECRET}"
    assert re.search(rf"a folder or somebody's code \({re.escape(named)}\)", said)
    assert not imported()
    assert has_button(app, "Open them") == (visitor == "owner")
    if visitor == "owner":
        button(app, "Open them").click().run()
        assert not app.exception
        assert imported() == (run == "foreign-code")
        assert "write @" in errors(app)[0] if run == "foreign-code" else "are not those" in text_of(app)
