"""Every page opens, and shows what is whole, whatever one run, evaluation, label, job or row has become."""

import json
import os
import shutil

import pytest

from app.engine import snapshots
from app.process.brief import kept_for
from cfa.jobs.job_folder import JobFolder
from cfa.jobs.kinds.train_run import TrainRun
from cfa.jobs.queue import Queue
from cfa.methods import configure
from cfa.runs.evaluations import list_evaluations, outcomes_file, read_outcomes, save_columns
from cfa.runs.store import Store
from tests.app.example_store import FASHION, finished_run
from tests.app.pages import PAGES, errors, visit, words
from tests.support.damage import OF_ANY_FILE, changed

OF_A_RUN = ("config.json", "manifest.json", "status.json", "label.json", "history.jsonl", "log.txt")
OF_AN_EVALUATION = ("evaluation.json", "outcomes.parquet")
# What a copied evaluation may say that no evaluation of ours does.
OF_ANOTHER = {
    "weights of a kind that there is none of": {"weights": "<b>"},
    "weights that its scores are not of": {"weights": "ema"},
    "scores of another part": {"split": "val"},
    "no scores": {"scores": []},
    "an eps in words": {"plan": {"eps": "x"}},
    "an eps without end": {"plan": {"eps": float("inf")}},
    "a sweep that is a number": {"plan": {"eps_sweep": 5}},
    "a sweep in words": {"plan": {"eps_sweep": ["a", "b"]}},
    "a date that has none in other zones": {"created": "9999-12-31T23:59:59-14:00"},
}


@pytest.fixture(scope="module")
def damaged(tmp_path_factory):
    """A store with a whole run, and runs of whom each has one file damaged in one way."""
    home = tmp_path_factory.mktemp("damaged") / "home"
    store = Store.open(home)
    config = configure("trades", "fashion-mnist-mini", overrides={"train.epochs": 2})
    whole = finished_run(store, config, FASHION, name="whole")
    for evaluation in list_evaluations(whole).found:
        if evaluation.weights != "online":  # their ids, drawn within a second, come in any order
            shutil.rmtree(outcomes_file(whole, evaluation.id).parent)
    for number, (name, damage) in enumerate(OF_ANY_FILE.items()):
        for file in (*OF_A_RUN, *OF_AN_EVALUATION):
            bad = copied(whole.path, f"bad-{number}-{file.partition('.')[0]}")
            place = bad if file in OF_A_RUN else next(bad.glob("evaluations/*"))
            damage_file(damage, name, place / file)
    for number, fields in enumerate(OF_ANOTHER.values()):
        bad = copied(whole.path, f"other-{number}")
        changed(**fields)(next(bad.glob("evaluations/*/evaluation.json")))
    damage_jobs(home)
    return home


def copied(run, name):
    made = shutil.copytree(run, run.with_name(name))
    (made / "label.json").write_text(json.dumps({"name": name}))
    return made


def damage_file(damage, name, file):
    if "another version" not in name or (file.suffix == ".json" and file.exists()):
        damage(file)


def damage_jobs(home):
    queue = Queue(home)
    for name, damage in OF_ANY_FILE.items():
        job = queue.submit(TrainRun(), f"job: {name}")
        queue.cancel(job.id)
        folder = JobFolder.of(home, job.id)
        for file in (folder.progress_file, folder.log_file, folder.path / "job.json"):
            damage_file(damage, name, file)


