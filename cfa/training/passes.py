"""Passes over images after an epoch, which a method's rule asks for besides the usual validation."""

import torch
from torch import Tensor, nn

from cfa.attacks import model_mode
from cfa.data import Images, batch_slices, to_float
from cfa.methods import Knobs, Pass, Tally
from cfa.models.replay import Call, Tensors
from cfa.training.randomness import generator
from cfa.training.state import EpochCounts
from cfa.training.step import Step, StepResult, as_tensors

BATCH_SIZE = 500


def make_pass(
    asked: Pass, step: Step, model: nn.Module, images: Images, knobs: Knobs, seed: int, epoch: int
) -> Tally:
    """Make one pass with a model in eval mode, without touching its gradients.

    Args:
        asked: What is asked for.
        step: The training step, which knows what else belongs to a batch.
        model: The online network.
        images: The images that the pass is over.
        knobs: The epoch's, on the device.
        seed: The run's; the attack's noise depends on it, the epoch and the batch alone.
        epoch: The epoch that has just ended, 0 before the first.
    """
    device = images.labels.device
    counts = EpochCounts.zero(len(knobs["eps"]), device)

    def sums_of(tensors: Tensors, noise: torch.Generator) -> dict[str, Tensor]:
        batch = step.batch_of(tensors)
        attacked = asked.attack(model, batch, noise)
        with torch.no_grad():
            loss = asked.objective(model, batch, attacked)
        correct = loss.logits_adv.argmax(dim=1) == batch.y
        return {"correct": correct, "loss": loss.per_sample, **loss.sums}

    for number, index in enumerate(batch_slices(torch.arange(len(images), device=device), BATCH_SIZE)):
        part = images.subset(index)
        tensors = as_tensors(to_float(part.images), part.labels, index, knobs)
        noise = generator(seed, "pass", asked.name, epoch, number, device=device)
        with model_mode(model, training=False):
            found = dict(step.carry(Call(("pass", asked.name), sums_of, [model], tensors, noise)))
        correct = found.pop("correct")
        counts.add(
            part.labels, StepResult(loss=found["loss"].mean(), correct=correct, sums=found), number + 1
        )
    return counts.tally()
