"""Trainings become jobs and runs with names."""

import pytest

from app.engine import errors, snapshots, training_jobs, training_settings


def test_several_runs_share_a_name_with_numbers(empty_home):
    configs = [training_settings.configure("pgd-at", "fashion-mnist-mini", seed=seed) for seed in (0, 1)]
    training_jobs.start_training(configs, "pair", None)
    assert {run.name for run in snapshots.runs()} == {"pair-1", "pair-2"}
    assert [job.kind for job in snapshots.jobs()] == ["train", "train"]
    more = [training_settings.configure("trades", "fashion-mnist-mini", seed=seed) for seed in (0, 1, 2)]
    training_jobs.start_training(more[:1], "three-2", None)
    with pytest.raises(errors.ConfigError, match="'three-2' is taken"):
        training_jobs.start_training(more, "three", None)
    assert {run.name for run in snapshots.runs()} == {"pair-1", "pair-2", "three-2"}
