"""Configurations, rows and names of before methods brought their own settings mean what they meant."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from cfa.config import RunConfig
from cfa.errors import ConfigError
from cfa.methods import configure, parts_of
from cfa.older_settings import present_name, under_present_names
from cfa.progress import Observer
from cfa.runs.rows import KnobValues, decode_row
from cfa.training import fit
from tests.support.tiny import CPU, assert_same_weights, stopped, tiny_config, tiny_dataset, tiny_run, trained

# Written by the code before (fd8419a): nine methods under three presets, and two with settings of their own.
STORED = json.loads((Path(__file__).parent / "support" / "configs_of_format_1.json").read_text())
CHANGED = {
    len(STORED) - 2: {"rule.lambda_eps": 0.4, "rule.eps_max": "12/255", "rule.warmup_epochs": 3},
    len(STORED) - 1: {"rule.clean_bound": 0.1},
}


def today(number: int) -> RunConfig:
    stored = STORED[number]
    return configure(
        stored["method"],
        stored["dataset"],
        model=stored["model"],
        preset=stored["preset"],
        overrides=CHANGED.get(number, {}),
    )


@pytest.mark.parametrize("number", range(len(STORED)))
def test_a_stored_run_and_a_new_one_of_equal_settings_are_one_experiment(number: int) -> None:
    stored, new = RunConfig.model_validate(STORED[number]), today(number)
    assert stored.key() == new.key()
    assert stored.key(without_seed=True) == new.key(without_seed=True)
    parts_of(stored)  # and it can be trained on
    for name, value in stored.flat().items():
        assert new.flat()[name] == value, name
    again = RunConfig.model_validate_json(stored.to_json())
    assert again == stored


@pytest.mark.parametrize(
    ("stored", "now"),
    [
        ({"format": 2, "train": {"precision": "float32"}}, "tf32"),  # what PyTorch did unless told otherwise
        ({"format": 2, "train": {"precision": "bf16"}}, "bf16"),
        ({"format": 2}, "tf32"),
        ({"rule": {}, "train": {"precision": "float32"}}, "tf32"),
        ({"format": 3, "train": {"precision": "float32"}}, "float32"),
        ({"train": {"precision": "float32"}}, "float32"),  # typed today
    ],
)
def test_float32_of_stored_runs_is_what_they_were_trained_in(stored: dict[str, Any], now: str) -> None:
    of_all = {"method": "trades", "dataset": "tiny", "model": "small-cnn", "preset": "demo"}
    config = RunConfig.model_validate({**of_all, **stored})
    assert config.train.precision == now
    assert RunConfig.model_validate_json(config.to_json()) == config


def test_what_differs_makes_another_experiment() -> None:
    keys = {RunConfig.model_validate(stored).key() for stored in STORED}
    assert len(keys) == len(STORED)


@pytest.mark.parametrize(
    ("groups", "sentence"),
    [
        ({"rule": {"lambda_eps": 0.3}, "method_settings": {"lambda_eps": 0.5}}, "are the same setting"),
        ({"rule": [1]}, "rule=[1] should be a group of settings"),
        ({"objective": "beta"}, "objective='beta' should be a group of settings"),
        ({"rule": {"lambda_eps": {"a": 1}}}, "lambda_eps"),
    ],
)
def test_groups_that_are_none_and_settings_given_twice_are_refused(
    groups: dict[str, Any], sentence: str
) -> None:
    identity = {name: STORED[0][name] for name in ("method", "dataset", "model", "preset")}
    with pytest.raises(ValueError) as caught:  # noqa: PT011 (pydantic's, whose text is looked at)
        RunConfig.model_validate({**identity, **groups})
    assert sentence in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("rule.lambda_eps", "method.lambda_eps"),
        ("objective.beta", "method.beta"),
        ("method.beta", "method.beta"),
        ("attack.eps", "attack.eps"),
        ("rules.beta", "rules.beta"),
        ("rule", "rule"),
    ],
)
def test_old_names_are_those_of_the_method(old: str, new: str) -> None:
    assert present_name(old) == new
    assert under_present_names({old: 1}) == {new: 1}


def test_one_setting_under_two_names_is_refused_unless_they_agree() -> None:
    same = {"rule.lambda_eps": 0.3, "method.lambda_eps": 0.3}
    assert configure("trades-cfa", "cifar10", overrides=same).method_settings["lambda_eps"] == 0.3
    with pytest.raises(ConfigError, match=r"rule\.lambda_eps=0\.3 and method\.lambda_eps=0\.4 are the same"):
        configure("trades-cfa", "cifar10", overrides={"rule.lambda_eps": 0.3, "method.lambda_eps": 0.4})


def test_a_row_of_three_knobs_is_one_of_named_ones() -> None:
    line = '{"row":"knobs","epoch":2,"eps":[0.1,0.2],"clean_weight":[0.25,0.0],"robust_weight":[0.75,1.0]}'
    row = decode_row(line)
    assert isinstance(row, KnobValues)
    assert row.values == {"eps": (0.1, 0.2), "clean_weight": (0.25, 0.0), "robust_weight": (0.75, 1.0)}
    assert row.beta == (3.0, None)


def test_a_state_with_three_knobs_and_without_sums_goes_on_bit_for_bit(tmp_path: Path) -> None:
    """As PGD-AT's was, which has no clean term to weigh."""
    config, data = tiny_config("pgd-at", train__epochs=2), tiny_dataset()
    plain = trained(tmp_path / "plain", config, data)
    run = tiny_run(tmp_path / "stopped", config)
    stopped(run, data, after=7)
    state = torch.load(run.state_file, weights_only=True)
    ones = torch.ones(4, dtype=torch.float64)
    state["knobs"] |= {"clean_weight": 0 * ones, "robust_weight": ones}
    del state["counts"]["sums"], state["sampler_state"], state["companions"]
    torch.save(state, run.state_file)
    fit(run, data, CPU, Observer())
    assert_same_weights(plain, run)
