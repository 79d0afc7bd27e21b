"""Steps, passes and validation as captured graphs: the run that they make is the eager one, bit for bit.

On the CPU the graphs are a stand-in's, which keeps Python's numbers as a graph does; on GPUs CUDA's.
"""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from cfa.config import RunConfig
from cfa.data import Images
from cfa.methods import METHODS, Knobs, configure, parts_of
from cfa.models import repeatable
from cfa.models.replay import Carrier, CudaRecorder, Recorder, Replaying, eagerly
from cfa.training.step import Step
from cfa.training.validation import count_correct
from tests.support.companions import companions_for
from tests.support.networks import batch_norm_network, images_and_labels
from tests.support.recorded import CpuRecorder

STEPS, CLASSES, BATCH = 6, 4, 12
GPU = pytest.param("cuda", marks=pytest.mark.gpu)


def config_of(method: str, **overrides: Any) -> RunConfig:
    settings = {"attack.steps": 3, **{name.replace("__", "."): value for name, value in overrides.items()}}
    return configure(method, "x", model="small-cnn", preset="demo", overrides=settings)


def recorder_for(device: torch.device) -> Recorder:
    return CudaRecorder(device) if device.type == "cuda" else CpuRecorder()


def changed(knobs: Knobs, epoch: int) -> Knobs:
    """Give every class other values in every epoch, as rules do past their warm-up."""
    noise = torch.Generator().manual_seed(epoch)
    return Knobs(
        **{name: value * (0.5 + torch.rand(value.shape, generator=noise)) for name, value in knobs.items()}
    )


def trained(config: RunConfig, device: torch.device, carry: Carrier) -> dict[str, Tensor]:
    """Train two epochs with other knobs each and an odd last batch; return all that came of it."""
    model = batch_norm_network(CLASSES).to(device).train()
    parts = parts_of(config)
    beside = companions_for(parts, lambda: batch_norm_network(CLASSES, seed=4).to(device).train())
    trainable = [parameter for network in (model, *beside.values()) for parameter in network.parameters()]
    optimizer = torch.optim.SGD(trainable, lr=0.1, momentum=0.9, weight_decay=5e-4)
    counts = torch.full((CLASSES,), 20, device=device)
    teacher = batch_norm_network(CLASSES, seed=3).to(device).eval().requires_grad_(False)
    step = Step.of(parts, model, counts, teacher=teacher, companions=beside, carry=carry)
    _, knobs = step.parts.rule.initial(CLASSES)
    found: dict[str, Tensor] = {}
    for epoch in range(2):
        of_epoch = changed(knobs, epoch).on(device)
        for number in range(STEPS):
            size = BATCH if number < STEPS - 1 else 5
            x, y = (t.to(device) for t in images_and_labels(size, CLASSES, seed=10 * epoch + number))
            noise = torch.Generator(device=device).manual_seed(100 * epoch + number)
            result = step(optimizer, x, y, torch.arange(size, device=device), of_epoch, noise)
            found[f"loss {epoch} {number}"], found[f"correct {epoch} {number}"] = result.loss, result.correct
            found |= {f"{name} {epoch} {number}": value for name, value in result.sums.items()}
    for name, network in beside.items():
        found |= {f"{name} {key}": value for key, value in network.state_dict().items()}
    return {**found, **model.state_dict()}


def assert_equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    assert one.keys() == other.keys()
    assert [name for name in one if not torch.equal(one[name], other[name])] == []


WAYS: dict[str, dict[str, Any]] = {
    "as it is": {},
    "attacked in training mode": {"attack__bn_mode": "train"},
    "in parts": {"train__batch_parts": 2},
    "bf16": {"train__precision": "bf16"},
    "relative steps in l2": {"attack__norm": "l2", "attack__eps": 0.5, "attack__step_size": "eps/4"},
}


@pytest.mark.parametrize("device", ["cpu", GPU])
@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("method", METHODS)
def test_replayed_training_is_the_eager_one(method: str, way: dict[str, Any], device: str) -> None:
    if METHODS[method].whole_batch and "train__batch_parts" in way:
        return  # refused
    config, place = config_of(method, **way), torch.device(device)
    said: list[str] = []
    with repeatable():
        carry = Replaying(recorder_for(place), said.append)
        found = trained(config, place, carry)
        expected = trained(config, place, eagerly)
    assert_equal(found, expected)
    drops = device == "cpu" and method in ("fat", "fat-cfa") and config.attack.bn_mode == "eval"
    if drops:  # images that are done, which makes shapes depend on content; on GPUs they are masked
        assert len(said) == 1
    else:
        assert said == []
        assert carry.replayed > STEPS


def test_knobs_of_a_later_epoch_reach_a_step_that_was_captured_before() -> None:
    """Were they Python's numbers in the graph, CFA would go on with the first epoch's for good."""
    config, place = config_of("trades-cfa"), torch.device("cpu")
    model = batch_norm_network(CLASSES).train()
    carry = Replaying(CpuRecorder())
    step = Step.of(parts_of(config), model, torch.full((CLASSES,), 20), carry=carry)
    _, knobs = step.parts.rule.initial(CLASSES)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    x, y = images_and_labels(BATCH, CLASSES)

    start = {name: value.clone() for name, value in model.state_dict().items()}

    def loss(of_epoch: Knobs, carried: Carrier) -> float:
        model.load_state_dict(start)
        noise = torch.Generator().manual_seed(0)
        one = replace(step, carry=carried)
        return float(one(optimizer, x, y, torch.arange(BATCH), of_epoch.on(place), noise).loss)

    for _ in range(5):
        before = loss(knobs, carry)
    larger = Knobs(**{name: value * 2 for name, value in knobs.items()})
    assert loss(larger, carry) == loss(larger, eagerly)
    assert loss(larger, carry) != before


@pytest.mark.parametrize("device", ["cpu", GPU])
def test_validation_of_other_weights_in_the_same_network_is_replayed(device: str) -> None:
    """EMA and FAWA weights are copied into one network, whose graph then counts with them."""
    place, config = torch.device(device), config_of("pgd-at")
    noise = torch.Generator().manual_seed(0)
    pixels = torch.randint(256, (2500, 1, 6, 6), generator=noise, dtype=torch.uint8)
    images = Images(pixels, torch.randint(CLASSES, (2500,), generator=noise)).to(place)
    shadow = batch_norm_network(CLASSES).to(place)
    carry = Replaying(recorder_for(place))
    with repeatable():
        for seed in range(3):
            shadow.load_state_dict(batch_norm_network(CLASSES, seed).state_dict())
            found = count_correct(shadow, images, config, CLASSES, "pgd-10", carry)
            assert found == count_correct(shadow, images, config, CLASSES, "pgd-10")
    assert carry.replayed > 0
