"""Saved views: a page with all that is chosen on it, under a name, in one file in the store's home."""

import json
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Annotated

from pydantic import FailFast, Field

from app.process.opened import store
from app.process.rights import acts, looks
from cfa.errors import ConfigError, StoreError
from cfa.files import write_text
from cfa.locks import hold
from cfa.runs.run_names import normal, refusal
from cfa.stored import MB, STRICT, Name, decode, read_stored

MOST = 500
"""Views: a list that a person reads."""

FILE = "views.json"
ROOM = 4 * MB

Value = Annotated[str, Field(max_length=2000)]


@dataclass(frozen=True)
class View:
    """A page as somebody left it.

    Attributes:
        name: What it is called.
        page: The page, as its address ends; empty for the first.
        query: The parameters of its address.
    """

    __pydantic_config__ = STRICT

    name: Name
    page: Annotated[str, Field(pattern=r"^[a-z_]{0,40}$")]
    query: dict[Name, list[Value]]


@dataclass(frozen=True)
class _Stored:
    __pydantic_config__ = STRICT

    views: Annotated[list[View], FailFast(), Field(max_length=MOST)]


@dataclass(frozen=True)
class Views:
    """What is saved.

    Attributes:
        views: By name.
        problem: Why the file cannot be read, with the way out; empty where it can, or where there is none.
    """

    views: tuple[View, ...]
    problem: str = ""


@looks
def saved_views() -> Views:
    """List the saved views; a damaged file is a problem, and no error."""
    try:
        return Views(_read())
    except StoreError as error:
        return Views((), str(error))


@acts
def save_view(name: str, page: str, query: dict[str, list[str]]) -> None:
    """Keep a page with all that is chosen on it.

    Raises:
        ConfigError: The name is not usable, or taken.
        StoreError: The file is damaged, or cannot be written.
    """
    with _changing():
        views = _read()
        if len(views) >= MOST:
            raise ConfigError(f"{MOST} views are saved, and there is no room for more; delete some")
        _write((*views, View(_free(name, views), page, query)))


@acts
def rename_view(name: str, wanted: str) -> None:
    """Give a view another name; errors as for :func:`save_view`."""
    with _changing():
        views = _read()
        if name not in [view.name for view in views]:
            raise ConfigError(f"no view is called {name!r} any more; somebody renamed or deleted it")
        others = tuple(view for view in views if view.name != name)
        free = _free(wanted, others)
        _write(tuple(replace(view, name=free) if view.name == name else view for view in views))


@acts
def delete_view(name: str) -> None:
    """Delete a view; one that is gone already is no error."""
    with _changing():
        _write(tuple(view for view in _read() if view.name != name))


def _file() -> Path:
    return store().home / FILE


def _changing() -> AbstractContextManager[None]:
    busy = "somebody else is changing the saved views; try again"
    return hold(store().locks_folder / "views.lock", busy)


def _read() -> tuple[View, ...]:
    try:
        stored = read_stored(_file(), _Stored, ROOM)
    except StoreError as error:
        raise StoreError(
            f"the saved views cannot be read ({FILE} in the store: {error}); mend that file, or move it away "
            "to begin anew"
        ) from error
    views = sorted(stored.views, key=lambda view: view.name.casefold()) if stored else []
    twice = next((a.name for a, b in pairwise(views) if a.name.casefold() == b.name.casefold()), None)
    if twice is not None:
        raise StoreError(
            f"saved views cannot be read: {FILE} in the store names {twice[:80]!r} twice; mend it"
        )
    return tuple(views)


def _write(views: tuple[View, ...]) -> None:
    text = json.dumps({"views": [asdict(view) for view in views]}, indent=1, ensure_ascii=False)
    if len(text.encode()) > ROOM:  # what is written must be read again
        raise ConfigError(f"saved views take {ROOM:,} bytes at most, and with this one they have more")
    try:
        decode(text.encode(), _Stored)
    except StoreError as error:
        raise ConfigError(f"this view cannot be saved: {error}; choose something shorter") from error
    write_text(_file(), text)


def _free(wanted: str, others: tuple[View, ...]) -> str:
    name = normal(wanted.strip())
    if why := refusal(name):
        raise ConfigError(f"the name {name!r} is not usable{why}")
    if name.casefold() in [view.name.casefold() for view in others]:
        raise ConfigError(f"a view is called {name!r} already; choose another name")
    return name
