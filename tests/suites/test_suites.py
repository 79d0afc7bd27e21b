"""Suites: those that ship, what a file may say, a miniature through plan, run, a crash, run, report."""

import csv
import io
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from cfa.errors import ConfigError
from cfa.jobs.worker import run_job
from cfa.methods import configure
from cfa.runs.evaluations import read_evaluations
from cfa.runs.rows import Epoch
from cfa.runs.store import Store
from cfa.suites.controls import control_of
from cfa.suites.planned import plan_evaluations, plan_suite
from cfa.suites.report import report_suite
from cfa.suites.submission import submit_suite
from cfa.suites.suite import Suite
from cfa.suites.suite_file import read_suite
from cfa.suites.suite_runs import runs_of
from tests.support.sequential import beside_each

SUITES = Path(__file__).resolve().parents[2] / "benchmarks" / "suites"

pytestmark = pytest.mark.usefixtures("no_shipped_runs", "typed")

MINI = """
title = "Miniature"
dataset = "tiny_data:load"
model = "small-cnn"
preset = "demo"
methods = ["frl", "trades"]
prefix = "mini"

[settings]
"train.epochs" = {epochs}
"train.batch_size" = 16
"attack.steps" = 1
"attack.eps" = "8/255"
"data.val_fraction" = 0.2
"averaging.gate" = "mean"
"averaging.start_epoch" = 1
"averaging.threshold" = 0

[init]
frl = "trades"

[[evaluations]]
methods = ["trades"]
attacks = ["pgd-2"]
weights = ["online", "ema"]
checkpoints = ["last"]

[[evaluations]]
attacks = ["pgd-3"]
"""


@pytest.fixture
def mini(tiny: str, tmp_path: Path):
    def write(epochs: int = 2) -> Path:
        file = tmp_path / "mini.toml"
        file.write_text(MINI.replace("{epochs}", str(epochs)))
        return file

    return write


# The suites that ship --------------------------------------------------------------------------------------

SHIPPED = {  # trainings, evaluations, lines beside a published number
    "cfa-table1": (35, 5 * (4 * 4 + 3 * 2), 44),
    "cfa-table2": (40, 40, 8),
    "cfa-table3": (15, 30, 6),
    "training-eps": (8, 8, 2),
    "lambda": (6, 12, 6),
    "cifar100": (15, 24, 6),
    "tiny-imagenet": (6, 9, 0),
    "long-tail": (12, 24, 0),
    "class-wise": (117, 702, 44),  # 32 methods, 5 controls and 2 extra rows, three seeds
    "class-wise-cifar100": (87, 522, 0),
    "absld": (30, 60, 0),
    "robust-lt": (117, 468, 14),
    "demo": (18, 0, 0),
    "cifar10-small-cpu": (8, 0, 0),
}


def test_all_suites_are_in_this_tests_table() -> None:
    assert {file.stem for file in SUITES.glob("*.toml")} == set(SHIPPED)


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_suite_plans_what_it_says(store: Store, name: str) -> None:
    suite = read_suite(SUITES / f"{name}.toml")
    planned = plan_suite(store, suite)
    evaluations = plan_evaluations(suite, planned)
    report = report_suite(store, suite)
    beside = [line for line in report.lines if line.planned and line.published]
    assert (len(planned), len(evaluations), len(beside)) == SHIPPED[name]
    assert not report.finished


def test_table_1_has_seven_trainings_a_seed_and_the_papers_eleven_rows(store: Store) -> None:
    suite = read_suite(SUITES / "cfa-table1.toml")
    planned = plan_suite(store, suite)
    assert Counter(run.config.seed for run in planned) == dict.fromkeys(range(5), 7)
    for run in planned:
        source = run.starts_from
        assert (source is not None) == (run.config.method == "frl")
        assert source is None or (source.config.method, source.config.seed) == ("trades", run.config.seed)
    lines = report_suite(store, suite).lines
    paper = {"TRADES": "TRADES", "TRADES + CFA": "TRADES + CFA", "FRL + EMA": "FRL + EMA", "PGD-AT": "AT"}
    beside = {line.label: line.published.label for line in lines if line.published}
    assert len(beside) == 11
    assert {label: beside[label] for label in paper} == paper


