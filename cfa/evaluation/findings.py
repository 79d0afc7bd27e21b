"""What a reader must know about a number: sentences that stand beside it.

The first three are pyautoattack's checks, which it only prints.
"""

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

from cfa.attacks import Member, model_mode, own_tracing
from cfa.evaluation.outcomes import Outcomes
from cfa.evaluation.trials import Trial

CHECKED = 64  # images that the checks before the attacks look at
SQUARE_MARGIN = 0.002  # pyautoattack's: Square should not find more than this after the gradient attacks
_COUNT = re.compile(r"there are (\d+) points with zero gradient")


class Listener(logging.Logger):
    """A logger without parents or handlers that remembers what pyautoattack warns of."""

    def __init__(self) -> None:
        """Start with an empty memory."""
        super().__init__("pyautoattack in cfa")
        self.messages: list[str] = []

    def handle(self, record: logging.LogRecord) -> None:
        """Remember a message; nothing is printed."""
        self.messages.append(record.getMessage())

    def zero_gradients(self) -> int:
        """Sum the images whose gradient was zero at the start of an attack."""
        counts = [_COUNT.search(message) for message in self.messages]
        return sum(int(match[1]) for match in counts if match)


def check_model(
    model: nn.Module, raw: nn.Module, x: Tensor, y: Tensor, randomised_ok: bool
) -> tuple[str, ...]:
    """Look for models on which attacks say little: randomised, dynamic, answering with probabilities.

    Args:
        model: Counts its forward passes.
        raw: The same without counting.
        x: A few images in [0, 1].
        y: Their classes.
        randomised_ok: Whether the plan is made for randomised models.
    """
    from pyautoattack import checks

    found = []
    with torch.no_grad(), model_mode(raw, training=False), own_tracing(), _fresh_counters():
        heard = Listener()
        checks.check_randomized(model, x, y, bs=len(x), n=3, logger=heard)
        if heard.messages and not randomised_ok:
            found.append("randomised model: the same images get other logits each time; use autoattack-rand")
        heard = Listener()
        checks.check_range_output(model, x, logger=heard)
        if heard.messages:
            found.append(
                "softmax outputs: the model answers with probabilities, whose gradients vanish; "
                "take the softmax off, attacks need logits"
            )
        heard = Listener()
        checks.check_dynamic(raw, x, logger=heard)
        if heard.messages:
            found.append(
                "dynamic model: its forward pass computes gradients, so AutoAttack may be too weak; "
                "an attack made for it is needed"
            )
    return tuple(found)


def zero_gradient_finding(column: str, starts: int) -> str:
    """Say how often an attack began with a gradient of zero (once per image, restart and target)."""
    return (
        f"zero gradients: {column} met a gradient that is exactly zero at {starts} of its starts; "
        "gradient attacks say little about those images"
    )


def square_finding(trial: Trial, outcomes: Outcomes) -> str | None:
    """Say whether Square broke images that the gradient attacks before it had left."""
    names = [step.attack.name for step in trial.steps if isinstance(step.attack, Member)]
    if not trial.composite or "square" not in names[1:]:
        return None
    count = int(np.sum(outcomes.broken_by[trial.by] == "square"))
    share = count / len(outcomes.label)
    if share <= SQUARE_MARGIN:
        return None
    return (
        f"Square beat the gradient attacks: it broke {count} more images ({share:.1%}); "
        "gradients may be masked, try Square with more queries or an attack made for the model"
    )


def not_allowed_finding(column: str, images: int) -> str:
    """Say that an attack left the ball."""
    return f"{column} returned {images} images outside of the eps-ball or [0, 1]; they do not count as broken"


@contextmanager
def _fresh_counters() -> Iterator[None]:
    """Let no dynamic model of before accuse this one: the package counts in a module's variable."""
    from pyautoattack import checks

    before = dict(checks.funcs)
    checks.funcs.update(dict.fromkeys(checks.funcs, 0))
    try:
        yield
    finally:
        checks.funcs.update(before)
