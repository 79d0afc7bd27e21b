"""A run's teacher from the command to its manifest: a run, some of its weights, or a file."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from cfa.errors import ConfigError, UnknownName, Untrusted
from cfa.jobs.made_from import KeptBy, initial_weights, teacher_network, teacher_of, teacher_refusal
from cfa.jobs.queue import Queue
from cfa.jobs.submit import check_names, submit_training
from cfa.methods import METHODS
from cfa.models import load_weights
from cfa.runs.evaluations import read_evaluations
from cfa.runs.store import Store
from tests.support.tiny import TINY, tiny_config, tiny_dataset

pytestmark = pytest.mark.usefixtures("no_shipped_runs")
SETTINGS = {**TINY, "train.epochs": 2, "averaging.start_epoch": 1, "averaging.gate": "mean"}
WORDS = [word for name, value in SETTINGS.items() for word in ("--set", f"{name}={value}")]


@pytest.fixture
def train(cfa, tiny):
    """Train a small run; gives what the command returns."""

    def call(method: str, *arguments: str, code: int = 0):
        words = ["--method", method, "--dataset", tiny, "--model", "small-cnn", "--preset", "demo", *WORDS]
        return cfa("train", *words, *arguments, "--no-test", code=code)

    return call


def test_a_run_learns_from_a_run(train, home: Path) -> None:
    train("trades", "--name", "older")
    train("ard", "--name", "younger", "--teacher", "older")
    store = Store.open(home)
    older, younger = store.find("older"), store.find("younger")
    assert younger.config.teacher == older.id
    card = younger.manifest.teacher
    assert (card.name, card.method, card.model) == ("older", "trades", "small-cnn")
    assert (card.run_id, card.weights, card.checkpoint) == (older.id, "online", "best")
    assert card.experiment == older.experiment
    assert card.passes == 2 * (1 + 3 + 2)  # the KL's target, the attack, the loss
    assert younger.marks == ()


def test_other_weights_of_a_run_can_be_named(train, home: Path) -> None:
    train("trades", "--name", "older")
    train("rslad", "--name", "younger", "--teacher", "older#last-ema")
    store = Store.open(home)
    younger = store.find("younger")
    assert younger.config.teacher == f"{store.find('older').id}#last-ema"
    assert (younger.manifest.teacher.weights, younger.manifest.teacher.checkpoint) == ("ema", "last")


def test_a_file_is_a_teacher_and_has_seen_the_validation_images(train, home: Path, tmp_path: Path) -> None:
    train("trades", "--name", "older")
    store = Store.open(home)
    file = tmp_path / "weights.safetensors"
    file.write_bytes(store.find("older").weights_file("online", "best").read_bytes())
    train("ard", "--name", "by-file", "--teacher", "weights.safetensors")
    train("ard", "--name", "by-run", "--teacher", "older")
    by_file, by_run = store.find("by-file"), store.find("by-run")
    assert by_file.config.teacher == str(file)
    assert by_file.marks == (
        "its teacher has seen the validation images: weights.safetensors was trained elsewhere",
    )
    assert by_file.manifest.teacher.weights_hash == by_run.manifest.teacher.weights_hash
    one, other = (load_weights(run.weights_file("online", "last")) for run in (by_file, by_run))
    assert all((one[name] == other[name]).all() for name in one)  # its normalisation came with it


def test_a_teacher_of_another_split_is_marked(train, home: Path, cfa) -> None:
    train("trades", "--name", "older", "--set", "data.split_seed=5")
    train("ard", "--name", "younger", "--teacher", "older")
    (mark,) = Store.open(home).find("younger").marks
    assert mark.startswith("its teacher has seen the validation images: older was trained on ")
    cfa("evaluate", "older", "younger", "--attack", "fgsm")
    assert f"younger: {mark}" in cfa("compare", "younger", "--baseline", "older").stderr
    (evaluation,) = read_evaluations(Store.open(home).find("younger"))
    assert mark in evaluation.findings


def test_a_start_is_written_down_as_well(train, home: Path) -> None:
    train("trades", "--name", "older", "--set", "data.split_seed=5")
    train("frl", "--name", "younger", "--init", "older")
    younger = Store.open(home).find("younger")
    assert younger.manifest.start.name == "older"
    assert younger.marks[0].startswith("its start has seen the validation images: older")


@pytest.mark.parametrize(
    ("method", "words", "says"),
    [
        ("ard", [], "ard learns from a trained network; name a run or a weights file as its teacher"),
        ("ard", ["--teacher", "nowhere"], "unknown run 'nowhere'"),
        ("trades", ["--teacher", "nowhere"], "trades learns from no teacher; leave it out"),
    ],
)
def test_what_cannot_be_a_teacher_is_refused_before_there_is_a_run(
    train, home: Path, method: str, words: list[str], says: str
) -> None:
    assert says in train(method, *words, code=2).stderr
    assert Store.open(home).runs() == []


def test_a_teacher_of_other_images_is_refused_before_there_is_a_run(train, home: Path) -> None:
    train("trades", "--name", "older")
    store = Store.open(home)
    config = tiny_config("ard").model_copy(update={"dataset": "fashion-mnist-mini", "teacher": "older"})
    why = teacher_refusal(store, config)
    assert why.startswith("teacher 'older' knows 3 classes and the data set has 10; take a network")
    with pytest.raises(ConfigError, match="teacher 'older' knows 3 classes"):
        submit_training(store, Queue(home), config)
    assert len(store.runs()) == 1


def test_a_file_with_a_head_of_cosines_is_read_with_it(train, cfa, home: Path, tiny: str) -> None:
    """RoBal's own weights, copied out of its run: to be evaluated, and to learn from."""
    train("robal", "--name", "cosines")
    kept, file = Store.open(home).find("cosines"), home / "bare.safetensors"
    file.write_bytes(kept.weights_file("online", "best").read_bytes())
    words = ["--attack", "pgd-2", "--eps", "16/255", "--json"]
    own = cfa("evaluate", "cosines", "--weights", "online", *words)["scores"]
    bare = cfa("evaluate", str(file), "--dataset", tiny, "--model", "small-cnn", *words)["scores"]
    assert [row["correct"] for row in bare] == [row["correct"] for row in own]
    train("ard", "--name", "by-file", "--teacher", str(file))
    train("ard", "--name", "by-run", "--teacher", "cosines")
    one, other = (
        load_weights(Store.open(home).find(name).weights_file("online", "last"))
        for name in ("by-file", "by-run")
    )
    assert all((one[name] == other[name]).all() for name in one)


