"""Runs and evaluations of the example store that tests of pages ask for."""

from app.engine import evaluated, snapshots


def method(name):
    return next(run for run in snapshots.runs() if run.method == name and run.seed == 0)


def example_of(run, ending):
    return next(found for found in evaluated.evaluations(run) if found.id.endswith(ending))
