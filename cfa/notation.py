"""How budgets, steps and other numbers are written: ``8/255``, ``eps/4``, ``0.03``; and what is no attack."""

import math
import re
from fractions import Fraction
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer

from cfa.errors import ConfigError

Norm = Literal["linf", "l2", "l1", "l0"]  # l0 counts pixels

CLEAN = "clean"  # no attack at all; every evaluation has it
TRANSFER = "transfer"  # adversarial images made on another run's model


# At most three digits of exponent: a fraction of exact integers takes the time and memory of its exponent.
_DECIMAL = r"(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:e[+-]?[0-9]{1,3})?"
_FRACTION = re.compile(rf"\s*([+-]?{_DECIMAL})\s*(?:/\s*({_DECIMAL})\s*)?", re.IGNORECASE)


def parse_fraction(value: object) -> object:
    """Read ``8/255``, ``8./255.`` or ``8e0/255`` as a number; anything else is left as it is."""
    match = _FRACTION.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        return value
    try:
        return float(Fraction(match[1]) / Fraction(match[2] or 1))
    except (ValueError, ZeroDivisionError, OverflowError):
        return value


def format_eps(eps: float) -> str:
    """Write ``eps`` as n/255 with at most two digits, the unit of the field."""
    return f"{round(eps * 255, 2):g}/255"


UNLIKELY_LENGTH = 16  # in l2, half of an image of CIFAR-10 from black to grey; budgets there are 0.5 to 3


def read_budget(norm: Norm, value: object) -> float:
    """Read a budget as someone wrote it, and ask about one that was surely meant in n/255.

    Raises:
        ValueError: what is wrong with it, as the end of a sentence that begins with the value.
    """
    eps = parse_fraction(value)
    if not isinstance(eps, int | float) or isinstance(eps, bool):
        raise ValueError("is not a number; write a fraction such as 8/255, or a decimal such as 0.03")
    plain = not (isinstance(value, str) and "/" in value)
    if norm == "linf":
        if not 0 < eps <= 1:
            meant = f"did you mean {eps:g}/255?" if plain and 1 < eps <= 255 else ""
            raise ValueError(f"lies outside (0, 1]; {meant or 'write a fraction such as 8/255'}")
        return float(eps)
    if not 0 < eps < math.inf:
        example = "numbers of pixels such as 5" if norm == "l0" else "lengths such as 0.5"
        raise ValueError(f"is not a positive number; {norm} budgets are {example}")
    whole = isinstance(value, int) or (isinstance(value, str) and value.strip().isdecimal())
    if norm == "l2" and whole and UNLIKELY_LENGTH <= eps <= 255:
        raise ValueError(f"is a very long way in l2; did you mean {eps:g}/255? If not, write {eps:.1f}")
    return float(eps)


def eps_for(norm: Norm, value: object) -> float:
    """Return the budget that ``value`` is, text or number: in (0, 1] for linf, else any positive number.

    Raises:
        ConfigError: it is none of this norm, or was surely meant in n/255.
    """
    try:
        return read_budget(norm, value)
    except ValueError as error:
        raise ConfigError(f"eps={value!r} {error}") from error


Number = Annotated[float, BeforeValidator(parse_fraction), Field(allow_inf_nan=False)]


class StepSize(BaseModel):
    """A step of an attack: absolute (``2/255``), or relative to each sample's ``eps`` (``eps/4``)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    value: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    relative: bool = False

    def __str__(self) -> str:
        """Write the step as it is written on the command line."""
        return f"{self.value!r}*eps" if self.relative else repr(self.value)


_RELATIVE = re.compile(
    rf"\s*(?:(?P<factor>{_DECIMAL})\s*\*?\s*)?eps(?:\s*/\s*(?P<divisor>{_DECIMAL}))?\s*", re.IGNORECASE
)


def parse_step_size(value: object) -> object:
    """Read ``eps/4``, ``0.25*eps``, ``2/255`` or a number as a :class:`StepSize`."""
    relative = isinstance(value, str) and _RELATIVE.fullmatch(value)
    number: object
    if relative:
        divisor = float(relative["divisor"] or 1)
        number = float(relative["factor"] or 1) / divisor if divisor else math.inf
    else:
        number = parse_fraction(value)
    if not isinstance(number, int | float) or isinstance(number, bool):
        return number  # for pydantic to judge
    if not 0 < number < math.inf:
        raise ValueError("should be above 0; write eps/4 or 2/255")
    return StepSize(value=number, relative=bool(relative))


AnyStep = Annotated[StepSize, BeforeValidator(parse_step_size), PlainSerializer(str, return_type=str)]


def refusal_in_words(kind: str, message: str) -> str:
    """Say what is wrong with a value in words that are not about Python.

    Args:
        kind: pydantic's type of the complaint.
        message: What pydantic says, which is kept where it is plain enough.
    """
    if kind in ("int_parsing", "int_type", "int_from_float", "int_parsing_size"):
        return "should be a whole number"
    if kind in ("float_parsing", "float_type"):
        return "should be a number"
    if kind in ("bool_parsing", "bool_type"):
        return "should be true or false"
    if kind in ("dataclass_type", "model_type"):
        return "cannot be read; write a value such as the preset's"
    return message.removeprefix("Value error, ").replace("Input should be", "should be")