CONTROLLED = """
title = "Controls"
dataset = "cifar10"
preset = "protocol"
methods = ["frl", "trades", "trades-cfa"]
seeds = [3, 4]
controls = {controls}
[settings]
"method.beta" = 5
[init]
frl = "trades"
[[evaluations]]
methods = ["frl"]
attacks = ["pgd-2"]
"""


def test_a_control_trains_on_as_its_start_did_as_long_and_as_fast_as_what_it_controls(
    store: Store, tmp_path: Path
) -> None:
    file = tmp_path / "controls.toml"
    file.write_text(CONTROLLED.replace("{controls}", "true"))
    suite = read_suite(file)
    planned = plan_suite(store, suite)
    controls = [run for run in planned if run.control_of]
    assert [(run.config.method, run.config.seed, run.control_of) for run in controls] == [
        ("trades", 3, "frl"),
        ("trades", 4, "frl"),
    ]
    tuned = {run.config.seed: run for run in planned if run.config.method == "frl"}
    for control in controls:
        own, start = tuned[control.config.seed], control.starts_from
        assert start is own.starts_from is not None
        assert control.config.method_settings == start.config.method_settings
        for group in ("train", "attack", "data"):
            assert getattr(control.config, group) == getattr(own.config, group)
        assert control.config.optimizer.milestones == own.config.optimizer.milestones
        assert control.config.optimizer.lr == pytest.approx(own.config.optimizer.lr * (1 + 5))
    evaluated = [(one.run.config.method, one.run.control_of) for one in plan_evaluations(suite, planned)]
    assert Counter(evaluated) == {("frl", ""): 2, ("trades", "frl"): 2}
    labels = [line.label for line in report_suite(store, suite).lines]
    assert "TRADES (control of FRL)" in labels
    assert not [line for line in report_suite(store, suite).lines if line.control_of and line.published]
    file.write_text(CONTROLLED.replace("{controls}", "false"))
    assert len(runs_of(read_suite(file))) == len(planned) - 2


@pytest.mark.parametrize(
    ("method", "start", "factor"),
    [("faal-trades", "trades", 7.0), ("csr", "trades", 7.0), ("faal", "pgd-at", 1.0)],
)
def test_a_step_of_a_control_goes_as_far_as_one_of_what_it_controls(
    method: str, start: str, factor: float
) -> None:
    """TRADES divides its loss by 1 + beta = 7, the sums of others do not: rate and decay make up for it."""
    tuned, before = (configure(one, "cifar10", preset="protocol") for one in (method, start))
    control = control_of(tuned, before)
    assert control.method == start
    assert control.optimizer.lr == pytest.approx(tuned.optimizer.lr * factor)
    assert control.optimizer.weight_decay == pytest.approx(tuned.optimizer.weight_decay / factor)
    assert control.train == tuned.train


def test_runs_of_one_table_are_runs_of_another(store: Store) -> None:
    one, two = (runs_of(read_suite(SUITES / f"cfa-table{n}.toml")) for n in (1, 2))
    shared = {run.config.key() for run in one} & {run.config.key() for run in two}
    assert len(shared) == 6 * 5


# What a file may say ---------------------------------------------------------------------------------------

