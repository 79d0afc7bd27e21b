"""WideResNet (Zagoruyko and Komodakis 2016), in the form that TRADES made common in adversarial training.

Parameters are named as in the code of TRADES, RobustBench and MAIR, so that published weights can be read.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

STEM_WIDTH = 16
STAGE_WIDTHS = (16, 32, 64)  # each times the widening factor


class WideBlock(nn.Module):
    """BatchNorm and ReLU before each of two 3x3 convolutions, and a shortcut around both.

    Where the width changes, residual and shortcut both see the activated input.
    """

    def __init__(self, in_width: int, width: int, stride: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(in_width)
        self.conv1 = nn.Conv2d(in_width, width, kernel_size=3, stride=stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, kernel_size=3, padding=1, bias=False)
        self.convShortcut: nn.Conv2d | None = None  # its published name
        if in_width != width:
            self.convShortcut = nn.Conv2d(in_width, width, kernel_size=1, stride=stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Add the residual; a projecting shortcut sees the activated input, a plain one the raw input."""
        activated = torch.relu_(self.bn1(x))
        residual: Tensor = self.conv2(torch.relu_(self.bn2(self.conv1(activated))))
        return residual.add_(x if self.convShortcut is None else self.convShortcut(activated))


class WideStage(nn.Module):
    """Blocks in a row, under the published name ``layer``."""

    def __init__(self, blocks: int, in_width: int, width: int, stride: int) -> None:
        super().__init__()
        first = WideBlock(in_width, width, stride)
        self.layer = nn.Sequential(first, *(WideBlock(width, width, stride=1) for _ in range(blocks - 1)))

    def forward(self, x: Tensor) -> Tensor:
        """Pass through every block."""
        out: Tensor = self.layer(x)
        return out


class WideResNet(nn.Module):
    """Three stages, a last BatchNorm and ReLU, average pooling, a linear classifier.

    Pooling is adaptive: any image side works, and at 32 pixels it is the usual 8x8 average. Weights are drawn
    as in TRADES: convolutions from N(0, 2 / (kernel area * output width)), the classifier's bias 0.

    Args:
        channels: Of an image.
        num_classes: Length of the logits.
        depth: Number of layers, 6 n + 4.
        widen: The widening factor.
    """

    def __init__(self, channels: int, num_classes: int, depth: int, widen: int) -> None:
        super().__init__()
        blocks = (depth - 4) // 6
        first, second, third = (width * widen for width in STAGE_WIDTHS)
        self.conv1 = nn.Conv2d(channels, STEM_WIDTH, kernel_size=3, padding=1, bias=False)
        self.block1 = WideStage(blocks, STEM_WIDTH, first, stride=1)
        self.block2 = WideStage(blocks, first, second, stride=2)
        self.block3 = WideStage(blocks, second, third, stride=2)
        self.bn1 = nn.BatchNorm2d(third)
        self.fc = nn.Linear(third, num_classes)
        self._draw_weights()

    def forward(self, x: Tensor) -> Tensor:
        """Return logits of shape (batch, classes)."""
        x = self.block3(self.block2(self.block1(self.conv1(x))))
        x = F.adaptive_avg_pool2d(torch.relu_(self.bn1(x)), 1)
        logits: Tensor = self.fc(x.flatten(1))
        return logits

    def _draw_weights(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                fan_out = module.kernel_size[0] * module.kernel_size[1] * module.out_channels
                nn.init.normal_(module.weight, 0.0, math.sqrt(2.0 / fan_out))
        nn.init.zeros_(self.fc.bias)
