import json
import os
import re
import signal
import subprocess
import sys
import time

import pandas as pd
import pytest
import torch

from cfa.commands import COMMANDS
from cfa.config import RunConfig
from cfa.evaluation import SANITY
from cfa.jobs.job_folder import JobFolder
from cfa.jobs.kinds.train_run import TrainRun
from cfa.jobs.queue import Queue
from cfa.methods import settings_of
from cfa.models import load_weights
from cfa.runs.evaluations import read_evaluations
from cfa.runs.folder import Label
from cfa.runs.sequential import read_sequential
from cfa.runs.store import Store
from cfa.tables.frames import PER_CLASS_COLUMNS, SUMMARY_COLUMNS

pytestmark = pytest.mark.usefixtures("no_shipped_runs")

FAST = {
    "train.batch_size": "16",
    "attack.steps": "1",
    "attack.eps": "8/255",
    "data.val_fraction": "0.2",
    "averaging.gate": "mean",
    "averaging.start_epoch": "1",
    "averaging.threshold": "0",
}
SETTINGS = [part for name, value in FAST.items() for part in ("--set", f"{name}={value}")]


def fast_without(arguments: tuple[str, ...]) -> list[str]:
    """Return the fast settings but for those that are among some arguments: none is given twice."""
    given = {part.partition("=")[0] for part in arguments}
    return [part for n, v in FAST.items() if n not in given for part in ("--set", f"{n}={v}")]


@pytest.fixture
def train(cfa, tiny: str):
    def call(method: str = "trades-cfa", *arguments: str, code: int = 0):
        settings = [*fast_without(arguments), "--model", "small-cnn", "--preset", "demo"]
        if "--epochs" not in arguments:
            settings += ["--epochs", "1"]
        return cfa("train", "--method", method, "--dataset", tiny, *settings, *arguments, code=code)

    return call


def command_names() -> list[str]:
    return [name for name, listed in COMMANDS.items() if not listed.hidden and name != "suite"]


# Help and errors -------------------------------------------------------------------------------------------


def test_the_commands_are_those_of_the_design():
    expected = (
        "train evaluate compare export import runs jobs methods datasets models attacks cancel pause resume "
        "work prune estimate fetch"
    )
    assert set(command_names()) == set(expected.split())


@pytest.mark.parametrize("name", command_names())
def test_every_command_has_help_with_an_example_of_itself(name, cfa):
    text = cfa(name, "--help").stdout
    assert "--json" in text or name == "work"
    example = re.search(r"Example:\n +(cfa .*)", text)[1].split()
    assert example[:2] == ["cfa", name]
    options = [word for word in example if word.startswith("--")]
    assert all(option in text for option in options)


def test_listing_jobs_and_asking_for_help_need_no_torch(home):
    script = (
        "import sys; from typer.testing import CliRunner; from cfa.commands import app\n"
        "for words in (['--help'], ['train', '--help'], ['jobs'], ['runs']):\n"
        "    assert CliRunner().invoke(app, words).exit_code == 0\n"
        "print({'torch', 'pandas', 'streamlit'} & set(sys.modules))"
    )
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ended.stdout == "set()\n"


