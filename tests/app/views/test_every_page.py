"""Every page with a filled store, an empty one and broken files: no exception, and what it should say."""

from pathlib import Path

import pytest

from app import elements
from app.engine import snapshots
from tests.app.pages import PAGES, as_read, assert_sound, figures, open_page, words


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


def test_no_folder_of_this_machine_is_on_the_screen(example_home, monkeypatch):
    said = elements.sentence(f"cannot read {example_home}/runs/x, nor {Path.home()}/data")
    assert as_read(said) == "Cannot read CFA_HOME/runs/x, nor ~/data."
    monkeypatch.setenv("HOME", "/")
    assert as_read(elements.sentence("eps 8/255 is too much")) == "Eps 8/255 is too much."


def test_a_long_tail_shows_its_groups_wherever_it_is_shown(example_home):
    monitor = open_page("monitor", run="long-tailed")
    assert "Head, medium and tail, FAWA weights" in words(monitor)
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