BASE = 'title = "T"\ndataset = "cifar10"\nmethods = ["trades", "trades-cfa"]\n'
EVALUATION = '[[evaluations]]\nattacks = ["pgd-2"]\n'
WRONG = [
    (BASE + "seeds = [0, 1, 0]", "names seed 0 more than once"),
    (BASE + "sedes = [1]", "unknown key 'sedes'; did you mean 'seeds'"),
    (BASE + EVALUATION + 'weigths = ["ema"]', "unknown key 'weigths'; did you mean 'weights'"),
    (BASE + '[settings]\n"atack.eps" = 0.1', "unknown setting 'atack.eps'; did you mean 'attack.eps'"),
    (BASE + '[settings]\n"objective.tau" = 3', "none of the suite's methods has method.tau"),
    (BASE + '[settings]\n"attack.eps" = 3', "attack.eps=3 lies outside (0, 1]; did you mean 3/255?"),
    (BASE + EVALUATION + "eps = 8", "eps=8 lies outside (0, 1]; did you mean 8/255?"),
    (BASE + EVALUATION + 'eps = "eight"', "eps='eight' is not a number; write a fraction"),
    (BASE.replace("trades-cfa", "trades-cfaa"), "unknown method 'trades-cfaa'; did you mean 'trades-cfa'"),
    (BASE + '[by_method.fat]\n"train.epochs" = 3', "unknown method of the suite 'fat'; choose from trades"),
    (BASE + '[by_method.trades]\n"objective.tau" = 3', "trades has no method.tau"),
    (BASE + '[by_dataset.cifar100]\n"train.epochs" = 3', "did you mean 'cifar10'"),
    (BASE + '[init]\ntrades = "trades-cfa"\ntrades-cfa = "trades"', "made from each other"),
    (BASE + '[init]\ntrades-cfa = "trades"\n[settings]\n"attack.eps" = [0.1, 0.2]', None),
    (BASE + '[teacher]\nard = "trades"', "unknown method of the suite 'ard'"),
    (BASE + '[teacher]\ntrades = "older"', "trades learns from no teacher"),
    (BASE.replace("trades-cfa", "rslad"), "rslad learns from a trained network; name one under [teacher]"),
    (BASE + '[teacher]\ntrades-cfa = "trades"', "trades-cfa learns from no teacher"),
    (
        BASE.replace("trades-cfa", "frl") + "controls = true",
        "frl goes on from a trained network; name one under [init]",
    ),
    (BASE + '[init]\ntrades-cfa = "trades"\n[by_method.trades]\n"attack.eps" = [0.1, 0.2]', "fits 2 runs"),
    (BASE + '[[also]]\nmethod = "fat"\nsettings = { "train.epochs" = 3 }', "method of the suite 'fat'"),
    (BASE + '[[also]]\nmethod = "trades"\nsettings = { "method.tau" = 3 }', "trades has no method.tau"),
    (BASE + '[[also]]\nmethod = "trades"\nsettings = {}', "also.0.settings={} "),
    (BASE + '[[also]]\nmethod = "trades"\nsettings = { seed = 0 }', "seed"),
    (
        BASE + '[[also]]\nmethod = "trades"\nsettings = { "attack.steps" = 10 }',
        "trades with these settings is a row of the suite anyway",
    ),
    (BASE + EVALUATION + 'methods = ["fat"]', "unknown method of the suite 'fat'"),
    (BASE + EVALUATION + 'weights = ["emma"]', "evaluations.0.weights.0='emma' should be 'auto', 'online'"),
    (BASE + EVALUATION + 'checkpoints = ["first"]', "should be 'best' or 'last'"),
    (BASE + EVALUATION.replace("pgd-2", "pgf-2"), "unknown attack 'pgf-2'"),
    (BASE + 'published = ["cfa-table9"]', "unknown table of published numbers 'cfa-table9'"),
    (BASE + 'datasets = ["cifar100"]', "dataset and datasets are both given"),
    ('title = "T"\nmethods = ["trades"]', "dataset is missing"),
    (BASE + "seeds = 3", "seeds=3 should be"),
    (BASE + "seeds =", "is not TOML"),
    (BASE + "seeds = [" + "9" * 5001 + "]", "is not TOML"),
]


@pytest.mark.parametrize(("text", "sentence"), WRONG)
def test_what_cannot_be_is_a_sentence(tmp_path: Path, text: str, sentence: str | None) -> None:
    file = tmp_path / "s.toml"
    file.write_text(text)
    if sentence is None:
        assert len(runs_of(read_suite(file))) == 4  # each starts from the run with its own eps
        return
    with pytest.raises(ConfigError) as caught:
        read_suite(file)
    assert sentence in str(caught.value)
    assert str(caught.value).startswith(f"suite {file}")
    assert "\n" not in str(caught.value).partition("is not TOML")[0]


