"""Monitor: one run class by class, and the queue's buttons."""

import re

from app import plotly_library
from app.engine import job_queue, snapshots
from app.process import opened
from cfa.jobs.kinds.train_run import TrainRun
from tests.app.pages import (
    as_read,
    assert_sound,
    errors,
    figures,
    live_charts,
    open_page,
    start,
    words,
)


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
    monkeypatch.setattr(plotly_library, "STATIC", tmp_path / "file" / "static")
    plotly_library.put_library_in_place()
    app = open_page("monitor", run="hundred-classes")
    assert not live_charts(app)
    assert len(app.get("plotly_chart")) == 5  # its knobs are the same for all classes


def test_monitor_draws_a_hundred_classes(example_home):
    app = open_page("monitor", run="hundred-classes")
    assert 100 in [len(figure["data"]) for figure in figures(app)]


def test_monitor_says_why_a_chart_is_missing(example_home):
    run = next(run for run in snapshots.runs() if run.method == "fat")
    app = start()
    app.switch_page("views/monitor.py")
    app.query_params["run"] = run.name
    app.run()
    assert not app.exception
    assert "The loss is not finite in epoch 4" in errors(app)[0]
    assert "all classes have 15/255 in all epochs so far" in words(app)
    assert "averaging starts in epoch 8" in words(app)


def test_jobs_can_be_moved_and_cancelled(empty_home):
    for name in ("first", "second"):
        opened.queue().submit(TrainRun(), name)
    app = open_page("monitor")
    job = snapshots.jobs()[1]
    next(item for item in app.button if item.key == f"up_{job.id}").click().run()
    assert [job.title for job in snapshots.jobs()] == ["second", "first"]
    next(item for item in app.button if item.key == f"cancel_{job.id}").click().run()
    assert_sound(app)
    assert opened.queue().get(job.id).state == "cancelled"
    assert "Ended jobs (1)" in [item.label for item in app.expander]


def test_a_refused_action_is_one_sentence(empty_home):
    job = opened.queue().submit(TrainRun(), "first")
    app = open_page("monitor")
    job_queue.cancel(job.id)
    job_queue.remove(job.id)  # someone else was faster
    next(item for item in app.button if item.key == f"pause_{job.id}").click().run()
    assert not app.exception
    assert job.id in errors(app)[0]


def test_what_a_card_says_of_a_knob_is_shown_as_it_is_written(example_home):
    app = open_page("monitor", run=next(r.name for r in snapshots.runs() if r.method == "trades-cfa"))
    said = [item.value.replace("\\", "", 1) for item in app.caption if "A larger value" in item.value]
    assert said
    for item in app.caption:
        assert "\\\\" not in item.value  # escaped once, and not again
