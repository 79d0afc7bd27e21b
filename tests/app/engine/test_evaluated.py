"""Test results as tables, in the contracted columns; what cannot be read is named."""

from app.engine import evaluated, snapshots
from cfa.tables.frames import PER_CLASS_COLUMNS, SUMMARY_COLUMNS


def test_a_broken_evaluation_is_a_problem_of_its_run_alone(own_home):
    runs = [run for run in snapshots.usable_runs() if run.method in ("trades", "pgd-at")]
    broken = next((runs[0].folder.path / "evaluations").glob("*/evaluation.json"))
    broken.write_text("{", encoding="utf-8")
    results = evaluated.results(runs)
    (problem,) = results.problems
    assert broken.parent.name in problem
    assert runs[1].id in set(results.per_class["run_id"])


def test_results_have_the_contracted_columns_in_order(example_home):
    results = evaluated.results(snapshots.usable_runs())
    assert list(results.per_class.columns) == PER_CLASS_COLUMNS
    assert list(results.summary.columns) == SUMMARY_COLUMNS
    assert list(evaluated.results([]).per_class.columns) == PER_CLASS_COLUMNS
