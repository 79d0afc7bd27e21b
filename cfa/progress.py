"""What a long computation tells its observer, and how it is asked to stop.

Observers observe: nothing that they return, except a request to stop, reaches the computation.
"""

from dataclasses import dataclass
from typing import Literal

StopReason = Literal["pause", "cancel"]


class Stopped(Exception):  # not an error: someone asked for it
    """Someone asked the computation to stop; its state is saved when this is raised."""

    def __init__(self, reason: StopReason) -> None:
        """Keep why: ``pause`` is meant to go on later, ``cancel`` is not."""
        super().__init__(reason)
        self.reason: StopReason = reason


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a computation is: ``done`` of ``total`` units in all, and in words."""

    done: float
    total: float
    unit: str
    phase: str
    epoch: int | None = None
    epochs: int | None = None


class Observer:
    """Watches a computation; this base ignores everything, which is what a plain library call wants."""

    def progress(self, progress: Progress) -> None:
        """Receive how far the computation is (called often; cheap)."""

    def log(self, message: str) -> None:
        """Receive one line for the log."""

    def stop_requested(self) -> StopReason | None:
        """Say whether the computation should stop at the next batch."""
        return None
