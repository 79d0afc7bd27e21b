"""The same numbers every time, also on a GPU."""

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
