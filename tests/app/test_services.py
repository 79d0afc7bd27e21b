"""The door to the engine: snapshots, broken files, and what buttons do."""

import io
import shutil
import zipfile

import numpy as np
import pandas as pd
import pytest

from app import services
from app.outcomes import NOT_RUN
from cfa.errors import CfaError, ConfigError, StoreError
from cfa.runs.evaluations import outcomes_file, save_columns
from cfa.tables.frames import PER_CLASS_COLUMNS, SUMMARY_COLUMNS


def run_called(start):
    return next(run for run in services.runs() if run.name.startswith(start))


def test_states_of_runs(example_home):
    states = {run.method: run.state for run in services.runs()}
    assert states["trades-cfa"] == "finished"
    assert states["fat"] == "failed"
    assert states["trades-ccm"] == "interrupted"  # it says running, and nobody holds its lock


def test_a_run_with_a_running_job_is_running(own_home):
    run = run_called("trades-ccm")
    services.queue().submit("train", {}, "train it", run_id=run.id)
    services.queue().claim("cpu")
    services.forget_snapshots()
    assert run_called("trades-ccm").state == "running"


def test_a_broken_run_is_listed_with_its_problem_and_spares_the_others(own_home):
    broken = run_called("fat")
    (broken.folder.path / "config.json").write_text("{", encoding="utf-8")
    services.forget_snapshots()
    listed = {run.id: run for run in services.runs()}
    assert listed[broken.id].state == "unreadable"
    assert "config.json" in listed[broken.id].problem
    assert broken.id not in {run.id for run in services.usable_runs()}
    assert len(services.usable_runs()) == len(listed) - 1


def test_a_broken_evaluation_is_a_problem_of_its_run_alone(own_home):
    runs = [run for run in services.usable_runs() if run.method in ("trades", "pgd-at")]
    broken = next((runs[0].folder.path / "evaluations").glob("*/evaluation.json"))
    broken.write_text("{", encoding="utf-8")
    results = services.results(runs)
    (problem,) = results.problems
    assert broken.parent.name in problem
    assert runs[1].id in set(results.per_class["run_id"])


def test_results_have_the_contracted_columns_in_order(example_home):
    results = services.results(services.usable_runs())
    assert list(results.per_class.columns) == PER_CLASS_COLUMNS
    assert list(results.summary.columns) == SUMMARY_COLUMNS
    assert list(services.results([]).per_class.columns) == PER_CLASS_COLUMNS


def test_an_added_epoch_is_seen(own_home):
    run = run_called("trades-ccm")
    before = len(services.epochs(run))
    lines = run.folder.history_file.read_text(encoding="utf-8").splitlines(keepends=True)
    again = [line.replace('"epoch":5', '"epoch":6') for line in lines if '"epoch":5,' in line]
    with run.folder.history_file.open("a", encoding="utf-8") as file:
        file.writelines(again)
    assert len(services.epochs(run)) == before + 1


def test_renaming_is_seen_at_once_and_a_taken_name_is_refused(own_home):
    run = run_called("trades-cfa")
    services.relabel(run, " my best ", ["a", "b"], "a note")
    renamed = services.find_run("my best")
    assert (renamed.id, renamed.tags, renamed.notes) == (run.id, ("a", "b"), "a note")
    assert set(services.results([renamed]).per_class["run_name"]) == {"my best"}
    with pytest.raises(ConfigError, match="taken"):
        services.relabel(run_called("pgd-at"), "my best", [], "")


def test_a_run_with_a_job_is_not_deleted(own_home):
    run = run_called("trades-ccm")
    job = services.queue().submit("train", {}, "train it", run_id=run.id)
    services.forget_snapshots()
    with pytest.raises(ConfigError, match="cancel"):
        services.delete_runs([run])
    services.cancel(job.id)
    services.delete_runs([run])
    assert services.find_run(run.id) is None
    assert not run.folder.path.exists()


