"""One epoch: batches in a seeded order, cut and augmented on the device, one step each."""

from collections.abc import Callable, Iterator
from time import monotonic

import torch
from torch import Tensor

from cfa.data import Augmentation, Images, augment, batch_slices, to_float
from cfa.training.randomness import derived_seed, generator
from cfa.training.state import TrainingState
from cfa.training.step import Step

AfterStep = Callable[[int, int], None]  # (steps done, steps of the epoch); may raise Stopped


def steps_per_epoch(images: int, batch_size: int) -> int:
    """Count the steps of an epoch, the last and smaller batch included."""
    return -(-images // batch_size)


def train_epoch(
    state: TrainingState,
    step: Step,
    images: Images,
    augmentation: Augmentation,
    *,
    seed: int,
    batch_size: int,
    after_step: AfterStep,
) -> None:
    """Take the steps that are left of epoch ``state.epoch + 1``; sums go to ``state.counts``.

    Order, augmentation and attack noise of each step depend on (seed, epoch, step) alone, and a sampler's
    choice on its state as well, so an epoch that was interrupted goes on exactly where it stopped.
    """
    device = images.labels.device
    epoch, steps = state.epoch + 1, steps_per_epoch(len(images), batch_size)
    batches = _batches(state, step, images, seed=seed, batch_size=batch_size)
    knobs = state.knobs.on(device)
    state.model.train()
    for companion in state.companions.values():
        companion.train()
    while state.step < steps:
        started = monotonic()
        index = next(batches)
        noise = generator(seed, "step", epoch, state.step, device=device)
        torch.manual_seed(derived_seed(seed, "layers", epoch, state.step))  # dropout and the like
        batch = images.subset(index)
        x = to_float(augment(batch.images, augmentation, noise), torch.get_default_dtype())
        result = step(state.optimizer, x, batch.labels, index, knobs, noise)
        state.counts.add(batch.labels, result, state.step + 1)
        if step.parts.sampler is not None:
            state.sampler_state = step.parts.sampler.after(state.sampler_state, batch.labels, result.correct)
        state.step += 1
        state.counts.seconds += monotonic() - started
        after_step(state.step, steps)


def _batches(
    state: TrainingState, step: Step, images: Images, *, seed: int, batch_size: int
) -> Iterator[Tensor]:
    """Give the indices of the batches that are left: all images in random order, or the sampler's choice."""
    epoch, device, sampler = state.epoch + 1, images.labels.device, step.parts.sampler
    if sampler is None:
        order = torch.randperm(len(images), generator=generator(seed, "order", epoch))
        order = order.to(device, non_blocking=device.type == "cuda")
        yield from batch_slices(order, batch_size)[state.step :]
        return
    while True:
        size = min(batch_size, len(images) - state.step * batch_size)
        noise = generator(seed, "order", epoch, state.step, device=device)
        yield sampler.draw(state.sampler_state, images.labels, size, noise)
