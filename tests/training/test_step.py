"""One step against a step written out by hand, and the official code's extra passes."""

import copy
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cfa.methods import METHODS, Knobs, Parts, configure, parts_of
from cfa.training.step import Step, StepResult
from tests.methods.test_formulas import ROWS
from tests.support.companions import companions_for
from tests.support.networks import batch_norm_network, images_and_labels

KNOBS = Knobs(
    eps=torch.tensor([0.02, 0.07, 0.1, 0.2]),
    clean_weight=torch.tensor([0.1, 0.2, 0.3, 0.4]),
    robust_weight=torch.tensor([0.9, 0.8, 0.7, 0.6]),
)

COUNTS = torch.full((4,), 100)


def config_of(method: str, **overrides: Any):
    settings = {"attack.steps": 10, **{name.replace("__", "."): value for name, value in overrides.items()}}
    return configure(method, "x", model="preact-resnet18", preset="paper", overrides=settings)


def uneven(parts: Parts) -> Knobs:
    """Make knobs that differ between classes of those that a method starts with."""
    _, knobs = parts.rule.initial(4)
    spread = torch.tensor([0.5, 1.5, 1, 2])
    return Knobs(**{name: torch.einsum("k...,k->k...", each.float(), spread) for name, each in knobs.items()})


def teacher(x: Tensor) -> Tensor:
    """Answer as a network that nobody trained, in the precision of the images."""
    answers: Tensor = batch_norm_network(seed=3).eval().to(x.dtype)(x)
    return answers.detach()


def one_step(method: str, model: nn.Module, knobs: Knobs = KNOBS, **overrides: Any) -> StepResult:
    config = config_of(method, **overrides)
    x, y = images_and_labels(16)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4)
    parts = parts_of(config)
    companions = companions_for(parts, lambda: batch_norm_network(seed=4))
    step = Step.of(parts, model, COUNTS, teacher=teacher, companions=companions)
    return step(optimizer, x, y, torch.arange(16), knobs, torch.Generator().manual_seed(0))


def test_a_step_of_adversarial_training_by_hand() -> None:
    """Official order: attack in train mode, loss in train mode, SGD with weight decay."""
    model = batch_norm_network().train()
    hand = copy.deepcopy(model)
    x, y = images_and_labels(16)
    eps = KNOBS["eps"][y].view(-1, 1, 1, 1)
    noise = torch.rand(x.shape, generator=torch.Generator().manual_seed(0))
    z = (x + (2 * noise - 1) * eps).clamp(0, 1)
    for _ in range(10):
        z = z.detach().requires_grad_(True)
        (gradient,) = torch.autograd.grad(F.cross_entropy(hand(z), y, reduction="sum"), z)
        z = (x + (z.detach() + 2 / 255 * gradient.sign() - x).clamp(-eps, eps)).clamp(0, 1)
    logits = hand(z)
    per_sample = F.cross_entropy(logits, y, reduction="none")
    expected_loss = per_sample.mean()
    gradients = torch.autograd.grad(expected_loss, list(hand.parameters()))
    with torch.no_grad():
        for parameter, gradient in zip(hand.parameters(), gradients, strict=True):
            parameter -= 0.1 * (gradient + 5e-4 * parameter)

    found = one_step("pgd-at", model)
    loss, correct = found.loss, found.correct
    torch.testing.assert_close(loss, expected_loss.detach())
    assert torch.equal(correct, logits.argmax(1) == y)
    for name, value in hand.state_dict().items():
        torch.testing.assert_close(model.state_dict()[name], value, atol=1e-6, rtol=1e-5)


