import itertools
import math

import pytest
import torch

from cfa.models import MODELS, ModelSpec, WideResNet
from tests.support.preact import Names, assert_equals_by_hand


@pytest.mark.parametrize(
    ("name", "classes", "parameters"),
    # At ten classes as published; a class more is 640 weights and a bias.
    [
        ("wrn-28-10", 10, 36_479_194),
        ("wrn-34-10", 10, 46_160_474),
        ("wrn-28-10", 100, 36_479_194 + 90 * 641),
        ("wrn-34-10", 200, 46_160_474 + 190 * 641),
    ],
)
def test_the_number_of_parameters_is_the_known_one(name: str, classes: int, parameters: int) -> None:
    with torch.device("meta"):
        network = MODELS[name](ModelSpec(3, classes, 32, (0.5,) * 3, (0.25,) * 3))
    assert sum(parameter.numel() for parameter in network.parameters()) == parameters


@pytest.mark.parametrize(("depth", "blocks"), [(28, 4), (34, 5)])
def test_weights_are_named_as_in_trades(depth: int, blocks: int) -> None:
    with torch.device("meta"):
        names = set(WideResNet(3, 10, depth, widen=10).state_dict())
    norm = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    expected = {"conv1.weight", "fc.weight", "fc.bias", *(f"bn1.{part}" for part in norm)}
    for stage, block in itertools.product((1, 2, 3), range(blocks)):
        at = f"block{stage}.layer.{block}"
        expected |= {f"{at}.conv1.weight", f"{at}.conv2.weight"}
        expected |= {f"{at}.bn{number}.{part}" for number in (1, 2) for part in norm}
        expected |= {f"{at}.convShortcut.weight"} if block == 0 else set()
    assert names == expected


def test_it_equals_the_network_written_by_hand() -> None:
    names = Names("block{stage}.layer.{block}", 3, 2, "convShortcut", "bn1", "fc", pool=8)
    assert_equals_by_hand(WideResNet(3, 10, depth=16, widen=2), names)


@pytest.mark.parametrize(("channels", "classes", "side"), [(3, 10, 32), (3, 200, 64), (1, 2, 8), (4, 3, 33)])
def test_any_channels_classes_and_sizes_give_logits(channels: int, classes: int, side: int) -> None:
    network = WideResNet(channels, classes, depth=10, widen=2)
    assert network(torch.rand(2, channels, side, side)).shape == (2, classes)


def test_weights_are_drawn_as_in_trades() -> None:
    torch.manual_seed(0)
    network = WideResNet(3, 10, depth=10, widen=4)
    convolutions = [
        module
        for module in network.modules()
        if isinstance(module, torch.nn.Conv2d) and module.weight.numel() > 10_000
    ]
    assert len(convolutions) == 6
    for module in convolutions:
        expected = math.sqrt(2 / (module.kernel_size[0] ** 2 * module.out_channels))
        assert module.weight.std().item() == pytest.approx(expected, rel=0.05)
    assert not network.fc.bias.any()
