"""Names of runs can be told apart, typed again, and mean nothing else; also those that copied runs bring."""

import json
import shutil
from pathlib import Path

import pytest
from torch import nn

import cfa as engine
from cfa.config import RunConfig
from cfa.data import Dataset, load_dataset
from cfa.errors import ConfigError, StoreError, UnknownName
from cfa.evaluation import EvaluationPlan
from cfa.runs.evaluations import read_evaluations
from cfa.runs.folder import Label, RunFolder
from cfa.runs.run_names import normal
from cfa.runs.store import Store

pytestmark = pytest.mark.usefixtures("no_shipped_runs")

CONFIG = RunConfig(method="trades", dataset="fashion-mnist-mini", model="small-cnn", preset="demo")

USABLE = [
    "a",
    "base x",
    "TRADES + CFA (seed 0)",
    "x.y_z-1",
    "ümlaut",
    "हिन्दी",
    "базовый",
    "μοντέλο 2",
    "训练-A",
    "ベースライン 漢字 TRADES",
    "기준 모델",
    "v1.2",
    "(eps 8) [a, b] & c; 50 % × 2 → #1 'best' of ~10 @lab!",
    "bestof auto",
    "console com 1",
    "r1234567",
    "x" * 100,
    "🐈 cats",
]
REFUSED = {
    "a blank at the end": ("base ", "spaces at its end"),
    "two blanks": ("base  x", "spaces at its end or beside each other"),
    "a Cyrillic letter among Latin ones": ("b\u0430se", "letters of Cyrillic and Latin can look alike"),
    "a Greek letter among Latin ones": ("m\u03bfdel", "letters of Greek and Latin"),
    "a Cyrillic letter among Chinese ones": ("\u8bad\u7ec3\u0430", "letters of"),
    "fullwidth": ("\uff42ase", "another way of writing 'base'"),
    "a ligature": ("\ufb01ne", "another way of writing 'fine'"),
    "a small number": ("x\u00b2", "another way of writing 'x2'"),
    "digits of another script": ("seed \u0661", "not 0 to 9"),
    "no width": ("ba\u200bse", "are not seen"),
    "a soft hyphen": ("ba\u00adse", "are not seen"),
    "a mark of direction": ("ba\u202ese", "are not seen"),
    "a wide blank": ("ba\u3000se", "are not seen"),
    "a blank that does not break": ("ba\u00a0se", "are not seen"),
    "a filler": ("ba\u3164se", "are not seen"),
    "a sign that chooses a form": ("base\ufe0f", "are not seen"),
    "an empty pattern of dots": ("ba\u2800se", "are not seen"),
    "a line break": ("ba\nse", "are not seen"),
    "a minus that is no hyphen": ("a\u2212b", "looks like a sign of the keyboard"),
    "a dash": ("a\u2013b", "looks like a sign of the keyboard"),
    "a slash of fractions": ("a\u2044b", "looks like a sign of the keyboard"),
    "a sign of ratios": ("a\u2236b", "looks like a sign of the keyboard"),
    "a curled quote": ("a\u2019b", "looks like a sign of the keyboard"),
    "too much": ("x" * 101, "take 1 to 100"),
    **{f"with {sign}": (f"a{sign}b", f"{sign} stands in no name") for sign in '/\\*?"<>|'},
    **{f"first {sign}": (f"{sign}a", f"begins with {sign}") for sign in "-.=+@"},
    "a blank first": (" a", "begins with a space"),
    "code": ("mine.models:make", ": stands in no name"),
    "code in one module": ("mine:make", ": stands in no name"),
    "a network of timm": ("timm:resnet18", ": stands in no name"),
    "a folder": ("folder:pictures", ": stands in no name"),
    "an option": ("--help", "begins with -"),
    "a path": ("runs/base", "/ stands in no name"),
    "a file": ("best.pt", "reads like a file"),
    "another file": ("Best.SafeTensors", "reads like a file"),
}
REFUSED_SINCE = {
    "a time": ("8:255", ": stands in no name"),
    "a dot last": ("a.", "ends in a dot"),
    "a device": ("CON", "a device on Windows"),
    "a device with an ending": ("nul.txt", "a device on Windows"),
    "a numbered device": ("Com1", "a device on Windows"),
    "a checkpoint": ("Best", "a word of commands"),
    "a kind of weights": ("auto", "a word of commands"),
    "an id of a run": ("r0123abcd", "could be an id"),
    "an id of a job": ("J0123ABCD", "could be an id"),
}