def test_a_step_of_trades_weighs_both_terms_per_class() -> None:
    """Attack on the KL in eval mode from x + 0.001 N(0, 1); then sum[w_clean CE + w_robust KL] / B."""
    model = batch_norm_network().train()
    hand = copy.deepcopy(model)
    x, y = images_and_labels(16)
    eps = KNOBS["eps"][y].view(-1, 1, 1, 1)
    hand.eval()
    z = x + 0.001 * torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
    for _ in range(10):
        z = z.detach().requires_grad_(True)
        kl = F.kl_div(F.log_softmax(hand(z), 1), F.softmax(hand(x), 1), reduction="sum")
        (gradient,) = torch.autograd.grad(kl, z)
        z = (x + (z.detach() + 2 / 255 * gradient.sign() - x).clamp(-eps, eps)).clamp(0, 1)
    hand.train()
    clean, robust = hand(x), hand(z)
    kl = F.kl_div(F.log_softmax(robust, 1), F.softmax(clean, 1), reduction="none").sum(1)
    terms = (
        KNOBS["clean_weight"][y] * F.cross_entropy(clean, y, reduction="none")
        + KNOBS["robust_weight"][y] * kl
    )
    gradients = torch.autograd.grad(terms.sum() / len(x), list(hand.parameters()))
    with torch.no_grad():
        for parameter, gradient in zip(hand.parameters(), gradients, strict=True):
            parameter -= 0.1 * (gradient + 5e-4 * parameter)

    found = one_step("trades", model)
    loss, correct = found.loss, found.correct
    torch.testing.assert_close(loss, terms.mean().detach())
    assert torch.equal(correct, robust.argmax(1) == y)
    for name, value in hand.state_dict().items():
        torch.testing.assert_close(model.state_dict()[name], value, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize(
    ("method", "official", "updates"),
    [
        ("pgd-at", False, 10 + 1),
        ("pgd-at", True, 10 + 1 + 1),  # attack, loss, logging
        ("fat", False, 10 + 1),
        ("fat", True, 10 + 1 + 1 + 1),  # attack, the last iterate once more, loss, logging
        ("trades", False, 2),
        ("trades", True, 4),  # clean, adversarial, clean again, logging; attack in eval mode
        ("trades-cfa", True, 4),
        ("frl", False, 2),
        ("frl", True, 3),  # clean, adversarial, clean again: its authors count nothing while they train
    ],
)
def test_official_passes_move_the_statistics_as_often_as_the_official_code(
    method: str, official: bool, updates: int
) -> None:
    model = batch_norm_network().train()
    one_step(method, model, train__official_passes=official)
    assert int(model[1].num_batches_tracked) == updates


@pytest.mark.parametrize("method", ["pgd-at", "trades", "fat"])
def test_official_passes_change_no_weight_in_the_first_step(method: str) -> None:
    plain, official = batch_norm_network().train(), batch_norm_network().train()
    one_step(method, plain)
    one_step(method, official, train__official_passes=True)
    for (name, one), (_, other) in zip(plain.named_parameters(), official.named_parameters(), strict=True):
        assert torch.equal(one, other), name
    assert not torch.equal(plain[1].running_mean, official[1].running_mean)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("bn_mode", ["train", "eval"])
def test_the_model_is_in_train_mode_afterwards_and_the_callers_noise_untouched(
    method: str, bn_mode: str
) -> None:
    model = batch_norm_network().train()
    state = torch.get_rng_state()
    one_step(method, model, uneven(parts_of(config_of(method))), attack__bn_mode=bn_mode)
    assert all(module.training for module in model.modules())
    assert torch.equal(torch.get_rng_state(), state)
    row = ROWS[method]
    attack = 10 + row.targets if bn_mode == "train" else 0
    assert int(model[1].num_batches_tracked) == attack + row.passes


@pytest.mark.parametrize("method", [name for name in METHODS if not METHODS[name].whole_batch])
@pytest.mark.parametrize("parts", [2, 3, 5])
def test_a_batch_in_parts_takes_the_step_of_the_whole_one(method: str, parts: int) -> None:
    """BatchNorm and the attack's draws apart, which see parts: eval mode, and a start at the image.

    FRL divides by the sum of weights in the batch, and steps by a quarter of the largest eps in it.
    """
    start = batch_norm_network().double()
    found = []
    x, y = images_and_labels(16)
    y = y.sort().values  # so that parts hold other classes than the whole
    for number in (1, parts):
        model = copy.deepcopy(start).eval()  # nothing puts it into train mode here
        config = config_of(method, attack__start="none", attack__bn_mode="eval", train__batch_parts=number)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        parts_built = parts_of(config)
        companions = companions_for(parts_built, lambda: batch_norm_network(seed=4).double().eval())
        step = Step.of(parts_built, model, COUNTS, teacher=teacher, companions=companions)
        knobs = Knobs(**{name: value.double() for name, value in uneven(step.parts).items()})
        noise = torch.Generator().manual_seed(0)
        result = step(optimizer, x.double(), y, torch.arange(16), knobs, noise)
        found.append((result.loss, result.correct, model.state_dict()))
    (one_loss, one_correct, one), (loss, correct, weights) = found
    torch.testing.assert_close(loss, one_loss, rtol=1e-9, atol=0)
    assert torch.equal(correct, one_correct)
    for name, value in one.items():
        torch.testing.assert_close(weights[name], value, rtol=1e-7, atol=1e-10, msg=name)
