"""The methods that are offered: one file each, found by being here; each lists what it offers."""

import importlib
import pkgutil
from collections.abc import Iterator
from typing import Any

from cfa.errors import ConfigError
from cfa.methods.interface import Method
from cfa.registry import Registry, instance_of

_is_method = instance_of(Method, "make a cfa.methods.Method of your method and name that")


def _own(name: str, module: str, item: object) -> Method[Any]:
    method: Method[Any] = _is_method(name, module, item)
    if method.plain and method.plain not in METHODS and ":" not in method.plain:
        raise ConfigError(
            f"{name!r} is compared with plain={method.plain!r}, which is no method; choose from "
            f"{', '.join(METHODS)}, or leave it empty where it is plain itself"
        )
    return method


METHODS: Registry[Method[Any]] = Registry("method", _own)


def _offered() -> Iterator[Method[Any]]:
    for found in pkgutil.iter_modules(__path__, f"{__name__}."):
        yield from importlib.import_module(found.name).OFFERED


def _in_order() -> list[Method[Any]]:
    """Put every plain method before what is made of it, older ones first, families together."""
    offered = {method.name: method for method in _offered()}

    def line(method: Method[Any]) -> list[Method[Any]]:
        return [*(line(offered[method.plain]) if method.plain else ()), method]

    def place(method: Method[Any]) -> tuple[int, str, int, int, str]:
        first, *made_of_it = line(method)
        return first.year, first.name, method.year, len(made_of_it), method.name

    return sorted(offered.values(), key=place)


for _method in _in_order():
    METHODS.register(_method.name, _method)
