import itertools
import math

import pytest
import torch
from torch.nn import functional as F

from cfa.models import MODELS, ModelSpec, WideResNet


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


def by_hand(weights: dict[str, torch.Tensor], x: torch.Tensor, blocks: int) -> torch.Tensor:
    """The network in functions: eval mode, 8x8 average pool."""

    def norm_relu(name: str, value: torch.Tensor) -> torch.Tensor:
        mean, var = weights[f"{name}.running_mean"], weights[f"{name}.running_var"]
        scale = weights[f"{name}.weight"] / torch.sqrt(var + 1e-5)
        shift = weights[f"{name}.bias"] - mean * scale
        return (value * scale.view(1, -1, 1, 1) + shift.view(1, -1, 1, 1)).clamp(min=0)

    x = F.conv2d(x, weights["conv1.weight"], padding=1)
    for stage, block in itertools.product((1, 2, 3), range(blocks)):
        at = f"block{stage}.layer.{block}"
        stride = 2 if stage > 1 and block == 0 else 1
        activated = norm_relu(f"{at}.bn1", x)
        out = F.conv2d(activated, weights[f"{at}.conv1.weight"], stride=stride, padding=1)
        out = F.conv2d(norm_relu(f"{at}.bn2", out), weights[f"{at}.conv2.weight"], padding=1)
        projection = weights.get(f"{at}.convShortcut.weight")
        x = out + (x if projection is None else F.conv2d(activated, projection, stride=stride))
    x = F.avg_pool2d(norm_relu("bn1", x), 8).flatten(1)
    return x @ weights["fc.weight"].T + weights["fc.bias"]


def test_it_equals_the_network_written_by_hand() -> None:
    generator = torch.Generator().manual_seed(0)
    network = WideResNet(3, 10, depth=16, widen=2).double().eval()
    for name, buffer in network.named_buffers():
        if name.endswith(("running_mean", "running_var")):
            buffer.copy_(torch.rand(buffer.shape, generator=generator) + 0.5)
    x = torch.rand(2, 3, 32, 32, generator=generator).double()
    expected = by_hand(dict(network.state_dict()), x, blocks=2)
    assert torch.allclose(network(x), expected, rtol=1e-10, atol=1e-10)


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
