"""Knobs: what a rule sets for an epoch, by name a value per class or per pair of classes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from cfa.errors import ConfigError

if TYPE_CHECKING:
    import torch
    from torch import Tensor

EPS = "eps"
_ROUNDING = 1e-9


class Knobs(Mapping[str, "Tensor"]):
    """Values by name, of shape (classes,) or (classes, classes); ``eps`` is always among them.

    A rule gives them in float64 on the CPU; training reads them where :meth:`on` put them.

    Attributes:
        remarks: What a rule says of them, a sentence each, which training logs: a value that it had to bound.
    """

    def __init__(self, **values: Tensor) -> None:
        """Take the values.

        Raises:
            ConfigError: ``eps`` is missing, or shapes do not belong together.
        """
        if EPS not in values:
            raise ConfigError(f"a rule set {', '.join(values) or 'nothing'} and no eps; it always sets eps")
        classes = len(values[EPS])
        for name, value in values.items():
            if tuple(value.shape) not in ((classes,), (classes, classes)):
                raise ConfigError(
                    f"a rule set {name} in shape {tuple(value.shape)}; with {classes} classes a knob has "
                    f"shape ({classes},) or ({classes}, {classes})"
                )
        self._values = values
        self.remarks: tuple[str, ...] = ()

    def remarked(self, *remarks: str) -> Knobs:
        """Return the same knobs with what is to be said of them."""
        said = Knobs(**self._values)
        said.remarks = remarks
        return said

    def require_budgets(self, method: str, epoch: int) -> Knobs:
        """Return them, once every budget is known to be one: from 0, where no image is moved, to 1.

        Args:
            method: Whose rule set them, for the error.
            epoch: The epoch that they are for.

        Raises:
            ConfigError: A budget is negative, above 1, or no number.
        """
        eps = self[EPS]
        possible = (eps >= 0) & (eps <= 1 + _ROUNDING)
        if not bool(possible.all()):
            which = int((~possible).nonzero()[0])
            raise ConfigError(
                f"the rule of {method} sets eps={float(eps[which]):g} for class {which} in epoch {epoch}, "
                "and a budget lies between 0 and 1; choose other constants of the method (method.NAME) or a "
                "smaller attack.eps; a rule of your own can bound it and say so (Knobs.remarked)"
            )
        return self

    def changed(self, **values: Tensor) -> Knobs:
        """Return them with other values, or further ones; what was said of them stays."""
        return Knobs(**{**self._values, **values}).remarked(*self.remarks)

    def __getitem__(self, name: str) -> Tensor:
        """Return a knob."""
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        """Go through the names, in the rule's order."""
        return iter(self._values)

    def __len__(self) -> int:
        """Count the knobs."""
        return len(self._values)

    def __repr__(self) -> str:
        """Show names and shapes."""
        return f"Knobs({', '.join(f'{name}: {tuple(value.shape)}' for name, value in self.items())})"

    @property
    def of_classes(self) -> dict[str, Tensor]:
        """The knobs that have one value a class."""
        return {name: value for name, value in self.items() if value.ndim == 1}

    @property
    def of_pairs(self) -> dict[str, Tensor]:
        """The knobs that have one value for each pair of classes."""
        return {name: value for name, value in self.items() if value.ndim == 2}

    def on(self, device: torch.device) -> Knobs:
        """Copy them to a device in training's precision, once an epoch."""
        import torch

        dtype, cuda = torch.get_default_dtype(), device.type == "cuda"
        return Knobs(**{n: value.to(dtype).to(device, non_blocking=cuda) for n, value in self.items()})

    def at(self, y: Tensor) -> dict[str, Tensor]:
        """Return for each sample the values of its class: (batch,), or (batch, classes) of its row."""
        return {name: value[y] for name, value in self.items()}


def constant(classes: int, **values: float) -> Knobs:
    """Set each knob to one value for all classes."""
    return Knobs(**{name: same_for_all(classes, value) for name, value in values.items()})


def same_for_all(classes: int, value: float) -> Tensor:
    """Return a knob of one value for all classes, shape (classes,)."""
    import torch

    return torch.full((classes,), value, dtype=torch.float64)