@pytest.fixture
def store(dashboard, damaged, monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    return dashboard(damaged)


@pytest.mark.parametrize("page", PAGES)
def test_a_page_about_all_of_them_opens(store, page):
    app = visit(page)
    assert not app.exception, app.exception[0].value
    assert errors(app) == []


@pytest.mark.parametrize(("page", "parameter"), [("compare", "runs"), ("evaluate", "evaluate")])
def test_a_page_about_several_opens(store, page, parameter):
    chosen = [run.name for run in snapshots.usable_runs()]
    app = visit(page, **{parameter: chosen})
    assert not app.exception, app.exception[0].value


@pytest.mark.parametrize("damage", ["half a file", "ten million characters", "a folder", "a link to itself"])
@pytest.mark.parametrize(
    ("page", "parameter", "file"),
    [
        ("monitor", "run", "history"),
        ("monitor", "run", "log"),
        ("runs", "show", "config"),
        ("classes", "run", "evaluation"),
        ("classes", "run", "outcomes"),
    ],
)
def test_a_page_about_a_damaged_one_opens(store, page, parameter, file, damage):
    number = list(OF_ANY_FILE).index(damage)
    found = next(run for run in snapshots.runs() if run.id == f"bad-{number}-{file}")
    app = visit(page, **{parameter: found.name})
    assert not app.exception, app.exception[0].value
    assert app.title[0].value.lower() == page


@pytest.mark.parametrize("number", range(len(OF_ANOTHER)), ids=OF_ANOTHER)
def test_an_evaluation_that_is_none_of_ours_is_said(store, number):
    app = visit("classes", run=f"other-{number}")
    assert not app.exception, app.exception[0].value
    assert f"run other-{number}: evaluation " in words(app).lower()


@pytest.mark.parametrize("page", ["classes", "sweep"])
@pytest.mark.parametrize(
    "change",
    [
        lambda columns: columns | {"label": columns["label"] + 95},
        lambda columns: columns | {"label": -1 - columns["label"]},
        lambda columns: columns | {"pgd-20": columns["pgd-20"] + 50},
        lambda columns: columns | {"pgd-20": columns["pgd-20"] - 90},
        lambda columns: {name: values[:0] for name, values in columns.items()},
        lambda columns: {name: values for name, values in columns.items() if name != "label"},
    ],
    ids=["labels beyond", "labels below", "predictions beyond", "predictions below", "no image", "no labels"],
)
def test_outcomes_of_classes_that_there_are_none_of_are_a_sentence(dashboard, tmp_path, page, change):
    store = Store.open(tmp_path / "home")
    config = configure("trades", "fashion-mnist-mini", overrides={"train.epochs": 2})
    run = finished_run(store, config, FASHION, name="own")
    for evaluation in list_evaluations(run).found:
        save_columns(outcomes_file(run, evaluation.id), change(read_outcomes(run, evaluation.id)))
    dashboard(tmp_path / "home")
    app = visit(page, run="own")
    assert not app.exception, app.exception[0].value
    assert page == "sweep" or "The outcomes of evaluation" in errors(app)[0]


def test_rows_without_images_leave_the_page_of_the_run_open(dashboard, tmp_path):
    store = Store.open(tmp_path / "home")
    config = configure("trades", "fashion-mnist-mini", overrides={"train.epochs": 2})
    run = finished_run(store, config, FASHION, name="own")
    rows = [json.loads(line) for line in run.history_file.read_text().splitlines()]
    empty = {"correct": [0] * 10, "total": [0] * 10}
    rows = [row | empty if row["row"] == "scores" else row for row in rows]
    run.history_file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    dashboard(tmp_path / "home")
    assert not (app := visit("monitor", run="own")).exception, app.exception[0].value


def test_what_grows_too_old_while_it_is_taken_is_made_anew(monkeypatch):
    asked = []

    def too_old_at_first(make, **options):
        def kept(home):
            asked.append(home)
            if len(asked) == 1:
                raise KeyError(home)
            return make(home)

        kept.clear = asked.clear
        return kept

    monkeypatch.setattr("app.process.brief.st.cache_resource", too_old_at_first)
    assert kept_for(1)(lambda home: f"runs of {home}")("here") == "runs of here"


def test_what_is_whole_is_listed(store):
    app = visit("runs")
    listed = app.dataframe[0].value.set_index("name")
    assert listed.loc["whole", "state"] == "finished"
    assert listed.loc["whole", "mean"] > 0
    assert (listed["state"] == "unreadable").sum() > 20


@pytest.mark.parametrize("page", PAGES)
def test_a_home_that_cannot_be_opened_is_a_sentence(dashboard, tmp_path, page):
    (tmp_path / "home").write_text("a file")
    dashboard(tmp_path / "home")
    app = visit(page)
    assert not app.exception, app.exception[0].value
    assert errors(app) == [
        "Cannot make CFA_HOME (Not a directory); set CFA_HOME to a folder you may write to."
    ]
