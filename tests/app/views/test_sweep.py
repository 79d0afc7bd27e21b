"""Sweep: every budget of one run and of several, and the smallest perturbations."""

import json

import numpy as np
import pytest

from app.engine import image_outcomes
from tests.app.pages import figures, open_page, words
from tests.app.views.examples import example_of, method


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


def test_sweeps_of_two_data_sets_are_never_in_one_chart(own_home):
    ours, other = method("trades-cfa"), method("pgd-at-cfa")
    there = other.folder.path / "evaluations" / example_of(other, "sweep").id / "evaluation.json"
    stored = json.loads(there.read_text())
    there.write_text(json.dumps(stored | {"dataset": "inverted"}))
    for dataset, run in (("fashion-mnist-mini", ours), ("inverted", other)):
        app = open_page("sweep", runs=[ours.name, other.name], sweep_data=dataset)
        assert app.selectbox(key="sweep_data").options == ["fashion-mnist-mini", "inverted"]
        summary = figures(app)[0]
        assert {trace["name"].partition(" · ")[0] for trace in summary["data"]} == {run.name}
        assert f"Clean images are eps 0. On {dataset}." in words(app)
        assert f"images of {dataset}" in words(app)


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