def test_settings_go_from_all_to_one_data_set_to_one_method() -> None:
    suite = Suite.model_validate(
        {
            "title": "T",
            "datasets": ["cifar10-lt", "cifar100-lt"],
            "methods": ["trades", "fat"],
            "settings": {"train.epochs": 7, "objective.tau": 2, "attack.steps": [3, 4]},
            "by_dataset": {"cifar10-lt": {"data.imbalance_ratio": 50}},
            "by_method": {"fat": {"train.epochs": 5}},
        }
    )
    runs = runs_of(suite)
    assert len(runs) == 8
    for run in runs:
        config = run.config
        assert config.train.epochs == (5 if config.method == "fat" else 7)
        assert config.method_settings.get("tau") == (2 if config.method == "fat" else None)
        assert config.data.imbalance_ratio == 50 or config.dataset == "cifar100-lt"
        assert run.variant == {"attack.steps": config.attack.steps}


def test_an_extra_row_is_its_method_once_more_with_its_settings_and_from_the_same_start() -> None:
    suite = Suite.model_validate(
        {
            "title": "T",
            "datasets": ["cifar10"],
            "methods": ["trades", "csr"],
            "seeds": [0, 1],
            "controls": True,
            "init": {"csr": "trades"},
            "also": [
                {"method": "trades", "settings": {"optimizer.lr": 0.3}},
                {"method": "csr", "settings": {"train.epochs": 7}},
            ],
        }
    )
    runs = runs_of(suite)
    table, extra = runs[:6], runs[6:]
    assert not any(run.variant for run in table)
    assert [(run.config.method, run.control_of, dict(run.variant)) for run in extra] == [
        *[("trades", "", {"optimizer.lr": 0.3})] * 2,
        *[("csr", "", {"train.epochs": 7}), ("trades", "csr", {"train.epochs": 7})] * 2,
    ]
    assert {run.config.optimizer.lr for run in extra[:2]} == {0.3}
    assert {run.config.train.epochs for run in extra[2:]} == {7}
    for run in extra[2:]:  # from the network of the table, not from its extra row
        assert run.starts_from in table
        assert run.starts_from.config.seed == run.config.seed
        assert run.starts_from.config.optimizer.lr != 0.3


def test_another_data_set_can_be_named_for_a_suite_of_one() -> None:
    suite = read_suite(SUITES / "cfa-table3.toml").on("svhn")
    assert {run.config.dataset for run in runs_of(suite)} == {"svhn"}
    with pytest.raises(ConfigError, match="compares 3 data sets"):
        read_suite(SUITES / "long-tail.toml").on("svhn")


# A miniature -----------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_miniature_is_planned_run_killed_run_again_and_reported(cfa, mini, home, store, queue, tmp_path):
    file = str(mini(epochs=30))
    plan = cfa("suite", "plan", file, "--json")
    assert [(run["method"], run["state"]) for run in plan["runs"]] == [("trades", "to do"), ("frl", "to do")]
    assert len(plan["evaluations"]) == 4
    assert all(item["seconds"] > 0 for item in plan["runs"] + plan["evaluations"])
    assert plan["seconds"] == pytest.approx(
        sum(item["seconds"] for item in plan["runs"] + plan["evaluations"])
    )
    empty = cfa("suite", "report", file, "--json")
    assert (empty["trainings_done"], empty["trainings"], empty["finished"]) == (0, 2, False)

    # The whole process dies in the middle of the first training.
    words = [sys.executable, "-m", "cfa", "suite", "run", file, "--trust-code"]
    process = subprocess.Popen(
        words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True
    )
    deadline = time.monotonic() + 60
    while not any(run.status.epoch > 0 for run in store.runs()):
        assert time.monotonic() < deadline
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    process.stderr.close()
    before = {run.id: (run.config.method, run.status.state) for run in store.runs()}
    assert sorted(before.values()) == [("frl", "queued"), ("trades", "running")]
    assert Counter(job.state for job in queue.jobs()) == {"interrupted": 1, "queued": 5}
    half = cfa("suite", "report", file, "--json")
    assert (half["trainings_done"], half["finished"]) == (0, False)
    plan = cfa("suite", "plan", file, "--json")
    assert [run["run"] for run in plan["runs"]] == ["mini-trades-s0", "mini-frl-s0"]

    cfa("suite", "run", file)
    assert {run.id for run in store.runs()} == set(before)  # nothing was trained twice
    assert len(queue.jobs()) == 6
    assert {job.state for job in queue.jobs()} == {"done"}
    trades, frl = (store.find(name) for name in ("mini-trades-s0", "mini-frl-s0"))
    assert [row.epoch for row in trades.rows() if isinstance(row, Epoch)] == list(range(1, 31))
    assert frl.config.init == trades.id

    again = cfa("suite", "run", file, "--json")
    assert again == []
    assert cfa("suite", "plan", file, "--json")["seconds"] == 0
    assert "2 of 2 trainings and 4 of 4 evaluations are done" in cfa("suite", "report", file).stdout


