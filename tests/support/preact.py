"""Pre-activation residual networks written by hand, in functions: what ours are compared with."""

import itertools
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F


@dataclass(frozen=True)
class Names:
    """How a family of networks calls its parts, and how it is shaped.

    Attributes:
        block: A block's name, for ``stage`` from 1 and ``block`` from 0.
        stages: How many there are.
        blocks: Blocks a stage.
        projection: The convolution of a shortcut that changes the shape.
        last_norm: The BatchNorm before pooling.
        classifier: The linear layer.
        pool: Side of the average pool.
    """

    block: str
    stages: int
    blocks: int
    projection: str
    last_norm: str
    classifier: str
    pool: int


def preact_by_hand(weights: dict[str, Tensor], x: Tensor, names: Names) -> Tensor:
    """Return the logits in eval mode."""

    def norm_relu(name: str, value: Tensor) -> Tensor:
        mean, var = weights[f"{name}.running_mean"], weights[f"{name}.running_var"]
        scale = weights[f"{name}.weight"] / torch.sqrt(var + 1e-5)
        shift = weights[f"{name}.bias"] - mean * scale
        return (value * scale.view(1, -1, 1, 1) + shift.view(1, -1, 1, 1)).clamp(min=0)

    x = F.conv2d(x, weights["conv1.weight"], padding=1)
    for stage, block in itertools.product(range(1, names.stages + 1), range(names.blocks)):
        at = names.block.format(stage=stage, block=block)
        stride = 2 if stage > 1 and block == 0 else 1
        activated = norm_relu(f"{at}.bn1", x)
        out = F.conv2d(activated, weights[f"{at}.conv1.weight"], stride=stride, padding=1)
        out = F.conv2d(norm_relu(f"{at}.bn2", out), weights[f"{at}.conv2.weight"], padding=1)
        projection = weights.get(f"{at}.{names.projection}.weight")
        x = out + (x if projection is None else F.conv2d(activated, projection, stride=stride))
    x = F.avg_pool2d(norm_relu(names.last_norm, x), names.pool).flatten(1)
    return x @ weights[f"{names.classifier}.weight"].T + weights[f"{names.classifier}.bias"]


def assert_equals_by_hand(network: nn.Module, names: Names) -> None:
    """Give a network running statistics that matter, and compare its logits on two images of 32 pixels."""
    generator = torch.Generator().manual_seed(0)
    network = network.double().eval()
    for name, buffer in network.named_buffers():
        if name.endswith(("running_mean", "running_var")):
            buffer.copy_(torch.rand(buffer.shape, generator=generator) + 0.5)
    x = torch.rand(2, 3, 32, 32, generator=generator).double()
    expected = preact_by_hand(dict(network.state_dict()), x, names)
    assert torch.allclose(network(x), expected, rtol=1e-10, atol=1e-10)
