"""How small stored files are read: within bounds, typed, and never trusted.

A store holds what crashes, other versions, other people and other programs left there. Whatever stands in
the place of a file (a folder, a link, a pipe, ten million characters, numbers where words belong), reading
it ends at once, with a value of the right type or with the reason as a phrase, so that one bad file spoils
nothing beside it.
"""

import errno
import math
import os
import re
import stat
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Annotated, Any, BinaryIO, TypeVar

import pydantic
from pydantic import AfterValidator, ConfigDict, FailFast, Field, TypeAdapter
from pydantic_core import from_json

from cfa.errors import StoreError

T = TypeVar("T")

MB, GB = 10**6, 10**9

STRICT = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)
"""For ``__pydantic_config__`` of a dataclass that is stored: no foreign fields, no "3" for 3, no NaN."""

Count = Annotated[int, Field(ge=0, le=2**53)]
Counts = Annotated[tuple[Count, ...], FailFast()]
Reals = Annotated[tuple[float, ...], FailFast()]
Name = Annotated[str, Field(max_length=300)]
Names = Annotated[tuple[Name, ...], FailFast()]
Text = Annotated[str, Field(max_length=20_000)]
Moment = Annotated[str, AfterValidator(lambda text: _checked_moment(text))]
"""An ISO time with its zone, or nothing."""

ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")
"""What a run, a job or an evaluation may be called where files are: never a path."""


def checked_id(text: object, kind: str) -> str:
    """Return an id that is about to become part of a path.

    Args:
        text: What claims to be one.
        kind: What it is of, for the error: run, job, evaluation.

    Raises:
        StoreError: It is no single plain name, such as ``../other``.
    """
    if not isinstance(text, str) or ID.fullmatch(text) is None:
        shown = repr(text) if len(repr(text)) <= 80 else f"{repr(text)[:80]}…"
        article = "an" if kind[0] in "aeiou" else "a"
        raise StoreError(f"{shown} is no id of {article} {kind}, which has letters, digits and . _ - alone")
    return text


def open_file(path: Path) -> BinaryIO:
    """Open a regular file to read; never waits, and follows no link.

    Raises:
        FileNotFoundError: There is nothing.
        StoreError: The reason why what is there is not read, as a phrase.
    """
    try:
        require_regular(os.lstat(path).st_mode)
        # Nothing may hang, not even on what was put there since: a pipe would wait for its writer.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path)) from error
    except OSError as error:
        raise StoreError(error.strerror or str(error)) from error
    try:
        require_regular(os.fstat(descriptor).st_mode)
    except StoreError:
        os.close(descriptor)
        raise
    return os.fdopen(descriptor, "rb")


def distance(moment: str | None) -> float:
    """Return the seconds between a stored time and now, infinite where there is none.

    Of a time that lies ahead as of one that is past: a clock that was set back makes nothing recent for ever.
    """
    try:
        return abs((datetime.now(UTC) - datetime.fromisoformat(moment or "")).total_seconds())
    except (ValueError, TypeError):
        return math.inf


def is_file(path: Path) -> bool:
    """Tell whether a regular file is there that may be looked at; no link to one, no pipe."""
    try:
        return stat.S_ISREG(os.lstat(path).st_mode)
    except OSError:
        return False


def read_bytes(path: Path, limit: int) -> bytes | None:
    """Read a whole file of at most ``limit`` bytes; ``None`` where there is none.

    Raises:
        StoreError: The reason, as a phrase.
    """
    try:
        with open_file(path) as file:
            size = os.fstat(file.fileno()).st_size
            content = file.read(min(size, limit) + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StoreError(error.strerror or str(error)) from error
    if len(content) > limit:
        raise StoreError(f"{size:,} bytes are more than the {limit:,} that such a file holds")
    return content


def read_stored(path: Path, kind: type[T], limit: int = MB) -> T | None:
    """Read a JSON file as a value of a dataclass or model; ``None`` where there is none.

    Args:
        path: The file.
        kind: What it holds; its fields are checked.
        limit: The most bytes that such a file holds.

    Raises:
        StoreError: The reason, as a phrase: what stands there, or which field does not fit.
    """
    content = read_bytes(path, limit)
    return None if content is None else decode(content, kind)


def decode(content: bytes, kind: Any) -> Any:
    """Turn JSON into a value of a type.

    Raises:
        StoreError: The first thing that does not fit, as a phrase.
    """
    try:
        return _adapter(kind).validate_json(content)
    except pydantic.ValidationError as error:
        raise StoreError(explain(error)) from error


def parse(content: object) -> Any:
    """Turn JSON, as text or bytes, into plain values.

    Raises:
        StoreError: It is none, as a phrase.
    """
    if not isinstance(content, str | bytes):
        raise StoreError(f"it is no JSON but a {type(content).__name__}")
    try:
        return from_json(content)
    except ValueError as error:
        raise StoreError(f"it is no JSON: {error}"[:200]) from error


def convert(fields: Mapping[str, Any], kind: Any) -> Any:
    """Turn plain values by name into a value of a type.

    Raises:
        StoreError: The first thing that does not fit, as a phrase.
    """
    try:
        return _adapter(kind).validate_python(fields)
    except pydantic.ValidationError as error:
        raise StoreError(explain(error)) from error


def explain(error: pydantic.ValidationError) -> str:
    """Put the first complaint about a value into a phrase, without the value, which may be huge."""
    first = error.errors(include_input=False, include_url=False)[0]
    if first["type"] == "json_invalid":
        return f"it is no JSON: {first['ctx']['error']}"
    where = ".".join(str(part)[:80] for part in first["loc"])
    if first["type"] in ("unexpected_keyword_argument", "extra_forbidden"):
        return f"{where} is not known here; another version of CFA Studio may have written it"
    if first["type"] in ("missing", "missing_argument", "missing_keyword_only_argument"):
        return f"{where} is missing"
    message = first["msg"].removeprefix("Value error, ").replace("Input should", "should")[:200]
    return f"{where} {message}" if where else message


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def _checked_moment(text: str) -> str:
    moment = datetime.fromisoformat(text) if text else datetime.now(UTC)
    if moment.tzinfo is None:
        raise ValueError("has no time zone")
    if not 1900 < moment.year < 9999:  # so that it has a date in every zone
        raise ValueError("lies in no year that a clock shows")
    return text


_STANDS_THERE = (
    (stat.S_ISLNK, "a link stands in its place"),
    (stat.S_ISDIR, "a folder stands in its place"),
    (stat.S_ISFIFO, "a pipe stands in its place"),
    (stat.S_ISSOCK, "a socket stands in its place"),
)


def require_regular(mode: int) -> None:
    """Refuse what is no regular file.

    Args:
        mode: Of ``os.lstat`` or ``os.fstat``.

    Raises:
        StoreError: What stands there instead, as a phrase.
    """
    if not stat.S_ISREG(mode):
        raise StoreError(next((what for is_kind, what in _STANDS_THERE if is_kind(mode)), "it is a device"))
