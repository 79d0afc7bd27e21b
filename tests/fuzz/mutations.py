"""Changes of valid files, one field at a time: hostile texts, other types, missing keys.

A change is a small value that prints in a line and is applied to a copy; what it says is looked up here.
"""

import copy
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

SECRET = "not-to-be-carried-away"  # stands in a file outside of the store

Where = tuple[str | int, ...]

TEXTS: Mapping[str, str] = {
    "an import name": "canary:run",
    "a long tail of an import name": "canary:run-lt",
    "an import name with a budget": "canary:run@8/255",
    "a module among runs": "runs.canary:run",
    "Python's own": "shutil:rmtree",
    "a program": "os:system",
    "up": "../../outside/secret.txt",
    "up from a folder": "folder:../outside",
    "absolute": "/outside/secret.txt",  # filled in with the place
    "a folder of the system": "folder:/proc/self",
    "a file of the system": "/etc/passwd",
    "an endless file": "/dev/zero",
    "two dots": "..",
    "a dot": ".",
    "a slash": "a/b",
    "newline": "a\nb",
    "carriage return": "a\rb",
    "NUL": "a\0b",
    "bidi marks": "\u202ea\u2066b",
    "a lone surrogate": "\ud800",
    "escape sequence": "\x1b]0;a\x07\x1b[31mb",
    "empty": "",
    "blank": "  ",
    "300 letters": "n" * 300,
    "10 MB": "m" * 10_000_000,
    "an option": "--help",
    "a formula": "=1+1",
    "markup": "<img src=x onerror=alert(1)>",
    "Markdown": "![a](http://127.0.0.1:9/a.png)",
    "an address": "http://127.0.0.1:9/a",
    "a database": "sqlite:////outside/x.db",
    "a format": "{0.__class__}%s%n",
    "a pattern": "(a+)+$[",
    "none": "none",
    "digits of another script": "\u0664\u0662",
    "JSON": '{"a": 1}',
}
ALWAYS = ("an import name", "up", "absolute", "newline", "NUL", "bidi marks", "10 MB")
"""What stands in every text field once, before anything is drawn."""

VALUES: Mapping[str, Any] = {
    "null": None,
    "true": True,
    "nought": 0,
    "minus one": -1,
    "a half": 0.5,
    "2^31": 2**31,
    "2^63": 2**63,
    "2^70": 2**70,
    "400 digits": 10**400,
    "1e308": 1e308,
    "not a number": math.nan,
    "infinity": math.inf,
    "minus infinity": -math.inf,
    "an empty list": [],
    "a list of a list": [[1]],
    "a list of texts": ["a", "b"],
    "an empty object": {},
    "an object": {"a": {"b": 1}},
    "a list of nulls": [None, None],
    "lists 300 deep": reduce(lambda inner, _: [inner], range(300), []),
}
DEEP = 100_000  # brackets within brackets


@dataclass(frozen=True)
class Text:
    """One of the hostile texts, by its name."""

    name: str

    def value(self, place: Path) -> str:
        """Return it, with absolute paths that lead out of the store at ``place``."""
        return TEXTS[self.name].replace("/outside/", f"{place}/outside/")


@dataclass(frozen=True)
class Spelled:
    """A drawn text."""

    text: str

    def value(self, place: Path) -> str:
        """Return it."""
        return self.text


@dataclass(frozen=True)
class Value:
    """One of the values of another type, by its name."""

    name: str

    def value(self, place: Path) -> Any:
        """Return it."""
        return VALUES[self.name]


@dataclass(frozen=True)
class Given:
    """A drawn value."""

    of: Any

    def value(self, place: Path) -> Any:
        """Return it."""
        return self.of


@dataclass(frozen=True)
class Version:
    """The queue says that another version wrote it."""

    number: int


@dataclass(frozen=True)
class Change:
    """One field of a document becomes another.

    Attributes:
        file: Of the document, below the place.
        where: The path to the field.
        how: ``put``, ``remove``, ``rename`` (its key), ``wrap`` (in a list) or ``bury`` (in many).
        what: What is put there.
    """

    file: str
    where: Where
    how: str
    what: Text | Value | Given = Value("null")

    def apply(self, document: Any, place: Path) -> Any:
        """Return a copy of the document with the change; what cannot be changed so is left."""
        if not self.where:
            return self._new(document, place)
        *above, last = self.where
        parent = document = copy.deepcopy(document)
        for key in above:
            parent = parent[key]
        if self.how == "remove":
            del parent[last]
        elif self.how == "rename" and isinstance(parent, dict):
            parent[str(self.what.value(place))] = parent.pop(str(last))
        else:
            parent[last] = self._new(parent[last], place)
        return document

    def _new(self, old: Any, place: Path) -> Any:
        return [old] if self.how == "wrap" else BURIED if self.how == "bury" else self.what.value(place)


BURIED = "buried: replaced by brackets when it is written"


def fields_of(document: Any, most: int = 3) -> Iterator[Where]:
    """List the paths to all fields of a document; of a list only the first few items count."""
    yield ()
    items: list[tuple[str | int, Any]] = []
    if isinstance(document, dict):
        items = list(document.items())
    elif isinstance(document, list):
        items = list(enumerate(document[:most]))
    for key, value in items:
        for below in fields_of(value, most):
            yield (key, *below)


def in_every_text(documents: Mapping[str, Any], keys: Sequence[str] = ()) -> list[Change]:
    """List the changes that put each of `ALWAYS` into every field that is a text.

    Args:
        documents: By their files.
        keys: Endings of those whose keys are names that somebody chose; they are renamed as well.
    """
    places = []
    for file, document in documents.items():
        for where in fields_of(document):
            if where and isinstance(where[-1], str) and file.endswith(tuple(keys)):
                places.append((file, where, "rename"))
            if isinstance(_at(document, where), str):
                places.append((file, where, "put"))
    return [Change(*place, Text(name)) for place in places for name in ALWAYS]


def _at(document: Any, where: Where) -> Any:
    for key in where:
        document = document[key]
    return document


def texts() -> st.SearchStrategy[Text | Spelled]:
    """Draw a text: mostly one of the hostile ones."""
    return st.one_of(st.sampled_from([Text(name) for name in TEXTS]), st.text(max_size=40).map(Spelled))


def whats() -> st.SearchStrategy[Text | Value | Given]:
    """Draw what is put into a field: a hostile text, a value of another type, or anything."""
    drawn = st.one_of(
        st.text(max_size=20), st.integers(), st.floats(allow_nan=True), st.lists(st.integers(), max_size=3)
    )
    return st.one_of(
        st.sampled_from([Text(name) for name in TEXTS]),
        st.sampled_from([Value(name) for name in VALUES]),
        st.builds(Given, drawn),
    )


def changes(documents: Mapping[str, Any]) -> st.SearchStrategy[Change]:
    """Draw a change of one field of one of the documents, by their file names."""
    places = [(file, where) for file, document in documents.items() for where in fields_of(document)]

    def build(at: tuple[str, Where], how: str, what: Text | Value | Given) -> Change:
        return Change(at[0], at[1], how if at[1] or how in ("put", "wrap", "bury") else "put", what)

    hows = st.sampled_from(["put"] * 6 + ["remove", "rename", "wrap", "bury"])
    return st.builds(build, st.sampled_from(places), hows, whats())
