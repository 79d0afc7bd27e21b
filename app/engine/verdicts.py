"""What a comparison carries, and whether it may be made at all."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import streamlit as st

from app.engine.evaluated import Results, results
from app.engine.snapshots import Run
from app.process.rights import looks
from app.process.stamps import Stamped, stamped
from app.tables import Condition
from cfa.methods import known_method
from cfa.tables import comparability, verdict_words, verdicts
from cfa.tables.comparability import Unlike as Unlike
from cfa.tables.seeds import distinct_seeds
from cfa.tables.verdicts import Change as Change
from cfa.tables.verdicts import ClassChange as ClassChange
from cfa.tables.verdicts import PairVerdict as PairVerdict


@looks
def verdict(
    compared: Sequence[Run],
    run: Sequence[Run],
    baseline: Sequence[Run],
    measured: Condition,
    weights: tuple[str, str],
) -> PairVerdict | None:
    """Compare two methods over their seeds, or two networks.

    Args:
        compared: All runs that are on the page: what their evaluations are called depends on the others.
        run: One run, or the seeds of one experiment.
        baseline: What it is compared with, likewise.
        measured: What both were measured with.
        weights: The kinds of weights, of run and baseline.

    Returns:
        ``None`` where nothing can be said: one run against several seeds, other images, or not measured so.
    """
    ids = (tuple(one.id for one in run), tuple(one.id for one in baseline))
    return _verdict(results(compared), stamped(compared), *ids, dataclasses.astuple(measured), weights)


@st.cache_resource(max_entries=200, show_spinner=False)
def _verdict(
    _found: Results,  # what the stamps stand for
    compared: Stamped,
    run: tuple[str, ...],
    baseline: tuple[str, ...],
    heading: tuple[Any, ...],
    weights: tuple[str, str],
) -> PairVerdict | None:
    measured = Condition(*heading)
    experiments = dict.fromkeys(run, "run") | dict.fromkeys(baseline, "baseline")
    summary = measured.of(_found.summary)
    kept = distinct_seeds(summary[summary["run_id"].isin(experiments)], experiments)
    rows = kept.of(measured.of(_found.per_class))
    sides = [
        rows[rows["run_id"].isin(side) & (rows["weights"] == kind)]
        for side, kind in zip((run, baseline), weights, strict=True)
    ]
    alone = [side["run_id"].iloc[0] for side in sides if side["run_id"].nunique() == 1]
    if len(alone) == 2:
        pair = [
            next((one for one in _found.measured if one.row == (run_id, *_row(measured, kind))), None)
            for run_id, kind in zip(alone, weights, strict=True)
        ]
        return verdicts.verdict_of_runs(pair[0], pair[1]) if pair[0] and pair[1] else None
    return verdicts.verdict_over_seeds(sides[0], sides[1], weights)


def _row(measured: Condition, weights: str) -> tuple[object, ...]:
    """Name the row of a run in `cfa.runs.choice`, but for the run's id."""
    where = (measured.dataset, weights, measured.checkpoint, "test")
    return (*where, measured.attack, measured.norm, measured.eps)


@looks
def refusal(run: Sequence[Run], baseline: Sequence[Run]) -> str:
    """Say why two sides are not compared at all; empty where they are."""
    return comparability.refusal([one.protocol for one in run], [one.protocol for one in baseline])


@looks
def unlike(run: Sequence[Run], baseline: Sequence[Run]) -> list[Unlike]:
    """List what differs between two sides besides the method."""
    return comparability.unlike([one.protocol for one in run], [one.protocol for one in baseline])


@looks
def unlike_settings(run: Sequence[Run], baseline: Sequence[Run]) -> list[Unlike]:
    """List the settings of the method that both sides have and that differ."""
    return comparability.unlike_settings(run[0].folder.config, baseline[0].folder.config)


@looks
def compared_with(method: str) -> str:
    """Return the plain method that a method declares; its own name where it is one, or not known here."""
    found = known_method(method)
    return method if found is None else found.compared_with


first_line = looks(verdict_words.first_line)
figures = looks(verdict_words.figures)
power = looks(verdict_words.power)
basis = looks(verdict_words.basis)
change = looks(verdict_words.change)
