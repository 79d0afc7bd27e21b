"""What an evaluation will cost, measured rather than guessed: a few steps of each attack, scaled up."""

import dataclasses
import time
from collections.abc import Callable
from functools import partial

import torch
from torch import nn

from cfa.attacks import PGD, Attack, Member, Restarts
from cfa.evaluation.conditions import reported
from cfa.evaluation.plan import EvaluationPlan
from cfa.evaluation.trials import trials
from cfa.models import wait_for

SHORT = 2  # steps of the two timings whose difference is the cost of a step
LONG = 6
HARMLESS = 1e-6  # a budget that breaks nothing, so that no image leaves the batch


def estimate_evaluation_seconds(
    model: nn.Module,
    shape: tuple[int, int, int],
    images: int,
    num_classes: int,
    plan: EvaluationPlan,
    device: torch.device,
) -> float:
    """Estimate how long a plan takes if every image holds to the end: an upper estimate.

    Args:
        model: On ``device``.
        shape: Channels, height and width of an image.
        images: How many images the plan attacks.
        num_classes: Number of classes.
        plan: What would be done.
        device: Where.
    """
    batch = min(plan.batch_size, images)
    x = torch.rand(batch, *shape, generator=torch.Generator().manual_seed(0)).to(device)
    with torch.no_grad(), reported(device, model):
        y = model(x).argmax(dim=1)
        forward = _seconds(partial(model, x), device)
        total = forward
        for trial in trials(plan, num_classes, model):
            for step in trial.steps:
                assert step.attack is not None
                total += _attack_seconds(step.attack, model, x, y, step.passes, forward, device)
    return total * images / batch


def _attack_seconds(
    attack: Attack,
    model: nn.Module,
    x: torch.Tensor,
    y: torch.Tensor,
    passes: int,
    forward: float,
    device: torch.device,
) -> float:
    """Time two short versions of an attack and extend the line through them."""
    runs, once = (attack.restarts, attack.attack) if isinstance(attack, Restarts) else (1, attack)
    if isinstance(once, Member):
        runs = once.restarts * max(once.targets, 1) * once.eot
    steps = once.iterations if isinstance(once, Member) else getattr(once, "steps", 0)
    if not isinstance(once, Member | PGD):
        return 3 * passes * forward  # a pass back costs about two forward
    seconds = []
    for count in (SHORT, LONG):
        short = _shortened(once, count)
        noise = torch.Generator(device=device).manual_seed(0)
        seconds.append(_seconds(partial(short, model, x, y, HARMLESS, generator=noise), device))
    return runs * max(seconds[1] - seconds[0], 0.0) / (LONG - SHORT) * steps + seconds[0]


def _shortened(attack: Member | PGD, steps: int) -> Attack:
    """Return one restart, towards one target, of a few steps."""
    if isinstance(attack, PGD):
        every_step = {field.name: getattr(attack, field.name) for field in dataclasses.fields(PGD)}
        return PGD(**{**every_step, "steps": steps})  # whatever ends early would spoil the line
    targets = min(attack.targets, 1)
    return dataclasses.replace(
        attack, iterations=steps, restarts=1, targets=targets, eot=1, larger_eps_first=False
    )


def _seconds(work: Callable[[], object], device: torch.device) -> float:
    """Time something; the first time, which sets things up, does not count."""
    work()
    least = float("inf")
    for _ in range(2):
        wait_for(device)
        begun = time.perf_counter()
        work()
        wait_for(device)
        least = min(least, time.perf_counter() - begun)
    return least