@pytest.mark.parametrize("name", USABLE)
def test_useful_names_are_taken(store: Store, name: str) -> None:
    run = store.create(CONFIG, name)
    assert (run.name, store.find(name).id) == (name, run.id)


@pytest.mark.parametrize(
    ("name", "why"), [*REFUSED.values(), *REFUSED_SINCE.values()], ids=[*REFUSED, *REFUSED_SINCE]
)
def test_a_name_that_could_mislead_is_refused(store: Store, name: str, why: str) -> None:
    run = store.create(CONFIG, "base")
    for refused in (lambda: store.create(CONFIG, name), lambda: store.relabel(run, Label(name))):
        with pytest.raises(ConfigError, match="is not usable") as caught:
            refused()
        assert why in str(caught.value)
        assert name.isascii() or name not in str(caught.value)
    assert [run.name for run in store.runs()] == ["base"]


@pytest.mark.parametrize(("name", "why"), REFUSED.values(), ids=REFUSED)
def test_a_name_that_was_copied_and_misleads_is_shown_as_the_id(
    store: Store, cfa, name: str, why: str
) -> None:
    own, foreign = store.create(CONFIG, "base"), store.create(CONFIG, "foreign")
    (foreign.path / "label.json").write_text(json.dumps({"name": name, "tags": [], "notes": ""}))
    assert foreign.name == foreign.id
    assert [row["name"] for row in cfa("runs", "--json")] == ["base", foreign.id]
    assert store.find("base").id == own.id
    with pytest.raises(UnknownName):
        store.find(name)
    if not name.startswith("-"):  # typed, it is none of our own code either
        assert f"run {foreign.id} is not usable; write its id" in cfa("compare", name, "base", code=2).stderr


@pytest.mark.parametrize("name", [name for name, _ in REFUSED_SINCE.values()])
def test_a_name_of_before_is_read_used_and_kept(store: Store, tmp_path: Path, name: str) -> None:
    from cfa.runs.imports import import_runs

    run = store.create(CONFIG, "base")
    (run.path / "label.json").write_text(json.dumps({"name": name, "tags": ["suite:x"], "notes": ""}))
    assert (run.name, store.find(name).id) == (name, run.id)
    store.relabel(run, Label(name, ("suite:x", "more"), "a note"))
    assert run.label == Label(name, ("suite:x", "more"), "a note")
    other = Store.open(tmp_path / "other", shipped=None)
    assert [found.name for found in import_runs(other, store.home).runs] == [name]


def test_a_name_is_stored_in_one_way_of_writing_and_found_by_each(store: Store) -> None:
    run = store.create(CONFIG, "base\u0301")
    assert run.name == "bas\u00e9"
    assert store.find("bas\u00e9").id == store.find("base\u0301").id == run.id
    copied = store.create(CONFIG, "foreign")
    (copied.path / "label.json").write_text(json.dumps({"name": "base\u0301"}))
    assert copied.name == copied.id  # it would look the same


@pytest.mark.parametrize(
    ("name", "other"), [("Base", "bASE"), ("Straße", "STRASSE"), ("bas\u00e9", "BASE\u0301"), ("б", "Б")]
)
def test_names_that_read_the_same_are_one(store: Store, name: str, other: str) -> None:
    run = store.create(CONFIG, name)
    with pytest.raises(ConfigError, match="is taken"):
        store.create(CONFIG, other)
    assert store.free_name(other) == f"{normal(other)}-2"
    store.relabel(run, Label(other))  # its own name, written otherwise
    assert len(store.runs()) == 1