BAD_USAGE = [
    (["train", "--method", "tradez"], "did you mean 'trades'"),
    (["train", "--dataset", "fashion-mnist-midi"], "did you mean 'fashion-mnist-mini'"),
    (["train", "--dataset", "no_such.module:name"], "no_such"),
    (["train", "--model", "small-cn"], "did you mean 'small-cnn'"),
    (["train", "--preset", "papers"], "did you mean 'paper'"),
    (["train", "--set", "attack.epps=1"], "did you mean 'attack.eps'"),
    (["train", "--set", "attack.eps=1.5"], "attack.eps"),
    (["train", "--set", "attack.eps=0"], "attack.eps"),
    (["train", "--set", "attack.eps"], "KEY=VALUE"),
    (["train", "--seed", "one"], "--seed 'one'"),
    (["train", "--seed", "-1"], "seed=-1"),
    (["train", "--seed", "0,0,0"], "--seed '0,0,0' names seed 0 more than once"),
    (["train", "--seed", "0,1,2,1,0"], "names seed 0, 1 more than once"),
    (["train", "--init", "nowhere"], "unknown run 'nowhere'"),
    (["train", "--teacher", "nowhere"], "trades learns from no teacher"),
    (["train", "--device", "cuda:99"], "device 'cuda:99' is not here: PyTorch sees"),
    (["train", "--device", "gpu"], "unknown device 'gpu'"),
    (["train", "--set", "attack.eps=8"], "attack.eps='8' lies outside (0, 1]; did you mean 8/255?"),
    (["train", "--name", "../up"], "name '../up' is not usable"),
    (["evaluate", "nowhere", "--attack", "clean"], "unknown run 'nowhere'"),
    (["evaluate", "nowhere", "--attack", "pgf-20"], "unknown attack 'pgf-20'"),
    (["evaluate", "no.such:model", "--attack", "clean", "--eps", "2"], "did you mean 2/255?"),
    (["evaluate", "no.such:model", "--attack", "clean", "--eps", "x"], "eps='x'"),
    (["evaluate", "nowhere", "--attack", "clean", "--weights", "emma"], "did you mean 'ema'"),
    (["evaluate", "nowhere", "--attack", "clean", "--checkpoint", "first"], "'first'"),
    (["evaluate", "nowhere"], "--attack"),
    (["evaluate", "nowhere", "--attack", "clean", "--plan", "quick"], "--attack"),
    (["evaluate", "nowhere", "--plan", "quik"], "did you mean 'quick'"),
    (["evaluate", "nowhere", "--attack", "clean", "--mode", "quick"], "'quick'"),
    (["evaluate", "no.such:model", "--attack", "pgd-2", "--sweep", "2/255;4/255"], "--sweep '2/255;4/255'"),
    (["evaluate", "nowhere", "--attack", "pgd-2", "--transfer-from", "here"], "unknown run 'here'"),
    (["evaluate", "nowhere", "--attack", "pgd-2", "--norm", "l3"], "'l3'"),
    (["compare", "nowhere", "here"], "unknown run 'nowhere'"),
    (["compare", "nowhere", "here", "--out", "x.docx"], "x.docx"),
    (["export", "nowhere", "--out", "x"], "unknown run 'nowhere'"),
    (["import", "nowhere"], "holds no run"),
    (["cancel", "nowhere"], "unknown job or run 'nowhere'"),
    (["pause", "nowhere"], "unknown job or run 'nowhere'"),
    (["resume", "nowhere"], "unknown job or run 'nowhere'"),
    (["estimate", "--method", "tradez"], "did you mean 'trades'"),
]


@pytest.mark.parametrize(("arguments", "sentence"), BAD_USAGE, ids=lambda value: " ".join(value)[:60])
def test_bad_usage_is_one_sentence_and_leaves_nothing_behind(cfa, home, arguments, sentence):
    if arguments[0] in ("train", "estimate"):
        given = set(arguments)
        for option, value in (("--method", "trades"), ("--dataset", "fashion-mnist-mini")):
            arguments = arguments if option in given else [*arguments, option, value]
    result = cfa(*arguments, code=2)
    assert sentence in result.stderr
    assert result.stderr.startswith("error: ")
    assert len(result.stderr.splitlines()) == 1
    assert result.stdout == ""
    assert Store.open(home).runs() == []
    assert Queue(home).jobs() == []


@pytest.mark.parametrize(
    "arguments", [["train"], ["evaluate"], ["train", "--epochs", "0"], ["fly"], ["export", "x"]]
)
def test_missing_and_impossible_arguments_are_bad_usage(cfa, arguments):
    assert cfa(*arguments, code=2).stderr


def test_what_only_shows_when_it_runs_is_a_failure(train, home):
    result = train("trades", "--set", "train.batch_size=1000", code=1)
    assert result.stderr.splitlines()[-1].startswith(
        "error: train.batch_size=1000 exceeds the 96 training images"
    )
    (job,) = Queue(home).jobs()
    assert job.state == "failed"


# Training --------------------------------------------------------------------------------------------------


def test_train_in_the_foreground(train, cfa, home):
    document = train("trades-cfa", "--name", "my run", "--json")
    (run,) = Store.open(home).runs()
    assert document == {"run_id": run.id, "run_name": "my run", "status": "finished", "path": str(run.path)}
    assert {e.weights for e in read_evaluations(run)} == {"online", "ema", "fawa"}
    (job,) = cfa("jobs", "--json")
    assert (job["kind"], job["state"], job["foreground"], job["run_id"]) == ("train", "done", True, run.id)
    log = JobFolder.of(home, job["id"]).log_file.read_text()
    assert "epoch 1/1" in log
    (listed,) = cfa("runs", "--json")
    assert (listed["name"], listed["id"], listed["state"], listed["epoch"]) == (
        "my run",
        run.id,
        "finished",
        1,
    )
    assert listed["bytes"] == run.bytes_used()


