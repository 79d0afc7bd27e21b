"""The methods that are offered: one file each, found by being here; each lists what it offers."""

import importlib
import pkgutil
from collections.abc import Iterator
from typing import Any

from cfa.methods.interface import Method
from cfa.registry import Registry, instance_of

METHODS: Registry[Method[Any]] = Registry(
    "method", instance_of(Method, "make a cfa.methods.Method of your method and name that")
)


def _offered() -> Iterator[Method[Any]]:
    for found in pkgutil.iter_modules(__path__, f"{__name__}."):
        yield from importlib.import_module(found.name).OFFERED


def _in_order() -> list[Method[Any]]:
    """Put every plain method before what is made of it, older ones first."""
    offered = {method.name: method for method in _offered()}

    def place(method: Method[Any]) -> tuple[int, str, int, str]:
        plain = offered[method.compared_with]
        return plain.year, plain.name, method.year, method.name

    return sorted(offered.values(), key=place)


for _method in _in_order():
    METHODS.register(_method.name, _method)
