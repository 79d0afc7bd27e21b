"""Epochs of a method's own schedule: counted, or as a share of the run, so that short runs have them too."""

from typing import Annotated

from pydantic import AfterValidator, BeforeValidator

from cfa.config import RunConfig, Settings
from cfa.notation import parse_fraction


def _whole_as_int(value: object) -> object:
    """Read ``70/110`` and ``10``; whole numbers stay whole, as they stand in stored runs."""
    number = parse_fraction(value)
    return int(number) if isinstance(number, float) and number.is_integer() else number


def _epochs_or_share(value: int | float) -> int | float:
    if isinstance(value, float) and not 0 < value < 1:
        raise ValueError(
            f"{value} is neither a number of epochs nor a share of them; write 10, or 10/200 for a share"
        )
    if value < 0:
        raise ValueError(f"{value} is below 0; write a number of epochs, or a share such as 10/200")
    return value


Epochs = Annotated[int | float, BeforeValidator(_whole_as_int), AfterValidator(_epochs_or_share)]
"""A setting: a whole number is so many epochs, a number between 0 and 1 that share of ``train.epochs``."""


def never_reached(settings: Settings, config: RunConfig) -> list[str]:
    """Name the settings of the kind `Epochs` that are longer than the whole run, in which they never act."""
    return [
        name
        for name, field in type(settings).model_fields.items()
        if any(getattr(one, "func", None) is _epochs_or_share for one in field.metadata)
        and epochs_of(getattr(settings, name), config) > config.train.epochs
    ]


def epochs_of(value: int | float, config: RunConfig) -> int:
    """Return how many epochs of a run a setting of the kind `Epochs` is; a share is at least one epoch.

    Args:
        value: The setting.
        config: The run's configuration; ``train.epochs`` counts.
    """
    return value if isinstance(value, int) else max(1, round(value * config.train.epochs))
