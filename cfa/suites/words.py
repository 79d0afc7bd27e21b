"""What a suite file may say in the places of names: suites are handed round, and none leads anywhere else."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import pydantic
from pydantic import AfterValidator, Field

LARGEST_FILE = 10**6  # bytes
MOST_RUNS = 10_000
DEEPEST, MOST_DOTS = 20, 100

Word = Annotated[str, Field(pattern=r"^\w[\w.+-]*(:[\w.+-]+)?(\([\w., +-]*\))?(@[\w./]+)?$", max_length=200)]
"""A word, ``module:name``, ``autoattack(apgd-ce,square)``, ``pgd-20@8/255``; never a path."""

Prefix = Annotated[str, Field(pattern=r"^\w[\w .+()-]{0,39}$")]
"""What names of runs begin with."""

_WORD = pydantic.TypeAdapter(Word)


def _is_dataset(name: str) -> str:
    scheme, _, path = name.partition(":")
    if scheme != "folder":
        return _WORD.validate_python(name)
    if not path.isprintable() or ".." in Path(path).parts:
        raise ValueError("should be a folder's path without `..` and control characters")
    return name


DatasetWord = Annotated[str, Field(max_length=4096), AfterValidator(_is_dataset)]
"""A word, or ``folder:PATH`` of an image folder, which goes nowhere but down."""


def check_dots(text: str) -> None:
    """Raise a RecursionError where a key has very many parts: the parser takes their square of memory."""
    if any(part.count(".") > MOST_DOTS for part in re.split(r"[\n={,]", text)):
        raise RecursionError


def check_depth(given: object) -> None:
    """Raise a RecursionError where tables and lists lie deeper within each other than a suite needs."""
    level: list[object] = [given]
    for _ in range(DEEPEST):
        level = [part for whole in level for part in _parts(whole)]
        if not level:
            return
    raise RecursionError


def _parts(whole: object) -> Iterable[object]:
    if isinstance(whole, dict):
        return whole.values()
    return whole if isinstance(whole, list) else ()
