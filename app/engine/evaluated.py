"""Test results of runs: what counts of their evaluations as tables, and what they carry in words."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
import streamlit as st

from app.engine.described import WORST_ON_VALIDATION, reported_kind
from app.engine.snapshots import Run, find_run, usable_runs
from app.process.opened import folder_at, index
from app.process.rights import looks
from app.process.stamps import Stamped, evaluations_stamp, stamped
from app.tables import ComparedRun, Condition
from cfa.errors import ConfigError, StoreError
from cfa.evaluation import default_weights
from cfa.methods import display_name
from cfa.runs.choice import Measured, chosen, left_out, of_present_weights, told_apart
from cfa.runs.evaluations import Evaluation as Evaluation
from cfa.runs.evaluations import list_evaluations, read_evaluations
from cfa.runs.folder import RunFolder
from cfa.tables.comparison import compare
from cfa.tables.comparison import on_common_images as said_of_common_images
from cfa.tables.frames import (
    add_group_means,
    clean_frame,
    fairness_frame,
    measured_frame,
    summary_frame,
    with_rho,
)
from cfa.tables.headings import Heading
from cfa.tables.leaderboard import leaderboard as make_leaderboard
from cfa.tables.leaderboard import pareto_front as front_of
from cfa.tables.papers import all_published
from cfa.tables.places import places as places_of
from cfa.tables.seeds import DistinctSeeds as DistinctSeeds
from cfa.tables.seeds import common_weights, distinct_seeds
from cfa.tables.statements import Statement
from cfa.tables.statements import statements as say

# --- evaluations ----------------------------------------------------------------------------------


@looks
def evaluations(run: Run) -> list[Evaluation]:
    """List a run's evaluations, newest first; cached until there is another.

    Raises:
        StoreError: One of them cannot be read.
    """
    return _evaluations(str(run.folder.path), evaluations_stamp(run.folder))


@st.cache_resource(max_entries=500, show_spinner=False)
def _evaluations(path: str, stamp: str) -> list[Evaluation]:
    return list(reversed(read_evaluations(folder_at(path))))


@looks
def own_weights(run: Run) -> str:
    """Say which weights a run is reported with: FAWA for CFA if its gate ever opened, else online."""
    return reported_kind(run.folder)


@looks
def common_own_weights(runs: Sequence[Run]) -> str:
    """Say which weights several runs of a method are reported with: online where they do not agree."""
    return common_weights([run.folder for run in runs], reported_kind)


@looks
def reported_title(members: Sequence[ComparedRun]) -> str:
    """Name runs' method with the weights they are reported with: "TRADES + CFA" where gates opened."""
    runs = [run for member in members if (run := find_run(member.run_id)) is not None]
    return display_name(members[0].method, common_own_weights(runs))


@looks
def of_old_weights(run: Run) -> frozenset[str]:
    """Name the evaluations of weights that a run no longer has; they are in no table.

    Raises:
        StoreError: One of its evaluations cannot be read.
    """
    return _of_old_weights(str(run.folder.path), evaluations_stamp(run.folder))


@st.cache_resource(max_entries=500, show_spinner=False)
def _of_old_weights(path: str, stamp: str) -> frozenset[str]:
    found = _evaluations(path, stamp)
    present = of_present_weights(folder_at(path), found[::-1])
    return frozenset(e.id for e in found) - {e.id for e in present}


@looks
def evaluated_runs() -> list[Run]:
    """List the runs that have evaluations, newest first."""
    return [run for run in usable_runs() if _is_evaluated(run.folder)]


def _is_evaluated(folder: RunFolder) -> bool:
    return any(any(place.glob("*/evaluation.json")) for place in folder.evaluation_places)


# --- tables ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Results:
    """Test results of some runs.

    Attributes:
        per_class: In the contracted columns, as is ``summary``.
        summary: One row per run, weights and attack.
        grouped: The summary with the means over head, medium and tail classes, where a run has a long tail.
        clean: Beside each row of ``per_class``, the clean accuracy on the same images.
        left_out: Sentences about evaluations that are in none of the tables.
        problems: Names what could not be read.
        measured: The counts behind the rows.
    """

    per_class: pd.DataFrame
    summary: pd.DataFrame
    grouped: pd.DataFrame
    clean: pd.DataFrame
    left_out: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    measured: tuple[Measured, ...] = ()


@looks
def results(runs: Sequence[Run]) -> Results:
    """Return the test results that count of some runs, in their order; cached until one is evaluated."""
    return _results(stamped(runs))


@st.cache_resource(max_entries=50, show_spinner=False)
def _results(runs: Stamped) -> Results:
    measured, said, problems = list[Measured](), list[str](), list[str]()
    for path, stamp in runs:
        try:
            of_run = _chosen(path, stamp)
        except StoreError as error:
            problems.append(str(error))
            continue
        problems += list_evaluations(folder_at(path)).problems
        measured += of_run.measured
        said += of_run.left_out
    measured = told_apart(measured)
    per_class = measured_frame(measured)
    summary = summary_frame(per_class)
    groups = {folder.id: folder.class_groups for path, _ in runs if (folder := folder_at(path))}
    return Results(
        per_class,
        summary,
        add_group_means(summary, per_class, groups),
        clean_frame(measured),
        tuple(said),
        tuple(problems),
        tuple(measured),
    )