def test_export_holds_the_folder_whole_and_the_five_tables(example_home):
    run = run_called("trades-cfa")
    with zipfile.ZipFile(io.BytesIO(services.export_zip([run]))) as archive:
        names = set(archive.namelist())
        assert {f"{name}.csv" for name in ("per_class", "summary", "history", "knobs", "epochs")} <= names
        assert f"runs/{run.id}/config.json" in names
        with archive.open("per_class.csv") as file:
            exported = pd.read_csv(file)
    assert list(exported.columns) == PER_CLASS_COLUMNS
    assert exported["correct"].tolist() == services.results([run]).per_class["correct"].tolist()


@pytest.mark.parametrize("linked", ["file", "folder", "run"])
def test_downloads_do_not_follow_links(own_home, tmp_path, linked):
    run = run_called("trades-cfa")
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "best-fawa.safetensors").write_text("SECRET")
    file = run.folder.weights_file("fawa", "best")
    assert services.weights_bytes(run, "fawa", "best") == file.read_bytes()
    assert not services.is_link(run, "fawa", "best")
    place = {"file": file, "folder": file.parent, "run": run.folder.path}[linked]
    if linked == "file":
        place.unlink()
        place.symlink_to(secret / file.name)
    elif linked == "folder":
        shutil.rmtree(place)
        place.symlink_to(secret)
    else:
        place.symlink_to(shutil.move(place, secret / "run"))
    with pytest.raises(StoreError, match="link"):
        services.weights_bytes(run, "fawa", "best")
    assert services.is_link(run, "fawa", "best")
    if linked == "run":
        with pytest.raises(ConfigError, match="is a link"):
            services.export_zip([run])
    else:
        assert b"SECRET" not in services.export_zip([run])


def test_a_log_that_is_a_link_is_not_shown(own_home, tmp_path):
    run = run_called("trades-cfa")
    run.folder.log_file.write_text("a line\n")
    assert services.run_log(run) == "a line"
    run.folder.log_file.unlink()
    (tmp_path / "id_rsa").write_text("SECRET")
    run.folder.log_file.symlink_to(tmp_path / "id_rsa")
    assert services.run_log(run) == ""


UPLOADS = {
    "../../evil.safetensors": "evil",
    "/etc/passwd": "passwd",
    "C:\\somewhere\\mine.pt": "mine",
    "..": "weights",
    "...": "weights",
    "": "weights",
    "a\0b.pt": "a-b",
    "\x1b[2J.pt": "2J",
    "=cmd|x.pt": "cmd-x",
    "![](x).pt": "x",
    "a\nb.pt": "a-b",
    "a:b.pt": "a-b",
    "猫" * 300 + ".pt": "猫" * 57,
}


@pytest.mark.parametrize(("sent", "name"), UPLOADS.items(), ids=[repr(sent)[:20] for sent in UPLOADS])
def test_the_name_of_an_upload_leads_nowhere(own_home, tmp_path, monkeypatch, sent, name):
    scratch = tmp_path / "scratch" / "deep"
    scratch.mkdir(parents=True)
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    content = run_called("trades-cfa").folder.weights_file("fawa", "best").read_bytes()
    made = services.add_uploaded_model(sent, content, "fashion-mnist-mini", "small-cnn", "none", "")
    assert made.name == name
    assert list((tmp_path / "scratch").iterdir()) == [scratch]
    assert list(scratch.iterdir()) == []
    assert made.path.parent == services.store().runs_folder
    with pytest.raises(CfaError) as raised:
        services.add_uploaded_model(sent, b"garbage", "fashion-mnist-mini", "small-cnn", "none", "")
    assert str(scratch) not in str(raised.value)
    assert str(raised.value).isprintable()


def test_the_demo_is_one_chain_that_can_be_found_again(empty_home, monkeypatch):
    assert services.demo_jobs() == []
    monkeypatch.setenv("CFA_DEMO_SETTINGS", "train.epochs=1 data.val_fraction=0.2")
    services.start_demo()
    chain = services.demo_jobs()
    assert [job.kind for job in chain] == ["train"] * 4 + ["compare"]
    configs = [services.find_run(job.run_id).folder.config for job in chain[:4]]
    assert [config.method for config in configs] == ["pgd-at", "pgd-at-cfa", "trades", "trades-cfa"]
    assert {(config.train.epochs, config.data.val_fraction) for config in configs} == {(1, 0.2)}
    services.start_demo()
    assert {job.id for job in services.demo_jobs()}.isdisjoint(job.id for job in chain)


