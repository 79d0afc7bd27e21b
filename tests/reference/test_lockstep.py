"""Five steps beside the official code, from the same weights, batches and noise, in float64.

`CFA_REFERENCE=PATH pytest -m reference`, PATH a checkout of PKU-ML/CFA; skipped without one.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from benchmarks.official import Official, load_official
from cfa.data import NO_AUGMENTATION, Images
from cfa.data.batches import draw_offsets
from cfa.methods import METHODS, TRAINING, ClassStats, Knobs, configure, parts_of, settings_of
from cfa.models import ModelSpec, build_model
from cfa.training.epoch import train_epoch
from cfa.training.randomness import derived_seed
from cfa.training.state import EpochCounts, TrainingState
from cfa.training.step import Step

pytestmark = [pytest.mark.reference, pytest.mark.slow]

CPU = torch.device("cpu")
CLASSES, BATCH, STEPS, SEED = 10, 8, 5, 0
EPS, BETA, TAU, ALPHA, ITERATIONS = 8 / 255, 6.0, 3, 2 / 255, 10
TOLERANCE = 1e-9
# The official names of the losses, with their class-wise twins.
LOSSES = {
    "pgd-at": "pgd_loss",
    "pgd-at-cfa": "cw_pgd_loss",
    "trades": "trades_loss",
    "trades-cfa": "cw_trades_loss",
    "fat": "fat_loss",
    "fat-cfa": "cw_fat_loss",
}


@pytest.fixture
def official() -> Iterator[Official]:
    path = os.environ.get("CFA_REFERENCE")
    if not path:
        pytest.skip("needs a checkout of PKU-ML/CFA: set CFA_REFERENCE to it")
    torch.set_default_dtype(torch.float64)
    try:
        yield load_official(Path(path))
    finally:
        torch.set_default_dtype(torch.float32)


@dataclass(frozen=True)
class Outcome:
    """What five steps come to: weights and buffers, and right adversarial predictions per class."""

    weights: dict[str, Tensor]
    robust: Tensor


def images() -> tuple[Tensor, Tensor]:
    """Noise on a pattern per class, four images of each: something that five steps can learn a little."""
    noise = torch.Generator().manual_seed(1)
    labels = torch.arange(BATCH * STEPS) % CLASSES
    patterns = torch.rand(CLASSES, 3, 32, 32, generator=noise)
    pixels = 0.6 * patterns[labels] + 0.4 * torch.rand(len(labels), 3, 32, 32, generator=noise)
    return (255 * pixels).round().to(torch.uint8), labels


def class_knobs(method: str) -> tuple[Tensor, Tensor]:
    """Give every class another budget and beta where the method is class-wise."""
    spread = torch.linspace(0.5, 1.3, CLASSES) if method.endswith("-cfa") else torch.ones(CLASSES)
    return spread * EPS, spread.flip(0) * BETA


def ours(method: str, start: dict[str, Tensor]) -> tuple[Outcome, EpochCounts]:
    config = configure(method, "cifar10", model="preact-resnet18", preset="official-code", seed=SEED)
    spec = ModelSpec(3, CLASSES, 32, (0.4914, 0.4822, 0.4465), (0.2471, 0.2435, 0.2616))
    model = build_model("preact-resnet18", spec, 0).double()
    model.network.load_state_dict(start)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4)
    eps, beta = class_knobs(method)
    clean, robust = (1 / (1 + beta), beta / (1 + beta))
    weights = (
        {"clean_weight": clean, "robust_weight": robust} if "method.beta" in settings_of([method]) else {}
    )
    knobs = Knobs(eps=eps, **weights)
    state = TrainingState(model, optimizer, knobs, {}, EpochCounts.zero(CLASSES, CPU))
    train_epoch(
        state,
        Step.of(parts_of(config), model, torch.full((CLASSES,), BATCH * STEPS // CLASSES)),
        Images(*images()),
        NO_AUGMENTATION,
        seed=SEED,
        batch_size=BATCH,
        after_step=lambda done, of: None,
    )
    return Outcome(model.network.state_dict(), state.counts.correct), state.counts


def theirs(official: Official, method: str, start: dict[str, Tensor]) -> Outcome:
    model = official.model.PreActResNet18().double()
    model.load_state_dict(start)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4)
    eps, beta = class_knobs(method)
    weight: Any = beta / (1 + beta) if method.startswith("trades") else TAU if "fat" in method else BETA
    result = official.train.train_epoch(
        model,
        Batches(),
        optimizer,
        "cpu",
        getattr(official.attack, LOSSES[method]),
        eps if method.endswith("-cfa") else EPS,
        weight,
        ALPHA,
        ITERATIONS,
    )
    return Outcome(model.state_dict(), result[3])


class Batches:
    """The batches of our first epoch, with the noise of our steps: the official code draws from the global
    generator, which is seeded before each."""

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        pixels, labels = images()
        order = torch.randperm(
            len(labels), generator=torch.Generator().manual_seed(derived_seed(SEED, "order", 1))
        )
        for step, members in enumerate(order.split(BATCH)):
            torch.manual_seed(derived_seed(SEED, "step", 1, step))
            draw_offsets(BATCH, NO_AUGMENTATION, torch.default_generator)  # as our step
            yield pixels[members].double() / 255, labels[members]


@pytest.mark.parametrize("method", LOSSES)
@pytest.mark.filterwarnings("ignore:size_average and reduce args will be deprecated")
def test_five_steps_equal_the_official_ones(official: Official, method: str, record_property) -> None:
    torch.manual_seed(0)
    start = official.model.PreActResNet18().double().state_dict()
    expected = theirs(official, method, {name: tensor.clone() for name, tensor in start.items()})
    found, counts = ours(method, {name: tensor.clone() for name, tensor in start.items()})
    moved = {name for name in start if not torch.equal(start[name], expected.weights[name])}
    assert len(moved) == len(start)  # the five steps reach every weight and buffer
    largest = max(
        float((found.weights[name] - expected.weights[name]).abs().max()) for name in expected.weights
    )
    record_property("largest difference", largest)
    assert largest <= TOLERANCE
    accuracy = found.robust.double() / counts.total
    torch.testing.assert_close(accuracy, expected.robust.double(), rtol=0, atol=TOLERANCE)
    check_knobs(method, counts, expected.robust)


def check_knobs(method: str, counts: EpochCounts, train_robust: Tensor) -> None:
    """Compare with `class_eps` and `class_beta` as train.py computes them from its log (lines 172 to 185)."""
    config = configure(method, "cifar10", model="preact-resnet18", preset="official-code", seed=SEED)
    rule = parts_of(config).rule
    stats = ClassStats(epoch=10, class_counts=counts.total, seen={TRAINING: counts.tally()})
    state, _ = rule.initial(CLASSES)
    _, knobs = rule(state, stats)
    adds = METHODS[method].adds
    class_eps = (0.5 + train_robust) * EPS if "CCM" in adds else torch.full((CLASSES,), EPS)
    torch.testing.assert_close(knobs["eps"], class_eps.double(), rtol=0, atol=TOLERANCE)
    if "robust_weight" in knobs:
        beta = (0.5 + train_robust) * BETA if "CCR" in adds else torch.full((CLASSES,), BETA)
        torch.testing.assert_close(
            knobs["robust_weight"], (beta / (1 + beta)).double(), rtol=0, atol=TOLERANCE
        )
