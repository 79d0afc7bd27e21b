"""Captured functions: the same numbers bit for bit; what cannot be captured runs as it is."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn

from cfa.models.replay import (
    FIRST_EAGER,
    MOST_GRAPHS,
    Call,
    Carrier,
    Replaying,
    Tensors,
    carrier_for,
    eagerly,
)
from tests.support.recorded import CpuRecorder

BATCH = 6


def network(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(16, 3))


@dataclass
class Work:
    """Noise, a pass in training mode, a pass back; and a count of how often Python ran it."""

    model: nn.Module
    factor: float = 1.0
    ran: int = 0

    def __call__(self, tensors: Tensors, generator: torch.Generator) -> dict[str, Tensor]:
        self.ran += 1
        self.model.zero_grad(set_to_none=True)
        x = tensors["x"] + tensors["eps"].view(-1, 1, 1, 1) * torch.rand(
            tensors["x"].shape, generator=generator
        )
        loss = nn.functional.cross_entropy(self.model(x), tensors["y"]) * self.factor
        loss.backward()
        return {"loss": loss.detach(), "x": x}


def batch(number: int, size: int = BATCH) -> dict[str, Tensor]:
    noise = torch.Generator().manual_seed(100 + number)
    return {
        "x": torch.rand(size, 1, 4, 4, generator=noise),
        "y": torch.randint(0, 3, (size,), generator=noise),
        "eps": torch.rand(size, generator=noise) / 10,
    }


def trained(carry: Carrier, sizes: list[int]) -> tuple[list[Tensor], nn.Module, Work]:
    """Take a step of SGD for each size, and return the losses, the network and the work."""
    model = network().train()
    work, found = Work(model), []
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    for number, size in enumerate(sizes):
        noise = torch.Generator().manual_seed(number)
        done = carry(Call("step", work, [model], batch(number, size), noise))
        optimizer.step()
        found += [done["loss"], done["x"], torch.rand(2, generator=noise)]
    return found, model, work


SIZES = {
    "one size": [BATCH] * 9,
    "an odd last batch": ([BATCH] * 4 + [2]) * 3,
    "two sizes by turns": [BATCH, 3] * 8,
}


@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
def test_replayed_steps_are_the_eager_ones_bit_for_bit(sizes: list[int]) -> None:
    recorder = CpuRecorder()
    carry = Replaying(recorder)
    expected, eager, _ = trained(eagerly, sizes)
    found, replayed, work = trained(carry, sizes)
    assert all(torch.equal(one, other) for one, other in zip(expected, found, strict=True))
    for (name, one), other in zip(eager.state_dict().items(), replayed.state_dict().values(), strict=True):
        assert torch.equal(one, other), name
    assert carry.replayed > 0
    assert work.ran == len(sizes) - carry.replayed + recorder.captures


def test_a_shape_is_captured_once_it_is_warm() -> None:
    recorder = CpuRecorder()
    carry = Replaying(recorder)
    trained(carry, [BATCH] * FIRST_EAGER)
    assert (recorder.captures, carry.replayed) == (0, 0)
    assert recorder.warmed == FIRST_EAGER
    carry = Replaying(recorder)
    trained(carry, [BATCH] * (FIRST_EAGER + 2))
    assert (recorder.captures, carry.replayed) == (1, 2)


def test_what_is_returned_stays_when_the_next_batch_is_computed() -> None:
    carry, model = Replaying(CpuRecorder()), network().train()
    work = Work(model)
    kept = [
        carry(Call("step", work, [model], batch(number), torch.Generator().manual_seed(number)))["x"]
        for number in range(FIRST_EAGER + 3)
    ]
    for number, x in enumerate(kept):
        given = batch(number)
        noise = torch.rand(given["x"].shape, generator=torch.Generator().manual_seed(number))
        assert torch.equal(x, given["x"] + given["eps"].view(-1, 1, 1, 1) * noise)


def test_a_step_between_that_ran_as_it_is_takes_no_gradients_away() -> None:
    carry, model = Replaying(CpuRecorder()), network().train()
    work = Work(model)
    for number in range(FIRST_EAGER + 2):
        carry(Call("step", work, [model], batch(number), torch.Generator().manual_seed(number)))
    work(batch(50, size=2), torch.Generator().manual_seed(50))
    model.load_state_dict(network(1).state_dict())
    carry(Call("step", work, [model], batch(60), torch.Generator().manual_seed(60)))
    fresh = network(1).train()
    Work(fresh)(batch(60), torch.Generator().manual_seed(60))
    for one, other in zip(model.parameters(), fresh.parameters(), strict=True):
        assert one.grad is not None
        assert other.grad is not None
        assert torch.equal(one.grad, other.grad)


def test_the_stand_in_keeps_a_python_number_as_a_graph_does() -> None:
    """Else the tests with changing knobs would show nothing."""
    carry, model = Replaying(CpuRecorder()), network().eval()
    work = Work(model)
    calls = FIRST_EAGER + 2
    losses = [
        carry(Call("step", work, [model], batch(0), torch.Generator().manual_seed(0)))["loss"]
        for _ in range(calls)
    ]
    work.factor = 2.0
    again = carry(Call("step", work, [model], batch(0), torch.Generator().manual_seed(0)))["loss"]
    assert torch.equal(again, losses[-1])


def looks(tensors: Tensors, generator: torch.Generator) -> dict[str, Tensor]:
    return {"kept": tensors["x"] * (2.0 if bool((tensors["x"] > 0.5).any()) else 1.0)}


def chooses(tensors: Tensors, generator: torch.Generator) -> dict[str, Tensor]:
    return {"kept": tensors["x"][(tensors["y"] > 0).nonzero().squeeze(1)]}


@pytest.mark.parametrize("function", [looks, chooses])
def test_what_cannot_be_captured_runs_as_it_is_and_says_so_once(
    function: Callable[[Tensors, torch.Generator], dict[str, Tensor]],
) -> None:
    said: list[str] = []
    recorder = CpuRecorder()
    carry, model = Replaying(recorder, said.append), network()
    for number in range(FIRST_EAGER + 4):
        given = batch(number)
        found = carry(Call("step", function, [model], given, torch.Generator().manual_seed(0)))
        assert torch.equal(found["kept"], function(given, torch.Generator())["kept"])
    assert (recorder.captures, carry.replayed) == (0, 0)
    assert len(said) == 1
    assert "cannot be captured" in said[0]


def test_a_failed_capture_leaves_gradients_and_weights_alone() -> None:
    carry = Replaying(CpuRecorder(refuses=["out of memory"]))
    expected, eager, _ = trained(eagerly, [BATCH] * 7)
    found, replayed, _ = trained(carry, [BATCH] * 7)
    assert all(torch.equal(one, other) for one, other in zip(expected, found, strict=True))
    for (name, one), other in zip(eager.state_dict().items(), replayed.state_dict().values(), strict=True):
        assert torch.equal(one, other), name
    assert carry.replayed == 0


def test_other_modes_and_other_networks_are_other_graphs() -> None:
    recorder = CpuRecorder()
    carry = Replaying(recorder)
    one, other = network(0), network(1)

    def mean(tensors: Tensors, generator: torch.Generator) -> dict[str, Tensor]:
        with torch.no_grad():
            return {"mean": one(tensors["x"]).mean() + other(tensors["x"]).mean()}

    for training in (True, False):
        one.train(training)
        for number in range(FIRST_EAGER + 2):
            found = carry(Call("mean", mean, [one, other], batch(number), torch.Generator()))
            expected = mean(batch(number), torch.Generator())
            if not training:
                assert torch.equal(found["mean"], expected["mean"])
    assert recorder.captures == 2


def test_only_so_many_shapes_keep_memory() -> None:
    recorder = CpuRecorder()
    carry = Replaying(recorder)
    trained(carry, [size for size in range(2, MOST_GRAPHS + 5) for _ in range(FIRST_EAGER + 1)])
    assert recorder.captures == MOST_GRAPHS


@pytest.mark.parametrize(("device", "graphs"), [("cpu", True), ("cpu", False)])
def test_on_the_cpu_nothing_is_captured(device: str, graphs: bool) -> None:
    assert carrier_for(torch.device(device), print, graphs=graphs) is eagerly