@pytest.mark.parametrize("method", [name for name, method in METHODS.items() if method.fine_tunes])
def test_a_method_that_goes_on_from_a_network_is_refused_without_one(train, home: Path, method: str) -> None:
    said = train(method, code=2).stderr
    assert f"{method} goes on from a trained network" in said
    assert "(--init RUN)" in said
    assert Store.open(home).runs() == []


@pytest.mark.parametrize(("method", "setting"), [("ard", "teacher"), ("frl", "init")])
def test_a_run_waits_for_what_it_is_made_from(home: Path, method: str, setting: str) -> None:
    store, queue = Store.open(home), Queue(home)
    older, (first,) = submit_training(store, queue, replace_dataset("trades"), name="older")
    older.weights_file("online", "best").touch()  # the best of its first epochs
    config = replace_dataset(method).model_copy(update={setting: "older"})
    _, (second,) = submit_training(store, queue, config)
    assert second.after == (first.id,)
    queue.cancel(first.id)
    _, (third,) = submit_training(store, queue, config)
    assert third.after == ()


def test_a_teacher_whose_code_nobody_typed_here_is_refused_before_there_is_a_run(home: Path) -> None:
    store = Store.open(home)
    store.create(tiny_config("trades").model_copy(update={"model": "my_lab.nets:tiny"}), "theirs")
    config = replace_dataset("ard").model_copy(update={"teacher": "theirs"})
    with pytest.raises(Untrusted, match=r"'my_lab\.nets:tiny' is somebody's code"):
        submit_training(store, Queue(home), config)
    assert len(store.runs()) == 1