def test_a_teacher_is_a_run_of_the_suite_of_the_same_seed(tiny, home, store, queue, cfa, tmp_path):
    """It is trained first, and what learns from it is found again; a plan says whom a run learns from."""
    text = MINI.replace("{epochs}", "1").replace('methods = ["frl", "trades"]', 'methods = ["ard", "trades"]')
    text = text.replace('[init]\nfrl = "trades"', '[teacher]\nard = "trades"')
    file = tmp_path / "taught.toml"
    file.write_text(text.replace("[settings]", "seeds = [0, 1]\n[settings]"))
    plan = cfa("suite", "plan", str(file), "--json")
    assert [run["method"] for run in plan["runs"]] == ["trades", "trades", "ard", "ard"]
    assert [run["learns_from"] for run in plan["runs"]][::2] == [
        None,
        "trades on tiny_data:load, small-cnn, seed 0",
    ]
    cfa("suite", "run", str(file))
    found = {run.name: run for run in store.runs()}
    for seed in (0, 1):
        taught, teacher = found[f"mini-ard-s{seed}"], found[f"mini-trades-s{seed}"]
        assert taught.config.teacher == teacher.id
        assert taught.manifest.teacher.run_id == teacher.id
        assert taught.marks == ()
    assert found["mini-ard-s0"].experiment == found["mini-ard-s1"].experiment
    assert cfa("suite", "run", str(file), "--json") == []


def test_the_report_is_the_mean_and_the_spread_over_seeds(mini, home, store, queue, cfa, tmp_path):
    suite = read_suite(mini()).model_copy(update={"seeds": (0, 1), "methods": ("trades",), "init": {}})
    suite = suite.model_copy(update={"evaluations": suite.evaluations[:1]})
    for job in submit_suite(store, queue, suite, tag="t"):
        queue.resume(job.id, foreground=True)
        assert run_job(home, job.id) == 0
    report = report_suite(store, suite)
    assert report.finished
    for run in store.runs():  # what stopped when it was certain stands in for nothing
        assert beside_each(run)
    assert report_suite(store, suite) == report
    keys = [(line.label, line.checkpoint, line.attack) for line in report.lines]
    assert keys == [
        (label, "last", attack) for label in ("TRADES", "TRADES + EMA") for attack in ("clean", "pgd-2")
    ]
    for line, weights in zip(report.lines, ("online", "online", "ema", "ema"), strict=True):
        accuracies = [
            np.array(scores.correct) / np.array(scores.total)
            for run in store.runs()
            for evaluation in read_evaluations(run)
            for scores in evaluation.scores
            if (evaluation.weights, evaluation.checkpoint, scores.attack) == (weights, "last", line.attack)
        ]
        assert len(accuracies) == line.runs == line.planned == 2
        means, worsts = ([float(f(a)) for a in accuracies] for f in (np.mean, np.min))
        assert (line.mean, line.worst) == (pytest.approx(sum(means) / 2), pytest.approx(sum(worsts) / 2))
        assert line.mean_spread == pytest.approx(abs(means[0] - means[1]) / 2**0.5)
        assert line.worst_spread == pytest.approx(abs(worsts[0] - worsts[1]) / 2**0.5)
        assert line.worst_interval[0] <= line.worst <= line.worst_interval[1]
        assert line.published is None


