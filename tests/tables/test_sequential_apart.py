"""A sequential evaluation stands in for no other: every table, export and report is the same without it."""

import ast
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cfa.evaluation import default_weights
from cfa.methods import display_name
from cfa.runs.choice import chosen, clean_beside, left_out, measured
from cfa.runs.evaluations import list_evaluations, read_evaluations
from cfa.runs.folder import RunFolder
from cfa.runs.listed import fields_of, look_at, problems_of
from cfa.runs.sequential import SequentialEvaluation, read_sequential
from cfa.tables.comparison import compare, shared_scores
from cfa.tables.exports import export_runs
from cfa.tables.frames import clean_frame, fairness_frame, per_class_frame, summary_frame
from cfa.tables.fresh_evaluations import FreshEvaluations
from cfa.tables.leaderboard import leaderboard
from cfa.tables.statements import statements
from cfa.tables.stopped import stopped_documents, stopped_per_class, stopped_summary
from cfa.tables.trackers import scalars
from cfa.tables.verdicts import verdict_of_runs
from cfa.tables.written import TEXT, make_report, write_report
from tests.support.sequential import beside_each

PROJECT = Path(__file__).resolve().parents[2]
MAY_KNOW_OF_THEM = {
    "cfa.runs.sequential",
    "cfa.runs.imports",  # whether they are what their folder says
    "cfa.evaluation.until",  # makes them
    "cfa.jobs.made",  # hands them to whoever asked for one
    "cfa.tables.stopped",  # rows that say what they are
}


@pytest.fixture
def runs(make_run, evaluated) -> list[RunFolder]:
    found = []
    for method, gain in (("trades", 0), ("trades-cfa", 10)):
        for seed in (0, 1):
            run = make_run(f"{method}-s{seed}", method, seed=seed)
            counts = (50 + gain + seed, 40 + gain, 70 - seed)
            evaluated(run, {"clean": (90, 80, 95), "pgd-20": counts})
            evaluated(run, {"clean": (90, 80, 95), "autoattack": counts}, weights="ema")
            found.append(run)
    return found


def exported(runs: list[RunFolder], folder: Path) -> dict[str, bytes]:
    shutil.rmtree(folder, ignore_errors=True)
    export_runs(runs, folder)
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*.csv")}


def written(runs: list[RunFolder], folder: Path) -> dict[str, bytes]:
    folder.mkdir(exist_ok=True)
    report = make_report(runs, runs[0])
    files = {ending: folder / f"report{ending}" for ending in TEXT}
    for file in files.values():
        write_report(report, file)
    return {ending: file.read_bytes() for ending, file in files.items()}


def said_of(verdict: Any) -> str:
    """Write a value without the paths and times of objects in it."""
    return repr(verdict)


READERS: dict[str, Callable[[list[RunFolder], Path], Any]] = {
    "evaluations": lambda runs, _: [[one.id for one in read_evaluations(run)] for run in runs],
    "problems": lambda runs, _: ([list_evaluations(run).problems for run in runs], problems_of(runs)),
    "chosen": lambda runs, _: [[(m.row, m.scores) for m in chosen(run)] for run in runs],
    "clean beside": lambda runs, _: clean_beside(measured(runs)),
    "left out": lambda runs, _: [left_out(run) for run in runs],
    "listed": lambda runs, _: [{**fields_of(look_at(run)), "bytes": 0} for run in runs],
    "per class": lambda runs, _: per_class_frame(runs).to_csv(),
    "summary": lambda runs, _: summary_frame(per_class_frame(runs)).to_csv(),
    "clean": lambda runs, _: clean_frame(measured(runs)).to_csv(),
    "fairness": lambda runs, _: fairness_frame(
        per_class_frame(runs), (), {run.id: run for run in runs}, clean_frame(measured(runs))
    ).to_csv(),
    "shared": lambda runs, _: shared_scores(runs).to_csv(),
    "compared": lambda runs, _: said_of(compare(runs, runs[0], default_weights).entries),
    "statements": lambda runs, _: said_of(statements(runs[:2], runs[2:], default_weights)),
    "verdicts": lambda runs, _: [
        said_of(verdict_of_runs(replace(one, run=runs[2]), replace(other, run=runs[0])))
        for one, other in zip(chosen(runs[2]), chosen(runs[0]), strict=True)
    ],
    "leaderboard": lambda runs, _: leaderboard(runs, (), display_name).to_csv(),
    "exports": exported,
    "reports": written,
    "trackers": lambda runs, _: [[said_of(one) for one in scalars(run)] for run in runs],
}


