"""Settings: what they read, what they refuse, and that they survive JSON."""

import itertools
import json
import math
from collections.abc import Callable
from typing import Any

import pydantic
import pytest

from cfa.config import AttackSettings, RunConfig, setting_names, validated
from cfa.dotted_settings import flatten, nest
from cfa.errors import ConfigError
from cfa.evaluation import EvaluationPlan, requested_sweep, requested_threat
from cfa.methods import configure
from cfa.notation import Norm, StepSize, eps_for, format_eps, parse_step_size

IDENTITY = {"method": "trades-cfa", "dataset": "fashion-mnist-mini", "model": "small-cnn", "preset": "demo"}

# A value of its own for every setting, none of them a default.
OTHER_VALUES: dict[str, Any] = {
    "attack.norm": "l2",
    "attack.eps": 0.5,
    "attack.steps": 7,
    "attack.step_size": "eps/4",
    "attack.start": "none",
    "attack.bn_mode": "eval",
    "averaging.decay": 0.88,
    "averaging.start_epoch": 1,
    "averaging.threshold": 0.24,
    "averaging.gate": "tail",
    "averaging.batch_norm": "re-estimate",
    "data.val_fraction": 0.1,
    "data.imbalance_ratio": 50.0,
    "data.split_seed": 4,
    "data.split_order": "file",
    "data.augment": False,
    "optimizer.lr": 0.01,
    "optimizer.momentum": 0.8,
    "optimizer.nesterov": True,
    "optimizer.weight_decay": 2e-4,
    "optimizer.milestones": (0.3, 0.6, 0.9),
    "optimizer.gamma": 0.2,
    "train.epochs": 20,
    "train.batch_size": 64,
    "train.batch_parts": 2,
    "train.precision": "float32",
    "train.compile": True,
    "train.graphs": False,
    "train.keep_every": 5,
    "train.select_on": "test",
    "train.test_probe": True,
    "train.official_passes": True,
}


@pytest.mark.parametrize(
    ("text", "eps"),
    [
        ("8/255", 8 / 255),
        (" 8 / 255 ", 8 / 255),
        ("8./255", 8 / 255),
        ("8.0/255.0", 8 / 255),
        ("8e0/255", 8 / 255),
        ("8E0/2.55e2", 8 / 255),
        (".5/255.", 0.5 / 255),
        ("0.0314", 0.0314),
        ("1", 1.0),
        ("255/255", 1.0),
        ("1e-3", 0.001),
        (0.5, 0.5),
        (1, 1.0),
    ],
)
def test_eps_is_read_as_a_fraction_or_a_decimal(text: Any, eps: float) -> None:
    assert eps_for("linf", text) == eps
    assert validated({**IDENTITY, "attack": {"eps": text}}).attack.eps == eps


NO_EPS = ["0", "-1/255", "300/255", "nan", "inf", "8/0", "abc", "", "1e400", "8/255/2", "1e99999999"]


