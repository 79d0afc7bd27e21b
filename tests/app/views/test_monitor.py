"""Monitor: one run class by class, and the queue's buttons."""

import json
import re
from fractions import Fraction

from app import plotly_library
from app.engine import histories, job_queue, snapshots
from app.process import opened
from cfa.jobs.kinds.train_run import TrainRun
from cfa.methods import configure
from tests.app.pages import (
    as_read,
    assert_sound,
    errors,
    figures,
    live_charts,
    open_page,
    start,
    visit,
    words,
)


def test_monitor_draws_one_run_class_by_class(example_home):
    run = next(
        run for run in snapshots.runs() if run.method == "trades-cfa" and run.dataset == "fashion-mnist-mini"
    )
    app = open_page("monitor", run=run.name)
    traces = [len(figure["data"]) for figure in figures(app)]
    # Clean and robust accuracy; lines and heatmap per class; ranks; eps; beta; gate; speed; overfitting.
    assert traces == [6, 6, 10, 1, 10, 10, 10, 3, 1, 3]
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
    assert len(app.get("plotly_chart")) == 7  # its knobs are the same for all classes


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


def tick(app, table, *rows):
    """Tick rows of one of the two tables of jobs."""
    keys = [frame.proto.id.rpartition("-")[2] for frame in app.dataframe]  # `$$ID-HASH-KEY`
    key = next(key for key in keys if key.startswith(f"{table}_table_"))
    app.session_state[key] = {"selection": {"rows": list(rows), "columns": [], "cells": []}}
    return app.run()


def press(app, key):
    next(item for item in app.button if item.key == key).click().run()
    assert not app.exception


def submit(title, **options):
    return opened.queue().submit(TrainRun(), title, **options)


def test_jobs_are_one_line_each_and_those_that_are_ticked_are_moved_paused_and_cancelled(empty_home):
    first, second, third = (submit(name) for name in ("first", "second", "third"))
    app = open_page("monitor")
    assert app.dataframe[0].value["job"].tolist() == ["first", "second", "third"]
    assert all(item.disabled for item in app.button if item.key.startswith("act_") and item.key != "act_all")
    press(tick(app, "queue", 1, 2), "act_top_queue")
    assert [job.title for job in snapshots.jobs()] == ["second", "third", "first"]
    assert app.dataframe[0].value["job"].tolist() == ["second", "third", "first"]
    press(app, "act_pause_queue")  # the ticks have gone with their jobs
    assert [opened.queue().get(job.id).state for job in (first, second, third)] == [
        *("queued", "paused", "paused")
    ]
    press(app, "act_cancel_queue")
    assert_sound(app)
    assert "Cancelled: second, third." in words(app)
    assert "Ended jobs (2)" in [item.label for item in app.expander]
    press(app, "undo_acts")
    assert [opened.queue().get(job.id).state for job in (first, second, third)] == [
        *("queued", "paused", "paused")
    ]
    assert "Cancelled:" not in words(app)


def test_ended_jobs_are_started_again_or_removed_and_come_back(empty_home):
    job = submit("first")
    job_queue.act_on("cancel", [job.id])
    app = open_page("monitor")
    press(tick(app, "ended", 0), "act_remove_ended")
    assert snapshots.jobs() == []
    press(app, "undo_acts")
    press(tick(app, "ended", 0), "act_resume_ended")
    assert [job.state for job in snapshots.jobs()] == ["queued"]


def test_a_refused_action_is_one_sentence(empty_home):
    job = submit("first")
    app = tick(open_page("monitor"), "queue", 0)
    running = opened.queue().claim("cpu")
    opened.queue().register_worker(job.id, "cpu")
    opened.queue().finish(running.id, "done")  # it ended while somebody looked
    press(app, "act_pause_queue")
    assert len(errors(app)) <= 1
    assert opened.queue().get(job.id).state == "done"


def test_when_the_queue_ends_is_known_once_a_job_like_its_jobs_was_done(empty_home):
    submit("first")
    assert "end unknown: 1 job of a sort that was never measured here" in words(open_page("monitor"))


def test_several_runs_are_drawn_in_one_chart(example_home):
    runs = [run for run in snapshots.usable_runs() if run.dataset == "fashion-mnist-mini"]
    treated = [run for run in runs if run.method == "trades-cfa"]
    app = open_page("monitor", run=treated[0].name)
    before = len(figures(app))
    chosen = next(item for item in app.multiselect if item.key == "curves_runs")
    chosen.set_value([run.id for run in (*treated, next(r for r in runs if r.method == "trades"))]).run()
    assert_sound(app)
    accuracy = figures(app)[before]
    names = [trace.get("name") for trace in accuracy["data"] if trace.get("name")]
    assert names == ["TRADES + CFA (2 seeds)", "TRADES"]
    assert any(trace.get("fill") == "toself" for trace in accuracy["data"])
    assert len(figures(app)) == before + 3  # accuracy, eps and beta


def test_what_a_card_says_of_a_knob_is_shown_as_it_is_written(example_home):
    app = open_page("monitor", run=next(r.name for r in snapshots.runs() if r.method == "trades-cfa"))
    said = [item.value.replace("\\", "", 1) for item in app.caption if "A larger value" in item.value]
    assert said
    for item in app.caption:
        assert "\\\\" not in item.value  # escaped once, and not again


