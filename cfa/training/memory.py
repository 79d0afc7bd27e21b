"""Out of memory: what it looks like, and the largest batch that would fit."""

import gc
from collections.abc import Callable

import torch

from cfa.errors import CfaError

PRECISION = 16  # the batch is found to about a sixteenth of the one that did not fit


class OutOfMemory(CfaError):
    """Training does not fit into the device's memory."""


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether an error means that memory ran out; the CPU's allocator raises a plain RuntimeError."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "can't allocate memory" in str(error)


def fits(attempt: Callable[[], object]) -> bool:
    """Make an attempt, and tell whether memory was enough for it; other errors are raised.

    What a failed attempt held is free again when this returns.
    """
    try:
        attempt()
        return True
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
    gc.collect()  # here, where the error is gone, and with it the frames that held tensors
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return False


def largest_batch(batch_fits: Callable[[int], bool], too_large: int) -> int:
    """Find the largest batch below one that did not fit, to about a sixteenth of it; 0 if one image does not.

    Args:
        batch_fits: Tries a batch of so many images.
        too_large: A number of images that did not fit.
    """
    good, bad = 0, too_large
    while good == 0 and bad > 1:
        half = bad // 2
        good, bad = (half, bad) if batch_fits(half) else (0, half)
    while bad - good > max(1, too_large // PRECISION):
        middle = (good + bad) // 2
        good, bad = (middle, bad) if batch_fits(middle) else (good, middle)
    return good