def test_progress_is_on_stderr_and_the_result_on_stdout(train):
    result = train("trades", "--no-test")
    assert "epoch 1/1" in result.stderr
    assert "epoch 1/1" not in result.stdout
    assert "finished" in result.stdout


def test_lists_and_seeds_make_a_grid_of_runs(train, home):
    document = train(
        "trades-cfa",
        *("--set", "rule.lambda_eps=0.3,0.5", "--seed", "1,2", "--name", "grid", "--no-test", "--json"),
    )
    runs = Store.open(home).runs()
    assert [run["run_name"] for run in document["runs"]] == [f"grid-{i}" for i in range(1, 5)]
    assert sorted((run.config.seed, run.config.method_settings["lambda_eps"]) for run in runs) == [
        (1, 0.3),
        (1, 0.5),
        (2, 0.3),
        (2, 0.5),
    ]
    assert {run["status"] for run in document["runs"]} == {"finished"}


def test_a_name_that_is_taken_is_refused_before_anything_starts(train, home):
    train("trades", "--name", "grid-2", "--no-test")
    result = train("trades", "--name", "grid-2", code=2)
    assert "'grid-2' is taken" in result.stderr
    result = train("trades", "--name", "grid", "--seed", "0,1", code=2)
    assert "'grid-2' is taken" in result.stderr
    assert len(Store.open(home).runs()) == 1


def test_the_rest_of_a_grid_goes_on_after_a_failure(train, home):
    train("trades", "--set", "train.batch_size=1000,16", "--no-test", code=1)
    assert [run.status.state for run in Store.open(home).runs()] == ["failed", "finished"]


def test_init_is_stored_as_an_id(train, home):
    train("trades", "--name", "first", "--no-test")
    train("trades", "--name", "second", "--init", "first", "--no-test")
    store = Store.open(home)
    assert store.find("second").config.init == store.find("first").id


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_command_is_paused_and_resumed(home, tiny, number):
    command = [sys.executable, "-m", "cfa"]
    training = ["train", "--method", "trades", "--dataset", tiny, "--model", "small-cnn", "--preset", "demo"]
    settings = [*SETTINGS, "--epochs", "3000", "--name", "long", "--no-test"]
    process = subprocess.Popen([*command, *training, *settings], stderr=subprocess.PIPE, text=True)
    while not (runs := Store.open(home).runs()) or runs[0].status.epoch < 1:
        time.sleep(0.02)
        assert process.poll() is None
    process.send_signal(number)
    stderr = process.communicate(timeout=60)[1]
    (job,) = Queue(home).jobs()
    assert process.returncode == 1
    assert (job.state, job.message) == ("paused", f"stopped by {number.name}")
    assert f"cfa resume {job.id}" in stderr
    assert runs[0].status.state == "paused"
    epochs = runs[0].status.epoch
    # The rest would take too long: the run is made shorter, which resume does not mind.
    config = runs[0].config
    short = config.model_copy(update={"train": config.train.model_copy(update={"epochs": epochs + 1})})
    runs[0].write_config(short)
    ended = subprocess.run([*command, "resume", "long", "--json"], capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout)["status"] == "finished"
    assert Queue(home).get(job.id).state == "done"


def test_estimate(cfa, home):
    arguments = [
        "--method",
        "trades-cfa",
        "--dataset",
        "fashion-mnist-mini",
        "--seed",
        "0,1",
        "--epochs",
        "2",
    ]
    document = cfa("estimate", *arguments, "--json")
    assert len(document["runs"]) == 2
    assert document["seconds"] == pytest.approx(sum(run["seconds"] for run in document["runs"]))
    assert document["seconds"] > 0
    assert document["disk_bytes"] > 0
    assert cfa("estimate", *arguments).stdout.splitlines()[-1].startswith("all")
    assert Store.open(home).runs() == []


# Results ---------------------------------------------------------------------------------------------------