def test_a_long_tail_has_the_mean_without_its_largest_classes_too(mini, home, store, queue, cfa):
    suite = read_suite(mini(1)).model_copy(update={"methods": ("trades",), "init": {}})
    settings = {**suite.settings, "data.imbalance_ratio": 2.0}
    suite = suite.model_copy(update={"evaluations": suite.evaluations[:1], "settings": settings})
    for job in submit_suite(store, queue, suite, tag="t"):
        queue.resume(job.id, foreground=True)
        assert run_job(home, job.id) == 0
    (run,) = store.runs()
    counts = run.manifest.train_counts
    assert len(counts) == 3
    largest = counts.index(max(counts))
    assert counts.count(counts[largest]) == 1
    report = report_suite(store, suite)
    headings, rows = report.table()
    for line, row in zip(report.lines, rows, strict=True):
        wanted = (line.weights, "last", line.attack)
        (accuracy,) = (
            np.array(scores.correct) / np.array(scores.total)
            for evaluation in read_evaluations(run)
            for scores in evaluation.scores
            if (evaluation.weights, evaluation.checkpoint, scores.attack) == wanted
        )
        rest = np.delete(accuracy, largest).mean()
        assert line.last_80 == pytest.approx(rest)
        assert row[headings.index("last 80 % of classes")] == f"{100 * rest:.1f}"


def test_a_published_mean_over_the_last_80_percent_stands_beside_that_mean_only(store: Store) -> None:
    report = report_suite(store, read_suite(SUITES / "robust-lt.toml"))
    ours = [line for line in report.lines if line.planned and line.published_last_80]
    plain = [line for line in ours if (line.dataset, line.method) == ("cifar10-lt", "pgd-at")]
    assert [(line.attack, line.published_last_80.mean) for line in plain] == [
        ("clean", 0.4856),
        ("pgd-20", 0.1371),
    ]
    assert not any(line.published.over for line in report.lines if line.published)
    assert "published_last_80_mean" in report.csv().partition("\n")[0]


def test_seeds_on_other_images_are_left_out_and_named(mini, home, store, queue, cfa):
    """A folder whose test images changed between two runs of a suite."""
    suite = read_suite(mini()).model_copy(update={"seeds": (0, 1, 2), "methods": ("trades",), "init": {}})
    suite = suite.model_copy(update={"evaluations": suite.evaluations[:1]})
    for job in submit_suite(store, queue, suite, tag="t"):
        queue.resume(job.id, foreground=True)
        assert run_job(home, job.id) == 0
    odd = store.find("mini-trades-s1")
    for evaluation in read_evaluations(odd):
        file = odd.path / "evaluations" / evaluation.id / "evaluation.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | {"test_fingerprint": "other"}))
    report = report_suite(store, suite)
    expected = {
        (evaluation.weights, scores.attack): np.mean(
            [
                np.mean(np.array(same.correct) / np.array(same.total))
                for run in store.runs()
                if run.id != odd.id
                for other in read_evaluations(run)
                for same in other.scores
                if (other.weights, same.attack) == (evaluation.weights, scores.attack)
            ]
        )
        for evaluation in read_evaluations(odd)
        for scores in evaluation.scores
    }
    for line, weights in zip(report.lines, ("online", "online", "ema", "ema"), strict=True):
        assert (line.runs, line.planned) == (2, 3)
        assert line.mean == pytest.approx(expected[weights, line.attack])
        assert len(line.left_out) == 1
        assert "mini-trades-s1 is not averaged with the others" in line.left_out[0]
        assert "(other images)" in line.left_out[0]
    assert report.markdown().count("mini\\-trades\\-s1") + report.markdown().count("mini-trades-s1") == 4


