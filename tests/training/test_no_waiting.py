"""An epoch never waits for the device: nothing in it reads a tensor's value on the host.

On a GPU CUDA's own debug mode watches. On the CPU, where there is nothing to wait for, every operation that
would have to wait on a GPU is refused, which finds the same places.
"""

from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from cfa.data import Augmentation, Images
from cfa.methods import METHODS, parts_of
from cfa.models import ModelSpec, build_model, for_training
from cfa.training.epoch import train_epoch
from cfa.training.state import EpochCounts, TrainingState
from tests.support.seen import small_step
from tests.support.tiny import tiny_config
from tests.support.waiting import waits


class NoWaiting(TorchDispatchMode):
    """Refuse what needs a value, or a number of elements, from the device."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if waits(func, args):
            raise AssertionError(f"{func.name()} waits for the device")
        return func(*args, **(kwargs or {}))


def epoch(method: str, device: torch.device, **changes: Any) -> TrainingState:
    """Train three steps of a method."""
    config = tiny_config(method, **changes)
    spec = ModelSpec(1, 4, 8, (0.5,), (0.25,))
    model = for_training(build_model("small-cnn", spec, 0), device)
    step = small_step(parts_of(config), model, torch.full((4,), 10, device=device))
    _, knobs = step.parts.rule.initial(4)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    state = TrainingState(model, optimizer, knobs, {}, EpochCounts.zero(4, device))
    noise = torch.Generator().manual_seed(0)
    pixels = torch.randint(256, (40, 1, 8, 8), generator=noise, dtype=torch.uint8)
    images = Images(pixels, torch.randint(4, (40,), generator=noise)).to(device)
    if step.parts.sampler is not None:
        state.sampler_state = step.parts.sampler.initial(images.labels)

    def run() -> None:
        train_epoch(
            state,
            step,
            images,
            Augmentation(1, "reflect", True),
            seed=0,
            batch_size=16,
            after_step=lambda done, steps: None,
        )

    if device.type == "cuda":
        torch.cuda.set_sync_debug_mode("error")
        try:
            run()
        finally:
            torch.cuda.set_sync_debug_mode("default")
    else:
        with NoWaiting():
            run()
    return state


@pytest.mark.parametrize("method", METHODS)
def test_the_operations_of_an_epoch_need_no_value_from_the_device(method: str) -> None:
    state = epoch(method, torch.device("cpu"), attack__bn_mode="train")
    assert int(state.counts.total.sum()) == 40


def test_what_waits_is_found() -> None:
    """FAT that drops samples waits, which is why it does so on the CPU alone."""
    with pytest.raises(AssertionError, match="waits for the device"):
        epoch("fat", torch.device("cpu"), attack__bn_mode="eval")


@pytest.mark.gpu
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("bn_mode", ["train", "eval"])
def test_an_epoch_on_a_gpu_never_waits(method: str, bn_mode: str) -> None:
    state = epoch(method, torch.device("cuda"), attack__bn_mode=bn_mode)
    assert int(state.counts.total.sum()) == 40