@dataclass(frozen=True)
class _Chosen:
    """What counts of a run's evaluations, and what is said of the others."""

    measured: list[Measured]
    left_out: list[str]


@st.cache_resource(max_entries=500, show_spinner=False)
def _chosen(path: str, stamp: str) -> _Chosen:
    folder = folder_at(path)
    return _Chosen(chosen(folder), left_out(folder))


@looks
def averaged(summary: pd.DataFrame, experiments: Mapping[str, str]) -> DistinctSeeds:
    """Say which rows of a summary may be averaged over seeds, which may not, and why.

    Args:
        summary: One row per run, weights and attack.
        experiments: By run id, what is equal for runs that are averaged.
    """
    return distinct_seeds(summary, experiments)


@looks
def findings(runs: Sequence[Run]) -> list[str]:
    """Say what a reader must know about how these runs were made."""
    return [f"{run.name}: {mark}" for run in runs for mark in run.folder.config.marks()]


@looks
def fairness(runs: Sequence[Run], against: Mapping[str, Sequence[str]]) -> pd.DataFrame:
    """Return the fairness metrics of some runs' test results.

    Args:
        runs: The runs.
        against: By run id, the ids of the runs that its rho is against.
    """
    return with_rho(_fairness(stamped(runs)), results(runs).per_class, against)


@st.cache_resource(max_entries=50, show_spinner=False)
def _fairness(runs: Stamped) -> pd.DataFrame:
    found = _results(runs)
    folders = {folder.id: folder for path, _ in runs if (folder := folder_at(path))}
    worst = dict(zip(folders, index().values(WORST_ON_VALIDATION, [*folders.values()]), strict=True))
    return fairness_frame(found.per_class, (), folders, found.clean, lambda run: worst[run.id].by_weights)


@looks
def leaderboard() -> pd.DataFrame:
    """Return our results and published ones, columns as `cfa.tables.leaderboard` has them, and ``own``.

    ``own`` says whether a row is of the weights that its method is reported with; published ones are.
    """
    return _leaderboard(stamped(usable_runs()))


@st.cache_resource(max_entries=5, show_spinner=False)
def _leaderboard(runs: Stamped) -> pd.DataFrame:
    readable = []
    for path, stamp in runs:
        try:
            _chosen(path, stamp)
        except StoreError:  # Runs and Evaluate say what is wrong with it
            continue
        readable.append(folder_at(path))
    board = make_leaderboard(readable, all_published(), display_name)
    folders = {folder.id: folder for folder in readable}
    reported = [
        common_weights([folders[run_id] for run_id in ids.split()], reported_kind) if ids else weights
        for ids, weights in zip(board["run_ids"], board["weights"], strict=True)
    ]
    return board.assign(
        own=[kind in (own, "file") for kind, own in zip(board["weights"], reported, strict=True)]
    )


pareto_front = looks(front_of)
places = looks(places_of)


@looks
def own_datasets(datasets: Sequence[str]) -> list[str]:
    """List those of some data sets that runs are on: the user's own, newest first, before those that ship."""
    runs = [run for run in usable_runs() if run.dataset in datasets]
    return list(dict.fromkeys(run.dataset for run in sorted(runs, key=lambda run: run.read_only)))


# --- in words -------------------------------------------------------------------------------------


@looks
def pairs(baseline: Run, other: Run) -> list[dict[str, Any]]:
    """Compare two runs: entries as `cfa.tables.comparison` has them; none where they share no evaluation."""
    return _pairs(stamped([baseline, other]))


@st.cache_resource(max_entries=200, show_spinner=False)
def _pairs(runs: Stamped) -> list[dict[str, Any]]:
    base, other = (folder_at(path) for path, _ in runs)
    try:
        return list(compare([base, other], base, default_weights).entries)
    except ConfigError:
        return []


@looks
def on_common_images(entry: Mapping[str, Any]) -> str:
    """Say what two runs have on the images that both have; empty where each has just those."""
    return said_of_common_images(entry)


@looks
def statements(baseline: Sequence[Run], others: Sequence[Run], condition: Condition) -> list[Statement]:
    """Say what is certain about the difference of two runs, or of two methods with several seeds each.

    Args:
        baseline: The runs of the baseline: one, or its seeds.
        others: The runs that are compared with it, likewise.
        condition: What was measured.
    """
    wanted = Heading(condition.dataset, condition.attack, condition.norm, condition.eps)
    return [
        said for said in _statements(stamped([*baseline, *others]), len(baseline)) if said.heading == wanted
    ]


@st.cache_resource(max_entries=200, show_spinner=False)
def _statements(runs: Stamped, of_baseline: int) -> list[Statement]:
    folders = [folder_at(path) for path, _ in runs]
    return say(folders[:of_baseline], folders[of_baseline:], default_weights)
