"""A registry is a dict with manners: it suggests the nearest names and admits a user's own code."""

import difflib
import importlib
from collections.abc import Callable, Iterator, Mapping
from typing import TypeVar

from cfa.errors import UnknownName

Item = TypeVar("Item")


def unknown(kind: str, name: str, choices: list[str]) -> UnknownName:
    """Build the error for a name nobody answers to, nearest choices first."""
    near = difflib.get_close_matches(name, choices, n=3, cutoff=0.4)
    if near:
        hint = f"did you mean {' or '.join(repr(choice) for choice in near)}?"
    elif choices:
        hint = f"choose from {', '.join(choices)}"
    else:
        hint = "there is none yet"
    return UnknownName(f"unknown {kind} {name!r}; {hint}")


class Registry(Mapping[str, Item]):
    """Named items of one kind, in the order in which they were registered.

    A name of the form ``package.module:attribute`` is imported, so that a user's own method,
    data set, model or attack works wherever a name is taken. A scheme takes precedence over that: where
    ``folder`` is one, ``folder:PATH`` is a name that is made on the spot.
    """

    def __init__(self, kind: str) -> None:
        """Start an empty registry; ``kind`` is the noun in its error messages."""
        self.kind = kind
        self._items: dict[str, Item] = {}
        self._schemes: dict[str, Callable[[str], Item]] = {}

    def register(self, name: str, item: Item) -> Item:
        """Add ``item`` under ``name``; a taken name is a programming error."""
        if name in self._items:
            raise ValueError(f"{self.kind} {name!r} is registered twice")
        self._items[name] = item
        return item

    def register_scheme(self, scheme: str, make: Callable[[str], Item]) -> None:
        """Let ``make`` answer for every name ``scheme:REST``; it is given REST."""
        if scheme in self._schemes:
            raise ValueError(f"{self.kind} scheme {scheme!r} is registered twice")
        self._schemes[scheme] = make

    def __getitem__(self, name: str) -> Item:
        """Return the item called ``name``, importing ``package.module:attribute`` names."""
        if name in self._items:
            return self._items[name]
        scheme, colon, rest = name.partition(":")
        if colon and scheme in self._schemes:
            return self._schemes[scheme](rest)
        if ":" in name:
            return self._import(name)
        raise unknown(self.kind, name, list(self._items))

    def __contains__(self, name: object) -> bool:
        """Tell whether ``name`` was registered (imported names are not)."""
        return name in self._items

    def __iter__(self) -> Iterator[str]:
        """Iterate over the registered names."""
        return iter(self._items)

    def __len__(self) -> int:
        """Count the registered names."""
        return len(self._items)

    def _import(self, name: str) -> Item:
        module_name, _, attribute = name.partition(":")
        try:
            item: Item = getattr(importlib.import_module(module_name), attribute)
        except (ImportError, AttributeError, ValueError, TypeError) as error:
            raise UnknownName(
                f"cannot import {self.kind} {name!r} ({error}); "
                "write package.module:name of something importable from here"
            ) from error
        return item
