"""Sweep: every budget of one run and of several, and the smallest perturbations."""

import json

import numpy as np
import pandas as pd
import pytest

from app.engine import image_outcomes, snapshots
from app.sections.sweep_curves import areas_under_curves
from cfa.home import SHIPPED_RUNS
from tests.app.pages import assert_sound, figures, open_page, words
from tests.app.views.examples import example_of, method


def lines(figure):
    """Return what has a hover box: bands are drawn behind."""
    return [trace for trace in figure["data"] if trace.get("hoverinfo") != "skip"]


def test_sweep_draws_every_budget_and_clean_images_as_zero(example_home):
    run = method("trades-cfa")
    app = open_page("sweep", runs=[run.name])
    worst, mean, classes, boxes, needed = figures(app)
    for summary in (worst, mean):
        assert lines(summary)[0]["x"] == pytest.approx([0, 2, 4, 8, 16, 32])
    assert len(lines(classes)) == len(boxes["data"]) == len(lines(needed)) == 10
    table = image_outcomes.outcomes(run, example_of(run, "sweep")).index.outcomes
    trouser = next(trace for trace in lines(classes) if trace["name"] == "Trouser")
    right = [(table["label"] == 1) & (table[f"pgd-20@{n}/255"] == 1) for n in (2, 4, 8, 16, 32)]
    assert trouser["y"][1:] == pytest.approx([found.sum() / 100 for found in right])
    assert all(trace["y"] == sorted(trace["y"], reverse=True) for trace in lines(classes))
    bands = [trace for trace in classes["data"] if trace.get("hoverinfo") == "skip"]
    (line,) = (trace for trace in lines(classes) if trace["name"].endswith("(lowest)"))
    (band,) = bands  # behind the lowest class, from the ends of its intervals; of all they would hide lines
    high, low = band["y"][: len(line["y"])], band["y"][len(line["y"]) :][::-1]
    assert all(a <= y <= b for a, y, b in zip(low, line["y"], high, strict=True))
    assert all(trace["line"]["width"] >= 2 for trace in lines(classes))
    assert "broken at a smaller eps counts as broken at every larger one" in words(app)


def test_sweep_compares_runs(example_home):
    app = open_page("sweep", runs=[method("trades-cfa").name, method("pgd-at-cfa").name])
    summary, mean = figures(app)[:2]
    assert len(lines(summary)) == len(lines(mean)) == 2
    assert len({trace["line"]["color"] for trace in lines(summary)}) == 2
    marked = [shape["x0"] for shape in summary["layout"]["shapes"]]
    assert marked == pytest.approx([255 * method("trades-cfa").folder.config.attack.eps])


def test_sweeps_of_two_data_sets_are_never_in_one_chart(own_home):
    ours, other = method("trades-cfa"), method("pgd-at-cfa")
    there = other.folder.path / "evaluations" / example_of(other, "sweep").id / "evaluation.json"
    stored = json.loads(there.read_text())
    there.write_text(json.dumps(stored | {"dataset": "inverted"}))
    for dataset, run in (("fashion-mnist-mini", ours), ("inverted", other)):
        app = open_page("sweep", runs=[ours.name, other.name], sweep_data=dataset)
        assert app.selectbox(key="sweep_data").options == ["fashion-mnist-mini", "inverted"]
        summary = figures(app)[0]
        assert {trace["name"].partition(" · ")[0] for trace in lines(summary)} == {run.name}
        assert f"images of {dataset}. An image" in words(app)


def test_smallest_perturbations_count_what_has_none(example_home):
    run = method("trades-cfa")
    app = open_page("sweep", runs=[run.name])
    table = image_outcomes.outcomes(run, example_of(run, "smallest")).index.outcomes
    none, wrong = int(np.isinf(table["fab-min/norm"]).sum()), int((table["fab-min/norm"] == 0).sum())
    assert none > 0
    assert f"Of 1000 images, {wrong:,} are wrong without a perturbation (0), and for {none} none" in words(
        app
    )
    statistics = app.dataframe[-1].value
    assert statistics["none_found"].sum() == none
    assert statistics["wrong"].sum() == wrong


def test_a_sweep_starts_here(own_home):
    run = method("trades")
    app = open_page("sweep")
    app.session_state["sweep_new_runs"] = [run.id]
    app.number_input(key="sweep_new_images").set_value(200).run()
    assert_sound(app)
    app.button(key="start_sweep").click().run()
    assert_sound(app)
    assert "1 sweep queued" in words(app)
    (job,) = snapshots.jobs()
    plan = job.spec["plan"]
    assert (job.run_id, job.spec["weights"], plan["limit"]) == (run.id, "online", 200)
    assert list(plan["attacks"]) == ["clean", "pgd-20"]
    eps = run.folder.config.attack.eps
    assert (min(plan["eps_sweep"]) < eps < max(plan["eps_sweep"])) or eps in plan["eps_sweep"]
    app.session_state["sweep_new_attack"] = "fab-min"
    app.run()
    app.button(key="start_sweep").click().run()
    assert list(snapshots.jobs()[-1].spec["plan"]["eps_sweep"]) == []


def test_without_a_sweep_the_page_starts_one(empty_home):
    app = open_page("sweep")
    assert "No run has a sweep yet. Start one above" in words(app)
    assert "No run has kept weights yet" in words(app)


def test_the_area_under_a_curve_is_the_mean_over_budgets():
    rows = [("a", 0, "ant", eps, 1 - eps) for eps in (0.0, 0.5, 1.0)]
    rows += [("a", 1, "bee", eps, share) for eps, share in ((0.0, 1.0), (0.25, 0.0), (1.0, 0.0))]
    table = areas_under_curves(
        pd.DataFrame(rows, columns=["series", "class_index", "class_name", "eps", "accuracy"])
    )
    assert table["area"].tolist() == pytest.approx([0.5, 0.125])
    assert set(table["largest_eps"]) == {1.0}


def test_it_opens_on_the_two_runs_that_ship_with_a_sweep_and_says_what_they_come_to(dashboard, tmp_path):
    dashboard(tmp_path, shipped=SHIPPED_RUNS)
    app = open_page("sweep")
    assert [run.method for run in map(snapshots.find_run, app.multiselect(key="runs").value)] == [
        "trades",
        "trades-cfa",
    ]
    said = app.subheader[0].value.replace("\\", "")
    assert said.startswith("At 15/255 the worst class keeps 33.0\u00a0% with shipped-trades-cfa-s0")
    assert "29.0\u00a0% with shipped-trades-s0" in said
    assert "95 % intervals of the worst class overlap at every eps" in words(app)
    assert "more often wrong than right from 3/255 on" in words(app)
    areas = app.dataframe[-1].value
    assert areas["class_name"].iloc[0] == "Shirt"
    first, second = areas.columns[1:3]
    assert areas["change"].tolist() == pytest.approx((areas[second] - areas[first]).tolist())
    classes = figures(app)[2]
    named = [note["text"] for note in classes["layout"]["annotations"] if note.get("ayref") == "y"]
    last = {trace["meta"]: trace["y"][-1] for trace in lines(classes)}
    assert [last[name] for name in named] == sorted(last.values(), reverse=True)  # as their lines end