def test_evaluate_gives_the_scores_that_the_store_holds(train, cfa, home):
    train("trades-cfa", "--name", "a", "--no-test")
    document = cfa(
        *(
            "evaluate",
            "a",
            "--attack",
            "pgd-3",
            "--eps",
            "16/255",
            "--limit",
            "30",
            "--weights",
            "ema",
            "--json",
        )
    )
    assert list(document) == ["scores", "findings", "checks"]
    assert [list(row) for row in document["scores"]] == [PER_CLASS_COLUMNS] * 6
    (evaluation,) = read_evaluations(Store.open(home).find("a"))
    for attack, scores in zip(("clean", "pgd-3"), evaluation.scores, strict=True):
        rows = [row for row in document["scores"] if row["attack"] == attack]
        assert [row["correct"] for row in rows] == list(scores.correct)
        assert [row["class_name"] for row in rows] == ["ant", "bee", "cow"]
        assert {(row["weights"], row["total"], row["eps"]) for row in rows} == {("ema", 10, scores.eps)}
    assert evaluation.scores[1].eps == 16 / 255
    text = cfa("evaluate", "a", "--attack", "clean").stdout
    assert "%" in text
    assert "fawa" in text  # auto


def test_evaluate_until_it_is_certain_is_shown_as_that_and_stands_in_for_nothing(train, cfa, home):
    train("trades-cfa", "--name", "a", "--no-test")
    asked = ("evaluate", "a", "--attack", "pgd-3", "--until", "worst=0.3, which")
    document = cfa(*asked, "--json")
    assert list(document) == ["scores", "sequential", "findings", "checks"]
    assert [list(row) for row in document["scores"]] == [PER_CLASS_COLUMNS] * 3
    (told,) = document["sequential"]
    assert {row["attack"] for row in document["scores"]} == {told["attack"]} == {f"pgd-3 ({told['title']})"}
    assert (told["mean_accuracy"], told["targets"]["which"]) == (None, True)
    run = Store.open(home).find("a")
    assert read_evaluations(run) == []
    assert [one.id for one in read_sequential(run)] == [told["evaluation"]]
    assert "sequential, " in cfa(*asked).stdout
    refused = cfa(*asked[:4], "--until", "best=1", code=2)
    assert "--until 'best=1'" in refused.stderr


@pytest.mark.parametrize(
    ("name", "told"),
    [("cifar-10", "did you mean 'cifar10'"), (f"{'m' * 30_000}:run", "no job can ask for this: dataset")],
)
def test_an_evaluation_on_a_data_set_of_no_such_name_is_refused_before_it_waits(train, cfa, home, name, told):
    train("pgd-at", "--name", "a", "--queue")
    stderr = cfa("evaluate", "a", "--attack", "clean", "--queue", "--dataset", name, code=2).stderr
    assert told in stderr
    assert len(stderr) < 400
    assert [job.kind for job in Queue(home).jobs()] == ["train"]


@pytest.mark.parametrize(
    ("budget", "stored"),
    [(("--eps", "2"), 2.0), (("--eps", "8.0/255"), 8 / 255), (("--norm", "l2"), 0.5)],
    ids=["eps 2", "eps 8.0/255", "its own"],
)
def test_a_budget_is_judged_by_the_norm_of_the_run(train, cfa, home, budget, stored):
    train("trades", "--name", "l2", "--set", "attack.norm=l2", "--set", "attack.eps=0.5", "--queue")
    cfa("evaluate", "l2", "--attack", "pgd-2", *budget, "--queue")
    (job,) = [job for job in Queue(home).jobs() if job.kind == "evaluate"]
    assert (job.spec["plan"]["norm"], job.spec["plan"]["eps"]) == ("l2", stored)


def test_evaluate_by_a_plan_over_a_sweep_and_with_a_transfer(train, cfa, home):
    train("trades", "--name", "a", "--no-test")
    train("trades", "--name", "b", "--no-test")
    quick = cfa("evaluate", "a", "--plan", "quick", "--limit", "30", "--json")
    assert {row["attack"] for row in quick["scores"]} == {"clean", "pgd-20"}
    sweep = cfa("evaluate", "a", "--attack", "pgd-2", "--sweep", "2/255, 0.2", "--limit", "30", "--json")
    attacked = [row for row in sweep["scores"] if row["attack"] == "pgd-2"]
    assert [row["eps"] for row in attacked] == [2 / 255] * 3 + [0.2] * 3
    small, large = ([row["correct"] for row in attacked[at : at + 3]] for at in (0, 3))
    assert all(one >= other for one, other in zip(small, large, strict=True))
    transfer = cfa(*("evaluate", "a", "--attack", "pgd-2", "--transfer-from", "b", "--limit", "30", "--json"))
    assert {row["attack"] for row in transfer["scores"]} == {"clean", "pgd-2", "transfer"}
    plan = read_evaluations(Store.open(home).find("a"))[-1].plan
    assert plan["transfer_from"] == Store.open(home).find("b").id


