"""What holds of every method, whatever it does: a new one is in these tables by being offered."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from cfa.config import RunConfig
from cfa.methods import (
    METHODS,
    TRAINING,
    VALIDATION_CLEAN,
    VALIDATION_ROBUST,
    ClassStats,
    Knobs,
    Tally,
    configure,
    parts_of,
    train_command,
)
from cfa.progress import Observer
from cfa.runs.folder import RunFolder
from cfa.training import fit
from cfa.training.step import Step
from tests.support.tiny import (
    CPU,
    assert_same_weights,
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


def stats_of(classes: int, epoch: int) -> ClassStats:
    """Give every class other counts; the first was never right, and the last always."""
    total = torch.arange(classes) + 20
    correct = (total * torch.linspace(0, 1, classes)).long()
    tally = Tally(total=total, correct=correct)
    seen = dict.fromkeys((TRAINING, VALIDATION_CLEAN, VALIDATION_ROBUST), tally)
    return ClassStats(epoch=epoch, class_counts=total, seen=seen)


@pytest.mark.parametrize("classes", [2, 200])
@pytest.mark.parametrize("method", METHODS)
def test_steps_are_finite_with_few_and_many_classes_and_with_classes_that_a_batch_lacks(
    method: str, classes: int
) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(144, classes)
    ).train()
    step = Step.of(parts_of(config_of(method)), model, torch.full((classes,), 20))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    state, knobs = step.parts.rule.initial(classes)
    noise = torch.Generator().manual_seed(0)
    for epoch in range(1, 8):  # past every warm-up
        x = torch.rand(BATCH, 1, 8, 8, generator=noise)
        y = torch.randint(classes // 2, (BATCH,), generator=noise)  # half of the classes are not there
        before = [parameter.clone() for parameter in model.parameters()]
        result = step(optimizer, x, y, torch.arange(BATCH), knobs.on(CPU), noise)
        assert torch.isfinite(result.loss)
        assert result.correct.shape == (BATCH,)
        assert any(not torch.equal(one, two) for one, two in zip(before, model.parameters(), strict=True))
        assert all(torch.isfinite(parameter).all() for parameter in model.parameters())
        state, knobs = step.parts.rule(state, stats_of(classes, epoch))
        assert all(torch.isfinite(value).all() for value in knobs.values())
        assert (knobs["eps"] >= 0).all()


def alike(knobs: Knobs) -> bool:
    return all(float(value.min()) == float(value.max()) for value in knobs.of_classes.values())


@pytest.mark.parametrize("method", METHODS)
def test_classes_are_alike_at_first_and_in_the_warm_up(method: str) -> None:
    config = config_of(method)
    rule = parts_of(config).rule
    state, knobs = rule.initial(5)
    assert alike(knobs)
    assert set(knobs["eps"].tolist()) == {config.attack.eps}
    for epoch in range(1, int(config.method_settings.get("warmup_epochs", 0))):
        state, knobs = rule(state, stats_of(5, epoch))
        assert alike(knobs)
        assert set(knobs["eps"].tolist()) == {config.attack.eps}


@pytest.mark.parametrize("method", METHODS)
def test_a_rule_is_pure(method: str) -> None:
    rule = parts_of(config_of(method)).rule
    state, _ = rule.initial(5)
    kept = {name: value.clone() for name, value in state.items()}
    one, two = rule(state, stats_of(5, 9)), rule(state, stats_of(5, 9))
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
        other = 0.11 if value is None else value + 1 if isinstance(value, int) else value / 2
        changed = config.model_copy(update={"method_settings": {**config.method_settings, name: other}})
        assert changed.key() != config.key(), name


@pytest.mark.parametrize("method", METHODS)
def test_stopped_and_resumed_equals_never_stopped(tmp_path: Path, method: str) -> None:
    config, data = tiny_config(method, train__epochs=3), tiny_dataset(spread=2)
    plain = trained(tmp_path / "plain", config, data)
    run = tiny_run(tmp_path / "stopped", config)
    stopped(run, data, after=8)  # in the second epoch
    fit(RunFolder(run.path), data, CPU, Observer())
    assert_same_weights(plain, run)
    assert timeless(plain.rows()) == timeless(run.rows())
