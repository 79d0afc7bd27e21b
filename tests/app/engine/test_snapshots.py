"""Runs and jobs as all pages see them, broken ones included."""

import streamlit as st
from filelock import FileLock

import cfa.runs.folder
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


def test_a_refresh_reads_what_has_changed_and_nothing_else(own_home, monkeypatch):
    monkeypatch.setattr("cfa.runs.index.LONG_AGO", -1.0)  # as if every file had been written long ago
    before = snapshots.runs()
    read, read_stored = [], cfa.runs.folder.read_stored
    monkeypatch.setattr(
        "cfa.runs.folder.read_stored", lambda path, *rest: read.append(path) or read_stored(path, *rest)
    )

    def refreshed():
        read.clear()
        snapshots.forget_snapshots()
        return snapshots.runs()

    assert refreshed() == before
    assert read == []
    st.cache_resource.clear()  # as another process, which has what is kept on the disk
    assert refreshed() == before
    assert read == []
    changed = run_called("fat").folder
    changed.write_status("failed", 3, "it says something else")
    messages = {run.id: run.message for run in refreshed()}
    assert messages == {run.id: run.message for run in before} | {changed.id: "it says something else"}
    assert {path.parent for path in read} == {changed.path}


def test_a_run_that_is_trained_now_is_running_whatever_is_kept(own_home, monkeypatch):
    monkeypatch.setattr("cfa.runs.index.LONG_AGO", -1.0)
    run = run_called("trades-ccm")
    states = []
    with FileLock(run.folder.lock_file):
        snapshots.forget_snapshots()
        states.append(run_called("trades-ccm").state)
    snapshots.forget_snapshots()
    states.append(run_called("trades-ccm").state)
    assert states == ["running", "interrupted"]
