"""What a package hands on of modules that take long to import, imported when it is first asked for (PEP 562).

A package that lists things and computes with them names here what computes: whoever lists loads no torch.
"""

import importlib
import sys
from collections.abc import Callable, Mapping


def imported_later(package: str, names: Mapping[str, tuple[str, ...]]) -> Callable[[str], object]:
    """Make a package's ``__getattr__``.

    Args:
        package: Its ``__name__``.
        names: By module, without the package, the names that it hands on from there; none of them may be
            that of a module, which would take its place.
    """
    module_of = {name: module for module, given in names.items() for name in given}

    def __getattr__(name: str) -> object:  # noqa: N807 - it is the package's
        if name not in module_of:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value: object = getattr(importlib.import_module(f"{package}.{module_of[name]}"), name)
        setattr(sys.modules[package], name, value)  # found without this function from now on
        return value

    return __getattr__