@pytest.mark.parametrize("text", [*NO_EPS, 0, 256, math.nan, True, None])
def test_eps_outside_its_range_is_refused_with_the_value_and_the_way_out(text: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        eps_for("linf", text)
    assert f"eps={text!r}" in str(caught.value)
    assert "write a fraction such as 8/255" in str(caught.value)
    assert "\n" not in str(caught.value)


def bounded(name: str, value: Any) -> RunConfig:
    """Set a bound of eps, which is a setting of the method's own."""
    return configure("trades-cfa", "fashion-mnist-mini", overrides={name: value})


DOORS: dict[str, Callable[[Any], object]] = {
    "method.eps_min": lambda value: bounded("method.eps_min", value),
    "rule.eps_max": lambda value: bounded("rule.eps_max", value),
    "--eps": lambda value: requested_threat(None, value, AttackSettings()),
    "sweep": lambda value: requested_sweep(f"0.01,{value}", "linf"),
    "attack@eps": lambda value: EvaluationPlan(attacks=(f"pgd-20@{value}",)),
    "plan": lambda value: EvaluationPlan(attacks=("pgd-20",), eps=value),
    **{
        name: lambda value, name=name: validated({**IDENTITY, **nest({name: value})})
        for name in ("attack.eps",)
    },
}


def refusal(door: str, value: Any) -> str:
    """Say what is said of a value that is given at some place, from the value on."""
    with pytest.raises(ConfigError) as caught:
        DOORS[door](value)
    return str(caught.value).partition("=")[2]


@pytest.mark.parametrize("door", [door for door in DOORS if door != "plan"])
@pytest.mark.parametrize(
    ("value", "question"),
    [
        ("8", "did you mean 8/255?"),
        ("2", "did you mean 2/255?"),
        ("8.0", "did you mean 8/255?"),
        ("1.5", "did you mean 1.5/255?"),
        ("255", "did you mean 255/255?"),
        ("256", "write a fraction such as 8/255"),
        ("300/255", "write a fraction such as 8/255"),
    ],
)
def test_a_budget_meant_in_255ths_is_asked_about_in_one_sentence_everywhere(
    door: str, value: str, question: str
) -> None:
    assert refusal(door, value) == f"{value!r} lies outside (0, 1]; {question}"


@pytest.mark.parametrize("door", ["--eps", "plan", "attack.eps", "rule.eps_max"])
@pytest.mark.parametrize("value", [8, 8.0])
def test_a_number_meant_in_255ths_is_asked_about_as_a_text_is(door: str, value: float) -> None:
    assert refusal(door, value) == f"{value!r} lies outside (0, 1]; did you mean 8/255?"


@pytest.mark.parametrize("door", ["--eps", "attack.eps"])
def test_what_is_no_number_is_said_alike(door: str) -> None:
    wanted = "'8:255' is not a number; write a fraction such as 8/255, or a decimal such as 0.03"
    assert refusal(door, "8:255") == wanted


@pytest.mark.parametrize(
    ("norm", "value", "meant"),
    [
        ("l2", "128", "128/255"),
        ("l2", 128, "128/255"),
        ("l2", "128.0", None),
        ("l2", 128.0, None),
        ("l2", "3", None),
        ("l1", "24", None),
        ("l0", "24", None),
    ],
)
def test_lengths_are_asked_about_where_no_image_is_that_far(norm: Norm, value: Any, meant: str) -> None:
    if meant is None:
        assert eps_for(norm, value) == float(value)
    else:
        with pytest.raises(
            ConfigError, match=rf"very long way in l2; did you mean {meant}\? If not, write 128\.0"
        ):
            eps_for(norm, value)


def test_a_training_in_l2_is_not_asked_about_255ths() -> None:
    attack = {"norm": "l2", "eps": "2"}
    with pytest.raises(
        ConfigError, match=r"attack\.eps='2' lies outside \(0, 1\]; trainings take l2 lengths"
    ):
        validated({**IDENTITY, "attack": attack})


def whole_numbers() -> list[str]:
    groups = RunConfig.model_fields.items()
    return [
        f"{group}.{name}"
        for group, of_group in groups
        if isinstance(of_group.annotation, type) and issubclass(of_group.annotation, pydantic.BaseModel)
        for name, field in of_group.annotation.model_fields.items()
        if field.annotation is int
    ]


@pytest.mark.parametrize("name", whole_numbers())
@pytest.mark.parametrize("value", [2**31, 10**30])
def test_absurd_numbers_are_refused_before_anything_is_made(name: str, value: int) -> None:
    with pytest.raises(ConfigError, match=rf"{name}={value} "):
        validated({**IDENTITY, **nest({name: value})})


def test_a_batch_has_no_more_parts_than_images() -> None:
    for size, parts in ((8, 8), (1, 1), (128, 3)):
        assert validated({**IDENTITY, "train": {"batch_size": size, "batch_parts": parts}})
    with pytest.raises(ConfigError, match=r"train\.batch_parts=9 cuts a batch of 8 images"):
        validated({**IDENTITY, "train": {"batch_size": 8, "batch_parts": 9}})


def test_the_same_drops_in_another_order_are_the_same_experiment() -> None:
    keys = {
        validated({**IDENTITY, "optimizer": {"milestones": order}}).key()
        for order in itertools.permutations((0.5, 0.75, 0.9))
    }
    assert len(keys) == 1


@pytest.mark.parametrize("step", ["2", 2, "1"])
def test_a_step_meant_in_255ths_is_asked_about(step: Any) -> None:
    with pytest.raises(ConfigError, match=rf"attack\.step_size={step} .* did you mean {step}/255\?"):
        validated({**IDENTITY, "attack": {"step_size": step}})
    assert validated({**IDENTITY, "attack": {"norm": "l2", "step_size": step}})
    stored = validated(IDENTITY).to_json().replace(repr(2 / 255), "2.0")
    assert RunConfig.model_validate_json(stored).attack.step_size.value == 2  # an old one stays readable


@pytest.mark.parametrize(
    ("eps", "shown"), [(8 / 255, "8/255"), (0.5, "127.5/255"), (0.0314, "8.01/255"), (1.0, "255/255")]
)
def test_eps_is_shown_in_255ths(eps: float, shown: str) -> None:
    assert format_eps(eps) == shown


@pytest.mark.parametrize(
    ("text", "value", "relative"),
    [
        ("eps/4", 0.25, True),
        ("eps", 1.0, True),
        (" eps / 8 ", 0.125, True),
        ("0.25*eps", 0.25, True),
        ("2.5 * eps / 10", 0.25, True),
        ("1e-05*eps", 1e-5, True),
        ("eps/4.", 0.25, True),
        ("2e0*EPS", 2.0, True),
        ("2/255", 2 / 255, False),
        ("2./255.", 2 / 255, False),
        ("0.007", 0.007, False),
        (0.01, 0.01, False),
        (StepSize(value=3, relative=True), 3, True),
        ({"value": 0.1, "relative": True}, 0.1, True),
    ],
)
def test_step_sizes_are_absolute_or_relative_and_survive_being_written(
    text: Any, value: float, relative: bool
) -> None:
    config = validated({**IDENTITY, "attack": {"step_size": text}})
    assert config.attack.step_size == StepSize(value=value, relative=relative)
    assert parse_step_size(str(config.attack.step_size)) == config.attack.step_size


@pytest.mark.parametrize(
    "text",
    ["eps/0", "0", "0*eps", "-1/255", "eps/", "four", "1.2.3*eps", "nan", "inf", True, None, "eps*eps"],
)
def test_a_step_size_that_is_none_is_refused_in_one_line(text: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        validated({**IDENTITY, "attack": {"step_size": text}})
    assert "attack.step_size" in str(caught.value)
    assert repr(text) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("attack.steps", 0),
        ("attack.norm", "l1"),
        ("averaging.decay", 1.0),
        ("averaging.start_epoch", 0),
        ("averaging.threshold", math.nan),
        ("averaging.gate", "median"),
        ("data.val_fraction", 0.0),
        ("data.val_fraction", 1.0),
        ("data.imbalance_ratio", 0.5),
        ("optimizer.lr", 0.0),
        ("optimizer.lr", math.inf),
        ("optimizer.lr", math.nan),
        ("train.epochs", 0),
        ("train.batch_size", 0),
        ("train.precision", "fp16"),
    ],
)
def test_a_value_out_of_range_is_named_with_its_setting(name: str, value: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        validated({**IDENTITY, **nest({name: value})})
    assert f"{name}={value!r} should be" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "nearest"),
    [("attack.epss", "attack.eps"), ("train.epoch", "train.epochs")],
)
def test_a_misspelt_setting_is_refused_with_the_nearest(name: str, nearest: str) -> None:
    with pytest.raises(ConfigError, match=f"unknown setting '{name}'; did you mean .*{nearest}"):
        validated({**IDENTITY, **nest({name: 1})})


