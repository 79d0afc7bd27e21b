"""Columns of outcomes as data: what older evaluations only say by names is what newer ones store."""

import dataclasses
import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from cfa.evaluation import EvaluationPlan
from cfa.evaluation.trials import columns_of as columns_of_trials
from cfa.evaluation.trials import trials
from cfa.runs.columns import Column, Columns
from cfa.runs.evaluations import columns_of, list_evaluations, settings_of
from cfa.runs.older_columns import older_columns
from cfa.runs.rows import Scores
from tests.support.resumed import evaluate, make_run

CLASSES = 10
COUNTS = {"clean": (90,) * 10, "pgd-20": (50,) * 10}
PLANS: dict[str, EvaluationPlan] = {
    "clean alone": EvaluationPlan(attacks=()),
    "one attack": EvaluationPlan(attacks=("pgd-20",)),
    "a budget of its own": EvaluationPlan(attacks=("pgd-20", "pgd-20@16/255", "fgsm@0.03")),
    "AutoAttack": EvaluationPlan(attacks=("autoattack",)),
    "members beside their attack": EvaluationPlan(attacks=("square", "autoattack(apgd-ce,square)")),
    "AutoAttack at two budgets": EvaluationPlan(attacks=("autoattack", "autoattack@4/255")),
    "a sweep": EvaluationPlan(attacks=("pgd-20", "autoattack"), eps_sweep=(4 / 255, 8 / 255, 2 / 255)),
    "smallest perturbations": EvaluationPlan(attacks=("fab-min", "pgd-20")),
    "smallest perturbations in a sweep": EvaluationPlan(attacks=("fab-min",), eps_sweep=(0.01, 0.02)),
    "l2": EvaluationPlan(attacks=("pgd-20", "autoattack@0.25"), norm="l2", eps=0.5),
    "a budget that two digits do not tell": EvaluationPlan(attacks=("pgd-20",), eps_sweep=(0.0312345, 0.02)),
}


def scores_of(columns: Columns) -> list[Scores]:
    of_all: dict[str, Any] = {"epoch": 1, "split": "test", "weights": "fawa"}
    counts: dict[str, Any] = {"correct": (1,) * CLASSES, "total": (2,) * CLASSES}
    return [Scores(**of_all, attack=c.attack, norm=c.norm, eps=c.eps, **counts) for c in columns.wholes()]


@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
def test_names_of_before_say_what_is_stored_now(plan: EvaluationPlan) -> None:
    made = columns_of_trials(trials(plan, CLASSES))
    stored = json.loads(json.dumps(dataclasses.asdict(plan)))
    names = ["image", "label", *(column.name for column in made)]
    assert older_columns(names, scores_of(made), stored, plan.attacks) == made


@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
def test_scores_find_their_column_and_every_part_its_attack(plan: EvaluationPlan) -> None:
    made = columns_of_trials(trials(plan, CLASSES))
    assert [made.of_scores(row) for row in scores_of(made)] == list(made.wholes())
    for whole in made.wholes():
        by, members = made.broken_by(whole.name), made.members(whole.name)
        assert (by is not None) == bool(members)
        for part in (*members, *([by] if by else []), *([n] if (n := made.norms(whole.name)) else [])):
            assert (part.whole, part.attack, part.eps, part.norm) == (
                whole.name,
                whole.attack,
                whole.eps,
                whole.norm,
            )
        assert [made.member(whole.name, column.member) for column in members] == list(members)


def test_a_sweep_goes_from_the_smallest_budget_upwards() -> None:
    made = columns_of_trials(trials(PLANS["a sweep"], CLASSES))
    last = made.get("autoattack@8/255")
    assert last is not None
    assert [column.name for column in made.before(last)] == ["autoattack@4/255", "autoattack@2/255"]
    assert [column.member for column in made.members(last.name)] == ["apgd-ce", "apgd-t", "fab-t", "square"]


def at(name: str, **fields: Any) -> Column:
    told = {"holds": "classes", "attack": "pgd-20", "norm": "linf", "eps": 0.1, "asked": "pgd-20"}
    return Column(name=name, **(told | fields))


IMPOSSIBLE: dict[str, Sequence[Column]] = {
    "one name twice": [at("a"), at("a", eps=0.2)],
    "a part of nothing": [at("a", whole="b", member="c")],
    "a part of a part": [at("a"), at("b", whole="a", member="x"), at("c", whole="b", member="y")],
    "a part of another attack": [at("a"), at("b", whole="a", member="x", attack="fgsm")],
    "after nothing": [at("a", after="b")],
    "a part at another budget": [at("a"), at("b", whole="a", member="x", eps=0.2)],
    "a part that ran otherwise": [at("a"), at("b", whole="a", member="x", asked="pgd-20@0.1")],
    "after another attack": [at("a", attack="fgsm"), at("b", after="a")],
    "norms alone": [at("a", holds="norms")],
    "a member alone": [at("a", member="x")],
}


@pytest.mark.parametrize("columns", IMPOSSIBLE.values(), ids=IMPOSSIBLE)
def test_columns_that_cannot_be_are_refused(columns: Sequence[Column]) -> None:
    with pytest.raises(ValueError, match="column"):
        Columns(tuple(columns))


def test_columns_that_follow_one_another_in_a_circle_have_an_end() -> None:
    circle = Columns((at("a", after="b"), at("b", after="a")))
    assert [column.name for column in circle.before(circle.everything[0])] == ["b", "a"]


EDITS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "scores of no column": lambda stored: stored["columns"].pop(),
    "two of one name": lambda stored: stored["columns"].append(stored["columns"][0]),
    "a budget below zero": lambda stored: stored["columns"][1].update(eps=-1.0),
    "holding what nothing holds": lambda stored: stored["columns"][1].update(holds="secrets"),
    "a part of what is not there": lambda stored: stored["columns"][1].update(whole="x"),
    "words": lambda stored: stored.update(columns="pgd-20"),
    "settings that are not there": lambda stored: stored["columns"][1].update(asked="nope"),
    "another attack's settings": lambda stored: stored["columns"][1].update(asked="clean"),
    "no settings at all": lambda stored: stored.update(settings={}),
}


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS)
def test_an_evaluation_with_impossible_columns_is_named_as_damaged(store, edit) -> None:
    run = make_run(store, "a")
    made = evaluate(run, COUNTS, 100, epoch=1, created="2026-01-01T00:00:00+00:00")
    file = run.path / "evaluations" / made.id / "evaluation.json"
    described = dataclasses.replace(
        made, columns=columns_of(run, made).everything, settings={"clean": {}, **made.settings}
    )
    file.write_text(described.to_json())
    assert list_evaluations(run).found == (described,)
    stored = json.loads(described.to_json())
    edit(stored)
    file.write_text(json.dumps(stored))
    listed = list_evaluations(run)
    assert listed.found == ()
    assert len(listed.problems) == 1


def test_settings_of_equal_attacks_at_two_budgets_are_told_apart(store) -> None:
    run = make_run(store, "a")
    made = evaluate(run, COUNTS, 100, epoch=1, created="2026-01-01T00:00:00+00:00")
    described = dataclasses.replace(
        made, columns=columns_of(run, made).everything, settings={"clean": {}, **made.settings}
    )
    for evaluation in (made, described):
        assert [dict(settings_of(evaluation, row)) for row in evaluation.scores] == [
            dict(made.settings.get(row.attack, {})) for row in made.scores
        ]
