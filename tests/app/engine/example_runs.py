"""Runs of the example store, found by their names."""

from app.engine import snapshots


def run_called(start):
    return next(run for run in snapshots.runs() if run.name.startswith(start))
