"""Head, medium and tail: classes by how many training images they have."""

from collections.abc import Sequence
from math import ceil
from typing import Literal

Group = Literal["head", "medium", "tail"]
GROUPS: tuple[Group, ...] = ("head", "medium", "tail")


def class_groups(train_counts: Sequence[int]) -> tuple[Group, ...]:
    """Part classes into thirds by their number of training images; tail is the third with the fewest.

    The literature counts images instead (Liu et al., CVPR 2019: many above 100, few below 20), but then every
    class of CIFAR-10 at RobustLT's ratio of 50 is a head class. Thirds have a tail at any size, and it is the
    one that the gate ``tail`` looks at. Where three does not divide the number of classes, the tail has one
    more, then the medium.

    Args:
        train_counts: Training images of each class.

    Returns:
        The group of each class; empty where all classes have equally many images, so that there is no tail,
        or fewer than three classes exist.
    """
    classes = len(train_counts)
    if classes < len(GROUPS) or len(set(train_counts)) == 1:
        return ()
    order = sorted(range(classes), key=lambda k: train_counts[k])  # stable: of equals the first is smaller
    tail = ceil(classes / 3)
    medium = ceil((classes - tail) / 2)
    groups: list[Group] = ["head"] * classes
    for rank, k in enumerate(order[: tail + medium]):
        groups[k] = "tail" if rank < tail else "medium"
    return tuple(groups)


LAST_80 = "last 80 % of classes"


def last_80_percent(train_counts: Sequence[int]) -> tuple[int, ...]:
    """List the classes but the fifth with the most training images, as RobustLT does (CVPR 2026, table 1).

    Returns:
        Class indices, ascending; none where all classes have equally many images.
    """
    if len(set(train_counts)) < 2:
        return ()
    order = sorted(range(len(train_counts)), key=lambda k: train_counts[k])  # as above
    return tuple(sorted(order[: round(0.8 * len(order))]))
