"""FAAL against the numbers of its formulas, computed apart from this project (methods2, example 6)."""

import pytest
import torch
from torch import Tensor

from cfa.errors import ConfigError
from cfa.methods import configure, parts_of
from cfa.methods.catalogue.faal import FaalSettings, class_weights, soft_margins, worst_mix
from tests.support.worked import adversarial, batch_of, of, same

TEN = [0.30, -0.50, -0.10, 0.05, -0.20, 0.10, -0.35, -0.25, -0.45, -0.40]


def kl_from_even(p: Tensor) -> float:
    return float(-(len(p) * p).log().mean())


@pytest.mark.parametrize(
    ("c", "tau", "expected"),
    [
        ([0.1, -0.2, -0.5], 0.5, [0.785536, 0.138512, 0.075952]),
        ([0.1, -0.2, -0.5], 0.05, [0.476309, 0.302290, 0.221401]),
        (
            TEN,
            0.5,
            [
                *(0.529455, 0.030313, 0.057343, 0.086151, 0.046890),
                *(0.103479, 0.036822, 0.042973, 0.032211, 0.034362),
            ],
        ),
        # as the authors code it: counts 4 2 0, and 0 for the class that is not there
        ([-1.2, -0.2, 0], 0.5, [0.050673, 0.225228, 0.724099]),
    ],
)
@pytest.mark.parametrize("shift", [0, 7])
def test_the_worst_mix_of_classes_in_the_ball(
    c: list[float], tau: float, expected: list[float], shift: float
) -> None:
    found = worst_mix(of(c) + shift, torch.ones(len(c), dtype=torch.bool), tau)
    assert found.tolist() == pytest.approx(expected, abs=1e-5)
    assert kl_from_even(found) == pytest.approx(tau, abs=1e-9)


@pytest.mark.parametrize("size", [1e-9, 1, 128])
def test_no_mix_on_a_grid_is_worse(size: float) -> None:
    c = size * of([0.1, -0.2, -0.5])
    best = worst_mix(c, torch.ones(3, dtype=torch.bool), 0.3) @ c
    steps = torch.arange(1, 400, dtype=torch.float64) / 400
    p = torch.stack(torch.meshgrid(steps, steps, indexing="ij"), dim=-1).reshape(-1, 2)
    p = torch.cat([p, 1 - p.sum(dim=1, keepdim=True)], dim=1)
    p = p[p[:, 2] > 0]
    p = p[-(3 * p).log().mean(dim=1) <= 0.3]
    others = p @ c
    assert float(others.max()) <= float(best) + 1e-12 * size
    assert float(others.max()) == pytest.approx(float(best), abs=0.01 * size)


def test_classes_that_are_not_there_take_no_part() -> None:
    three = worst_mix(of([0.1, -0.2, -0.5]), torch.ones(3, dtype=torch.bool), 0.5)
    present = torch.tensor([True, False, True, True, False])
    five = worst_mix(of([0.1, 9, -0.2, -0.5, 0]), present, 0.5)
    assert five[present].tolist() == pytest.approx(three.tolist(), abs=1e-12)
    assert five[~present].tolist() == [0, 0]
    assert worst_mix(of([0.3, 5]), torch.tensor([True, False]), 0.5).tolist() == [1, 0]


def test_margins_are_those_of_probabilities() -> None:
    margins = soft_margins(of([[2, 1, 0], [0, 1, 3]]), torch.tensor([0, 1]))
    assert margins.tolist() == pytest.approx([-0.420512, 0.729600], abs=1e-5)


def test_margins_are_summed_over_the_images_of_a_class_unless_means_are_asked_for() -> None:
    """Two images of class 0 with a margin of -.420512, one of class 1 with .729600: p of the ball of two."""
    logits = of([[2, 1, 0], [2, 1, 0], [0, 1, 3]])
    batch = batch_of(logits.tolist(), [0, 0, 1])
    two = torch.ones(2, dtype=torch.bool)
    for by_count, c in ((True, [-0.841024, 0.729600]), (False, [-0.420512, 0.729600])):
        weights = class_weights(FaalSettings(tau=0.1, by_count=by_count), batch, logits)
        assert weights.tolist() == pytest.approx([*(2 * worst_mix(of(c), two, 0.1)).tolist(), 0], abs=1e-5)


@pytest.mark.parametrize(
    ("method", "expected"), [("faal", 0.791419), ("faal-awp", 0.791419), ("faal-trades", 2.468442)]
)
def test_in_a_ball_of_radius_0_it_is_the_plain_loss(method: str, expected: float) -> None:
    """The loss of PGD-AT, and the sum of TRADES, as in test_formulas.py."""
    config = configure(method, "tiny", preset="demo", overrides={"method.tau": 0})
    batch = batch_of([[2, 0, -1], [0.5, 1, 0]], [0, 1])
    loss = parts_of(config).objective(same, batch, adversarial([[0.5, 1, 0], [0.2, 1.5, 0]]))
    assert float(loss.per_sample.mean()) == pytest.approx(expected, abs=1e-5)


def test_a_batch_in_parts_is_refused() -> None:
    with pytest.raises(ConfigError, match="faal"):
        configure("faal", "tiny", preset="demo", overrides={"train.batch_parts": 2})
