"""Whose code runs: what a person typed here and now, or what this store knows to be its own; nothing else.

A canary module writes down that it was run: by an import, or by a call of something in it.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from cfa.attacks import named_attack
from cfa.data import load_dataset
from cfa.errors import CfaError, ConfigError, UnknownName, Untrusted
from cfa.evaluation import EvaluationPlan, default_weights
from cfa.jobs.kinds.train_run import TrainRun
from cfa.jobs.queue import Queue
from cfa.jobs.submit import check_names
from cfa.methods import METHODS, configure, display_name
from cfa.models import MODELS
from cfa.runs.folder import Label
from cfa.runs.store import Store
from cfa.runs.trusted import Trusted
from cfa.tables.comparison import compare
from cfa.trust import allowing, import_name

pytestmark = pytest.mark.usefixtures("no_shipped_runs")

CANARY = """
from pathlib import Path
SEEN = Path({seen!r})
SEEN.write_text(SEEN.read_text() + "imported;" if SEEN.exists() else "imported;")
def run(*arguments, **settings):
    SEEN.write_text(SEEN.read_text() + "called;")
"""
NAMES = {"method": "canary:run", "dataset": "canary:run", "model": "canary:run"}


@pytest.fixture
def seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Lay a canary into the working folder, also named like libraries; return where it leaves its mark."""
    folder, mark = tmp_path / "here", tmp_path / "seen"
    folder.mkdir()
    for name in ("canary", "psutil", "timm"):
        (folder / f"{name}.py").write_text(CANARY.format(seen=str(mark)))
    monkeypatch.chdir(folder)
    path = list(sys.path)
    yield mark
    sys.path[:] = path
    sys.modules.pop("canary", None)


# What an import name is ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("package.module:name", "package.module:name"),
        ("mine:strong@8/255", "mine:strong"),
        ("mine:set-lt", "mine:set"),
        ("módulo:größe", "módulo:größe"),
        ("folder:pets", None),
        ("timm:resnet18", None),
        ("torchattacks:BIM", None),
        ("pgd-20", None),
        ("autoattack(apgd-ce,square)", None),
        (".relative:x", None),
        ("a:b:c", None),
        ("a b:c", None),
        ("a:b\n", None),
        ("../a:b", None),
        ("1a:b", None),
        ("a:", None),
        (":b", None),
        (17, None),
        (None, None),
    ],
)
def test_an_import_name_is_told_from_other_texts(text: object, name: str | None) -> None:
    assert import_name(text) == name


# Nobody typed it -----------------------------------------------------------------------------------------

UNTYPED = {
    "method": lambda home: METHODS["canary:run"],
    "model": lambda home: MODELS["canary:run"],
    "data set": lambda home: load_dataset("canary:run", home),
    "long tail": lambda home: load_dataset("canary:run-lt", home),
    "attack": lambda home: named_attack("canary:run", "linf"),
    "attack with a budget": lambda home: EvaluationPlan(attacks=("canary:run@4/255",)),
    "a stored plan": lambda home: EvaluationPlan.of({"attacks": ["canary:run"]}),
    "configure": lambda home: configure("canary:run", "cifar10"),
    "check_names": lambda home: check_names(Store.open(home), foreign_run(home).config),
}


@pytest.mark.usefixtures("seen")
@pytest.mark.parametrize("door", UNTYPED)
def test_what_nobody_typed_is_a_text(door: str, home: Path, seen: Path) -> None:
    with allowing(["canary:other", "other:run"]), pytest.raises(Untrusted, match="nobody named it here"):
        UNTYPED[door](home)
    assert not seen.exists()


def test_what_was_typed_is_forgotten_when_the_command_ends(seen: Path) -> None:
    with allowing(["canary:run"]), pytest.raises(ConfigError, match="is function and not a Method"):
        METHODS["canary:run"]
    assert seen.read_text() == "imported;"  # and not called: it is no method
    with pytest.raises(Untrusted):
        METHODS["canary:run"]


