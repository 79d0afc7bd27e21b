import pytest
import torch

from cfa.data import long_tailed, stratified_split
from cfa.errors import ConfigError, DataError

COUNTS = (40, 7, 100, 3)
LABELS = torch.repeat_interleave(torch.arange(4), torch.tensor(COUNTS))
LABELS = LABELS[torch.randperm(len(LABELS), generator=torch.Generator().manual_seed(3))]


@pytest.mark.parametrize("order", ["shuffled", "file"])
@pytest.mark.parametrize(
    ("val_fraction", "held_out"),
    [(0.1, [4, 1, 10, 1]), (0.02, [1, 1, 2, 1]), (0.5, [20, 4, 50, 2])],
)
def test_every_class_gives_its_fraction_and_at_least_one(
    order, val_fraction: float, held_out: list[int]
) -> None:
    split = stratified_split(LABELS, 4, val_fraction, seed=0, order=order)
    assert torch.bincount(LABELS[split.validation], minlength=4).tolist() == held_out
    together = torch.cat([split.train, split.validation])
    assert together.sort().values.tolist() == list(range(len(LABELS)))
    for part in (split.train, split.validation):
        assert part.dtype == torch.int64
        assert part.tolist() == sorted(part.tolist())


def test_file_order_takes_the_first_of_each_class() -> None:
    split = stratified_split(torch.tensor([1, 0, 1, 0, 1, 0, 1, 0]), 2, 0.5, seed=9, order="file")
    assert split.validation.tolist() == [0, 1, 2, 3]


def test_seeds_reproduce_and_differ() -> None:
    first, again, other = (stratified_split(LABELS, 4, 0.1, seed).validation.tolist() for seed in (0, 0, 1))
    assert first == again
    assert first != other


def test_the_global_generator_is_neither_used_nor_moved() -> None:
    torch.manual_seed(0)
    before = torch.get_rng_state()
    first = stratified_split(LABELS, 4, 0.1, seed=5).validation
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(1)
    assert torch.equal(stratified_split(LABELS, 4, 0.1, seed=5).validation, first)


def test_every_image_is_held_out_equally_often() -> None:
    labels = torch.arange(2).repeat(10)
    held_out = torch.zeros(20)
    for seed in range(1000):
        held_out[stratified_split(labels, 2, 0.3, seed).validation] += 1
    # Binomial with n = 1000, p = 0.3: standard deviation 14.5.
    assert held_out.sub(300).abs().max() < 5 * 14.5


@pytest.mark.parametrize(
    ("labels", "val_fraction", "error", "reason"),
    [
        ([0, 0, 2, 2], 0.1, DataError, "class 1 has no training image"),
        ([0, 0, 1], 0.1, DataError, "class 1 has 1 training images and validation would take 1"),
        ([0, 0, 1, 1], 0.9, DataError, "class 0 has 2 training images and validation would take 2"),
        ([0, 0, 1, 1], 0.0, ConfigError, r"data.val_fraction=0.0 lies outside"),
        ([0, 0, 1, 1], 1.0, ConfigError, r"data.val_fraction=1.0 lies outside"),
        ([0, 0, 1, 1], float("nan"), ConfigError, r"data.val_fraction=nan lies outside"),
    ],
)
def test_an_impossible_split_is_refused(labels, val_fraction, error, reason: str) -> None:
    with pytest.raises(error, match=reason):
        stratified_split(torch.tensor(labels), max(labels) + 1, val_fraction, seed=0)


@pytest.mark.parametrize(
    ("ratio", "counts"),
    # 1000 * ratio^(-k/4), by hand: at 16 each class has half of the one before.
    [(16, [1000, 500, 250, 125, 62]), (1, [1000] * 5), (10, [1000, 562, 316, 177, 100])],
)
def test_long_tails_follow_the_exponential_profile(ratio: float, counts: list[int]) -> None:
    labels = torch.arange(5).repeat(1000)
    kept = long_tailed(labels, 5, ratio, seed=0)
    assert torch.bincount(labels[kept]).tolist() == counts
    assert kept.tolist() == sorted(set(kept.tolist()))
    assert torch.equal(kept, long_tailed(labels, 5, ratio, seed=0))
    assert ratio == 1 or not torch.equal(kept, long_tailed(labels, 5, ratio, seed=1))


def test_a_class_smaller_than_the_profile_stays_whole() -> None:
    labels = torch.tensor([0] * 100 + [1] * 3 + [2] * 50)
    kept = long_tailed(labels, 3, 4, seed=0)
    assert torch.bincount(labels[kept]).tolist() == [100, 3, 25]


def test_a_tail_without_images_is_refused() -> None:
    with pytest.raises(DataError, match=r"data\.imbalance_ratio=50 leaves class 1 no image"):
        long_tailed(torch.arange(2).repeat(10), 2, 50, seed=0)
