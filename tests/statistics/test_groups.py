import numpy as np
import pytest

from cfa.methods import tail_classes
from cfa.statistics import class_groups, last_80_percent


@pytest.mark.parametrize(
    ("counts", "groups"),
    [
        ([5000, 3237, 2096, 1357, 878, 568, 368, 238, 154, 100], "hhhmmmtttt"),
        ([9, 5, 7], "htm"),
        ([1, 2, 3, 4, 5], "ttmmh"),
        ([5, 5, 5, 5, 5, 1], "tmmhht"),  # of equals the first counts as smaller
        ([7, 7, 7], ""),
        ([1, 2], ""),
    ],
)
def test_groups_by_hand(counts: list[int], groups: str) -> None:
    assert "".join(group[0] for group in class_groups(counts)) == groups


@pytest.mark.parametrize(
    ("counts", "kept"),
    [
        ([5000, 3237, 2096, 1357, 878, 568, 368, 238, 154, 100], range(2, 10)),
        (list(range(1, 21)), range(16)),
        ([9, 5, 7], [1, 2]),
        ([5, 5, 5, 5, 1], [0, 1, 2, 4]),  # of equals the first counts as smaller
        ([7, 7, 7], []),
    ],
)
def test_the_last_80_percent_by_hand(counts: list[int], kept: list[int]) -> None:
    assert last_80_percent(counts) == tuple(kept)


@pytest.mark.parametrize("classes", [3, 4, 5, 10, 43, 100, 200])
def test_sizes_differ_by_one_at_most_and_the_tail_is_the_gates(classes: int) -> None:
    counts = np.random.default_rng(classes).integers(1, 9 * classes, classes).tolist()
    groups = class_groups(counts)
    sizes = [groups.count(name) for name in ("head", "medium", "tail")]
    assert sum(sizes) == classes
    assert sizes == sorted(sizes)
    assert sizes[2] - sizes[0] <= 1
    assert [group == "tail" for group in groups] == tail_classes(counts).tolist()
    smallest_head = min(n for n, group in zip(counts, groups, strict=True) if group == "head")
    assert smallest_head >= max(n for n, group in zip(counts, groups, strict=True) if group == "medium")