def test_the_checklist_says_what_held(train, cfa):
    train("trades", "--name", "a", "--no-test")
    document = cfa("evaluate", "a", "--plan", "sanity", "--limit", "3", "--json")
    assert [check["name"] for check in document["checks"]] == [check.name for check in SANITY]
    assert [check["passed"] is None for check in document["checks"]] == [
        check.upper == "transfer" for check in SANITY
    ]


def test_evaluate_a_weights_file(train, cfa, home, tiny, tmp_path):
    train("trades", "--name", "a", "--no-test")
    weights = load_weights(Store.open(home).find("a").weights_file("online", "last"))
    file = tmp_path / "theirs.pt"
    torch.save(weights, file)
    result = cfa("evaluate", str(file), "--attack", "clean", code=2)
    assert "--dataset" in result.stderr
    arguments = ["--attack", "clean", "--dataset", tiny, "--model", "small-cnn", "--normalize", "dataset"]
    rows = cfa("evaluate", str(file), *arguments, "--json")["scores"]
    assert {(row["run_name"], row["weights"], row["checkpoint"]) for row in rows} == {
        ("theirs", "file", "file")
    }
    file.write_bytes(b"PK\x03\x04 no weights")
    assert "damaged" in cfa("evaluate", str(file), *arguments, code=1).stderr


def test_compare_takes_all_runs_with_a_tag(train, cfa, home):
    for method, name in (("trades", "a"), ("trades", "b"), ("pgd-at", "c")):
        train(method, "--name", name)
    store = Store.open(home)
    for name in "ab":
        store.relabel(store.find(name), Label(name, ("mine",), ""))
    document = cfa("compare", "--tag", "mine", "--json")
    assert {row["run_name"] for row in document["scores"]} == {"a", "b"}
    assert {entry["disagreements"] for entry in document["comparisons"]} == {0}  # equal seeds, equal runs
    assert {entry["mean_difference"] for entry in document["comparisons"]} == {0}
    named = cfa("compare", "c", "--tag", "mine", "--json")
    assert {entry["run"] for entry in named["comparisons"]} == {"a", "b"}  # the first named is the baseline
    failed = cfa("compare", "--tag", "nobody's", code=2)
    assert 'no run has the tag "nobody\'s"' in failed.stderr


def test_compare_export_and_import(train, cfa, home, tmp_path, monkeypatch):
    train("trades", "--name", "a")
    train("trades-cfa", "--name", "b")
    document = cfa("compare", "a", "b", "--out", str(tmp_path / "out.csv"), "--json")
    assert list(document) == ["scores", "comparisons"]
    kinds = {(e["baseline_weights"], e["weights"]) for e in document["comparisons"]}
    assert kinds == {("online", "online"), ("ema", "ema"), ("fawa", "fawa"), ("online", "fawa")}
    written = pd.read_csv(tmp_path / "out.csv")
    assert list(written.columns) == PER_CLASS_COLUMNS
    assert written["correct"].tolist() == [row["correct"] for row in document["scores"]]
    assert list(pd.read_csv(tmp_path / "out-summary.csv").columns) == SUMMARY_COLUMNS
    text = cfa("compare", "a", "b", "--baseline", "b").stdout
    assert "a (online)" in text
    assert "b (fawa)" in text
    folder = tmp_path / "export"
    assert len(cfa("export", "a", "b", "--out", str(folder), "--json")["runs"]) == 2
    monkeypatch.setenv("CFA_HOME", str(tmp_path / "elsewhere"))
    imported = cfa("import", str(folder), "--json")["imported"]
    assert {run["run_name"] for run in imported} == {"a", "b"}
    again = cfa("import", str(folder))
    assert again.stderr.count("skipped") == 2
    assert cfa("compare", "a", "b", "--json") == document


def test_runs_without_a_shared_evaluation_are_told_the_command(train, cfa):
    for name in "ab":
        train("trades", "--name", name, "--no-test")
    assert cfa("compare", "a", "b", code=2).stderr.strip().endswith("cfa evaluate a b --attack pgd-20")


# Lists -----------------------------------------------------------------------------------------------------


