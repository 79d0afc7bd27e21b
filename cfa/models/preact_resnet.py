"""PreActResNet-18 (He et al. 2016, identity mappings), in the form common for CIFAR.

Parameters are named as in the usual implementations, so that published weights can be read.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

STAGE_WIDTHS = (64, 128, 256, 512)
BLOCKS_PER_STAGE = 2


class PreActBlock(nn.Module):
    """BatchNorm and ReLU before each of two 3x3 convolutions, and a shortcut around both."""

    def __init__(self, in_width: int, width: int, stride: int, raw_shortcut: bool = False) -> None:
        super().__init__()
        self.raw_shortcut = raw_shortcut
        self.bn1 = nn.BatchNorm2d(in_width)
        self.conv1 = nn.Conv2d(in_width, width, kernel_size=3, stride=stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, kernel_size=3, padding=1, bias=False)
        self.shortcut: nn.Sequential | None = None
        if stride != 1 or in_width != width:
            # A Sequential of one, for the sake of the published name `shortcut.0`.
            projection = nn.Conv2d(in_width, width, kernel_size=1, stride=stride, bias=False)
            self.shortcut = nn.Sequential(projection)

    def forward(self, x: Tensor) -> Tensor:
        """Add the residual; a projecting shortcut sees the activated input, a plain one the raw input."""
        activated = torch.relu_(self.bn1(x))
        residual: Tensor = self.conv2(torch.relu_(self.bn2(self.conv1(activated))))
        if self.shortcut is None:
            return residual.add_(x)
        projected: Tensor = self.shortcut(x if self.raw_shortcut else activated)
        return residual.add_(projected)


class PreActResNet18(nn.Module):
    """Four stages of two blocks, a last BatchNorm and ReLU, average pooling, a linear classifier.

    Pooling is adaptive: any image side works, and at 32 pixels it is the usual 4x4 average.

    Args:
        channels: Of an image.
        num_classes: Length of the logits.
        last_norm: Whether there is the last BatchNorm and ReLU; some published weights have none.
        raw_shortcut: Whether a projecting shortcut sees its block's raw input instead of the activated one.
    """

    def __init__(
        self, channels: int, num_classes: int, *, last_norm: bool = True, raw_shortcut: bool = False
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, STAGE_WIDTHS[0], kernel_size=3, padding=1, bias=False)
        self.layer1 = _stage(STAGE_WIDTHS[0], STAGE_WIDTHS[0], 1, raw_shortcut)
        self.layer2 = _stage(STAGE_WIDTHS[0], STAGE_WIDTHS[1], 2, raw_shortcut)
        self.layer3 = _stage(STAGE_WIDTHS[1], STAGE_WIDTHS[2], 2, raw_shortcut)
        self.layer4 = _stage(STAGE_WIDTHS[2], STAGE_WIDTHS[3], 2, raw_shortcut)
        self.bn = nn.BatchNorm2d(STAGE_WIDTHS[3]) if last_norm else None
        self.linear = nn.Linear(STAGE_WIDTHS[3], num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits of shape (batch, classes)."""
        x = self.layer4(self.layer3(self.layer2(self.layer1(self.conv1(x)))))
        if self.bn is not None:
            x = torch.relu_(self.bn(x))
        x = F.adaptive_avg_pool2d(x, 1)
        logits: Tensor = self.linear(x.flatten(1))
        return logits


def _stage(in_width: int, width: int, stride: int, raw_shortcut: bool) -> nn.Sequential:
    blocks = [PreActBlock(in_width, width, stride, raw_shortcut)]
    blocks += [PreActBlock(width, width, stride=1) for _ in range(BLOCKS_PER_STAGE - 1)]
    return nn.Sequential(*blocks)
