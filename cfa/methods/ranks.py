"""Who shares a batch: alone in one process, or several processes that each have a part of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from torch import Tensor


class Ranks(Protocol):
    """The processes that train one run together; what needs the whole batch asks them."""

    rank: int
    size: int

    def sum(self, value: Tensor) -> Tensor:
        """Return the sum over all, with its gradient."""
        ...

    def maximum(self, value: Tensor) -> Tensor:
        """Return the largest value of all."""
        ...


class Alone:
    """One process has the whole batch."""

    rank = 0
    size = 1

    def sum(self, value: Tensor) -> Tensor:
        """Return the value."""
        return value

    def maximum(self, value: Tensor) -> Tensor:
        """Return the value."""
        return value
