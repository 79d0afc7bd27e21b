"""Recipes and presets: every pair configures, every setting is explained, grids are products."""

import itertools
from typing import Any

import pytest

from cfa.attacks import PGD
from cfa.config import RunConfig, setting_names
from cfa.errors import ConfigError, UnknownName
from cfa.methods import (
    MAIN_SETTINGS,
    METHODS,
    PRESETS,
    SETTING_HELP,
    Calibration,
    FairConstraints,
    configure,
    default_model,
    default_preset,
    display_name,
    grid,
    preset_settings,
    unused_settings,
)

DESIGN_SETTINGS = """attack.{norm,eps,steps,step_size,bn_mode} objective.{beta,tau}
rule.{lambda_eps,lambda_beta,warmup_epochs,eps_min,eps_max}
averaging.{decay,start_epoch,threshold,gate,batch_norm} data.{val_fraction,imbalance_ratio,split_seed}
optimizer.{lr,momentum,weight_decay} train.{epochs,batch_size,precision,compile,keep_every}"""


def test_the_names_of_the_design_are_there() -> None:
    promised = {"pgd-at", "pgd-at-cfa", "trades", "trades-ccm", "trades-ccr", "trades-cfa", "fat", "fat-cfa"}
    assert promised <= set(METHODS)
    assert {"paper", "official-code", "demo"} <= set(PRESETS)
    for group in DESIGN_SETTINGS.split():
        section, _, names = group.partition(".")
        assert {f"{section}.{name}" for name in names.strip("{}").split(",")} <= set(setting_names())


def test_every_setting_has_a_line_of_help_and_nothing_else_has() -> None:
    assert list(SETTING_HELP) == setting_names()
    for name, text in SETTING_HELP.items():
        assert text.endswith("."), name
        assert 15 < len(text) <= 110, name
        assert "\n" not in text
    assert set(MAIN_SETTINGS) <= set(setting_names())
    assert len(set(MAIN_SETTINGS)) == len(MAIN_SETTINGS)


@pytest.mark.parametrize(("method", "preset"), list(itertools.product(METHODS, PRESETS)))
def test_every_method_configures_with_every_preset_and_survives_json(method: str, preset: str) -> None:
    config = configure(method, "fashion-mnist-mini", preset=preset)
    assert RunConfig.model_validate_json(config.to_json()) == config
    recipe = METHODS[method]
    assert (config.objective.beta is not None) == recipe.uses_beta
    assert (config.objective.tau is not None) == recipe.uses_tau
    assert (config.rule.lambda_eps is not None) == recipe.ccm
    assert (config.rule.lambda_beta is not None) == recipe.ccr
    assert config.rule.eps_min is None  # no preset bounds eps
    assert config.rule.eps_max is None
    assert isinstance(recipe.attack(config), PGD)
    assert isinstance(recipe.rule(config), FairConstraints if method == "frl" else Calibration)


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_says_where_its_values_come_from(preset: str) -> None:
    assert PRESETS[preset].notes
    assert PRESETS[preset].summary
    assert set(PRESETS[preset].settings) <= set(setting_names())
    titles = {recipe.title for recipe in METHODS.values()}
    assert set(PRESETS[preset].by_method) <= titles


@pytest.mark.parametrize(
    ("method", "lambda_eps", "lambda_beta", "beta", "tau", "start", "bn_mode", "loss"),
    [
        ("pgd-at", None, None, None, None, "uniform", "train", "cross-entropy"),
        ("pgd-at-cfa", 0.5, None, None, None, "uniform", "train", "cross-entropy"),
        ("trades", None, None, 6, None, "normal", "eval", "kl"),
        ("trades-ccm", 0.3, None, 6, None, "normal", "eval", "kl"),
        ("trades-ccr", None, 0.5, 6, None, "normal", "eval", "kl"),
        ("trades-cfa", 0.3, 0.5, 6, None, "normal", "eval", "kl"),
        ("fat", None, None, None, 3, "uniform", "train", "cross-entropy"),
        ("fat-cfa", 0.7, None, None, 3, "uniform", "train", "cross-entropy"),
        ("frl", None, None, 1.5, None, "normal", "eval", "kl"),
    ],
)
def test_the_paper_preset_is_table_by_table_the_papers(
    method: str,
    lambda_eps: Any,
    lambda_beta: Any,
    beta: Any,
    tau: Any,
    start: str,
    bn_mode: str,
    loss: str,
) -> None:
    config = configure(method, "fashion-mnist", model="preact-resnet18", preset="paper")
    assert (config.rule.lambda_eps, config.rule.lambda_beta) == (lambda_eps, lambda_beta)
    assert (config.objective.beta, config.objective.tau) == (beta, tau)
    attack = METHODS[method].attack(config)
    assert (attack.start, attack.bn_mode, attack.loss, attack.tau) == (start, bn_mode, loss, tau)
    step = (0.25, True) if method == "frl" else (2 / 255, False)
    assert (attack.steps, attack.step_size.value, attack.step_size.relative) == (10, *step)
    assert attack.shared_step == (method == "frl")