SAME_NUMBERS = {"train.graphs"}


def test_the_table_of_this_test_names_every_setting() -> None:
    assert list(OTHER_VALUES) == setting_names()


@pytest.mark.parametrize("name", OTHER_VALUES)
def test_every_setting_survives_json_and_makes_another_experiment_if_it_changes_numbers(name: str) -> None:
    plain = validated(IDENTITY)
    changed = validated({**IDENTITY, **nest({name: OTHER_VALUES[name]})})
    assert changed != plain
    assert RunConfig.model_validate_json(changed.to_json()) == changed
    assert (changed.key() != plain.key()) == (name not in SAME_NUMBERS)
    different = {key for key, value in changed.flat().items() if plain.flat()[key] != value}
    assert different == {name}


def test_all_settings_at_once_survive_json() -> None:
    config = validated({**IDENTITY, "seed": 3, "init": "a-run", **nest(OTHER_VALUES)})
    assert RunConfig.model_validate_json(config.to_json()) == config
    assert validated(nest(config.flat())) == config
    assert json.loads(config.to_json())["attack"]["step_size"] == "0.25*eps"


def test_runs_that_differ_in_their_seed_alone_share_a_key() -> None:
    one, other = validated({**IDENTITY, "seed": 1}), validated({**IDENTITY, "seed": 2})
    assert one.key() != other.key()
    assert one.key(without_seed=True) == other.key(without_seed=True)
    kept = validated({**IDENTITY, "train": {"keep_every": 5, "test_probe": True}})
    assert kept.key() != one.key()
    assert kept.key(without_seed=True) == validated(IDENTITY).key(without_seed=True)
    split = validated({**IDENTITY, "data": {"split_seed": 1}})
    assert split.key(without_seed=True) != one.key(without_seed=True)


