"""Methods and presets: every pair configures, every setting is explained, grids are products."""

import itertools
from dataclasses import replace
from typing import Any, Literal

import pytest
from pydantic import Field

from cfa.config import RunConfig, Settings, setting_names
from cfa.errors import ConfigError, UnknownName
from cfa.methods import (
    FIRST_METHOD,
    METHODS,
    PRESETS,
    Grid,
    configure,
    default_model,
    default_preset,
    display_name,
    family_of,
    kind_of_setting,
    main_settings,
    own_settings,
    parts_of,
    plain_methods,
    preset_settings,
    settings_of,
    warm_up_of,
)
from cfa.methods.presets import SCHEDULE
from cfa.older_settings import SAID_OF_ALL, present_name

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
        said = {present_name(f"{section}.{name}") for name in names.strip("{}").split(",")}
        assert said <= set(settings_of(METHODS))


def root_of(name: str) -> str:
    return root_of(METHODS[name].plain) if METHODS[name].plain else name


def test_plain_methods_stand_before_what_is_made_of_them_older_ones_first() -> None:
    families = [name for name, _ in itertools.groupby(METHODS, root_of)]
    assert len(families) == len(set(families)), "a family stands together"
    years = [METHODS[name].year for name in families]
    assert years == sorted(years)
    order = list(METHODS)
    for family in families:
        first, *others = (name for name in METHODS if root_of(name) == family)
        assert first == family
        assert [METHODS[name].year for name in others] == sorted(METHODS[name].year for name in others)
        assert all(order.index(METHODS[name].plain) < order.index(name) for name in others)


def test_a_family_is_that_of_the_plain_method_at_its_start() -> None:
    for name, method in METHODS.items():
        number, is_plain = family_of(name)
        assert number == family_of(root_of(name))[0]
        assert is_plain == (not method.plain)


def test_baselines_are_plain_methods_that_of_the_first_method_before_others() -> None:
    plain = plain_methods()
    assert sorted(plain) == sorted(name for name, method in METHODS.items() if not method.plain)
    assert plain[0] == METHODS[FIRST_METHOD].plain == "trades"
    compared = [sum(method.plain == name for method in METHODS.values()) for name in plain[1:]]
    assert compared == sorted(compared, reverse=True)


@pytest.mark.parametrize("method", METHODS)
def test_every_setting_has_a_line_of_help(method: str) -> None:
    known = settings_of([method])
    assert set(known) == {*setting_names(), *own_settings(METHODS[method])}
    for name, text in known.items():
        assert text.endswith("."), name
        assert 15 < len(text) <= 110, name
        assert "\n" not in text
    shown = main_settings([method])
    assert set(shown) <= set(known)
    assert len(set(shown)) == len(shown)
    assert METHODS[method].source
    assert METHODS[method].compared_with in METHODS


@pytest.mark.parametrize(("method", "preset"), list(itertools.product(METHODS, PRESETS)))
def test_every_method_configures_with_every_preset_and_survives_json(method: str, preset: str) -> None:
    config = configure(method, "fashion-mnist-mini", preset=preset)
    assert RunConfig.model_validate_json(config.to_json()) == config
    own = METHODS[method].settings.model_fields
    assert set(config.method_settings) == set(own)
    assert config.method_settings.get("eps_min") is None  # no preset bounds eps
    assert config.method_settings.get("eps_max") is None
    parts_of(config)


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_says_where_its_values_come_from(preset: str) -> None:
    assert PRESETS[preset].notes
    assert PRESETS[preset].summary
    assert set(PRESETS[preset].settings) <= set(setting_names())


@pytest.mark.parametrize("method", METHODS)
def test_what_a_method_says_of_presets_is_of_presets_and_of_its_settings(method: str) -> None:
    chosen = METHODS[method]
    assert set(chosen.presets) <= set(PRESETS)
    for values in (chosen.usual, chosen.values, *chosen.presets.values()):
        assert set(values) <= set(settings_of([method]))


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
    own = config.method_settings
    assert (own.get("lambda_eps"), own.get("lambda_beta")) == (lambda_eps, lambda_beta)
    assert (own.get("beta"), own.get("tau")) == (beta, tau)
    attack = parts_of(config).attack.pgd
    assert (attack.start, attack.bn_mode, attack.loss) == (start, bn_mode, loss)
    assert getattr(attack, "tau", None) == tau
    step = (0.25, True) if method == "frl" else (2 / 255, False)
    assert (attack.steps, attack.step_size.value, attack.step_size.relative) == (10, *step)


