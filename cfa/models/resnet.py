"""ResNet-18 (He et al. 2016), in the form common for CIFAR: a 3x3 stem and no first pooling.

Parameters are named as in the usual implementations, so that published weights can be read.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

STAGE_WIDTHS = (64, 128, 256, 512)
BLOCKS_PER_STAGE = 2


class BasicBlock(nn.Module):
    """Two 3x3 convolutions, each with BatchNorm, and a shortcut that is added before the last ReLU."""

    def __init__(self, in_width: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_width, width, kernel_size=3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, kernel_size=3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        # An empty Sequential is the identity; a projection's published names are `shortcut.0`, `shortcut.1`.
        self.shortcut = nn.Sequential()
        if stride != 1 or in_width != width:
            projection = nn.Conv2d(in_width, width, kernel_size=1, stride=stride, bias=False)
            self.shortcut = nn.Sequential(projection, nn.BatchNorm2d(width))

    def forward(self, x: Tensor) -> Tensor:
        """Add the residual and clip what is negative."""
        residual = self.bn2(self.conv2(torch.relu_(self.bn1(self.conv1(x)))))
        return torch.relu_(residual.add_(self.shortcut(x)))


class ResNet18(nn.Module):
    """Four stages of two blocks, average pooling, a linear classifier.

    Pooling is adaptive: any image side works, and at 32 pixels it is the usual 4x4 average.
    """

    def __init__(self, channels: int, num_classes: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, STAGE_WIDTHS[0], kernel_size=3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(STAGE_WIDTHS[0])
        self.layer1 = _stage(STAGE_WIDTHS[0], STAGE_WIDTHS[0], stride=1)
        self.layer2 = _stage(STAGE_WIDTHS[0], STAGE_WIDTHS[1], stride=2)
        self.layer3 = _stage(STAGE_WIDTHS[1], STAGE_WIDTHS[2], stride=2)
        self.layer4 = _stage(STAGE_WIDTHS[2], STAGE_WIDTHS[3], stride=2)
        self.linear = nn.Linear(STAGE_WIDTHS[3], num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits of shape (batch, classes)."""
        x = torch.relu_(self.bn1(self.conv1(x)))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        logits: Tensor = self.linear(F.adaptive_avg_pool2d(x, 1).flatten(1))
        return logits


def _stage(in_width: int, width: int, stride: int) -> nn.Sequential:
    blocks = [BasicBlock(in_width, width, stride)]
    blocks += [BasicBlock(width, width, stride=1) for _ in range(BLOCKS_PER_STAGE - 1)]
    return nn.Sequential(*blocks)