def test_a_configuration_cannot_be_changed() -> None:
    config = validated(IDENTITY)
    with pytest.raises(pydantic.ValidationError):
        config.attack.eps = 0.5  # type: ignore[misc]
    with pytest.raises(pydantic.ValidationError):
        config.seed = 1  # type: ignore[misc]


def test_flatten_and_nest_are_inverses() -> None:
    nested = {"a": {"b": {"c": 1}, "d": None}, "e": (1, 2)}
    assert flatten(nested) == {"a.b.c": 1, "a.d": None, "e": (1, 2)}
    assert nest(flatten(nested)) == nested
    with pytest.raises(ConfigError, match=r"'a\.b'.*'a'"):
        nest({"a": 1, "a.b": 2})


@pytest.mark.parametrize("seed", [-1, 2**31, "x"])
def test_a_seed_outside_its_range_is_refused(seed: Any) -> None:
    with pytest.raises(ConfigError, match="seed="):
        validated({**IDENTITY, "seed": seed})


def test_defaults_are_the_papers() -> None:
    """CFA section 5.1: 8/255, PGD-10, SGD 0.1/0.9/5e-4, drops at 100 and 150 of 200, 0.85, 0.2, epoch 50."""
    config = validated(IDENTITY)
    assert (config.attack.eps, config.attack.steps, config.attack.norm) == (8 / 255, 10, "linf")
    assert (config.optimizer.lr, config.optimizer.momentum, config.optimizer.weight_decay) == (0.1, 0.9, 5e-4)
    assert [share * config.train.epochs for share in config.optimizer.milestones] == [100, 150]
    averaging = config.averaging
    assert (averaging.decay, averaging.threshold, averaging.start_epoch) == (0.85, 0.2, 50)
    assert config.data.val_fraction == 0.02