@pytest.mark.parametrize("method", METHODS)
def test_the_official_preset_has_the_defaults_of_the_official_code(method: str) -> None:
    config = configure(method, "fashion-mnist", model="preact-resnet18", preset="official-code")
    averaging = config.averaging
    assert (averaging.decay, averaging.threshold, averaging.start_epoch) == (0.88, 0.24, 1)
    assert config.train.official_passes
    assert config.train.select_on == "test"
    assert config.data.split_order == "file"
    if METHODS[method].official_arguments:  # that code has the method
        defaults = {"lambda_eps": 0.5, "lambda_beta": 0.5, "warmup_epochs": 10, "beta": 6, "tau": 3}
        own = {name: value for name, value in config.method_settings.items() if name in defaults}
        assert own == {name: defaults[name] for name in own}


@pytest.mark.parametrize("method", METHODS)
def test_the_demo_is_longer_than_a_warm_up(method: str) -> None:
    config = configure(method, "fashion-mnist-mini", preset="demo")
    assert warm_up_of(config) < config.train.epochs, "the demo shows what comes after it"
    assert (warm_up_of(config) > 0) == bool(METHODS[method].warm_up)


@pytest.mark.parametrize(
    ("written", "stored", "of_20"),
    [
        ("4", 4, 4),
        (4, 4, 4),
        ("10/200", 0.05, 1),
        (0.25, 0.25, 5),
        ("70/110", 70 / 110, 13),
        (0.001, 0.001, 1),  # a share is never no epoch at all
        (30, 30, 30),
    ],
)
def test_a_warm_up_is_a_number_of_epochs_or_a_share_of_them(written, stored, of_20) -> None:
    config = configure(
        "trades-cfa", "fashion-mnist-mini", preset="demo", overrides={"method.warmup_epochs": written}
    )
    assert config.method_settings["warmup_epochs"] == stored
    assert type(config.method_settings["warmup_epochs"]) is type(stored)  # keys of stored runs stay
    assert warm_up_of(config) == of_20


@pytest.mark.parametrize("written", ["0", "-1", "1.5", "-0.1", "nan", "soon"])
def test_a_warm_up_that_is_neither_is_refused(written: str) -> None:
    with pytest.raises(ConfigError, match=r"warmup_epochs"):
        configure("trades-cfa", "fashion-mnist-mini", overrides={"method.warmup_epochs": written})


@pytest.mark.parametrize("method", METHODS)
def test_under_the_protocol_methods_differ_in_nothing_but_themselves(method: str) -> None:
    """A method that goes on from a trained network has epochs and rates of its own."""
    fixed = PRESETS["protocol"].fixed
    config, plain = (configure(one, "cifar10", preset="protocol").flat() for one in (method, "pgd-at"))
    own = set(SCHEDULE) if METHODS[method].fine_tunes else set()
    assert {name for name in fixed if config[name] != plain[name]} <= own
    assert configure(method, "cifar10", preset="protocol", overrides={"train.epochs": 30}).train.epochs == 30


def test_the_demo_treats_all_methods_alike() -> None:
    """Those that go on from a trained network train for fewer epochs; own settings are a method's own."""
    different: set[str] = set()
    flats = [
        configure(name, "fashion-mnist-mini", preset="demo").flat()
        for name, method in METHODS.items()
        if not method.fine_tunes
    ]
    for name in setting_names():
        if len({str(flat[name]) for flat in flats if name in flat}) > 1:
            different.add(name)
    assert different <= {"attack.start"}  # TRADES' start is the method


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
        ("method.eps_max", "12/255", 12 / 255),
        ("method.eps_max", "none", None),
        ("rule.eps_max", "12/255", 12 / 255),
        ("train.compile", "true", True),
        ("optimizer.milestones", "0.5;0.75", [0.5, 0.75]),
        ("optimizer.milestones", "0.9", [0.9]),
        ("optimizer.milestones", "none", []),
        ("optimizer.lr", 0.05, 0.05),
        ("method.lambda_eps", "0.7", 0.7),
        ("rule.lambda_eps", "0.7", 0.7),
        ("objective.beta", "5", 5.0),
    ],
)
def test_texts_become_values(name: str, text: Any, value: Any) -> None:
    assert (
        configure("trades-cfa", "fashion-mnist", overrides={name: text}).flat()[present_name(name)] == value
    )


