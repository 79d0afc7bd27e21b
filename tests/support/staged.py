"""A small-cnn with weights set by hand, and images of which each attack of AutoAttack breaks some.

Four patches of 5x5 pixels have a meaning each: their mean is a feature, which is switched off where the patch
is dark. The margin between the two classes of a patch is a slope times the distance of the mean to 0.5.

- patch A: a gentle slope; the cross-entropy sees it, so APGD-CE breaks it;
- patch B: a steep one, so that the softmax is exactly one-hot and the gradient of the cross-entropy exactly
  zero; the ratio of APGD-T does not care;
- patch C: all wrong classes are equal, so that the targeted ratio is exactly -1 everywhere and has no
  gradient; FAB looks at the margin itself;
- patch D: the gradient leads away from the boundary, behind which a steep detector sleeps; Square's squares
  wake it.

Images whose patch is far from 0.5 hold. Nothing is trained, so that other machines see the same.
"""

from pathlib import Path

import torch

from cfa.data import Dataset, DatasetSource
from cfa.models import SmallCNN

SIDE = 18
EPS = 26 / 255
PATCHES = {"A": (6, 6), "B": (6, 12), "C": (12, 6), "D": (12, 12)}
LABELS = {"A": 0, "B": 2, "C": 4, "D": 5}
BREAKER = {"A": "apgd-ce", "B": "apgd-t", "C": "fab-t", "D": "square"}
NAMES = tuple("abcdefghij")
STEEP = 4000.0


def staged_network() -> SmallCNN:
    """Set the weights that the module describes."""
    model = SmallCNN(channels=1, num_classes=10, image_size=SIDE)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        for norm in (model.bn1, model.bn2):
            norm.weight.fill_(1)
            norm.running_var.fill_(1 - norm.eps)
        model.conv1.weight[0] = 1 / 25  # the mean of a patch
        model.conv2.weight[0, 0, 1, 1] = 1
        units = {patch: 5 * i for i, patch in enumerate(PATCHES)}
        for patch, first in units.items():
            row, column = (centre // 6 for centre in PATCHES[patch])
            place = 3 * row + column
            # mean - 0.3; the next two differ by 0.01 where the patch is bright; mean - 0.56: the detector
            for unit, threshold in enumerate((0.3, 0.2, 0.21, 0.56)):
                model.hidden.weight[first + unit, place] = 1
                model.hidden.bias[first + unit] = -threshold
        _margin(model, units["A"], 0, [1], 20.0)
        _margin(model, units["B"], 2, [3], STEEP)
        _margin(model, units["C"], 4, [k for k in range(10) if k != 4], STEEP)
        _constant(model, units["D"], 5, 400.0)
        model.linear.weight[5, units["D"]] = 10.0  # leads down, where nothing is
        model.linear.weight[6, units["D"] + 3] = 1e5
    return model.eval()


def _margin(model: SmallCNN, unit: int, right: int, wrong: list[int], slope: float) -> None:
    """Let z_right - z_wrong be slope (mean - 0.5) where the patch is bright."""
    model.linear.weight[right, unit] = slope
    for k in wrong:
        _constant(model, unit, k, 0.2 * slope)


def _constant(model: SmallCNN, unit: int, k: int, value: float) -> None:
    model.linear.weight[k, unit + 1] = 100 * value
    model.linear.weight[k, unit + 2] = -100 * value


def staged_dataset(each: int = 3, seed: int = 0) -> Dataset:
    """Make images: ``each`` that its attack breaks for each patch, three that hold, six that are wrong."""
    generator = torch.Generator().manual_seed(seed)
    images, labels = [], []
    for patch, label in LABELS.items():
        breakable = [0.59 if patch != "D" else 0.5] * each
        for mean in breakable if patch == "D" else [*breakable, 0.95]:
            images.append(_image(patch, mean, generator))
            labels.append(label)
    for label in sorted(set(range(10)) - set(LABELS.values())):  # every class needs an image
        images.append(_image("A", 0.59, generator))
        labels.append(label)
    order = torch.randperm(len(images), generator=generator)
    x, y = torch.stack(images)[order], torch.tensor(labels)[order]
    return Dataset("staged", NAMES, x, y, x, y)


def _image(patch: str, mean: float, generator: torch.Generator) -> torch.Tensor:
    image = torch.randint(0, 20, (1, SIDE, SIDE), generator=generator)
    row, column = PATCHES[patch]
    image[0, row - 2 : row + 3, column - 2 : column + 3] = round(255 * mean)
    return image.to(torch.uint8)


@DatasetSource
def load(folder: Path) -> Dataset:
    """Load the images where a name of the form ``package.module:name`` is taken."""
    return staged_dataset()
