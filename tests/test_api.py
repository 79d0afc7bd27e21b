"""Training and evaluating by names in one line of Python: what the typed forms and the commands do."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

import cfa as package
from cfa.config import RunConfig
from cfa.data import load_dataset
from cfa.errors import CfaError, ConfigError, Untrusted
from cfa.evaluation import EvaluationPlan
from cfa.jobs.queue import Queue
from cfa.methods import configure
from cfa.models import load_weights
from cfa.runs.choice import chosen, left_out
from cfa.runs.evaluations import read_evaluations
from cfa.runs.store import Store
from cfa.trust import allowing

pytestmark = pytest.mark.usefixtures("no_shipped_runs")

SETTINGS = {
    "train.batch_size": "16",
    "attack.steps": 1,
    "attack.eps": "8/255",
    "data.val_fraction": 0.2,
    "averaging.gate": "mean",
    "averaging.start_epoch": 1,
    "averaging.threshold": 0,
}
NAMES: dict[str, Any] = {"model": "small-cnn", "preset": "demo", "seed": 3}


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 3))


# Training --------------------------------------------------------------------------------------------------


def test_a_training_by_names_is_that_of_the_configuration(home: Path, tiny: str) -> None:
    named = package.train("trades-cfa", tiny, epochs=2, settings=SETTINGS, name="named", **NAMES)
    with allowing([tiny]):
        config = configure("trades-cfa", tiny, overrides=SETTINGS | {"train.epochs": 2}, **NAMES)
    typed = package.train(config, name="typed", test=False)
    assert named.config == typed.config == config
    assert (named.config.train.epochs, named.config.seed, named.name) == (2, 3, "named")
    assert named.status.state == "finished"
    assert {evaluation.weights for evaluation in read_evaluations(named)} == {"online", "ema", "fawa"}
    for kind in ("online", "ema", "fawa"):
        one, other = (load_weights(run.weights_file(kind, "last")) for run in (named, typed))
        assert all(torch.equal(one[key], other[key]) for key in one)


def test_a_training_by_names_starts_from_a_run(home: Path, tiny: str) -> None:
    first = package.train("trades", tiny, epochs=1, settings=SETTINGS, test=False, **NAMES)
    second = package.train("fat", tiny, epochs=1, settings=SETTINGS, test=False, init=first.name, **NAMES)
    assert second.config.init == first.id


# What the call is given, and the words of the command that asks for the same.
REFUSED_TRAININGS: dict[str, tuple[dict[str, Any], list[str]]] = {
    "method": ({"method": "tradez"}, ["--method", "tradez"]),
    "own method": ({"method": "no_such.module:name"}, ["--method", "no_such.module:name"]),
    "data set": ({"dataset": "fashion-mnist-midi"}, ["--dataset", "fashion-mnist-midi"]),
    "model": ({"model": "small-cn"}, ["--model", "small-cn"]),
    "preset": ({"preset": "papers"}, ["--preset", "papers"]),
    "seed": ({"seed": -1}, ["--seed", "-1"]),
    "init": ({"init": "nowhere"}, ["--init", "nowhere"]),
    "teacher": ({"method": "ard", "teacher": "nowhere"}, ["--method", "ard", "--teacher", "nowhere"]),
    "no teacher": ({"method": "ard"}, ["--method", "ard"]),
    "name": ({"name": "../up"}, ["--name", "../up"]),
    "device": ({"device": "gpu"}, ["--device", "gpu"]),
    "setting": ({"settings": {"attack.epps": "1"}}, ["--set", "attack.epps=1"]),
    "value": ({"settings": {"attack.eps": "8"}}, ["--set", "attack.eps=8"]),
    "unused": ({"settings": {"rule.lambda_eps": "1"}}, ["--set", "rule.lambda_eps=1"]),
}


@pytest.mark.parametrize(("given", "words"), REFUSED_TRAININGS.values(), ids=REFUSED_TRAININGS)
def test_a_training_is_refused_in_the_words_of_the_command(cfa, home: Path, given, words) -> None:
    typed = {"method": "trades", "dataset": "fashion-mnist-mini"} | given
    method, dataset = typed.pop("method"), typed.pop("dataset")
    with pytest.raises(CfaError) as raised:
        package.train(method, dataset, **typed)
    command = ["train", *words]
    for option, value in (("--method", method), ("--dataset", dataset)):
        command += [] if option in words else [option, value]
    assert cfa(*command, code=2).stderr == f"error: {raised.value}\n"
    assert Store.open(home).runs() == []
    assert Queue(home).jobs() == []


def test_epochs_are_a_setting(home: Path) -> None:
    with pytest.raises(ConfigError, match=r"train\.epochs=0"):
        package.train("trades", "fashion-mnist-mini", epochs=0)


def test_a_method_needs_a_data_set(home: Path) -> None:
    with pytest.raises(ConfigError, match="no data set is named to train 'trades' on"):
        package.train("trades")  # type: ignore[call-overload]


@pytest.mark.parametrize(
    "beside",
    [{"dataset": "cifar10"}, {"epochs": 1}, {"seed": 0}, {"settings": {}}, {"model": "x"}, {"init": "y"}],
    ids=lambda beside: next(iter(beside)),
)
def test_nothing_stands_beside_a_configuration(home: Path, beside) -> None:
    config = RunConfig(method="trades", dataset="fashion-mnist-mini", model="small-cnn", preset="demo")
    with pytest.raises(ConfigError, match=f"{next(iter(beside))} cannot stand beside a configuration"):
        package.train(config, **beside)
    assert Store.open(home).runs() == []


# Evaluating ------------------------------------------------------------------------------------------------

TYPED: dict[str, tuple[Any, dict[str, Any], EvaluationPlan]] = {
    "an attack": ("pgd-2", {}, EvaluationPlan(attacks=("pgd-2",))),
    "several": (["fgsm", "pgd-2"], {"eps": 0.1}, EvaluationPlan(attacks=("fgsm", "pgd-2"), eps=0.1)),
    "a budget as text": ("fgsm", {"eps": "16/255"}, EvaluationPlan(attacks=("fgsm",), eps=16 / 255)),
    "another norm": (
        "pgd-2",
        {"norm": "l2", "eps": "0.5", "limit": 12, "seed": 4},
        EvaluationPlan(attacks=("pgd-2",), norm="l2", eps=0.5, limit=12, seed=4),
    ),
    "a plan": ("quick", {"limit": 30}, EvaluationPlan(attacks=("pgd-20",), limit=30)),
}


@pytest.mark.parametrize(("plan", "given", "same"), TYPED.values(), ids=TYPED)
def test_an_evaluation_by_names_is_that_of_the_plan(home: Path, tiny: str, plan, given, same) -> None:
    with allowing([tiny]):
        data = load_dataset(tiny, home / "data")
    named = package.evaluate(network(), tiny, plan, **given)
    typed = package.evaluate(network(), data, same)
    assert named.scores == typed.scores
    assert (named.settings, named.limit, named.seed) == (typed.settings, typed.limit, typed.seed)
    assert Store.open(home).runs() == []


def test_an_evaluation_by_names_can_be_logged(home: Path, tiny: str) -> None:
    made = [package.evaluate(network(), tiny, name, log_as="mine") for name in ("fgsm", "pgd-2")]
    (run,) = Store.open(home).runs()
    assert run.name == "mine"
    assert [evaluation.id for evaluation in read_evaluations(run)] == [evaluation.id for evaluation in made]


class Scaled(nn.Module):
    """The same weights, and other answers: the factor is in no hash."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.network, self.factor = network(), factor

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.network(0.5 + self.factor * (x - 0.5))


