"""A network whose passes are replayed: the same answers and gradients, and no gradient of what is gone."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from cfa.attacks import one_gradient_a_pass
from cfa.attacks.autoattack import Member, autoattack
from cfa.attacks.named import named_attack
from cfa.models import ModelSpec, build_model, ieee_float32, repeatable
from cfa.models.replay import FIRST_EAGER
from cfa.models.replayed_network import ReplayedNetwork, replayed
from tests.support.recorded import CpuRecorder

LARGEST = 16
CPU = torch.device("cpu")


class Network(nn.Module):
    """Answers to an image by that image alone, in float64; counts how often Python ran it."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(
            nn.Conv2d(1, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Flatten(), nn.Linear(96, 5)
        ).double()
        self.layers[1].running_mean.uniform_(-0.1, 0.1)
        self.ran = 0

    def forward(self, x: Tensor) -> Tensor:
        self.ran += 1
        answers: Tensor = self.layers(x.double()).to(x.dtype)  # the package works in float32
        return answers


def network() -> Network:
    return Network().eval().requires_grad_(False)


def images(number: int, seed: int = 0) -> Tensor:
    return torch.rand(number, 1, 6, 6, generator=torch.Generator().manual_seed(seed)).double()


def ready(model: nn.Module, recorder: CpuRecorder | None = None) -> ReplayedNetwork:
    return ReplayedNetwork(model, recorder or CpuRecorder(), LARGEST)


