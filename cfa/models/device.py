"""What is asked of a GPU: the same numbers every time, and to be done."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def repeatable() -> Iterator[None]:
    """Let cuDNN take only algorithms that give the same numbers every time for the same input.

    Some of the others add up in whatever order threads come along. A resumed run might then not be the run
    that never stopped, and an attack made again not the attack. On the CPU nothing changes.
    """
    before = torch.backends.cudnn.deterministic
    torch.backends.cudnn.deterministic = True
    try:
        yield
    finally:
        torch.backends.cudnn.deterministic = before


def wait_for(device: torch.device) -> None:
    """Wait until a GPU has done what it was given; the CPU has when a call returns."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
