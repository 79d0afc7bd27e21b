"""Somebody's own recipe trains as its flags say, or a sentence names what is missing: never otherwise."""

import dataclasses
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import nn

from cfa.data import DatasetInfo
from cfa.errors import CfaError, ConfigError
from cfa.jobs.suite_costs import SuiteCosts
from cfa.methods import METHODS, PRESETS, Recipe, configure, train_command
from cfa.methods.objectives import adversarial_cross_entropy, trades
from cfa.progress import Observer
from cfa.results.rows import Knobs, Scores
from cfa.training import fit
from cfa.training.step import DeviceKnobs, Step
from cfa.trust import allowing
from tests.support.networks import batch_norm_network, images_and_labels
from tests.support.tiny import CPU, TINY, tiny_dataset, tiny_run, trained

OWN = {"name": "mine", "title": "Mine", "summary": "one of our own"}
CCM = {"objective": adversarial_cross_entropy, "ccm": True}
BOTH = {"objective": trades, "attack_loss": "kl", "uses_beta": True, "ccm": True, "ccr": True}


@pytest.fixture
def lab(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """Stand for the module of somebody's own methods, whose name was typed."""
    module = ModuleType("lab_of_ours")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    with allowing(["lab_of_ours:mine"]):
        yield module


def named(lab: ModuleType, **parts: Any) -> str:
    lab.mine = Recipe(**{**OWN, **parts})  # type: ignore[attr-defined]
    return f"{lab.__name__}:mine"


@pytest.mark.parametrize("title", ["Mine", "TRADES"])
@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize(
    ("parts", "given", "missing"),
    [
        (CCM, {}, "rule.lambda_eps"),
        (BOTH, {"rule.lambda_eps": 0.3}, "rule.lambda_beta"),
        (BOTH, {"rule.lambda_beta": 0.3}, "rule.lambda_eps"),
        ({"objective": trades, "uses_beta": True}, {}, "objective.beta"),
        ({"objective": trades, "uses_beta": True, "constrained": True}, {}, "objective.beta"),
        ({"objective": adversarial_cross_entropy, "uses_tau": True}, {}, "objective.tau"),
    ],
    ids=["ccm", "ccr", "ccm-beside-ccr", "beta", "constrained", "tau"],
)
def test_a_number_that_the_preset_does_not_give_is_asked_for(
    lab: ModuleType, title: str, preset: str, parts: Any, given: dict[str, Any], missing: str
) -> None:
    """A preset may give it to everybody; whatever it gives by title is not for somebody's own recipe."""
    method = named(lab, **parts, title=title)
    to_everybody = PRESETS[preset].settings.get(missing)
    if to_everybody is not None:
        assert configure(method, "tiny", preset=preset, overrides=given).flat()[missing] == to_everybody
        return
    with pytest.raises(ConfigError, match=rf"{method} needs {missing}, .* --set {missing}="):
        configure(method, "tiny", preset=preset, overrides=given)


@pytest.mark.parametrize("title", ["Mine", "FRL"])
def test_a_title_like_one_of_ours_changes_nothing(lab: ModuleType, title: str) -> None:
    own = named(lab, objective=adversarial_cross_entropy, title=title)
    settings = configure(own, "tiny", preset="demo").flat()
    plain = configure("pgd-at", "tiny", preset="demo").flat()
    assert {name for name in plain if settings[name] != plain[name]} == {"method"}


def test_the_recipes_own_numbers_count(lab: ModuleType) -> None:
    method = named(lab, **CCM, settings={"rule.lambda_eps": 0.25})
    assert configure(method, "tiny", preset="paper").rule.lambda_eps == 0.25
    assert configure(method, "tiny", preset="paper", overrides={"rule.lambda_eps": 1}).rule.lambda_eps == 1


def test_a_copy_of_ours_under_another_name_is_somebodys_own(lab: ModuleType) -> None:
    lab.mine = dataclasses.replace(METHODS["trades-cfa"], name="mine")  # type: ignore[attr-defined]
    with pytest.raises(ConfigError, match=r"needs rule\.lambda_eps"):
        configure("lab_of_ours:mine", "tiny", preset="paper")


@pytest.mark.parametrize(
    ("parts", "sentence"),
    [
        ({"objective": adversarial_cross_entropy, "ccr": True}, "ccr calibrates beta, and there is none"),
        ({"objective": trades, "constrained": True}, "constrained weighs a clean term .* set uses_beta=True"),
        (
            {"objective": trades, "uses_beta": True, "constrained": True, "ccm": True},
            "constrained sets eps and weights of each class by itself; leave ccm and ccr out",
        ),
        ({"objective": trades, "official_loop": True}, "official_loop is FAT's"),
        ({"objective": trades, "attack_loss": "cross_entropy"}, "did you mean 'cross-entropy'"),
        ({"objective": trades, "official_passes": ("loging",)}, "did you mean 'logging'"),
        ({"objective": trades, "validation_attack": "pdg-10"}, "did you mean 'pgd-10'"),
        ({"objective": trades, "validation_attack": "clean"}, "validation_attack is clean"),
        ({"objective": trades, "settings": {"rule.lambda_esp": 1}}, "did you mean 'rule.lambda_eps'"),
        ({"objective": trades, "settings": {"rule.lambda_eps": 1}}, "its flags have no use"),
        ({"objective": trades, "settings": {"objective.beta": 1}}, "its flags have no use"),
        ({"objective": trades, "settings": {"objective.tau": 1}}, "its flags have no use"),
        ({"objective": trades, "settings": {"rule.warmup_epochs": 3}}, "its flags have no use"),
        ({"objective": trades, "settings": {"rule.weight_limit": 0.1}}, "its flags have no use"),
    ],
)
def test_parts_that_contradict_each_other_are_refused(parts: dict[str, Any], sentence: str) -> None:
    with pytest.raises(CfaError, match=sentence):
        Recipe(**{**OWN, **parts})


@pytest.mark.parametrize(
    ("objective", "uses_beta", "sentence"),
    [
        (trades, False, "uses_beta=False and its objective has a clean term; set True"),
        (adversarial_cross_entropy, True, "uses_beta=True and its objective has no clean term; set False"),
    ],
)
def test_an_objective_whose_clean_term_would_weigh_nothing_is_refused(
    lab: ModuleType, objective: Any, uses_beta: bool, sentence: str
) -> None:
    method = named(lab, objective=objective, uses_beta=uses_beta)
    config = configure(method, "tiny", preset="official-code")
    model, (x, y) = batch_norm_network(), images_and_labels(8)
    knobs = DeviceKnobs(*(torch.full((4,), 0.1) for _ in range(3)))
    step = Step.of(METHODS[method], config, model)
    with pytest.raises(ConfigError, match=sentence):
        step(torch.optim.SGD(model.parameters(), lr=0.1), x, y, knobs, torch.Generator())


def test_a_stored_configuration_without_the_number_does_not_train(lab: ModuleType, tmp_path: Path) -> None:
    """As one that was made before the preset's gap was seen."""
    method = named(lab, **CCM)
    config = configure("pgd-at", "tiny", model="small-cnn", preset="demo").model_copy(
        update={"method": method}
    )
    with pytest.raises(ConfigError, match=r"needs rule\.lambda_eps"):
        fit(tiny_run(tmp_path, config), tiny_dataset(), CPU, Observer())


def test_with_its_number_it_calibrates_as_the_paper_says(lab: ModuleType, tmp_path: Path) -> None:
    overrides = {**TINY, "rule.lambda_eps": 0.4, "train.epochs": 3}
    config = configure(named(lab, **CCM), "tiny", model="small-cnn", preset="demo", overrides=overrides)
    run = trained(tmp_path, config, tiny_dataset(spread=2))
    knobs = {row.epoch: row.eps for row in run.rows() if isinstance(row, Knobs)}
    for row in run.rows():
        if isinstance(row, Scores) and row.split == "train" and row.epoch + 1 in knobs:
            t = [correct / total for correct, total in zip(row.correct, row.total, strict=True)]
            assert knobs[row.epoch + 1] == pytest.approx([(0.4 + share) * 16 / 255 for share in t])
    assert len(set(knobs[3])) > 1


def test_a_gate_that_cannot_be_judged_is_refused_for_ones_own_gated_recipe(
    lab: ModuleType, tmp_path: Path
) -> None:
    overrides = {**TINY, "rule.lambda_eps": 0.5, "data.val_fraction": 0.1}
    method = named(lab, **CCM, gated=True)
    config = configure(method, "tiny", model="small-cnn", preset="demo", overrides=overrides)
    with pytest.raises(ConfigError, match=r"averaging\.gate=worst needs 20 validation images a class"):
        fit(tiny_run(tmp_path, config), tiny_dataset(), CPU, Observer())


def test_the_command_that_trains_it_again_gives_its_numbers(lab: ModuleType) -> None:
    """The method may be one that is not to be imported just to write a command."""
    method = named(lab, **CCM)
    config = configure(method, "tiny", preset="paper", overrides={"rule.lambda_eps": 0.25, "attack.steps": 4})
    del lab.mine  # type: ignore[attr-defined]
    words = train_command(config).split()
    given = dict(word.split("=", 1) for word in words if "=" in word)
    assert given == {"rule.lambda_eps": "0.25", "attack.steps": "4"}


def test_the_cost_of_ones_own_is_not_that_of_the_method_with_its_title(
    lab: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    measured = []
    monkeypatch.setattr(
        "cfa.training.estimate_seconds", lambda config, info, device: measured.append(config.method)
    )
    monkeypatch.setattr("cfa.data.dataset_info", lambda name, folder: DatasetInfo)
    costs = SuiteCosts(tmp_path, CPU)
    method = named(lab, **CCM, title="TRADES", settings={"rule.lambda_eps": 0.5})
    costs.training(configure(method, "tiny"))
    costs.training(configure("trades-cfa", "tiny"))
    assert measured == [method, "trades"]


def test_a_model_trains_with_an_objective_of_ones_own(lab: ModuleType, tmp_path: Path) -> None:
    def half(model: nn.Module, x: Any, x_adv: Any, y: Any) -> Any:
        terms = adversarial_cross_entropy(model, x, x_adv, y)
        return dataclasses.replace(terms, robust=terms.robust / 2)

    config = configure(named(lab, objective=half), "tiny", model="small-cnn", preset="demo")
    config = config.model_copy(update={"train": config.train.model_copy(update={"epochs": 1})})
    assert trained(tmp_path, config).status.state == "finished"
