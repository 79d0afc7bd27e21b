"""What methods are called in tables, with one kind of a run's weights."""

from typing import Any

from cfa.methods.catalogue import METHODS
from cfa.methods.interface import Method
from cfa.methods.presets import FIRST_METHOD


def known_method(name: str) -> Method[Any] | None:
    """Return the method registered as ``name``; ``None`` for foreign weights and for somebody's own method.

    A list or a table never imports anything (`cfa.trust`).
    """
    if name not in METHODS:
        return None
    return METHODS[name]


def display_name(name: str, weights: str) -> str:
    """Name a method with one kind of its weights as the paper does: "TRADES + EMA", "TRADES + CFA", ..."""
    method = known_method(name)
    if method is not None and method.reported_title and weights == method.reported_with:
        return method.reported_title
    parts = [name.rpartition(":")[2]] if method is None else [method.title, *method.adds]
    if weights in ("ema", "fawa"):
        parts.append(weights.upper())
    return " + ".join(parts)


def plain_methods() -> list[str]:
    """List the plain methods: that of the first method, then those that most others are compared with."""
    of, first = [method.plain for method in METHODS.values() if method.plain], METHODS[FIRST_METHOD].plain
    plain = (name for name, method in METHODS.items() if not method.plain)
    return sorted(plain, key=lambda name: (name != first, -of.count(name)))


def family_of(name: str) -> tuple[int, bool]:
    """Say which family a method belongs to, for charts: its number, and whether it is the plain one itself.

    The number is the place of the plain method that it is made of in the end among all plain ones in the
    catalogue's order; somebody's own methods and models of others come after all of them.
    """
    plain = [known for known, method in METHODS.items() if not method.plain]
    method = known_method(name)
    if method is None:
        return len(plain), False
    first = method
    while first.plain:
        first = METHODS[first.plain]
    return plain.index(first.name), not method.plain


def display_name_of_method(name: str) -> str:
    """Name a method with the weights that it is reported with."""
    method = known_method(name)
    return display_name(name, "online" if method is None else method.reported_with)