@pytest.mark.parametrize(
    ("method", "overrides", "sentence"),
    [
        ("trades-cfa", {"attack.epsilon": 1}, "unknown setting 'attack.epsilon'; did you mean 'attack.eps"),
        ("pgd-at", {"objective.beta": 6}, "pgd-at has no method.beta; leave it out or choose a method"),
        ("pgd-at", {"method.warmup_epochs": 3}, "pgd-at has no method.warmup_epochs"),
        ("trades", {"method.lambda_eps": 0.5}, "trades has no method.lambda_eps"),
        ("trades-ccr", {"rule.eps_max": 0.1}, "trades-ccr has no method.eps_max"),
        ("trades-ccm", {"method.lambda_beta": 0.1}, "trades-ccm has no method.lambda_beta"),
        ("trades-cfa", {"method.clean_bound": 0.1}, "trades-cfa has no method.clean_bound"),
        ("frl", {"method.lambda_eps": 0.5}, "frl has no method.lambda_eps"),
        ("frl", {"method.weight_limit": 1}, "method.weight_limit=1 should be less than 1"),
        ("trades", {"method.tau": 1}, "trades has no method.tau"),
        ("trades", {"method.beta": "none"}, "method.beta=None should be a number"),
        ("trades", {"method.beta": 0}, "method.beta=0 should be greater than 0"),
        ("fat", {"method.tau": -1}, "method.tau=-1 should be greater than or equal to 0"),
        ("fat", {"objective.tau": None}, "method.tau=None should be a whole number"),
        ("trades-cfa", {"method.lambda_eps": ""}, "method.lambda_eps=None should be a number"),
        ("trades-cfa", {"method.lambda_eps": "inf"}, "method.lambda_eps='inf' should be"),
        ("trades-cfa", {"method.lambda_eps": -0.1}, "method.lambda_eps=-0.1 should be"),
        ("trades-cfa", {"method.warmup_epochs": 0}, "method.warmup_epochs=0 should be"),
        ("trades-cfa", {"method.lambda": 1}, "unknown setting 'method.lambda'; did you mean 'method.lambda_"),
        ("trades-cfa", {"rule.lambda_eps": 1, "method.lambda_eps": 2}, "are the same setting; give it once"),
        (
            "trades-cfa",
            {"method.eps_min": 0.5, "method.eps_max": 0.1},
            "eps_min 0.5 exceeds eps_max 0.1",
        ),
        ("trades", {"attack.eps": "2"}, "attack.eps='2' lies outside (0, 1]; did you mean 2/255?"),
        ("trades", {"train.epochs": "many"}, "train.epochs='many' should be a whole number"),
        ("trades", {"train.compile": "perhaps"}, "train.compile='perhaps' should be true or false"),
        ("trades", {"attack.step_size": "x"}, "attack.step_size='x' cannot be read; write a value such as"),
        ("trades-cfa", {"method.warmup_epochs": "x"}, "method.warmup_epochs='x' should be a number"),
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
def test_a_preset_says_nothing_of_what_the_method_has_not(method: str) -> None:
    for preset in PRESETS:
        assert set(preset_settings(METHODS[method], preset)) <= set(settings_of([method]))


@pytest.mark.parametrize(
    ("given", "expanded"),
    [
        ({}, [{}]),
        ({"method.beta": "3, 4,5"}, [{"method.beta": "3"}, {"method.beta": "4"}, {"method.beta": "5"}]),
        (
            {"train.epochs": "1,2", "attack.start": ["none", "normal"]},
            [
                {"train.epochs": epochs, "attack.start": start}
                for epochs, start in (("1", "none"), ("1", "normal"), ("2", "none"), ("2", "normal"))
            ],
        ),
        (
            {"optimizer.milestones": "0.5;0.75,0.9"},
            [{"optimizer.milestones": "0.5;0.75"}, {"optimizer.milestones": "0.9"}],
        ),
    ],
)
def test_a_grid_is_the_product_of_its_values(given: dict[str, Any], expanded: list[dict[str, Any]]) -> None:
    for grid in (of_trades(by_method={"trades": given}), of_trades(settings=given)):
        assert grid.size == len(expanded)
        assert [run.variant for run in grid.runs()] == expanded
        made = [configure("trades", "fashion-mnist-mini", overrides=values) for values in expanded]
        assert grid.configs() == made


def test_a_setting_with_one_value_makes_no_variant() -> None:
    (run,) = of_trades(settings={"train.epochs": "3", "optimizer.milestones": (0.5, 0.75)}).runs()
    assert (run.variant, run.config.optimizer.milestones) == ({}, (0.5, 0.75))


def of_trades(**given: Any) -> Grid:
    return Grid(methods=("trades",), dataset="fashion-mnist-mini", **given)


def test_a_grid_has_every_method_setting_and_seed_in_this_order() -> None:
    grid = Grid(
        methods=("pgd-at", "trades"),
        dataset="fashion-mnist-mini",
        seeds=(4, 2),
        settings={"method.beta": "3,6"},
    )
    made = [(config.method, config.method_settings.get("beta"), config.seed) for config in grid.configs()]
    # PGD-AT has no beta and is not asked for one.
    assert made == [
        *(("pgd-at", None, 4), ("pgd-at", None, 2)),
        *(("trades", 3.0, 4), ("trades", 3.0, 2), ("trades", 6.0, 4), ("trades", 6.0, 2)),
    ]


def test_runs_of_a_grid_that_come_out_alike_are_one() -> None:
    grid = of_trades(settings={"train.epochs": "20,20", "attack.eps": ["8/255", 8 / 255]})
    assert (grid.size, len(grid.runs())) == (4, 1)


def test_what_is_said_of_one_method_it_must_have_and_is_over_what_is_said_of_all() -> None:
    asked = {"settings": {"train.epochs": 7}, "by_method": {"trades": {"train.epochs": 3}}}
    grid = Grid(
        methods=("pgd-at", "trades"), dataset="fashion-mnist-mini", init={"trades": "before"}, **asked
    )
    assert [(c.train.epochs, c.init) for c in grid.configs()] == [(7, None), (3, "before")]
    with pytest.raises(ConfigError, match=r"trades has no method\.tau"):
        of_trades(by_method={"trades": {"method.tau": 1}}).configs()


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


def test_a_method_is_made_of_one_whose_settings_it_has() -> None:
    trades, pgd = METHODS["trades"], METHODS["pgd-at"]
    assert trades.taking(METHODS["frl"].settings).rule is trades.rule
    with pytest.raises(ConfigError, match="lacks settings of trades; extend TradesSettings"):
        trades.taking(pgd.settings)


def test_a_setting_of_the_same_name_keeps_its_meaning_and_type_for_each_method(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Steps(Settings):
        """Another method's beta."""

        beta: Literal["few", "many"] = Field(default="few", description="Other: how many steps it makes.")

    other = replace(METHODS["pgd-at"], name="other", settings=Steps)
    monkeypatch.setattr(METHODS, "_items", {**METHODS, "other": other})
    trades = settings_of(["trades"])["method.beta"]
    assert settings_of(["other"])["method.beta"] == "Other: how many steps it makes."
    together = settings_of(["trades", "trades-ccm", "other"])["method.beta"]
    assert together == f"trades, trades-ccm: {trades}\nother: Other: how many steps it makes."
    assert kind_of_setting("method.beta", ["other", "pgd-at"]) == Literal["few", "many"]
    assert (
        kind_of_setting("method.beta", ["trades"])
        == METHODS["trades"].settings.model_fields["beta"].annotation
    )
    with pytest.raises(UnknownName, match=r"unknown setting 'method\.beta'"):
        kind_of_setting("method.beta", ["pgd-at"])


def test_a_grid_that_nobody_could_wait_for_is_refused_before_it_is_built() -> None:
    many = ",".join(map(str, range(1, 1001)))
    settings = {"train.epochs": many, "attack.steps": many, "data.split_seed": many}
    grid = Grid(methods=("trades",), dataset="fashion-mnist-mini", settings=settings)
    with pytest.raises(ConfigError, match=r"1,000,000,000 runs are asked for, and 10,000 at most at once"):
        grid.configs()


@pytest.mark.parametrize("name", METHODS)
def test_what_says_nothing_is_what_our_methods_start_with(name: str) -> None:
    """Equal experiments are known without these values, which is right as long as they are the defaults."""
    fields = METHODS[name].settings.model_fields
    for setting, value in SAID_OF_ALL.items():
        assert setting not in fields or fields[setting].default in (value, None)