def test_another_model_with_the_same_weights_under_the_same_name_is_another(home: Path, tiny: str) -> None:
    """Its figures stand beside its own alone, and what was logged before is said to be of others."""
    models = (Scaled(1.0), Scaled(-1.0), Scaled(-1.0))
    made = [
        package.evaluate(model, tiny, "fgsm" if k < 2 else "pgd-2", log_as="mine")
        for k, model in enumerate(models)
    ]
    first, second, third = (evaluation.weights_hash for evaluation in made)
    assert first != second == third
    (run,) = Store.open(home).runs()
    counted = {(one.attack, one.scores.correct) for one in chosen(run)}
    assert counted == {(s.attack, s.correct) for evaluation in made[1:] for s in evaluation.scores}
    assert len(left_out(run)) == 1


def test_an_attack_named_in_the_call_was_typed_there(home: Path, tiny: str, tmp_path: Path) -> None:
    (tmp_path / "my_attacks.py").write_text(
        "from cfa.attacks import AttackSource, named_attack\n"
        "@AttackSource\n"
        "def strong(norm):\n"
        "    return named_attack('pgd-3', norm)\n"
    )
    named = package.evaluate(network(), tiny, "my_attacks:strong")
    assert named.scores[1].attack == "my_attacks:strong"
    with pytest.raises(Untrusted):
        package.evaluate(network(), tiny, EvaluationPlan(attacks=("my_attacks:strong",)))


