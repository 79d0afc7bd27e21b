"""What methods are called in tables, with one kind of a run's weights."""

import re
from typing import Any

from cfa.config import RunConfig
from cfa.methods.catalogue import METHODS
from cfa.methods.interface import Forward, Method, MethodKind
from cfa.methods.presets import FIRST_METHOD


def known_method(name: str) -> Method[Any] | None:
    """Return the method registered as ``name``; ``None`` for foreign weights and for somebody's own method.

    A list or a table never imports anything (`cfa.trust`).
    """
    if name not in METHODS:
        return None
    return METHODS[name]


def passes_an_epoch(config: RunConfig) -> int:
    """Count the forward passes of an image in an epoch, at most; a method of somebody's own is as PGD-AT."""
    method = known_method(config.method)
    return (Forward() if method is None else method.forward).of_epoch(config.attack.steps)


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


KINDS: dict[MethodKind, str] = {
    "baseline": "Baseline",
    "calibrated": "Calibrated",
    "re-weighted": "Re-weighted",
    "distilled": "Distilled",
    "long-tailed": "Long-tailed",
}
"""What methods are for, in the order in which lists have them."""

_NO_METHOD = {"at", "ema", "fawa", "swa", "to"}  # words of published names that say nothing of the kind


def kind_of(name: str) -> MethodKind | None:
    """Say what a method is for; ``None`` of somebody's own method and of models of others."""
    method = known_method(name)
    if method is None or method.kind is not None:
        return None if method is None else method.kind
    if method.needs_teacher:
        return "distilled"
    return "long-tailed" if method.needs_every_class else "baseline"


def kind_of_title(title: str) -> MethodKind | None:
    """Say what a method is for by its published name, "AT + CFA"; ``None`` where a word is not known."""
    words = _words(title.partition(" (")[0]) - _NO_METHOD
    for name, method in METHODS.items():
        if words == _words(" ".join([method.title, *method.adds])) - _NO_METHOD:
            return kind_of(name)
    kinds = {_kinds_of_words().get(word) for word in words}
    if None in kinds:
        return None
    return next((kind for kind in KINDS if kind != "baseline" and kind in kinds), "baseline")


def _words(title: str) -> set[str]:
    return set(re.findall(r"[a-z0-9]+", title.lower()))


def _kinds_of_words() -> dict[str, MethodKind]:
    """Return what each word of methods' names is for: of what a method is made, not of that method."""
    found: dict[str, MethodKind] = {}
    for name, method in METHODS.items():
        kind = kind_of(name)
        if kind is not None:
            words = _words(" ".join([method.title, *method.adds, method.reported_title]))
            found |= {word: kind for word in words if word not in found}
    return found