# It is typed, and refused before it is imported ----------------------------------------------------------

REFUSED = {
    "shutil:rmtree": "of Python's own library",
    "os.path:join": "of Python's own library",
    "builtins:eval": "of Python's own library",
    "gift_at_home:run": "where runs are kept",
    "gift_in_run:run": "where runs are kept",
    "linked:run": "where runs are kept",
    "package.inner:run": "where runs are kept",
}


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("kind", ["method", "dataset", "model", "attack"])
def test_places_and_libraries_are_refused_before_the_import(
    name: str, kind: str, home: Path, tmp_path: Path, seen: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = CANARY.format(seen=str(seen))
    (home / "gift_at_home.py").write_text(code)
    run = tmp_path / "received" / "r0123"
    (run / "package").mkdir(parents=True)
    for file in ("config.json", "status.json"):
        (run / file).write_text("{}")
    (run / "gift_in_run.py").write_text(code)
    (run / "package" / "__init__.py").write_text(code)
    (run / "package" / "inner.py").write_text(code)
    Path("linked.py").symlink_to(run / "gift_in_run.py")
    for folder in (home, run):
        monkeypatch.syspath_prepend(str(folder))
    doors = {
        "method": lambda: METHODS[name],
        "dataset": lambda: load_dataset(name, home),
        "model": lambda: MODELS[name],
        "attack": lambda: named_attack(name, "linf"),
    }
    with allowing([name]), pytest.raises(ConfigError, match=REFUSED[name]):
        doors[kind]()
    assert not seen.exists()


@pytest.mark.parametrize("package", ["", "plain.", "plain.inner.", "packed.", "packed.inner."])
def test_own_code_is_found_in_packages_with_and_without_init(package: str, seen: Path) -> None:
    folder = Path(*package.split("."))
    folder.mkdir(parents=True, exist_ok=True)
    if package.startswith("packed"):
        Path("packed", "__init__.py").touch()
    (folder / "mine.py").write_text("def make(): pass\n")
    for known in ("mine", "plain", "packed"):
        for name in [name for name in sys.modules if name.partition(".")[0] == known]:
            del sys.modules[name]
    with allowing([f"{package}mine:make"]):
        assert MODELS[f"{package}mine:make"].__module__ == f"{package}mine"


SAYS_NOTHING = "    def __str__(self): 1 / 0\n    __repr__ = __str__"


@pytest.mark.parametrize(
    ("code", "error", "sentence"),
    [
        ("import sys; sys.exit(3)", ConfigError, "its module fails .SystemExit: 3."),
        ("raise ValueError('no GPU\\n  today')", ConfigError, "its module fails .ValueError: no GPU today."),
        ("raise BaseException('out')", ConfigError, "its module fails .BaseException: out."),
        ("raise RecursionError", ConfigError, "its module fails .RecursionError"),
        ("def f(): f()\nf()", ConfigError, "its module fails .RecursionError"),
        ("raise AttributeError('no such')", ConfigError, "its module fails .AttributeError: no such"),
        ("class Own(KeyboardInterrupt): ...\nraise Own('x')", ConfigError, "its module fails .Own: x"),
        (f"class Own(Exception):\n{SAYS_NOTHING}\nraise Own", ConfigError, "Own: its text fails with Zero"),
        (f"class Own(ImportError):\n{SAYS_NOTHING}\nraise Own", UnknownName, "its text fails with ZeroDiv"),
        ("def __getattr__(name): 1 / 0", ConfigError, "its module fails .ZeroDivisionError"),
        ("raise ExceptionGroup('two', [OSError(), OSError()])", ConfigError, "its module fails .ExceptionGr"),
        ("def (:", ConfigError, "its module fails .SyntaxError"),
        ("import no_such_library", UnknownName, "No module named 'no_such_library'"),
        ("", UnknownName, "cannot import model 'broken:x'"),
    ],
)
def test_a_module_that_fails_gets_a_sentence(
    code: str, error: type[CfaError], sentence: str, seen: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("broken.py").write_text(code)
    monkeypatch.delitem(sys.modules, "broken", raising=False)
    with allowing(["broken:x"]), pytest.raises(error, match=sentence):
        MODELS["broken:x"]
    sys.modules.pop("broken", None)


# Somebody else's run -------------------------------------------------------------------------------------


def foreign_run(home: Path, name: str = "gift"):
    """Lay a run's folder into the store as if it was copied there; its configuration names the canary."""
    store = Store.open(home)
    config = configure("pgd-at", "fashion-mnist-mini").model_copy(update=NAMES)
    run = store.create(config)
    run.write_label(Label(name))
    run.write_status("paused", 1)
    return run


WITHOUT_RUNNING_IT = {
    "runs": ["runs", "--json"],
    "jobs": ["jobs", "--json"],
    "prune": ["prune", "--dry-run"],
    "evaluate": ["evaluate", "gift", "--attack", "pgd-2"],
    "evaluate, named like its code": ["evaluate", "canary:run", "--attack", "pgd-2"],
    "evaluate, queued": ["evaluate", "gift", "--attack", "pgd-2", "--queue"],
    "evaluate on another data set": [
        "evaluate",
        "gift",
        "--attack",
        "pgd-2",
        "--dataset",
        "fashion-mnist-mini",
    ],
    "transfer": ["evaluate", "plain", "--attack", "pgd-2", "--transfer-from", "gift"],
    "resume": ["resume", "gift"],
    "resume, queued": ["resume", "gift", "--queue"],
    "compare": ["compare", "gift", "plain"],
    "export": ["export", "gift", "--out", "somewhere"],
    "train from it": [
        "train",
        "--method",
        "frl",
        "--dataset",
        "fashion-mnist-mini",
        "--init",
        "gift",
        "--queue",
    ],
    "learn from it": [
        "train",
        "--method",
        "ard",
        "--dataset",
        "fashion-mnist-mini",
        "--teacher",
        "gift",
        "--queue",
    ],
    "suite": ["suite", "plan", "suite.toml"],
    "suite run": ["suite", "run", "suite.toml", "--queue"],
    "suite report": ["suite", "report", "suite.toml"],
}
SAYS_THE_OPTION = ("evaluate", "resume", "suite", "transfer")
SAYS_THE_ID = "evaluate, named like its code"  # of a run that is called so, and not of what was typed


@pytest.mark.parametrize("command", WITHOUT_RUNNING_IT)
def test_somebody_elses_run_is_only_data(command: str, cfa, home: Path, seen: Path) -> None:
    run = foreign_run(home)
    foreign_run(home, "canary:run")
    store = Store.open(home)
    store.create(configure("pgd-at", "fashion-mnist-mini"), "plain")
    Queue(home).submit(TrainRun(test=False), "train gift", run_id=run.id)
    Queue(home).pause(Queue(home).find("gift").id)
    Path("suite.toml").write_text('title = "gift"\ndataset = "canary:run"\nmethods = ["canary:run"]\n')
    words = WITHOUT_RUNNING_IT[command]
    done = subprocess.run(
        [sys.executable, "-m", "cfa", *words],
        env=os.environ | {"CFA_HOME": str(home)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert not seen.exists(), done.stderr
    assert "Traceback" not in done.stderr
    if command.startswith(SAYS_THE_OPTION):
        assert done.returncode == 2, done.stdout
        assert ("write its id" if command == SAYS_THE_ID else "--trust-code") in done.stderr


def test_lists_and_comparisons_show_its_names(home: Path, seen: Path) -> None:
    runs = [foreign_run(home), foreign_run(home)]
    assert [default_weights(run) for run in runs] == ["online", "online"]
    assert display_name("canary:run", "ema") == "run + EMA"
    with pytest.raises(ConfigError, match="share no test evaluation"):
        compare(runs, runs[0], default_weights)
    assert not seen.exists()


# This store's own runs -----------------------------------------------------------------------------------


def train_words(tiny: str, *more: str) -> list[str]:
    settings = [
        f"--set={text}" for text in ("attack.steps=1", "train.batch_size=60", "data.val_fraction=0.2")
    ]
    settings += ["--set=averaging.gate=mean", "--set=averaging.threshold=0"]
    return [
        "train",
        "--method",
        "pgd-at",
        "--dataset",
        tiny,
        "--model",
        "small-cnn",
        "--epochs",
        "1",
        *settings,
        *more,
    ]


def test_a_run_made_here_goes_on_without_being_asked_again(
    cfa, home: Path, tiny: str, tmp_path: Path
) -> None:
    cfa(*train_words(tiny, "--name", "own", "--queue"))
    (run,) = Store.open(home).runs()
    assert Trusted(home).read(run.id).names == (tiny,)
    assert not list(run.path.rglob("*trusted*"))  # kept by the store, not by what travels
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    os.chdir(elsewhere)
    sys.modules.pop("tiny_data", None)
    done = subprocess.run(
        [sys.executable, "-m", "cfa", "run-job", claimed(home)],
        env={**os.environ, "CFA_HOME": str(home)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert cfa("evaluate", "own", "--attack", "pgd-2", "--json")["scores"]


def claimed(home: Path) -> str:
    job = Queue(home).claim("cpu")
    assert job is not None
    return job.id


def test_trust_code_runs_what_a_copied_run_names_and_remembers_it(cfa, home: Path, tiny: str) -> None:
    cfa(*train_words(tiny, "--name", "own", "--no-test"))
    (run,) = Store.open(home).runs()
    (home / "trusted" / f"{run.id}.json").unlink()  # as if the folder had come from another machine
    cfa("evaluate", "own", "--attack", "pgd-2", code=2)
    assert cfa("evaluate", "own", "--attack", "pgd-2", "--trust-code", "--json")["scores"]
    cfa("evaluate", "own", "--attack", "pgd-2")  # from now on this store knows it


def test_the_name_counts_and_not_the_run(cfa, home: Path, tiny: str, seen: Path) -> None:
    """A run's folder that is overwritten with another configuration is not trusted for what it says now."""
    os.chdir(Path(tiny.partition(":")[0] + ".py").resolve().parent)
    cfa(*train_words(tiny, "--name", "own", "--no-test", "--queue"))
    (run,) = Store.open(home).runs()
    fields = json.loads((run.path / "config.json").read_text()) | {"dataset": "canary:run"}
    (run.path / "config.json").write_text(json.dumps(fields))
    cfa("evaluate", "own", "--attack", "pgd-2", code=2)
    assert not seen.exists()


@pytest.mark.parametrize(
    "content", ["", "[]", "null", '{"names": "x"}', '{"names": [1]}', "\x00", "{" * 5000]
)
def test_a_damaged_record_trusts_nothing(content: str, home: Path) -> None:
    (home / "trusted").mkdir(parents=True)
    (home / "trusted" / "r1.json").write_text(content)
    assert Trusted(home).read("r1").names == ()
    assert Trusted(home).read("../trusted/r1").names == ()


# The working folder --------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", [["runs"], ["jobs"], ["models"], ["datasets"], ["--help"]])
def test_what_lies_in_the_working_folder_is_not_run(words: list[str], home: Path, seen: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "cfa", *words],
        env={**os.environ, "CFA_HOME": str(home)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert not seen.exists()


def test_the_working_folder_comes_last_on_the_path(home: Path, seen: Path) -> None:
    code = (
        "import sys; from cfa.search_path import forget_working_folder; forget_working_folder()\n"
        "from cfa.trust import allowing; from cfa.models import MODELS; from cfa.errors import ConfigError\n"
        "import os; assert os.getcwd() not in sys.path and '' not in sys.path, sys.path\n"
        "with allowing(['canary:run']):\n"
        "    MODELS['canary:run']\n"
        "assert sys.path[-1] == os.getcwd() and sys.path.count(os.getcwd()) == 1, sys.path\n"
        "import psutil; assert os.getcwd() not in psutil.__file__\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert seen.read_text() == "imported;"


# What else might vouch for itself ------------------------------------------------------------------------


def received_record(home: Path, run_id: str, names: list[str], folder: str) -> None:
    (home / "trusted").mkdir(parents=True, exist_ok=True)
    record = {"names": names, "folder": folder, "seal": "0" * 64}
    (home / "trusted" / f"{run_id}.json").write_text(json.dumps(record))


@pytest.mark.parametrize("folder", [".", "/", "here"])
def test_a_record_that_came_with_a_home_is_not_believed(folder: str, home: Path, seen: Path) -> None:
    run = foreign_run(home)
    received_record(home, run.id, ["canary:run"], folder)
    with Trusted(home).allowing(run.id), pytest.raises(Untrusted):
        MODELS["canary:run"]
    assert not seen.exists()


def test_a_record_is_of_one_run_and_what_was_typed_for_it(home: Path) -> None:
    with allowing(["mine:x", "mine:y"]):
        Trusted(home).remember("r1", ["mine:x", "pgd-20", None])
        Trusted(home).remember("r1", ["mine:y"])
    assert Trusted(home).read("r1").names == ("mine:x", "mine:y")
    text = (home / "trusted" / "r1.json").read_text()
    for changed in (text.replace("mine:x", "mine:z"), text.replace(os.getcwd(), "/elsewhere")):
        (home / "trusted" / "r2.json").write_text(text)
        (home / "trusted" / "r1.json").write_text(changed)
        assert Trusted(home).read("r1").names == ()
        assert Trusted(home).read("r2").names == ()  # sealed for another run


def test_a_name_that_two_copied_runs_carry_is_not_taken_for_code(cfa, home: Path, seen: Path) -> None:
    for run in (foreign_run(home), foreign_run(home)):
        run.write_label(Label("canary:run"))
    said = cfa("evaluate", "canary:run", "--attack", "pgd-2", "--dataset", "fashion-mnist-mini", code=2)
    assert "write its id" in said.stderr
    assert not seen.exists()


def pictures(place: Path) -> Path:
    """Make a folder with eight images of two classes in either part."""
    for part in ("train", "test"):
        for name in ("cat", "dog"):
            (place / "pictures" / part / name).mkdir(parents=True)
            for number in range(4):
                Image.new("L", (8, 8), 40 * number).save(place / "pictures" / part / name / f"{number}.png")
    return place / "pictures"


def test_a_folder_that_a_suite_names_is_read_where_the_suite_is_trusted(
    cfa, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures(tmp_path)
    monkeypatch.chdir(tmp_path)
    suite = tmp_path / "suite.toml"
    suite.write_text(
        'title = "t"\ndataset = "folder:pictures"\nmodel = "small-cnn"\nmethods = ["pgd-at"]\n'
        '[settings]\n"train.epochs" = 1\n"train.batch_size" = 4\n"data.val_fraction" = 0.3\n'
    )
    assert "--trust-code" in cfa("suite", "run", str(suite), code=2).stderr
    assert [job["state"] for job in cfa("suite", "run", str(suite), "--trust-code", "--json")] == ["done"]


@pytest.mark.parametrize("command", [["evaluate", "gift", "--attack", "pgd-2"], ["resume", "gift"]])
def test_a_folder_that_a_copied_run_names_is_not_read(
    command: list[str], cfa, home: Path, tmp_path: Path
) -> None:
    private = pictures(tmp_path)
    store = Store.open(home)
    config = configure("pgd-at", "fashion-mnist-mini", model="small-cnn").model_copy(
        update={"dataset": f"folder:{private}"}
    )
    run = store.create(config, "gift")
    Queue(home).submit(TrainRun(test=False), "train gift", run_id=run.id)
    Queue(home).pause(Queue(home).find("gift").id)
    assert "--trust-code" in cfa(*command, code=2).stderr
    assert not list((home / "data").rglob("*.safetensors"))
