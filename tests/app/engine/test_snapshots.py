"""Runs and jobs as all pages see them, broken ones included."""

from app.engine import snapshots
from app.process import opened
from cfa.jobs.kinds.train_run import TrainRun
from tests.app.engine.example_runs import run_called


def test_states_of_runs(example_home):
    states = {run.method: run.state for run in snapshots.runs()}
    assert states["trades-cfa"] == "finished"
    assert states["fat"] == "failed"
    assert states["trades-ccm"] == "interrupted"  # it says running, and nobody holds its lock


def test_a_run_with_a_running_job_is_running(own_home):
    run = run_called("trades-ccm")
    opened.queue().submit(TrainRun(), "train it", run_id=run.id)
    opened.queue().claim("cpu")
    snapshots.forget_snapshots()
    assert run_called("trades-ccm").state == "running"


def test_a_broken_run_is_listed_with_its_problem_and_spares_the_others(own_home):
    broken = run_called("fat")
    (broken.folder.path / "config.json").write_text("{", encoding="utf-8")
    snapshots.forget_snapshots()
    listed = {run.id: run for run in snapshots.runs()}
    assert listed[broken.id].state == "unreadable"
    assert "config.json" in listed[broken.id].problem
    assert broken.id not in {run.id for run in snapshots.usable_runs()}
    assert len(snapshots.usable_runs()) == len(listed) - 1
