"""What holds of every method, whatever it does: a new one is in these tables by being offered."""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from cfa.config import RunConfig
from cfa.methods import (
    METHODS,
    TRAINING,
    Knobs,
    Method,
    OverEpochs,
    Rule,
    Uniform,
    configure,
    parts_of,
    train_command,
    warm_up_of,
)
from cfa.runs.folder import RunFolder
from tests.methods.test_it_acts import ROWS
from tests.support.companions import companions_for
from tests.support.killing import Killer, killer
from tests.support.seen import Seen, small_network, small_step
from tests.support.tiny import (
    CPU,
    assert_same_weights,
    go_on,
    stopped,
    timeless,
    tiny_config,
    tiny_dataset,
    tiny_run,
    trained,
)

BATCH = 16


def config_of(method: str, **settings: Any) -> RunConfig:
    overrides = {"attack.steps": 3, **settings}
    return configure(method, "tiny", model="small-cnn", preset="demo", overrides=overrides)


@pytest.mark.parametrize("classes", [2, 200])
@pytest.mark.parametrize("method", METHODS)
def test_steps_are_finite_with_few_and_many_classes_and_with_classes_that_a_batch_lacks(
    method: str, classes: int
) -> None:
    torch.manual_seed(0)
    config, model = config_of(method), small_network(classes).train()
    step = small_step(parts_of(config), model, torch.full((classes,), 20))
    seen = Seen(step.parts, classes)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    state, knobs = step.parts.rule.initial(classes)
    noise = torch.Generator().manual_seed(0)
    differed = False
    for epoch in range(1, warm_up_of(config) + 4):
        x = torch.rand(BATCH, 1, 8, 8, generator=noise)
        y = torch.randint(classes // 2, (BATCH,), generator=noise)  # half of the classes are not there
        before = [parameter.clone() for parameter in model.parameters()]
        result = step(optimizer, x, y, torch.arange(BATCH), knobs.on(CPU), noise)
        assert torch.isfinite(result.loss)
        assert result.correct.shape == (BATCH,)
        assert any(not torch.equal(one, two) for one, two in zip(before, model.parameters(), strict=True))
        assert all(torch.isfinite(parameter).all() for parameter in model.parameters())
        state, knobs = step.parts.rule(state, seen.after(epoch))
        assert all(torch.isfinite(value).all() for value in knobs.values())
        assert (knobs["eps"] >= 0).all()
        differed = differed or not alike(knobs)
    assert differed != is_uniform(step.parts.rule), "a rule treats classes differently at some time"


def is_uniform(rule: Rule) -> bool:
    """Tell whether classes are alike in every epoch; what is the same for all may change over epochs."""
    return isinstance(rule, Uniform) or (isinstance(rule, OverEpochs) and is_uniform(rule.rule))


def alike(knobs: Knobs) -> bool:
    return all(float(value.min()) == float(value.max()) for value in knobs.values())


@pytest.mark.parametrize("method", METHODS)
def test_classes_are_alike_at_first_and_in_the_warm_up(method: str) -> None:
    config = config_of(method)
    parts = parts_of(config)
    rule, seen = parts.rule, Seen(parts, 5)
    state, knobs = rule.initial(5)
    assert alike(knobs)
    assert 0 <= float(knobs["eps"].max()) <= config.attack.eps  # some grow to the nominal one
    for epoch in range(1, warm_up_of(config)):
        state, knobs = rule(state, seen.after(epoch))
        assert alike(knobs)
        assert 0 <= float(knobs["eps"].max()) <= config.attack.eps


@pytest.mark.parametrize("method", METHODS)
def test_a_rule_is_pure(method: str) -> None:
    config = config_of(method)
    parts = parts_of(config)
    rule, after = parts.rule, Seen(parts, 5).after(warm_up_of(config) + 1)
    state, _ = rule.initial(5)
    kept = {name: value.clone() for name, value in state.items()}
    one, two = rule(state, after), rule(state, after)
    for name in one[1]:
        assert torch.equal(one[1][name], two[1][name])
    assert all(torch.equal(state[name], kept[name]) for name in kept)


@pytest.mark.parametrize("method", METHODS)
def test_settings_survive_json_and_the_command_that_trains_them_again(method: str) -> None:
    config = config_of(method)
    assert RunConfig.model_validate_json(config.to_json()) == config
    words = train_command(config).split()
    given = dict(word.split("=", 1) for word in words if "=" in word)
    again = configure(method, "tiny", model="small-cnn", preset="demo", overrides=given)
    assert again == config
    assert again.key() == config.key()


@pytest.mark.parametrize("method", METHODS)
def test_every_setting_of_its_own_makes_another_experiment(method: str) -> None:
    config = config_of(method)
    for name, value in config.method_settings.items():
        if isinstance(value, str):
            other: object = f"{value}-another"
        else:
            other = 0.11 if value is None else value + 1 if isinstance(value, int) else value / 2
        changed = config.model_copy(update={"method_settings": {**config.method_settings, name: other}})
        assert changed.key() != config.key(), name


# Stopped, killed and resumed -------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_stopped_and_resumed_equals_never_stopped(tmp_path: Path, method: str) -> None:
    config, data = tiny_config(method, train__epochs=3), tiny_dataset(spread=2)
    plain = trained(tmp_path / "plain", config, data)
    run = tiny_run(tmp_path / "stopped", config)
    for after in (3, 9):  # in the first epoch, and in another one
        stopped(RunFolder(run.path), data, after=after)
    go_on(RunFolder(run.path), data)
    assert_same_weights(plain, run)
    assert timeless(plain.rows()) == timeless(run.rows())


def carried(method: str) -> set[str]:
    """Name what a method says that its runs carry along, or depend on, besides their weights."""
    config = tiny_config(method)
    parts = parts_of(config)
    has = {
        "knobs alone": is_uniform(parts.rule),
        "knobs of classes": not is_uniform(parts.rule),
        "a rule's state": bool(parts.rule.initial(5)[0]),
        "sums of the objective": Seen(parts, 5).sums[TRAINING].keys() > {"loss"},
        "passes": bool(parts.passes),
        "a sampler": parts.sampler is not None,
        "a helper": parts.helper is not None,
        "companions": bool(companions_for(parts, lambda: small_network(3))),
        "a teacher": parts.method.needs_teacher,
        "a head": parts.method.head != Method.head,
        "moved weights": parts.gradients is not parts_of(tiny_config("pgd-at")).gradients,
        "a start": parts.method.fine_tunes,
    }
    return {name for name, given in has.items() if given}


def one_of_each_kind() -> set[str]:
    """Choose the first method in the catalogue with each thing that is carried."""
    first: dict[str, str] = {}
    for method in METHODS:
        for kind in carried(method):
            first.setdefault(kind, method)
    return set(first.values())


USUAL = one_of_each_kind()
ASKED = (pytest.mark.slow, pytest.mark.on_request)


@pytest.fixture(scope="module")
def killed() -> Iterator[Killer]:
    with killer() as found:
        yield found


@pytest.mark.parametrize(
    "method",
    [pytest.param(name, marks=() if name in USUAL else ASKED) for name in METHODS],
)
def test_killed_in_epoch_3_and_resumed_equals_never_killed(
    tmp_path: Path, killed: Killer, method: str
) -> None:
    """Of what is carried one method by default, of all methods with ``-m slow``."""
    row = ROWS.get(method)  # it acts by then
    config, data = tiny_config(method, **(row.settings if row else {})), tiny_dataset(spread=2)
    plain = trained(tmp_path / "plain", config, data)
    run = tiny_run(tmp_path / "killed", config)
    killed.kill_in_epoch(3, run, seconds=random.uniform(0.0, 0.1))  # each time at another moment
    assert run.status.state == "running"  # it had no chance to say otherwise
    assert {row.epoch for row in run.rows()} == {1, 2}
    go_on(RunFolder(run.path), data)
    assert run.status.state == "finished"
    assert_same_weights(plain, run)
    assert timeless(plain.rows()) == timeless(run.rows())