@pytest.mark.parametrize("method", METHODS)
def test_the_official_preset_has_the_defaults_of_the_official_code(method: str) -> None:
    config = configure(method, "fashion-mnist", model="preact-resnet18", preset="official-code")
    averaging = config.averaging
    assert (averaging.decay, averaging.threshold, averaging.start_epoch) == (0.88, 0.24, 1)
    assert config.rule.lambda_eps in (None, 0.5)
    assert config.train.official_passes
    assert config.train.select_on == "test"
    assert config.data.split_order == "file"
    assert config.rule.warmup_epochs == 10  # --begin 10


def test_the_demo_treats_all_methods_alike() -> None:
    different: set[str] = set()
    flats = [
        configure(method, "fashion-mnist-mini", preset="demo").flat()
        for method in METHODS
        if method != "frl"  # goes on from a run of another method, shorter and with a smaller step
    ]
    for name in setting_names():
        if len({str(flat[name]) for flat in flats} - {"None"}) > 1:
            different.add(name)
    # TRADES' start is the method; a method that does not calibrate has no warm-up to set.
    assert different <= {"attack.start", "rule.warmup_epochs"}


@pytest.mark.parametrize(
    ("dataset", "model", "preset"),
    [
        ("fashion-mnist-mini", "small-cnn", "demo"),
        ("fashion-mnist", "small-cnn", "demo"),
        ("cifar10", "preact-resnet18", "paper"),
        ("folder:x", "preact-resnet18", "paper"),
    ],
)
def test_defaults_depend_on_the_data_set_and_the_network(dataset: str, model: str, preset: str) -> None:
    assert default_model(dataset) == model
    assert default_preset(model) == preset
    config = configure("trades", dataset)
    assert (config.model, config.preset) == (model, preset)
    assert configure("trades", dataset, model="wrn-34-10").preset == "paper"


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("attack.eps", "8/255", 8 / 255),
        ("attack.steps", "7", 7),
        ("attack.step_size", "eps/4", "0.25*eps"),
        ("attack.start", "none", "none"),
        ("rule.eps_max", "12/255", 12 / 255),
        ("rule.eps_max", "none", None),
        ("train.compile", "true", True),
        ("optimizer.milestones", "0.5;0.75", [0.5, 0.75]),
        ("optimizer.milestones", "0.9", [0.9]),
        ("optimizer.milestones", "none", []),
        ("optimizer.lr", 0.05, 0.05),
        ("rule.lambda_eps", "0.7", 0.7),
    ],
)
def test_texts_become_values(name: str, text: Any, value: Any) -> None:
    assert configure("trades-cfa", "fashion-mnist", overrides={name: text}).flat()[name] == value


