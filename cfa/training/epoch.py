"""One epoch: batches in a seeded order, cut and augmented on the device, one step each."""

from collections.abc import Callable
from time import monotonic

import torch

from cfa.data import Augmentation, Images, augment, batch_slices, to_float
from cfa.training.randomness import derived_seed, generator
from cfa.training.state import TrainingState
from cfa.training.step import DeviceKnobs, Step

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

    Order, augmentation and attack noise of each step depend on (seed, epoch, step) alone, so an epoch that
    was interrupted goes on exactly where it stopped.
    """
    device = images.labels.device
    epoch = state.epoch + 1
    order = torch.randperm(len(images), generator=generator(seed, "order", epoch))
    order = order.to(device, non_blocking=device.type == "cuda")
    batches = batch_slices(order, batch_size)
    knobs = DeviceKnobs.of(state.knobs, device)
    state.model.train()
    while state.step < len(batches):
        started = monotonic()
        noise = generator(seed, "step", epoch, state.step, device=device)
        torch.manual_seed(derived_seed(seed, "layers", epoch, state.step))  # dropout and the like
        batch = images.subset(batches[state.step])
        x = to_float(augment(batch.images, augmentation, noise), torch.get_default_dtype())
        loss, correct = step(state.optimizer, x, batch.labels, knobs, noise)
        state.counts.add(batch.labels, correct, loss, state.step + 1)
        state.step += 1
        state.counts.seconds += monotonic() - started
        after_step(state.step, len(batches))
