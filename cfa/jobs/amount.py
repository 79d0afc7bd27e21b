"""How much a job has to do, so that it can be told from jobs like it how long it will take."""

from collections.abc import Hashable
from dataclasses import dataclass


@dataclass(frozen=True)
class Amount:
    """How much a job has to do.

    Attributes:
        what: Equal where a unit takes equally long on one machine.
        units: How many of them.
        recorded: Seconds that it took at least, where records of its own say that.
    """

    what: Hashable
    units: float = 1.0
    recorded: float = 0.0