REFUSED_EVALUATIONS: dict[str, tuple[Any, dict[str, Any], list[str]]] = {
    "attack": ("pgf-20", {}, ["--attack", "pgf-20"]),
    "budget": ("pgd-2", {"eps": "2"}, ["--attack", "pgd-2", "--eps", "2"]),
    "plan and budget": ("quick", {"eps": "x"}, ["--plan", "quick", "--eps", "x"]),
    "device": ("pgd-2", {"device": "gpu"}, ["--attack", "pgd-2", "--device", "gpu"]),
}


@pytest.mark.parametrize(("plan", "given", "words"), REFUSED_EVALUATIONS.values(), ids=REFUSED_EVALUATIONS)
def test_an_evaluation_is_refused_in_the_words_of_the_command(cfa, home: Path, plan, given, words) -> None:
    with pytest.raises(CfaError) as raised:
        package.evaluate(network(), "fashion-mnist-mini", plan, log_as="odd", **given)
    told = cfa("evaluate", "no.such:model", "--dataset", "fashion-mnist-mini", *words, code=2).stderr
    assert told == f"error: {raised.value}\n"
    assert Store.open(home).runs() == []


@pytest.mark.parametrize(
    ("data", "plan", "given", "says"),
    [
        ("fashion-mnist-midi", "pgd-2", {}, "unknown data set 'fashion-mnist-midi'; did you mean"),
        ("fashion-mnist-mini", "pgd-2", {"norm": "l3"}, "unknown norm 'l3'"),
        ("fashion-mnist-mini", "pgd-2", {"norm": "l2"}, "norm l2 needs a budget of its own"),
        ("fashion-mnist-mini", "pgd-2", {"limit": 0}, "limit=0 leaves no image"),
        ("fashion-mnist-mini", "pgd-2", {"limit": "10"}, "limit='10' is no whole number"),
        ("fashion-mnist-mini", "pgd-2", {"seed": 1.5}, "seed=1.5 is no whole number"),
        (None, "pgd-2", {}, "data is of type NoneType; give a data set's name"),
        (TensorDataset(torch.ones(2)), "pgd-2", {}, "data is of type TensorDataset"),
        ("fashion-mnist-mini", None, {}, "plan is of type NoneType; give an attack's"),
        ("fashion-mnist-mini", [None], {}, "plan is of type NoneType; give names of attacks"),
        ("fashion-mnist-mini", (), {}, "no attack is chosen"),
        (
            "fashion-mnist-mini",
            EvaluationPlan(attacks=()),
            {"limit": 9, "seed": 0},
            "limit, seed cannot",
        ),
    ],
    ids=[
        *("data set", "norm", "no budget", "limit", "limit as text", "seed", "no data", "other data"),
        *("no plan", "no name", "no attack", "beside a plan"),
    ],
)
def test_what_cannot_be_evaluated_is_one_sentence(home: Path, data, plan, given, says) -> None:
    with pytest.raises(CfaError, match=says):
        package.evaluate(network(), data, plan, log_as="odd", **given)
    assert Store.open(home).runs() == []


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: package.train(5), "config is of type int; give a method's name, or a configuration"),
        (lambda: package.train("pgd-at", 5), "dataset is of type int; give a text"),
        (lambda: package.train("pgd-at", "fashion-mnist-mini", name=5), "name is of type int"),
        (lambda: package.train("pgd-at", "fashion-mnist-mini", device=0), "device is of type int"),
        (
            lambda: package.train("pgd-at", "fashion-mnist-mini", epochs=1, settings={"train.epochs": 2}),
            "epochs=1 stands beside settings that give train.epochs",
        ),
        (lambda: package.load(5), "run is of type int; give a text"),
        (lambda: package.load("a", device=0), "device is of type int; give a text"),
    ],
)
def test_what_is_of_another_kind_is_a_sentence(home: Path, call: Any, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        call()
    assert Store.open(home).runs() == []


def test_a_home_may_be_a_text(home: Path, tiny: str) -> None:
    run = package.train("pgd-at", tiny, epochs=1, settings=SETTINGS, test=False, home=str(home), **NAMES)
    assert Store.open(home).find(run.name).id == run.id


def test_what_is_raised_can_be_caught_by_the_name_that_the_documentation_gives() -> None:
    with pytest.raises(package.CfaError, match="unknown method 'nothing'"):
        package.train("nothing", "fashion-mnist-mini", epochs=1)
