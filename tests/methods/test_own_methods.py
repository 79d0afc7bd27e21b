"""Somebody's own method trains as it says, or a sentence names what is missing: never otherwise."""

import dataclasses
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from pydantic import Field
from torch import nn

from cfa.config import Settings
from cfa.data import DatasetInfo
from cfa.errors import CfaError, ConfigError
from cfa.methods import METHODS, PRESETS, Attacked, Batch, Loss, Method, Uniform, configure, train_command
from cfa.methods.attacking import WithinEps, training_pgd
from cfa.methods.catalogue.cfa_calibration import CcmSettings, calibrated_margins
from cfa.methods.catalogue.pgd_at import PGD_AT, adversarial_cross_entropy
from cfa.progress import Observer
from cfa.runs.rows import KnobValues, Scores
from cfa.suites.costs import SuiteCosts
from cfa.training import fit
from cfa.trust import allowing
from tests.support.tiny import CPU, TINY, tiny_dataset, tiny_run, trained

PLAIN: Method[Any] = dataclasses.replace(PGD_AT, name="mine", title="Mine", summary="one of our own")
CCM: Method[Any] = dataclasses.replace(PLAIN, settings=CcmSettings, rule=calibrated_margins)


@pytest.fixture
def lab(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """Stand for the module of somebody's own methods, whose name was typed."""
    module = ModuleType("lab_of_ours")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    with allowing(["lab_of_ours:mine"]):
        yield module


def named(lab: ModuleType, method: Method[Any], **parts: Any) -> str:
    lab.mine = dataclasses.replace(method, **parts)  # type: ignore[attr-defined]
    return f"{lab.__name__}:mine"


@pytest.mark.parametrize("title", ["Mine", "TRADES", "PGD-AT"])
@pytest.mark.parametrize("preset", PRESETS)
def test_a_number_that_no_preset_gives_is_asked_for(lab: ModuleType, title: str, preset: str) -> None:
    """What presets say of a method stands in its file, and not under its title."""
    method = named(lab, CCM, title=title)
    sentence = rf"{method} needs method\.lambda_eps, .*{preset}.* --set method\.lambda_eps=0\.5"
    with pytest.raises(ConfigError, match=sentence):
        configure(method, "tiny", preset=preset)
    config = configure(method, "tiny", preset=preset, overrides={"rule.lambda_eps": 0.3})
    assert config.method_settings["lambda_eps"] == 0.3


@pytest.mark.parametrize("title", ["Mine", "FRL"])
def test_a_title_like_one_of_ours_changes_nothing(lab: ModuleType, title: str) -> None:
    settings = configure(named(lab, PLAIN, title=title), "tiny", preset="demo").flat()
    plain = configure("pgd-at", "tiny", preset="demo").flat()
    assert {name for name in plain if settings[name] != plain[name]} == {"method"}


def test_the_methods_own_numbers_count(lab: ModuleType) -> None:
    method = named(lab, CCM, values={"method.lambda_eps": 0.25}, presets={"paper": {"train.epochs": 7}})
    paper = configure(method, "tiny", preset="paper")
    assert (paper.method_settings["lambda_eps"], paper.train.epochs) == (0.25, 7)
    assert configure(method, "tiny", preset="cifar100").train.epochs == 7  # built on the paper's
    assert configure(method, "tiny", preset="demo").train.epochs == 20
    typed = configure(method, "tiny", preset="paper", overrides={"method.lambda_eps": 1})
    assert typed.method_settings["lambda_eps"] == 1


def test_a_copy_of_ours_trains_as_ours(lab: ModuleType) -> None:
    method = named(lab, METHODS["trades-cfa"], name="mine")
    own, ours = (configure(name, "tiny", preset="paper").flat() for name in (method, "trades-cfa"))
    assert {name for name in ours if own[name] != ours[name]} == {"method"}


@pytest.mark.parametrize(
    ("parts", "sentence"),
    [
        ({"attack": lambda s, c: WithinEps(training_pgd(c, "cross_entropy"))}, "cross_entropy"),
        ({"validated_with": "pdg-10"}, "did you mean 'pgd-10'"),
        ({"validated_with": "clean"}, "validates with clean images only"),
        ({"rule": lambda s, c: Uniform(weight=1.0)}, "no eps; it always sets eps"),
        ({"needs_teacher": True}, "learns from a trained network, and none was given"),
        ({"values": {"method.lambda": 1}}, "unknown setting 'method.lambda'"),
        ({"values": {"atack.eps": 1}}, "unknown setting"),
        ({"presets": {"demo": {"method.beta": 1}}}, r"unknown setting 'method\.beta'"),
        ({"plain": "trads"}, "plain='trads', which is no method; choose from pgd-at"),
    ],
    ids=["loss", "validation", "clean", "no eps", "teacher", "own value", "value", "preset", "plain"],
)
def test_parts_that_do_not_fit_are_a_sentence_before_anything_is_trained(
    lab: ModuleType, tmp_path: Path, parts: dict[str, Any], sentence: str
) -> None:
    method = named(lab, PLAIN, **parts)

    def train() -> None:
        config = configure(method, "tiny", model="small-cnn", preset="demo", overrides=TINY)
        fit(tiny_run(tmp_path, config), tiny_dataset(), CPU, Observer())

    with pytest.raises(CfaError, match=sentence):
        train()


@pytest.mark.parametrize(
    ("parts", "sentence"),
    [
        ({"reported_with": "emma"}, "reported_with='emma'; choose from online, ema, fawa"),
        ({"warm_up": "warmup"}, "warm_up='warmup', which is none of its settings"),
    ],
)
def test_what_a_method_asks_for_exists(parts: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        dataclasses.replace(CCM, **parts)


def test_a_stored_configuration_without_the_number_does_not_train(lab: ModuleType, tmp_path: Path) -> None:
    config = configure("pgd-at", "tiny", model="small-cnn", preset="demo")
    config = config.model_copy(update={"method": named(lab, CCM)})
    with pytest.raises(ConfigError, match=r"needs method\.lambda_eps"):
        fit(tiny_run(tmp_path, config), tiny_dataset(), CPU, Observer())


def test_with_its_number_it_calibrates_as_the_paper_says(lab: ModuleType, tmp_path: Path) -> None:
    overrides = {**TINY, "method.warmup_epochs": 1, "method.lambda_eps": 0.4, "train.epochs": 3}
    config = configure(named(lab, CCM), "tiny", model="small-cnn", preset="demo", overrides=overrides)
    run = trained(tmp_path, config, tiny_dataset(spread=2))
    knobs = {row.epoch: row.eps for row in run.rows() if isinstance(row, KnobValues)}
    for row in run.rows():
        if isinstance(row, Scores) and row.split == "train" and row.epoch + 1 in knobs:
            t = [correct / total for correct, total in zip(row.correct, row.total, strict=True)]
            assert knobs[row.epoch + 1] == pytest.approx([(0.4 + share) * 16 / 255 for share in t])
    assert len(set(knobs[3])) > 1


def test_a_gate_that_cannot_be_judged_is_refused_where_fawa_weights_are_its_own(
    lab: ModuleType, tmp_path: Path
) -> None:
    overrides = {**TINY, "data.val_fraction": 0.1}
    method = named(lab, PLAIN, reported_with="fawa")
    config = configure(method, "tiny", model="small-cnn", preset="demo", overrides=overrides)
    with pytest.raises(ConfigError, match=r"averaging\.gate=worst needs 20 validation images a class"):
        fit(tiny_run(tmp_path, config), tiny_dataset(), CPU, Observer())


def test_the_command_that_trains_it_again_gives_its_numbers(lab: ModuleType) -> None:
    """The method may be one that is not to be imported just to write a command."""
    given = {"method.lambda_eps": 0.25, "attack.steps": 4}
    config = configure(named(lab, CCM), "tiny", preset="paper", overrides=given)
    del lab.mine  # type: ignore[attr-defined]
    words = dict(word.split("=", 1) for word in train_command(config).split() if "=" in word)
    assert words["method.lambda_eps"] == "0.25"
    assert words["attack.steps"] == "4"
    assert set(words) <= {f"method.{name}" for name in CcmSettings.model_fields} | {"attack.steps"}


def test_the_cost_of_ones_own_is_not_that_of_the_method_with_its_title(
    lab: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    measured = []
    monkeypatch.setattr(
        "cfa.training.estimate_seconds",
        lambda config, info, device, teacher: measured.append(config.method),
    )
    monkeypatch.setattr("cfa.data.dataset_info", lambda name, folder: DatasetInfo)
    costs = SuiteCosts(tmp_path, CPU)
    method = named(lab, CCM, title="TRADES", values={"method.lambda_eps": 0.5})
    costs.training(configure(method, "tiny"))
    costs.training(configure("trades-cfa", "tiny"))
    assert measured == [method, "trades"]


def test_a_model_trains_with_an_objective_of_ones_own(lab: ModuleType, tmp_path: Path) -> None:
    def half(model: nn.Module, batch: Batch, attacked: Attacked) -> Loss:
        loss = adversarial_cross_entropy(model, batch, attacked)
        return dataclasses.replace(loss, per_sample=loss.per_sample / 2)

    method = named(lab, PLAIN, objective=lambda settings, config: half)
    config = configure(method, "tiny", model="small-cnn", preset="demo", overrides=TINY)
    run = trained(tmp_path, config)
    assert run.status.state == "finished"
    assert run.manifest is not None
    assert run.manifest.method is not None
    assert run.manifest.method.title == "Mine"  # what pages say, who must not import it


class OldNames(Settings):
    """Settings that have the names of ours from before, and mean something else."""

    weight_limit: float | None = Field(default=None, description="Ours alone.")
    warmup_epochs: int = Field(default=3, description="Ours alone.")
    eps_rate: float = Field(default=0.0, description="Ours alone.")


@pytest.mark.parametrize("changed", [{"weight_limit": 0.5}, {"warmup_epochs": 10}, {"eps_rate": 0.2}])
def test_its_settings_tell_experiments_apart_whatever_they_are_called(
    lab: ModuleType, changed: dict[str, Any]
) -> None:
    method = named(lab, PLAIN, settings=OldNames)
    one = configure(method, "tiny", preset="demo")
    overrides = {f"method.{name}": value for name, value in changed.items()}
    other = configure(method, "tiny", preset="demo", overrides=overrides)
    assert one.key() != other.key()
    assert one.key(without_seed=True) != other.key(without_seed=True)