@pytest.mark.parametrize(
    ("method", "overrides", "sentence"),
    [
        ("trades-cfa", {"attack.epsilon": 1}, "unknown setting 'attack.epsilon'; did you mean 'attack.eps"),
        ("pgd-at", {"objective.beta": 6}, "pgd-at has no objective.beta; leave it out or choose a method"),
        ("pgd-at", {"rule.warmup_epochs": 3}, "pgd-at has no rule.warmup_epochs"),
        ("trades", {"rule.lambda_eps": 0.5}, "trades has no rule.lambda_eps"),
        ("trades-ccr", {"rule.eps_max": 0.1}, "trades-ccr has no rule.eps_max"),
        ("trades-ccm", {"rule.lambda_beta": 0.1}, "trades-ccm has no rule.lambda_beta"),
        ("trades-cfa", {"rule.clean_bound": 0.1}, "trades-cfa has no rule.clean_bound"),
        ("frl", {"rule.lambda_eps": 0.5}, "frl has no rule.lambda_eps"),
        ("frl", {"rule.weight_limit": 1}, "rule.weight_limit=1 should be less than 1"),
        ("trades", {"objective.tau": 1}, "trades has no objective.tau"),
        ("trades", {"objective.beta": "none"}, "objective.beta='none': trades needs a number there"),
        ("fat", {"objective.tau": None}, "objective.tau=None: fat needs a number there"),
        ("trades-cfa", {"rule.lambda_eps": ""}, "rule.lambda_eps='': trades-cfa needs a number there"),
        ("trades", {"attack.eps": "2"}, "attack.eps='2' lies outside (0, 1]; did you mean 2/255?"),
        ("trades", {"train.epochs": "many"}, "train.epochs='many' should be a valid integer"),
    ],
)
def test_a_setting_that_cannot_be_is_refused_in_a_sentence(
    method: str, overrides: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        configure(method, "fashion-mnist", overrides=overrides)
    assert sentence in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"method": "trads"}, "unknown method 'trads'; did you mean 'trades'"),
        ({"method": "trades", "preset": "papper"}, "unknown preset 'papper'; did you mean 'paper'?"),
    ],
)
def test_unknown_names_get_the_nearest_choices(arguments: dict[str, str], sentence: str) -> None:
    with pytest.raises(UnknownName) as caught:
        configure(dataset="fashion-mnist", **arguments)
    assert sentence in str(caught.value)


@pytest.mark.parametrize("method", METHODS)
def test_unused_settings_are_in_no_preset_of_the_method(method: str) -> None:
    recipe = METHODS[method]
    for preset in PRESETS:
        assert not unused_settings(recipe) & set(preset_settings(recipe, preset))


@pytest.mark.parametrize(
    ("given", "expanded"),
    [
        ({}, [{}]),
        ({"a": "1"}, [{"a": "1"}]),
        ({"a": "0.3, 0.5,0.7"}, [{"a": "0.3"}, {"a": "0.5"}, {"a": "0.7"}]),
        (
            {"a": "1,2", "b": ["x", "y"]},
            [{"a": "1", "b": "x"}, {"a": "1", "b": "y"}, {"a": "2", "b": "x"}, {"a": "2", "b": "y"}],
        ),
        ({"m": "0.5;0.75,0.9"}, [{"m": "0.5;0.75"}, {"m": "0.9"}]),
    ],
)
def test_a_grid_is_the_product_of_its_values(given: dict[str, Any], expanded: list[dict[str, Any]]) -> None:
    assert grid(given) == expanded


@pytest.mark.parametrize(
    ("method", "weights", "shown"),
    [
        ("pgd-at", "online", "PGD-AT"),
        ("pgd-at", "ema", "PGD-AT + EMA"),
        ("pgd-at", "fawa", "PGD-AT + FAWA"),
        ("pgd-at-cfa", "online", "PGD-AT + CCM"),
        ("pgd-at-cfa", "fawa", "PGD-AT + CFA"),
        ("trades", "ema", "TRADES + EMA"),
        ("trades-ccm", "online", "TRADES + CCM"),
        ("trades-ccr", "fawa", "TRADES + CCR + FAWA"),
        ("trades-cfa", "online", "TRADES + CCM + CCR"),
        ("trades-cfa", "ema", "TRADES + CCM + CCR + EMA"),
        ("trades-cfa", "fawa", "TRADES + CFA"),
        ("fat-cfa", "fawa", "FAT + CFA"),
        ("frl", "online", "FRL"),
        ("frl", "ema", "FRL + EMA"),
        ("my.package:recipe", "ema", "recipe + EMA"),
    ],
)
def test_methods_are_shown_as_the_paper_names_them(method: str, weights: str, shown: str) -> None:
    assert display_name(method, weights) == shown
