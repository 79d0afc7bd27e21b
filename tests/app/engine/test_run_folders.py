"""A run's label, log and end."""

import pytest

from app.engine import evaluated, job_queue, run_folders, snapshots
from app.process import opened
from cfa.errors import ConfigError
from cfa.jobs.kinds.train_run import TrainRun
from tests.app.engine.example_runs import run_called


def test_renaming_is_seen_at_once_and_a_taken_name_is_refused(own_home):
    run = run_called("trades-cfa")
    run_folders.relabel(run, " my best ", ["a", "b"], "a note")
    renamed = snapshots.find_run("my best")
    assert (renamed.id, renamed.tags, renamed.notes) == (run.id, ("a", "b"), "a note")
    assert set(evaluated.results([renamed]).per_class["run_name"]) == {"my best"}
    with pytest.raises(ConfigError, match="taken"):
        run_folders.relabel(run_called("pgd-at"), "my best", [], "")


def test_a_run_with_a_job_is_not_deleted(own_home):
    run = run_called("trades-ccm")
    job = opened.queue().submit(TrainRun(), "train it", run_id=run.id)
    snapshots.forget_snapshots()
    with pytest.raises(ConfigError, match="cancel"):
        run_folders.delete_runs([run])
    job_queue.act_on("cancel", [job.id])
    run_folders.delete_runs([run])
    assert snapshots.find_run(run.id) is None
    assert not run.folder.path.exists()


def test_a_log_that_is_a_link_is_not_shown(own_home, tmp_path):
    run = run_called("trades-cfa")
    run.folder.log_file.write_text("a line\n")
    assert run_folders.run_log(run) == "a line"
    run.folder.log_file.unlink()
    (tmp_path / "id_rsa").write_text("SECRET")
    run.folder.log_file.symlink_to(tmp_path / "id_rsa")
    assert run_folders.run_log(run) == ""