def test_methods_says_what_one_is_and_can_be_set_to(cfa):
    document, other = cfa("methods", "trades-cfa", "pgd-at", "--json")
    assert (document["compared_with"], document["reported_with"]) == ("trades", "fawa")
    settings = {one["name"]: one for one in document["settings"]}
    assert set(settings) == {name for name in settings_of(["trades-cfa"]) if name.startswith("method.")}
    assert settings["method.beta"]["needed"]
    assert settings["method.warmup_epochs"]["default"] == 10
    assert other["settings"] == []
    text = cfa("methods", "trades-cfa").stdout
    assert all(f"{name} " in text and one["meaning"] in text for name, one in settings.items())
    assert "did you mean 'trades'" in cfa("methods", "trade", code=2).stderr


@pytest.mark.parametrize(
    ("name", "some"),
    [
        ("methods", {"pgd-at", "trades", "fat", "trades-cfa"}),
        ("datasets", {"fashion-mnist-mini", "fashion-mnist"}),
        ("models", {"small-cnn", "preact-resnet18"}),
        ("attacks", {"clean", "pgd-20"}),
    ],
)
def test_lists(cfa, name, some):
    documents = cfa(name, "--json")
    assert some <= {document["name"] for document in documents}
    text = cfa(name).stdout
    assert all(item in text for item in some)


@pytest.mark.parametrize("name", ["runs", "jobs"])
def test_empty_lists(cfa, name):
    assert cfa(name, "--json") == []
    assert cfa(name).stdout.startswith("no ")


# Queue -----------------------------------------------------------------------------------------------------


def test_queue_pause_resume_cancel_and_work(train, cfa, home):
    queued = {
        name: train("trades", "--name", name, "--no-test", "--queue", "--json") for name in ("a", "b", "c")
    }
    assert {document["status"] for document in queued.values()} == {"queued"}
    evaluation = cfa("evaluate", "a", "--attack", "clean", "--queue", "--json")
    assert [job["state"] for job in evaluation] == ["queued"]
    assert cfa("pause", "b", "--json")["state"] == "paused"
    assert cfa("resume", "b", "--queue", "--json")["status"] == "queued"
    assert cfa("cancel", "c", "--json")["state"] == "cancelled"
    assert cfa("cancel", "c", "--json")["state"] == "cancelled"  # what is so already is no error
    result = cfa("work", "--until-empty")
    assert "done: train a" in result.stderr
    states = {job.title: job.state for job in Queue(home).jobs()}
    assert states == {
        "train a": "done",
        "train b": "done",
        "train c": "cancelled",
        "evaluate a (clean)": "done",
    }
    assert len(read_evaluations(Store.open(home).find("a"))) == 1
    assert cfa("resume", "c", "--json")["status"] == "finished"


def test_resuming_an_evaluation_prints_its_scores(train, cfa, home):
    train("trades", "--name", "a", "--no-test")
    (job,) = cfa("evaluate", "a", "--attack", "clean", "--queue", "--json")
    cfa("pause", job["id"])
    document = cfa("resume", job["id"][:6], "--json")
    assert len(document["scores"]) == 3


def test_a_job_that_waits_for_others_is_not_resumed_before_them(cfa, home):
    queue = Queue(home)
    first = queue.submit(TrainRun(), "first")
    second = queue.submit(TrainRun(), "second", after=(first.id,))
    assert f"waits for {first.id}" in cfa("resume", second.id, code=2).stderr


def test_prune(cfa, home):
    config = RunConfig(method="trades", dataset="d", model="m", preset="demo")
    store = Store.open(home)
    states = ("finished", "cancelled", "paused", "failed", "running")
    for state in states:
        run = store.create(config, state)
        run.write_status(state, 1)
        run.state_file.write_bytes(b"x" * 1000)
    half = store.runs_folder / ".half.tmp"
    (half / "weights").mkdir(parents=True)
    (half / "weights" / "file").write_bytes(b"y" * 500)
    fresh = store.runs_folder / ".fresh.tmp"
    fresh.mkdir()
    long_ago = time.time() - 7200
    for path in (half / "weights" / "file", half / "weights", half):
        os.utime(path, (long_ago, long_ago))
    assert cfa("prune", "--dry-run", "--json")["bytes"] == 2500
    assert half.exists()
    result = cfa("prune")
    assert "2.5 kB freed" in result.stdout
    kept = {state for state in states if store.find(state).state_file.exists()}
    assert kept == {"paused", "failed", "running"}
    assert not half.exists()
    assert fresh.exists()
