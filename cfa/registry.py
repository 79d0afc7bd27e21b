"""A registry is a dict with manners: it suggests the nearest names and admits a user's own code."""

import difflib
from collections.abc import Callable, Iterator, Mapping
from typing import TypeVar

from cfa import trust
from cfa.errors import ConfigError, UnknownName

Item = TypeVar("Item")

LONGEST_SHOWN = 200
"""Characters of a name that are repeated where nothing is called so."""

Accept = Callable[[str, str, object], Item]
"""Takes an import name, its module and what was found there; returns that, or a ConfigError says why not."""


def unknown(kind: str, name: str, choices: list[str]) -> UnknownName:
    """Build the error for a name nobody answers to, nearest choices first."""
    near = difflib.get_close_matches(name[:LONGEST_SHOWN], choices, n=3, cutoff=0.4)
    if near:
        hint = f"did you mean {' or '.join(repr(choice) for choice in near)}?"
    elif choices:
        hint = f"choose from {', '.join(choices)}"
    else:
        hint = "there is none yet"
    return UnknownName(f"unknown {kind} {_shown(name)!r}; {hint}")


def _shown(name: str) -> str:
    return name if len(name) <= LONGEST_SHOWN else f"{name[:LONGEST_SHOWN]}…"


class Registry(Mapping[str, Item]):
    """Named items of one kind, in the order in which they were registered.

    A name of the form ``package.module:attribute`` is imported where a person typed it (`cfa.trust`), so that
    a user's own method, data set, model or attack works wherever a name is taken; it must be of the kind
    that the registry holds. A scheme takes precedence over that: where ``folder`` is one, ``folder:PATH`` is
    a name that is made on the spot.
    """

    def __init__(self, kind: str, accept: "Accept[Item] | None" = None) -> None:
        """Start an empty registry.

        Args:
            kind: The noun in its error messages.
            accept: Checks what an import name stands for; without it no such names are taken.
        """
        self.kind = kind
        self._accept = accept
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
        if scheme not in trust.SCHEMES:
            raise ValueError(
                f"scheme {scheme!r} is not in cfa.trust.SCHEMES, so that it would be a module's name"
            )
        self._schemes[scheme] = make

    def __getitem__(self, name: str) -> Item:
        """Return the item called ``name``, importing ``package.module:attribute`` names."""
        if name in self._items:
            return self._items[name]
        scheme, colon, rest = name.partition(":")
        if colon and scheme in self._schemes:
            return self._schemes[scheme](rest)
        if ":" in name and self._accept is not None:
            return self._imported(name, self._accept)
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

    def _imported(self, name: str, accept: "Accept[Item]") -> Item:
        if trust.import_name(name) != name:
            raise UnknownName(
                f"cannot import {self.kind} {_shown(name)!r}; write package.module:name of something of yours"
            )
        module, item = trust.resolve(self.kind, name)
        return accept(name, module, item)


def instance_of(kind: type[Item], way_out: str) -> Accept[Item]:
    """Make the check of a registry whose items are instances of one class.

    Args:
        kind: The class.
        way_out: What to write instead of anything else.
    """

    def accept(name: str, module: str, item: object) -> Item:
        if not isinstance(item, kind):
            raise ConfigError(f"{name!r} is {type(item).__name__} and not a {kind.__name__}; {way_out}")
        return item

    return accept
