"""RobustLT's eps of classes and its growth by hand, and the attack that starts in the whole ball."""

import pytest
import torch

from cfa.attacks import PGD
from cfa.errors import ConfigError
from cfa.methods import ClassStats, Uniform, configure, parts_of
from cfa.methods.attacking import WithinEps
from cfa.methods.catalogue.robust_lt import RarerWider, growing_steps, tail_factors
from cfa.notation import StepSize
from tests.support.seen import small_network
from tests.support.worked import batch_of

CIFAR10_IR50 = (5000, 3237, 2096, 1357, 878, 568, 368, 238, 154, 100)


@pytest.mark.parametrize(
    ("counts", "rarity", "factors"),
    [
        ((100, 50, 10), 0.4, (0.6, 1.538057, 2.309717)),
        (
            CIFAR10_IR50,
            0.3,
            (0.7, 1.00328, 1.12886, 1.22525, 1.30663, 1.37833, 1.44293, 1.50258, 1.55804, 1.60971),
        ),
        ((20, 20, 20), 0.4, (1, 1, 1)),
    ],
)
def test_rare_classes_get_more_and_images_as_much_as_before(
    counts: tuple[int, ...], rarity: float, factors: tuple[float, ...]
) -> None:
    found = tail_factors(torch.tensor(counts), rarity)
    assert found.tolist() == pytest.approx(factors, abs=1e-5)
    assert float((found * torch.tensor(counts)).sum()) == pytest.approx(sum(counts))


def test_eps_grows_from_nothing() -> None:
    """Share 0.8 of 100 epochs: 0 in epoch 1, 0.0125 in epoch 2, a half in epoch 41, all from epoch 81."""
    rule = RarerWider(base=Uniform(eps=0.1, weight=2.0), rarity=0.4, rising=80)
    counts = torch.tensor([100, 50, 10])
    state, first = rule.initial(3)
    shares = {1: first}
    for epoch in range(1, 100):
        state, shares[epoch + 1] = rule(state, ClassStats(epoch=epoch, class_counts=counts, seen={}))
    factors = tail_factors(counts, 0.4)
    for epoch, share in ((1, 0), (2, 0.0125), (41, 0.5), (81, 1), (100, 1)):
        assert shares[epoch]["eps"].tolist() == pytest.approx((0.1 * share * factors).tolist(), abs=1e-12)
        assert shares[epoch]["weight"].tolist() == [2, 2, 2]


def test_the_start_lies_in_the_whole_ball_and_steps_grow_with_eps() -> None:
    config = configure(
        "robust-lt", "tiny", model="small-cnn", preset="demo", overrides={"attack.step_size": 0.01}
    )
    attack = parts_of(config).attack
    assert isinstance(attack, WithinEps)
    eps = config.attack.eps
    assert attack.pgd.start_eps == eps
    assert attack.pgd.step_size == StepSize(value=0.01 / eps, relative=True)
    model = small_network(4).eval()
    x = torch.full((3, 1, 8, 8), 0.5)
    near = torch.zeros(3)
    noise = torch.Generator().manual_seed(0)
    started = attack.pgd.started(x, near.reshape(3, 1, 1, 1), noise)
    assert 0.9 * eps < float((started - x).abs().max()) <= eps
    batch = batch_of([[0.0, 0, 0, 0]] * 3, [0, 1, 2])
    moved = attack.pgd(model, x, batch.y, near, generator=noise)
    assert torch.equal(moved, x)  # an eps of 0 moves nothing, wherever it started


def test_an_attack_without_pgd_is_refused() -> None:
    config = configure("robust-lt", "tiny", model="small-cnn", preset="demo")
    with pytest.raises(ConfigError, match="function is not made of PGD; RobustLT scales steps of PGD"):
        growing_steps(lambda model, batch, generator: None, config)  # type: ignore[arg-type, return-value]


def test_a_described_pgd_says_its_start_where_it_is_another() -> None:
    assert "start_eps" not in PGD().described()
    assert PGD(start_eps=0.1).described()["start_eps"] == 0.1