@pytest.mark.parametrize("reader", READERS)
def test_no_reader_sees_that_there_is_one(reader: str, runs: list[RunFolder], tmp_path: Path) -> None:
    before = READERS[reader](runs, tmp_path / "out")
    assert before
    made = [one for run in runs for one in beside_each(run)]
    assert len(made) == sum(len(read_sequential(run)) for run in runs) == 8
    assert READERS[reader](runs, tmp_path / "out") == before


def test_what_would_be_seen_if_it_were_a_full_one(runs: list[RunFolder], tmp_path: Path) -> None:
    """The test above can fail: under the other name every reader takes it."""
    before = {name: read(runs, tmp_path / "out") for name, read in READERS.items()}
    for run in runs:
        for one in beside_each(run):
            file = run.path / "evaluations" / one.id / "sequential.json"
            file.with_name("evaluation.json").write_text(one.counted.to_json())
    blind = {name for name, read in READERS.items() if read(runs, tmp_path / "out") == before[name]}
    assert blind <= {"problems", "listed"}  # which name no figure


def test_runs_with_nothing_else_have_no_results(make_run, evaluated) -> None:
    runs = [make_run(name, name) for name in ("trades", "fat")]
    for run in runs:
        evaluated(run, {"clean": (9, 8, 9), "pgd-20": (5, 4, 7)})
        beside_each(run)
        (run.path / "evaluations" / read_evaluations(run)[0].id / "evaluation.json").unlink()
    assert len(per_class_frame(runs)) == len(leaderboard(runs, (), display_name)) == 0
    assert [len(read_sequential(run)) for run in runs] == [1, 1]


def test_no_other_module_knows_of_them() -> None:
    """Whoever reads evaluations gets `Evaluation`; the other type is in one place, and few look there."""
    knowing = set()
    for file in [*(PROJECT / "cfa").rglob("*.py"), *(PROJECT / "app").rglob("*.py")]:
        module = ".".join(file.relative_to(PROJECT).with_suffix("").parts)
        tree = ast.parse(file.read_text(encoding="utf-8"))
        imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        if "cfa.runs.sequential" in imported or "sequential.json" in file.read_text(encoding="utf-8"):
            knowing.add(module)
    assert knowing - {"cfa.runs.evaluations"} <= MAY_KNOW_OF_THEM  # which names the file


def test_where_it_is_shown_it_says_what_it_is(runs: list[RunFolder]) -> None:
    made: list[tuple[RunFolder, SequentialEvaluation]] = [(runs[0], one) for one in beside_each(runs[0])]
    titles = ["pgd-20 (sequential, 660 of 6,600 images)", "autoattack (sequential, 660 of 6,600 images)"]
    per_class, summary = stopped_per_class(made), stopped_summary(made)
    assert list(per_class["attack"].unique()) == list(summary["attack"]) == titles
    assert summary["mean_accuracy"].isna().all()
    assert summary["mean_ci_low"].isna().all()
    for block, (_, one) in zip([per_class[:3], per_class[3:]], made, strict=True):
        assert list(zip(block["ci_low"], block["ci_high"], strict=True)) == list(one.reached[0].classes)
    assert list(zip(summary["worst_ci_low"], summary["worst_ci_high"], strict=True)) == [
        one.reached[0].worst for _, one in made
    ]
    document = FreshEvaluations([], made).document()
    assert [row["attack"] for row in document["scores"]] == list(per_class["attack"])
    told = stopped_documents(made)[0]
    assert told["title"] == "sequential, 660 of 6,600 images"
    assert told["targets"] == {"worst": 0.03, "mean": None, "which": False, "alpha": 0.05}
    assert (told["permutation_seed"], told["images_of_each_class"]) == (0, [2200] * 3)
    assert "sequential" not in FreshEvaluations([(runs[0], read_evaluations(runs[0])[0])]).document()
