"""AWP: where the gradient is taken, worked out by hand, and that the weights come back."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from cfa.config import RunConfig
from cfa.methods import ClassStats, Knobs, OverEpochs, Uniform, configure, constant, parts_of
from cfa.methods.catalogue.awp import GAMMA, at_perturbed_weights
from tests.support.networks import batch_norm_network, images_and_labels
from tests.support.seen import small_step


def gamma_of(value: float) -> Knobs:
    return constant(3, eps=0.1, **{GAMMA: value})


class Line(nn.Module):
    """Weights (3, 4), a bias, and a loss whose gradient is known anywhere."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([[3.0, 4.0]], dtype=torch.float64))
        self.bias = nn.Parameter(torch.tensor([2.0], dtype=torch.float64))

    def loss(self) -> Tensor:
        """(second weight)^2 / 8 + bias: gradient (0, second weight / 4)."""
        return self.weight[0, 1].square() / 8 + self.bias.sum()


def taken(line: Line, gamma: float, weight_decay: float = 0.0) -> tuple[Tensor, list[list[float]]]:
    """Take the gradient; return the loss, and where each of the losses was computed."""
    places = []

    def add_gradients() -> Tensor:
        places.append([*line.weight[0].tolist(), *line.bias.tolist()])
        loss = line.loss()
        loss.backward()
        return loss.detach()

    return at_perturbed_weights(weight_decay)([line], add_gradients, gamma_of(gamma)), places


def test_weights_move_by_a_share_of_their_length_along_the_gradient_and_come_back() -> None:
    """Example 14: w (3, 4), ascent along (0, 1), d (0, 5); gamma .005 leads to (3, 4.025)."""
    line = Line()
    loss, places = taken(line, 0.005)
    assert places == [[3, 4, 2], pytest.approx([3, 4.025, 2], abs=1e-12)]  # biases stay
    assert float(loss) == pytest.approx(4.025**2 / 8 + 2)
    assert line.weight.grad.tolist() == [pytest.approx([0, 4.025 / 4])]
    assert line.weight.tolist() == [[3, 4]]
    assert line.bias.grad.tolist() == [1]


def test_weight_decay_is_that_of_the_moved_weights() -> None:
    """Theirs move back after the step, so decay 0.1 adds 0.1 (w + d): 0.1 d here, 0.1 w by the optimiser."""
    line = Line()
    taken(line, 0.005, weight_decay=0.1)
    assert line.weight.grad.tolist() == [pytest.approx([0, 4.025 / 4 + 0.1 * 0.025])]


def test_a_gradient_of_zeros_moves_nothing() -> None:
    line = Line()
    with torch.no_grad():
        line.weight[0, 1] = 0
    _, places = taken(line, 0.005)
    assert places[1] == [3, 0, 2]


def test_without_gamma_it_is_the_plain_step_also_in_batch_norms_statistics() -> None:
    plain, still, moved = (stepped("trades"), stepped("trades-awp", 0.0), stepped("trades-awp", 0.005))
    assert [name for name in plain if not torch.equal(plain[name], still[name])] == []
    assert any(not torch.equal(plain[name], moved[name]) for name in plain)
    assert int(moved["1.num_batches_tracked"]) == 2  # clean and adversarial: the way uphill is not counted


def stepped(method: str, gamma: float = 0.0) -> dict[str, Tensor]:
    """Take one step, and return all weights and statistics."""
    config = config_of(method, **{f"method.{GAMMA}": gamma} if method.endswith("awp") else {})
    model = batch_norm_network().train()
    step = small_step(parts_of(config), model, torch.full((4,), 20))
    _, knobs = step.parts.rule.initial(4)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    x, y = images_and_labels()
    noise = torch.Generator().manual_seed(0)
    step(optimizer, x, y, torch.arange(len(y)), knobs.on(torch.device("cpu")), noise)
    return dict(model.state_dict())


def config_of(method: str, **settings: Any) -> RunConfig:
    return configure(method, "tiny", model="small-cnn", preset="demo", overrides=settings)


def test_gamma_is_zero_until_the_epoch_that_is_named() -> None:
    """10/200 of 40 epochs are two: epoch 2 is the first one."""
    rule = parts_of(config_of("trades-awp", **{"train.epochs": 40})).rule
    assert isinstance(rule, OverEpochs)
    state, knobs = rule.initial(3)
    found = [float(knobs[GAMMA][0])]
    for epoch in (1, 2):
        stats = ClassStats(epoch=epoch, class_counts=torch.full((3,), 9), seen={})
        state, knobs = rule(state, stats)
        found.append(float(knobs[GAMMA][0]))
    assert found == [0, 0.005, 0.005]
    assert isinstance(rule.rule, Uniform)


def test_pgd_at_is_perturbed_twice_as_far_from_the_first_epoch_on() -> None:
    _, knobs = parts_of(config_of("pgd-at-awp")).rule.initial(3)
    assert knobs[GAMMA].tolist() == [0.01] * 3