def answered(model: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
    """Return answers, and a gradient that tells the images apart."""
    with torch.enable_grad():
        x = x.clone().requires_grad_()
        logits = model(x)
        weights = torch.linspace(1, 2, logits.numel()).to(logits).view_as(logits)
        (gradient,) = torch.autograd.grad((logits * weights).sum(), x)
    return logits.detach(), gradient


@pytest.mark.parametrize("sizes", [[16] * 8, [16, 7, 3, 1] * 6, list(range(16, 0, -1)) * 3])
def test_answers_and_gradients_are_the_networks(sizes: list[int]) -> None:
    model = network()
    carried = ready(model)
    with carried.replaying(True):
        for number, size in enumerate(sizes):
            x = images(size, number)
            for found, expected in zip(answered(carried, x), answered(model, x), strict=True):
                torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-14)
            with torch.no_grad():
                torch.testing.assert_close(carried(x), model(x), rtol=1e-12, atol=1e-14)
    assert carried.replayed > 0
    shapes = {-(-size // 2) for size in sizes}  # sixteen in eight steps: two sizes share a graph
    assert carried.replayed == 2 * sum(
        max(0, sum(-(-size // 2) == shape for size in sizes) - FIRST_EAGER) for shape in shapes
    )


def test_python_runs_the_network_a_few_times_only() -> None:
    model = network()
    carried = ready(model)
    with carried.replaying(True):
        for number in range(40):
            answered(carried, images(LARGEST, number))
    assert model.ran == FIRST_EAGER + 1
    assert carried.replayed == 40 - FIRST_EAGER


ATTACKS = {
    "pgd-5": named_attack("pgd-5", "linf"),
    "kl-5": named_attack("kl-5", "linf"),
    "pgd-5 in l2": named_attack("pgd-5", "l2"),
    "pgd-20-best": named_attack("pgd-20-best", "linf"),
    "pgd-4-best-r3": named_attack("pgd-4-best-r3", "linf"),
    "pgd-4-r3": named_attack("pgd-4-r3", "linf"),
    **{
        f"{name}{', fast' if fast else ''}": Member(
            name=name, norm="linf", iterations=12, targets=2 if name.endswith("-t") else 0, fast=fast
        )
        for name in ("apgd-ce", "apgd-dlr", "apgd-t", "fab-t", "square")
        for fast in (False, True)
        if (name, fast) != ("fab-t", True)
    },
}


@pytest.mark.parametrize("name", ATTACKS)
def test_attacks_make_the_same_images(name: str) -> None:
    attack, model = ATTACKS[name], network()
    assert one_gradient_a_pass(attack)
    carried, x, eps = ready(model), images(11).float(), 1.0 if name.endswith("l2") else 0.1
    with torch.no_grad():
        y = model(x).argmax(dim=1)

    def made(target: nn.Module) -> Tensor:
        found: Tensor = attack(target, x, y, eps, generator=torch.Generator().manual_seed(3))
        return found

    with carried.replaying(True):
        found = made(carried)
    torch.testing.assert_close(found, made(model), rtol=1e-5, atol=1e-6)
    assert carried.replayed > 0
    assert model(found).argmax(dim=1).ne(y).any()  # else a wrong gradient would show nothing


@pytest.mark.parametrize("member", autoattack("custom", "linf", ("fab", "fab-t")).faster().members)
def test_what_takes_several_gradients_of_a_pass_says_so(member: Member) -> None:
    assert not one_gradient_a_pass(member)


def test_attacks_of_others_are_not_replayed() -> None:
    assert not one_gradient_a_pass(lambda model, x, y, eps, generator=None: x)


def warm(carried: ReplayedNetwork, x: Tensor) -> None:
    for _ in range(FIRST_EAGER + 1):
        answered(carried, x)
        carried(x)


@pytest.mark.parametrize(
    "between",
    [
        lambda carried, x, leaf, loss: carried(x),
        lambda carried, x, leaf, loss: answered(carried, x),
        lambda carried, x, leaf, loss: answered(carried, x[:3]),
        lambda carried, x, leaf, loss: torch.autograd.grad(loss, leaf, retain_graph=True),
    ],
    ids=["another pass", "another gradient", "a pass of another size", "the gradient itself"],
)
def test_a_gradient_of_what_was_written_over_is_refused(
    between: Callable[[ReplayedNetwork, Tensor, Tensor, Tensor], object],
) -> None:
    carried, x = ready(network()), images(LARGEST)
    with carried.replaying(True):
        warm(carried, x)
        warm(carried, x[:3])
        leaf = x.clone().requires_grad_()
        loss = carried(leaf).sum()
        between(carried, x, leaf, loss)
        with pytest.raises(RuntimeError, match="a gradient is taken of a replayed pass after another one"):
            torch.autograd.grad(loss, leaf)


def test_outside_of_the_block_and_in_training_mode_the_network_answers_itself() -> None:
    model = network()
    carried, x = ready(model), images(LARGEST)
    with carried.replaying(True):
        warm(carried, x)
    replays = carried.replayed
    carried(x)
    with carried.replaying(False):
        carried(x)
    with carried.replaying(True):
        carried(torch.cat((x, x)))  # larger than what is captured
        carried(x[:0])
        model.train()
        carried(x)
    assert carried.replayed == replays


class Branching(Network):
    """Lets its work depend on what an image holds."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) * (2 if bool((x > 0.99).any()) else 1)


def test_what_cannot_be_captured_answers_itself_and_says_so_once() -> None:
    said: list[str] = []
    model = Branching().eval().requires_grad_(False)
    carried = ReplayedNetwork(model, CpuRecorder(), LARGEST, said.append)
    with carried.replaying(True):
        for number in range(FIRST_EAGER + 3):
            x = images(LARGEST, number)
            assert torch.equal(answered(carried, x)[1], answered(model, x)[1])
    assert carried.replayed == 0
    assert len(said) == 1
    assert "cannot be captured" in said[0]


def test_on_the_cpu_nothing_is_replayed() -> None:
    assert replayed(network(), CPU, LARGEST, print) is None


@pytest.mark.gpu
@pytest.mark.parametrize("name", ["small-cnn", "preact-resnet18"])
def test_on_a_gpu_replays_answer_as_the_network_does(name: str) -> None:
    """Filled-up batches may take other algorithms, so to float32's digits; whole ones bit for bit."""
    device = torch.device("cuda")
    model = build_model(name, ModelSpec(3, 10, 32, (0.5,) * 3, (0.25,) * 3), 0).to(device).eval()
    model.requires_grad_(False)
    said: list[str] = []
    carried = replayed(model, device, 64, said.append)
    assert carried is not None
    noise = torch.Generator().manual_seed(0)
    with repeatable(), ieee_float32(device), carried.replaying(True):
        for size in [64, 64, 64, 64, 64, 41, 41, 41, 41, 41, 3, 64, 41]:
            x = torch.rand(size, 3, 32, 32, generator=noise).to(device)
            for found, expected in zip(answered(carried, x), answered(model, x), strict=True):
                largest = float(expected.abs().amax())
                assert float((found - expected).abs().amax()) <= (0 if size == 64 else 2e-5 * largest)
    assert carried.replayed > 0
    assert said == []