def test_published_numbers_of_another_network_stand_beside_nothing(store: Store) -> None:
    suite = read_suite(SUITES / "cfa-table2.toml")
    other = suite.model_copy(update={"model": "small-cnn", "preset": "paper"})
    ours, theirs = (report_suite(store, one) for one in (suite, other))
    assert any(line.published for line in ours.lines if line.planned)
    assert not any(line.published for line in theirs.lines if line.planned)
    assert "Network: small-cnn" in theirs.markdown().replace("\\", "")


def test_a_report_goes_to_markdown_and_csv_also_before_anything_ran(cfa, tmp_path):
    file = str(SUITES / "cfa-table2.toml")
    cfa("suite", "report", file, "--out", str(tmp_path / "t.md"))
    text = (tmp_path / "t.md").read_text()
    assert text.startswith("# CFA table 2: CCM and CCR without averaging\n\n0 of 40 trainings and 0 of 40")
    assert "| TRADES + CCR | best | autoattack | 0/5 |  |  | 48.9 | 23.5 |" in text
    assert "Checkpoints chosen on test images" in text
    assert "Published: CFA: Class-wise Calibrated Fair Adversarial Training (CVPR 2023" in text
    cfa("suite", "report", file, "--out", str(tmp_path / "t.csv"))
    rows = list(csv.DictReader(io.StringIO((tmp_path / "t.csv").read_text())))
    assert len(rows) == 16
    (row,) = [r for r in rows if (r["label"], r["attack"]) == ("TRADES + CCR", "autoattack")]
    assert (row["runs"], row["mean"], row["published_mean"], row["published_worst"]) == (
        "0",
        "",
        "0.489",
        "0.235",
    )
    result = cfa("suite", "report", file, "--out", str(tmp_path / "t.docx"), code=2)
    assert "is neither .md nor .csv" in result.stderr


def test_a_paused_suite_goes_on_where_it_stopped(mini, home, store, queue):
    suite = read_suite(mini())
    jobs = submit_suite(store, queue, suite, tag="t")
    assert [job.kind for job in jobs] == ["train", *["evaluate"] * 3, "train", "evaluate"]
    assert jobs[4].after == (jobs[0].id,)  # fine-tuning waits for its start
    assert all(job.after == (jobs[0].id,) for job in jobs[1:4])
    for job in jobs:
        queue.pause(job.id)
    again = submit_suite(store, queue, suite, tag="t")
    assert [job.id for job in again] == [job.id for job in jobs]
    assert {job.state for job in queue.jobs()} == {"queued"}
    assert len(store.runs()) == 2


def test_an_evaluation_that_failed_is_made_again_and_a_failed_training_anew(mini, home, store, queue):
    suite = read_suite(mini()).model_copy(update={"methods": ("trades",), "init": {}})
    suite = suite.model_copy(update={"evaluations": suite.evaluations[:1]})
    training, *evaluations = submit_suite(store, queue, suite, tag="t")
    queue.resume(training.id, foreground=True)
    assert run_job(home, training.id) == 0
    queue.resume(evaluations[0].id, foreground=True)
    queue.finish(evaluations[0].id, "failed", "out of memory")
    left = submit_suite(store, queue, suite, tag="t")
    assert [job.id for job in left] == [job.id for job in evaluations]
    (run,) = store.runs()
    run.write_status("failed", 1, "the disk was full")
    assert plan_suite(store, suite)[0].existing is None


def test_weights_that_a_run_did_not_keep_are_not_waited_for(mini, home, store, queue):
    suite = read_suite(mini()).model_copy(update={"methods": ("trades",), "init": {}})
    suite = suite.model_copy(update={"settings": {**suite.settings, "averaging.start_epoch": 50}})
    training, *_ = submit_suite(store, queue, suite, tag="t")
    queue.resume(training.id, foreground=True)
    assert run_job(home, training.id) == 0
    left = submit_suite(store, queue, suite, tag="t")
    assert [job.spec["weights"] for job in left] == ["online", "auto"]  # no EMA in two epochs