@pytest.mark.parametrize("tag", ["a,b", "", "a/b", "-a", "b\u0430se", "x" * 101])
def test_a_new_tag_follows_the_same_rules(store: Store, tag: str) -> None:
    run = store.create(CONFIG, "base")
    with pytest.raises(ConfigError, match="tag "):
        store.relabel(run, Label("base", (tag,)))
    assert run.label.tags == ()


@pytest.mark.parametrize("length", [4, 6, 9])
def test_the_beginning_of_an_id_finds_no_other_run(store: Store, length: int) -> None:
    own, foreign = store.create(CONFIG, "base"), store.create(CONFIG, "foreign")
    start = own.id[:length]
    with pytest.raises(ConfigError, match=rf"name '{start}' is (the beginning of the id|taken|not usable)"):
        store.create(CONFIG, start)
    (foreign.path / "label.json").write_text(json.dumps({"name": start, "tags": [], "notes": ""}))
    if length == len(own.id):
        assert store.find(start).id == own.id
    else:
        with pytest.raises(UnknownName, match=rf"ambiguous; write the id of one of .*{own.id}"):
            store.find(start)


def test_what_an_import_brings_is_called_so_that_nothing_else_is_meant(store: Store, tmp_path: Path) -> None:
    from cfa.runs.imports import import_runs

    store.create(CONFIG, "base")
    other = Store.open(tmp_path / "other", shipped=None)
    names = ["base ", "b\u0430se", "\uff42ase", "mine.models:make", "base"]
    for number, name in enumerate(names):
        run = other.create(CONFIG, f"run {number}")
        (run.path / "label.json").write_text(json.dumps({"name": name, "tags": [], "notes": ""}))
    imported = import_runs(store, other.home)
    assert set(imported.renamed.values()) == set(names[:-1])
    assert {run.name for run in imported.runs} == {"base-2", *imported.renamed}


@pytest.mark.parametrize(
    ("wanted", "name"),
    [("b\u0430se.v2", "b-se.v2"), ("\uff42ase", "base"), ("net.pt", "net"), ("\u202e", "run"), ("a", "a")],
)
def test_a_free_name_is_a_usable_one(store: Store, wanted: str, name: str) -> None:
    assert store.free_name(wanted) == name


# Results that are stored under a name ----------------------------------------------------------------------

PLAN = EvaluationPlan(attacks=("clean",), limit=6)
MODEL = nn.Sequential(nn.Flatten(), nn.Linear(64, 3))


@pytest.fixture
def data(tiny: str, typed, home: Path) -> Dataset:
    return load_dataset(tiny, home / "data")


def test_a_result_goes_to_no_copied_run_of_the_same_name(store: Store, data: Dataset) -> None:
    engine.evaluate(MODEL, data, PLAN, log_as="mine")
    engine.evaluate(MODEL, data, PLAN, log_as="mine")
    own = store.find("mine")
    copied = RunFolder(own.path.with_name("zforeign"))
    shutil.copytree(own.path, copied.path)
    with pytest.raises(UnknownName, match=rf"'mine' is ambiguous; .*{own.id}.*zforeign"):
        engine.evaluate(MODEL, data, PLAN, log_as="mine")
    assert [len(read_evaluations(run)) for run in (own, copied)] == [2, 2]


@pytest.mark.parametrize(
    ("name", "error"),
    [("b\u0430se", ConfigError), ("x:y", ConfigError), ("a training", ConfigError), ("linked", StoreError)],
)
def test_a_result_is_not_stored_where_it_could_mislead(
    store: Store, data: Dataset, tmp_path: Path, name: str, error: type[Exception]
) -> None:
    store.create(CONFIG, "a training")
    engine.evaluate(MODEL, data, PLAN, log_as="linked")
    evaluations = store.find("linked").path / "evaluations"
    shutil.move(evaluations, tmp_path / "outside")
    evaluations.symlink_to(tmp_path / "outside")
    with pytest.raises(error):
        engine.evaluate(MODEL, data, PLAN, log_as=name)
    assert len(list((tmp_path / "outside").iterdir())) == 1
    assert {run.name for run in store.runs()} == {"a training", "linked"}
