"""LBGAT: its loss by hand (example 13, logits of `test_formulas.py`), and that both networks learn."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from cfa.config import RunConfig
from cfa.data import dataset_info
from cfa.methods import Attacked, Batch, configure, constant, parts_of
from cfa.methods.catalogue.lbgat import NATURAL, lbgat
from cfa.models import ModelSpec
from cfa.progress import Observer
from cfa.training.estimate import time_steps
from cfa.training.preparing import starting_companions, starting_model
from tests.methods.test_formulas import ADVERSARIAL, CLASSES, CLEAN, TAUGHT, Answers
from tests.support.tiny import CPU, stopped, tiny_config, tiny_dataset, tiny_run
from tests.support.worked import batch_of


@pytest.mark.parametrize(("beta", "expected"), [(0.0, 2.202415), (6.0, 4.245800)])
def test_the_loss_of_given_logits(beta: float, expected: float) -> None:
    given = batch_of(CLEAN.tolist(), CLASSES.tolist())
    batch = replace(given, companions={NATURAL: Answers(TAUGHT)})
    loss = lbgat(beta, lambda logits: logits, batch, Attacked(x_adv=ADVERSARIAL))
    assert float(loss.per_sample.mean()) == pytest.approx(expected, abs=1e-5)
    assert torch.equal(loss.logits_adv, ADVERSARIAL)


def test_the_gradient_of_the_squared_error_reaches_both_networks() -> None:
    knobs = constant(3, eps=0.1)
    adversarial, guide = ADVERSARIAL.clone().requires_grad_(), TAUGHT.clone().requires_grad_()
    batch = Batch(
        x=CLEAN,
        y=CLASSES,
        index=torch.arange(2),
        knobs=knobs.at(CLASSES),
        knobs_of_class=knobs,
        class_counts=torch.full((3,), 10),
        whole_y=CLASSES,
        companions={NATURAL: Answers(guide)},
    )
    lbgat(0.0, lambda logits: logits, batch, Attacked(x_adv=adversarial)).per_sample.sum().backward()
    difference = 2 / 3 * (ADVERSARIAL - TAUGHT)
    torch.testing.assert_close(adversarial.grad, difference)
    error = TAUGHT.softmax(dim=1) - torch.nn.functional.one_hot(CLASSES, 3)
    torch.testing.assert_close(guide.grad, error - difference)


def built(config: RunConfig) -> tuple[torch.nn.Module, torch.nn.Module]:
    spec = ModelSpec(1, 4, 8, (0.5,), (0.25,))
    beside = starting_companions(parts_of(config), spec, CPU)
    return starting_model(config, spec, CPU, None, Observer()), beside[NATURAL]


def test_the_network_beside_is_of_the_runs_kind_with_other_weights() -> None:
    model, beside = built(tiny_config("lbgat"))
    ours, theirs = model.state_dict(), beside.state_dict()
    assert ours.keys() == theirs.keys()
    assert not torch.equal(ours["network.conv1.weight"], theirs["network.conv1.weight"])
    again = built(tiny_config("lbgat"))[1].state_dict()
    assert torch.equal(again["network.conv1.weight"], theirs["network.conv1.weight"])


def test_another_network_may_be_named() -> None:
    model, beside = built(tiny_config("lbgat", method__companion="resnet18"))
    assert model.state_dict().keys() != beside.state_dict().keys()
    config = configure("lbgat", "cifar10", model="preact-resnet18", preset="authors")
    assert config.method_settings["companion"] == "resnet18"


def test_it_learns_and_is_saved_with_the_run(tmp_path: Path) -> None:
    config = tiny_config("lbgat")
    run = tiny_run(tmp_path, config)
    stopped(run, tiny_dataset(spread=2), after=7)
    saved = torch.load(run.state_file, weights_only=True)
    kept, model = saved["companions"][NATURAL], saved["model"]
    start = built(config)[1].state_dict()
    assert kept.keys() == model.keys() == start.keys()
    assert any(not torch.equal(kept[name], model[name]) for name in kept)
    assert not torch.equal(kept["network.linear.weight"], start["network.linear.weight"])


def test_what_it_costs_is_measured_with_it() -> None:
    config = configure("lbgat", "fashion-mnist-mini", overrides={"train.batch_size": 16})
    timing = time_steps(config, dataset_info("fashion-mnist-mini", Path()), CPU, patience=0.1)
    assert timing.training > 0
