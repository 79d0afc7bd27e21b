"""Train, Evaluate and Runs as a newcomer fills them in."""

import re
from typing import Any

import pandas as pd
import pytest
from playwright.sync_api import TimeoutError, expect

from app import wording
from cfa.jobs.worker import run_job
from cfa.runs.evaluations import read_evaluations, read_outcomes
from cfa.runs.store import Store
from cfa.statistics import wilson
from cfa.tables.frames import per_class_frame
from tests.browser.dashboard import wait_for
from tests.browser.slow import Workshop
from tests.browser.tab import Tab

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.xdist_group("browser-2")]


@pytest.fixture(scope="module")
def workshop(tmp_path_factory):
    return Workshop(tmp_path_factory.mktemp("home"), tmp_path_factory.mktemp("work"))


@pytest.fixture(scope="module")
def finished(workshop):
    """A run that was trained in this process, so that no supervisor is in the way."""
    run, job = workshop.submit("ready", model="small-cnn", train__epochs="2")
    claimed = workshop.queue.claim("cpu")
    assert claimed is not None
    assert claimed.id == job.id
    with workshop.importable():
        assert run_job(workshop.home, job.id) == 0
    return run


@pytest.fixture(scope="module")
def dashboard(open_dashboard, workshop, finished):
    # The data set of the run is a module in the folder that the dashboard is started from.
    return open_dashboard(workshop.home, workshop.folder)


@pytest.fixture
def tab(open_tab, dashboard) -> Tab:
    return open_tab(dashboard)


def test_train_starts_what_the_form_says_and_refuses_a_taken_name(tab: Tab, workshop: Workshop):
    tab.visit("train")
    fill_in(tab, epochs="1", name="my first run")
    tab.press("Start 1 run")
    tab.arrive("Monitor")
    run = Store.open(workshop.home).find("my first run")
    assert (run.config.method, run.config.train.epochs, run.config.seed) == ("trades-cfa", 1, 0)
    job = workshop.queue.find(run.id)
    tab.sees_job(job, "running")
    tab.sees("my first run")
    tab.check()
    workshop.queue.cancel(job.id)

    before = everything(workshop)
    tab.visit("train")
    fill_in(tab, epochs="1", name="my first run")
    tab.sees("my first run", tab.page.get_by_role("alert"))
    tab.sees("taken", tab.page.get_by_role("alert"))
    expect(tab.page.get_by_role("button", name="Start 1 run")).to_have_count(0)
    tab.check()
    assert everything(workshop) == before


def fill_in(tab: Tab, epochs: str, name: str) -> None:
    expect(tab.page.locator(".st-key-train_methods").get_by_text("trades-cfa ·")).to_be_visible()
    tab.type("Epochs", epochs)
    tab.type("Name", name)
    tab.settle()


def everything(workshop: Workshop) -> tuple[list[str], list[str]]:
    runs = [run.id for run in Store.open(workshop.home).runs()]
    return runs, [job.id for job in workshop.queue.jobs()]


@pytest.mark.parametrize(
    ("setting", "value", "says"),
    [
        ("Budget eps", "2", r"attack\.eps.*\b2\b"),
        ("Budget eps", "many", r"'many'"),
        ("Epochs", "0", r"train\.epochs.*\b0\b"),
    ],
)
def test_train_explains_a_value_that_cannot_be(tab: Tab, workshop: Workshop, setting, value, says):
    before = everything(workshop)
    tab.visit("train")
    tab.type(setting, value)
    tab.sees(re.compile(says), tab.page.get_by_role("alert"))
    expect(tab.page.get_by_role("button", name="Start 1 run")).to_have_count(0)
    tab.check()
    assert everything(workshop) == before


def test_the_time_comes_by_itself_and_start_stays_in_sight(tab: Tab):
    tab.visit("train")
    tab.type("Epochs", "1")
    tab.sees(re.compile("one after the other"))
    tab.sees(re.compile("From batches timed"))
    start = tab.page.get_by_role("button", name="Start 1 run")
    notes = tab.page.get_by_role("textbox", name="Notes")
    notes.scroll_into_view_if_needed()
    expect(notes).to_be_in_viewport()
    expect(start).to_be_in_viewport()
    tab.check()