def kept_by_hand(run, weights):
    """Recompute the kept epoch from the run's own file: the first with the highest mean plus worst class."""
    rows = [json.loads(line) for line in run.folder.history_file.read_text().splitlines()]
    scores = {}
    for row in rows:
        kind = (row.get("split"), row.get("weights"))
        if kind == ("val", weights) and row["attack"] not in ("clean", "training"):
            shares = [Fraction(k, n) for k, n in zip(row["correct"], row["total"], strict=True)]
            scores[row["epoch"]] = sum(shares) / len(shares) + min(shares)
    return max(scores, key=lambda epoch: (scores[epoch], -epoch))


def test_the_page_opens_on_the_reported_weights_and_names_the_kept_epoch_of_each_kind(example_home):
    run = next(run for run in snapshots.runs() if run.method == "trades-cfa" and run.seed == 0)
    app = open_page("monitor", run=run.id)
    assert app.segmented_control(key="monitor_weights").value == "fawa"
    kept = {kind: kept_by_hand(run, kind) for kind in ("online", "ema", "fawa")}
    cards = {as_read(metric.label): metric for metric in app.metric}
    titles = {"online": "Online", "ema": "EMA", "fawa": "FAWA"}
    for kind, epoch in kept.items():
        assert cards[f"Kept epoch: {titles[kind]}"].value == str(epoch)
    assert cards["Kept epoch: FAWA"].delta == "reported"
    assert cards["Kept epoch: Online"].delta == "not reported"
    said = words(app)
    assert f"This run is reported with its FAWA weights, kept at epoch {kept['fawa']}:" in said
    assert f"FAWA weights: epoch {kept['fawa']} has their highest mean plus worst class" in said
    for figure in figures(app):  # every chart of the run is over epochs
        marks = [note["text"] for note in figure["layout"].get("annotations", ())]
        assert any(f"kept, epoch {kept['fawa']}" in mark and "FAWA" in mark for mark in marks)


def test_the_cards_show_the_kept_epoch_and_say_what_the_last_one_has(example_home):
    run = next(run for run in snapshots.runs() if run.method == "trades-cfa" and run.seed == 0)
    history = histories.history(run)
    for weights in ("online", "fawa"):
        app = open_page("monitor", run=run.id, weights=weights)
        epoch = kept_by_hand(run, weights)
        block = history[
            (history["split"] == "val") & (history["weights"] == weights) & (history["attack"] != "clean")
        ]
        means = 100 * block.groupby("epoch")["accuracy"].mean()
        title = {"online": "Online", "fawa": "FAWA"}[weights]
        card = next(m for m in app.metric if as_read(m.label) == f"{title}, mean")
        assert card.value == f"{means[epoch]:.1f}\u00a0%"
        later = f"; last: {means.iloc[-1]:.1f} %" if epoch != means.index.max() else ""
        assert as_read(card.delta) == f"epoch {epoch}{later}"


def test_the_sentence_about_other_weights_says_whose_they_are(example_home):
    run = next(run for run in snapshots.runs() if run.method == "trades-cfa" and run.seed == 0)
    said = words(open_page("monitor", run=run.id, weights="online"))
    kept = {kind: kept_by_hand(run, kind) for kind in ("online", "fawa")}
    assert f"Online weights: epoch {kept['online']} has their highest mean plus worst class" in said
    assert f"The run is reported with its FAWA weights, kept at epoch {kept['fawa']}." in said


def test_weights_that_a_run_has_not_are_not_offered(example_home):
    run = next(run for run in snapshots.runs() if run.state == "failed")  # before any average began
    app = visit("monitor", run=run.id)
    assert app.segmented_control(key="monitor_weights").options == ["Online"]


def test_jobs_of_a_grid_say_method_and_the_setting_that_differs(empty_home):
    for value in (4.0, 6.0):
        config = configure(
            "trades", "fashion-mnist-mini", seed=0, overrides={"method.beta": value, "train.epochs": 2}
        )
        run = opened.store().create(config, name=f"mine-{value:g}")
        submit(f"train {run.name}", run_id=run.id)
    app = open_page("monitor")
    assert app.dataframe[0].value["trained"].tolist() == [
        "TRADES, Robust weight beta 4.0",
        "TRADES, Robust weight beta 6.0",
    ]


def test_few_buttons_stand_before_the_run(empty_home):
    submit("first")
    app = open_page("monitor")
    within = [item.key for popover in app.get("popover") for item in popover.button]
    assert {"act_top_queue", "act_up_queue", "act_down_queue", "act_bottom_queue", "act_chain"} <= set(within)
    beside = [
        item.key for item in app.button if (item.key or "").startswith("act_") and item.key not in within
    ]
    assert beside == ["act_pause_queue", "act_resume_queue", "act_cancel_queue"]


def test_terms_of_one_run_are_explained(example_home):
    run = next(run for run in snapshots.runs() if run.method == "trades-cfa" and run.seed == 0)
    app = open_page("monitor", run=run.id)
    helps = {as_read(item.value): item.help for kind in ("markdown", "caption") for item in app.get(kind)}
    assert "**Rank**" in next(told for said, told in helps.items() if said.startswith("Rank of every class"))
    assert "**FAWA gate**" in helps["FAWA gate"]
    header = next(told for said, told in helps.items() if said.startswith("TRADES + "))
    assert "**CFA**" in header or "**CCM**" in header