def test_several_runs_share_a_name_with_numbers(empty_home):
    configs = [services.configure("pgd-at", "fashion-mnist-mini", seed=seed) for seed in (0, 1)]
    services.start_training(configs, "pair", None)
    assert {run.name for run in services.runs()} == {"pair-1", "pair-2"}
    assert [job.kind for job in services.jobs()] == ["train", "train"]
    more = [services.configure("trades", "fashion-mnist-mini", seed=seed) for seed in (0, 1, 2)]
    services.start_training(more[:1], "three-2", None)
    with pytest.raises(services.ConfigError, match="'three-2' is taken"):
        services.start_training(more, "three", None)
    assert {run.name for run in services.runs()} == {"pair-1", "pair-2", "three-2"}


@pytest.mark.parametrize(
    ("weights", "checkpoint", "expected"),
    [
        (("auto",), "best", ["fawa"]),
        (("auto", "fawa"), "best", ["fawa"]),
        (("online", "ema"), "last", ["online", "ema"]),
        (("file",), "best", []),
    ],
)
def test_evaluations_are_planned_for_weights_that_were_kept(example_home, weights, checkpoint, expected):
    request = services.EvaluationRequest(
        weights=weights, checkpoint=checkpoint, attacks=("clean", "pgd-20"), eps=None, limit=None, seed=0
    )
    planned = services.planned_evaluations([run_called("trades-cfa")], request)
    assert [kind for _, kind in planned] == expected


def test_evaluations_take_each_runs_own_eps_unless_told_otherwise(own_home):
    run = run_called("trades-cfa")
    for eps, expected in ((None, run.folder.config.attack.eps), (0.01, 0.01)):
        request = services.EvaluationRequest(
            weights=("auto",), checkpoint="best", attacks=("pgd-10",), eps=eps, limit=100, seed=0
        )
        (job,) = services.start_evaluations([run], request, None)
        assert job.spec["plan"]["eps"] == pytest.approx(expected)
        assert job.spec["plan"]["limit"] == 100


def test_jobs_are_named_in_what_others_wait_for(empty_home):
    first = services.queue().submit("train", {}, "train first")
    services.queue().submit("compare", {}, "compare", after=[first.id])
    services.cancel(first.id)
    waiting = next(job for job in services.jobs() if job.kind == "compare")
    assert "'train first'" in services.job_message(waiting)
    assert first.id not in services.job_message(waiting)


def test_moving_pausing_and_resuming_reach_the_queue(empty_home):
    first, second = (services.queue().submit("train", {}, name) for name in ("first", "second"))
    services.move(second.id, "up")
    assert [job.title for job in services.jobs()] == ["second", "first"]
    services.pause(first.id)
    assert services.queue().get(first.id).state == "paused"
    services.resume(first.id)
    services.set_device(first.id, "cpu")
    assert (services.queue().get(first.id).state, services.queue().get(first.id).device) == ("queued", "cpu")
    services.cancel(first.id)
    services.remove(first.id)
    assert [job.title for job in services.jobs()] == ["second"]


def test_external_weights_have_no_preset_to_differ_from(example_home):
    config = services.RunConfig(method="external", dataset="d", model="m", preset="external")
    assert services.config_differences(config) == {}
    assert services.method_title("external") == "external"


def test_a_member_that_was_run_on_no_image_of_a_class_has_scores(own_home):
    """What earlier members broke is left to no later one: a class may have no image left."""
    every = [
        services.outcomes(run, evaluation)
        for run in services.usable_runs()
        for evaluation in services.evaluations(run)
        if outcomes_file(run.folder, evaluation.id).exists()
    ]
    found, member = next((one, column) for one in every for column in one.columns if column.parent)
    table = dict(found.index.outcomes)
    table[member.name] = np.where(table["label"] == 0, np.int16(NOT_RUN), table[member.name])
    save_columns(outcomes_file(found.run.folder, found.evaluation.id), table)
    rows = services.outcomes(found.run, found.evaluation).scores([member])
    assert rows["total"].iloc[0] == 0
    assert np.isnan(rows["accuracy"].iloc[0])
    ran = (table["label"] != 0) & (table[member.name] != NOT_RUN)
    assert rows["total"].sum() == ran.sum() > 0