def test_several_methods_are_all_in_sight_and_nothing_covers_the_form_on_a_phone(open_tab, dashboard):
    tab = open_tab(dashboard, width=400)
    tab.visit("train?methods=trades-cfa&methods=fair-tat&methods=dafa")
    field = tab.page.locator(".st-key-train_methods")
    whole = field.bounding_box()
    for name in ("trades-cfa", "fair-tat", "dafa"):
        chosen = field.get_by_text(re.compile(rf"^{name} ·")).bounding_box()
        assert whole["x"] <= chosen["x"]
        assert chosen["x"] + chosen["width"] <= whole["x"] + whole["width"]
        assert chosen["y"] + chosen["height"] <= whole["y"] + whole["height"]
    summary = tab.page.locator(".st-key-train_summary")
    expect(summary).not_to_be_in_viewport()
    expect(tab.page.get_by_role("textbox", name="Notes")).to_have_count(1)
    notes = tab.page.get_by_role("textbox", name="Notes").bounding_box()
    assert summary.bounding_box()["y"] >= notes["y"] + notes["height"]
    tab.check()


def test_typing_an_attack_adds_one(tab: Tab, finished):
    tab.visit(f"evaluate?evaluate={finished.name}")
    tab.page.get_by_text("Own choice").click()
    tab.settle()
    box = tab.page.get_by_role("combobox", name="Add an attack")
    box.click()
    box.fill("autoattack")
    box.press("Enter")
    tab.settle()
    tab.sees(re.compile("PGD-20, AutoAttack at "))
    tab.check()


def test_evaluate_attacks_a_finished_run_and_shows_intervals(tab: Tab, workshop: Workshop, finished):
    tab.visit(f"evaluate?evaluate={finished.name}")
    tab.check()
    tab.type("eps", "4/255")
    images = tab.page.get_by_role("spinbutton", name="Images")
    images.fill("30")
    images.press("Tab")
    tab.settle()
    tab.press("Start 1 evaluation")
    tab.sees("1 evaluation queued")
    wait_for(lambda: len(scored(finished)), "the evaluation")
    scores = scored(finished)
    assert scores["total"].tolist() == [10, 10, 10]  # 30 images of three classes
    tab.sees(re.compile("PGD-20, 4/255 · 30 images"))
    choose(tab, "Measured", "4/255")
    check_drawn(tab, scores)
    tab.check()


def test_images_that_were_not_kept_are_made_again(tab: Tab, workshop: Workshop, finished):
    tab.visit(f"evaluate?evaluate={finished.name}")
    tab.page.get_by_text("Own choice").click()
    tab.settle()
    tab.page.get_by_text("Sweep, transfer").click()
    for label, number in (("Images", "60"), ("Megabytes to keep", "0")):
        field = tab.page.get_by_role("spinbutton", name=label)
        field.fill(number)
        field.press("Tab")
        tab.settle()
    tab.type("eps", "64/255")
    tab.sees("PGD-20 at 64/255 on up to 60 images")
    tab.press("Look at it")  # the data set is somebody's code: it is not run to describe it
    tab.sees("PGD-20 at 64/255 on 60 images")
    tab.settle()  # the button has moved up when the page is drawn to its end
    before = len(read_evaluations(finished))
    tab.press("Start 1 evaluation")
    tab.sees("1 evaluation queued")
    wait_for(lambda: len(read_evaluations(finished)) > before, "the evaluation")
    evaluation = read_evaluations(finished)[-1]
    outcomes = read_outcomes(finished, evaluation.id)
    true, predicted = broken_cell(outcomes)
    expected = (outcomes["label"] == true) & (outcomes["pgd-20"] == predicted)

    tab.visit(f"classes?run={finished.name}&evaluation={evaluation.id}")
    tab.click_point("classes_confusion", predicted, true)
    names = ("ant", "bee", "cow")
    tab.sees(f"{names[true]} → {names[predicted]}: {wording.count(int(expected.sum()), 'image')}")
    tab.press("Open them")
    tab.page.get_by_text("One by one", exact=True).click()
    tab.sees("Its adversarial image was not kept.")
    assert tab.page.get_by_role("img", name=re.compile("adversarial")).count() == 0
    tab.press(f"Make these again ({min(8, expected.sum())})")
    tab.sees("made again")
    expect(tab.page.get_by_role("img", name=re.compile("adversarial"))).to_have_count(min(8, expected.sum()))
    assert tab.page.get_by_text("came out differently").count() == 0
    tab.check()