def replace_dataset(method: str):
    return tiny_config(method).model_copy(update={"dataset": "fashion-mnist-mini"})


@pytest.mark.parametrize("words", ["#", "#first", "#last-best", "#ema-fawa", "#last-ema-online"])
def test_weights_that_nobody_keeps_are_refused(store: Store, words: str) -> None:
    run = store.create(tiny_config("trades"), "older")
    with pytest.raises(ConfigError, match="names no weights of a run; write RUN"):
        KeptBy.of(store, f"{run.name}{words}")


@pytest.mark.parametrize(
    ("words", "stored", "kept"),
    [
        ("", "", ("online", "best")),
        ("#best", "", ("online", "best")),
        ("#last", "#last", ("online", "last")),
        ("#ema", "#ema", ("ema", "best")),
        ("#ema-last", "#last-ema", ("ema", "last")),
    ],
)
def test_weights_are_stored_under_one_name(
    store: Store, words: str, stored: str, kept: tuple[str, str]
) -> None:
    run = store.create(tiny_config("trades"), "older")
    found = KeptBy.of(store, f"older{words}")
    assert (found.reference, found.kind()) == (f"{run.id}{stored}", kept)


def test_time_is_estimated_with_the_network_of_the_teacher(store: Store) -> None:
    wide = tiny_config("trades").model_copy(update={"model": "wide-resnet-28-10"})
    store.create(wide, "older")
    config = tiny_config("ard").model_copy(update={"teacher": "older"})
    assert teacher_network(store, config) == "wide-resnet-28-10"
    outside = tiny_config("trades").model_copy(update={"model": "my_lab.nets:tiny"})
    store.create(outside, "theirs")
    for teacher in ("theirs", "gone", None):
        unknown = config.model_copy(update={"teacher": teacher})
        assert teacher_network(store, unknown) == "small-cnn"


def test_names_are_checked_before_anything_is_made(store: Store) -> None:
    config = tiny_config("ard").model_copy(update={"dataset": "fashion-mnist-mini", "teacher": "gone"})
    with pytest.raises(UnknownName, match="unknown run 'gone'"):
        check_names(store, config)


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        (["1", "0", "2"], "is class 0 of the network and class 1 of"),
        (["0", "1", "cat"], "answers for other classes"),
    ],
)
def test_a_teacher_that_answers_for_other_classes_is_refused(
    train, home: Path, names: list[str], sentence: str
) -> None:
    """It answers with positions: of classes in another order it would teach the wrong ones."""
    train("trades", "--name", "older")
    manifest = Store.open(home).find("older").path / "manifest.json"
    content = json.loads(manifest.read_text())
    own = content["class_names"]
    content["class_names"] = [own[int(name)] if name.isdecimal() else name for name in names]
    manifest.write_text(json.dumps(content))
    assert sentence in train("ard", "--name", "younger", "--teacher", "older", code=1).stderr


def test_a_teacher_that_is_gone_is_asked_for_by_its_part(train, home: Path) -> None:
    """Whoever resumes never typed the id of a teacher, and cannot mean another one by it."""
    train("trades", "--name", "older")
    train("ard", "--name", "younger", "--teacher", "older")
    store = Store.open(home)
    younger = store.find("younger")
    shutil.rmtree(store.find("older").path)
    with pytest.raises(ConfigError, match=r"its teacher, run r[0-9a-f]+, is not there any more"):
        teacher_of(store, younger, tiny_dataset(), torch.device("cpu"))


def test_a_start_that_is_gone_is_asked_for_by_its_part(train, home: Path) -> None:
    train("trades", "--name", "older")
    train("frl", "--name", "younger", "--init", "older")
    store = Store.open(home)
    younger = store.find("younger")
    younger.state_file.unlink(missing_ok=True)  # with its state a run goes on without its start
    shutil.rmtree(store.find("older").path)
    with pytest.raises(ConfigError, match=r"its start, run r[0-9a-f]+, is not there any more"):
        initial_weights(store, younger)