def broken_cell(outcomes) -> tuple[int, int]:
    """Choose the cell off the diagonal that has most images that are right without an attack."""
    cells = [(i, j) for i in range(3) for j in range(3) if i != j]
    right = outcomes["clean"] == outcomes["label"]
    return max(
        cells,
        key=lambda cell: int(
            (right & (outcomes["label"] == cell[0]) & (outcomes["pgd-20"] == cell[1])).sum()
        ),
    )


def scored(run) -> pd.DataFrame:
    table = per_class_frame([run])
    return table[(table["attack"] == "pgd-20") & table["eps"].between(3.9 / 255, 4.1 / 255)]


def choose(tab: Tab, label: str, option: str) -> None:
    """Choose from a list; one that a page closes again, since it is drawn anew, is opened again."""
    box = tab.page.get_by_role("combobox", name=label)
    wanted = tab.page.get_by_role("option").filter(has_text=option).first

    def open_and_take() -> bool:
        box.click()
        try:
            wanted.click(timeout=3000)
        except TimeoutError:
            tab.page.keyboard.press("Escape")
            return False
        return True

    wait_for(open_and_take, f"{option} in {label}")
    tab.settle()


def check_drawn(tab: Tab, scores: pd.DataFrame) -> None:
    low, high = wilson(scores["correct"].to_numpy(), scores["total"].to_numpy())
    drawn = [scores["accuracy"].tolist(), high.tolist(), low.tolist()]

    # The page redraws after the choice; until it does, the chart of the closing evaluation is still there.
    def redrawn() -> list[dict[str, Any]]:
        return [bars for bars in tab.drawn_figure("evaluate_bars") if ends(bars) == drawn]

    def ends(bars: dict[str, Any]) -> list[Any]:
        up, down = bars["error_y"]["array"], bars["error_y"]["arrayminus"]
        found = [
            bars["y"],
            [y + more for y, more in zip(bars["y"], up, strict=True)],
            [y - less for y, less in zip(bars["y"], down, strict=True)],
        ]
        return [
            wanted if one == pytest.approx(wanted) else one for one, wanted in zip(found, drawn, strict=True)
        ]

    bars = wait_for(redrawn, f"bars at {drawn}")[-1]
    assert bars["x"] == ["ant", "bee", "cow"]


def test_a_run_is_renamed_and_deleted_once_that_is_confirmed(tab: Tab, workshop: Workshop, finished):
    tab.visit(f"runs?show={finished.name}")
    tab.check()
    tab.page.get_by_role("tab", name="Label").click()
    tab.type("Name", "renamed run")
    tab.press("Save")
    tab.sees("Saved.")
    assert finished.name == "renamed run"
    tab.check()
    tab.page.get_by_role("tab", name="Export").click()
    tab.press("Delete this run")
    dialog = tab.page.get_by_role("dialog")
    tab.sees("renamed run", dialog)
    tab.press("Keep", dialog)
    dialog.wait_for(state="detached")
    assert finished.path.exists()
    tab.press("Delete this run")
    tab.press("Delete", dialog)
    tab.sees("Deleted 1 run")
    assert not finished.path.exists()
    assert "renamed run" not in {run.name for run in Store.open(workshop.home).runs()}
    tab.check()
