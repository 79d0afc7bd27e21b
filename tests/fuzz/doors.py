"""Doors that files and texts of others come in by, each driven in this process, and what never happens there.

A door takes one change, applies it to a copy of the valid place, and calls what a user would call. What went
wrong comes back: a traceback, an exit code that is none of ours, a neighbour that is not listed any more, a
secret that was carried away, a file outside that changed, or what `tests.fuzz.audit` heard.
"""

import os
import shutil
import signal
import sys
import tempfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import streamlit as st
from hypothesis import strategies

from cfa.jobs.database import VERSION
from tests.fuzz import looks
from tests.fuzz.artefacts import DATASET, Artefacts
from tests.fuzz.audit import Watch
from tests.fuzz.contents import byte_changes
from tests.fuzz.formats import NAMED_BY_KEYS
from tests.fuzz.looks import LOG, QUEUED
from tests.fuzz.mutations import ALWAYS, SECRET, Text, Version, changes, in_every_text, texts
from tests.fuzz.pages import FORMS
from tests.fuzz.places import (
    BROUGHT,
    Place,
    change_images,
    change_row,
    lose_the_queue,
    put,
    rename_run,
    save_checkpoint,
    type_on_a_page,
    type_text,
)

SECONDS = 60  # after which a command hangs; other tests run beside

Strategy = strategies.SearchStrategy[Any]


@dataclass(frozen=True)
class Door:
    """A way in.

    Attributes:
        name: What comes in by it.
        every: The changes of every text that are tried before any is drawn.
        draws: The changes to draw.
        apply: Makes one in a copy; false where the file system does not take it.
        drive: Calls what a user would.
        follows: Whether what is named by a person may be read wherever it lies.
    """

    name: str
    every: Callable[[Artefacts], Sequence[Any]]
    draws: Callable[[Artefacts], Strategy]
    apply: Callable[[Place, Any], bool]
    drive: Callable[[Place], None]
    follows: bool = False


def visit(door: Door, artefacts: Artefacts, change: Any, watch: Watch) -> list[str]:
    """Drive a door with one change; return what went wrong."""
    root = artefacts.copy()
    place = Place(root, artefacts, [], number=zlib.crc32(repr(change).encode(errors="replace")))
    try:
        if not door.apply(place, change):
            return []
        before = _listing(root)
        private = None if door.follows else root / "outside"
        allowed = (place.home, place.out, root / "scratch")
        with _standing_in(root), _in_time(), watch.over(*allowed, private=private) as heard:
            door.drive(place)
        place.problems += heard
        place.problems += _escaped(before, _listing(root), place)
    finally:
        for name in [name for name in sys.modules if name.partition(".")[0] == "canary"]:
            del sys.modules[name]
        st.cache_resource.clear()
        st.cache_data.clear()
        shutil.rmtree(root, ignore_errors=True)
    return place.problems


@contextmanager
def _standing_in(root: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(root / "work")
    os.environ["CFA_HOME"] = str(root / "home")
    os.environ["CFA_CACHE"] = str(root / "scratch" / "cache")  # the index may be written, and nothing else
    tempfile.tempdir = str(root / "scratch")
    try:
        yield
    finally:
        tempfile.tempdir = None
        os.chdir(before)


class Hanging(BaseException):
    """A command does not come back; nobody takes it for an error of theirs."""


@contextmanager
def _in_time() -> Iterator[None]:
    def late(number: int, frame: object) -> None:
        raise Hanging(f"nothing came back for {SECONDS} seconds")

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, SECONDS, 1)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _listing(root: Path) -> dict[str, tuple[int, int]]:
    """Describe everything beside the store: nobody may write there, native code included."""
    found = {}
    for path in [*(root / "outside").rglob("*"), *(root / "work").rglob("*"), *root.iterdir()]:
        state = path.lstat()
        found[str(path.relative_to(root))] = (state.st_mode, 0 if path.is_dir() else state.st_mtime_ns)
    return found


def _escaped(before: dict[str, Any], after: dict[str, Any], place: Place) -> Iterator[str]:
    changed = {name for name in after if before.get(name) != after[name]} | (before.keys() - after.keys())
    yield from (f"changed outside of the store: {name}" for name in sorted(changed - {"out"}))
    for path in place.out.rglob("*") if place.out.exists() else ():
        if path.is_file() and SECRET.encode() in path.read_bytes():
            yield f"a secret was carried away in {path.relative_to(place.root)}"


# Which changes, and which words ----------------------------------------------------------------------

EVALUATING = (
    *("--eps", "--norm", "--weights", "--checkpoint", "--sweep", "--mode", "--transfer-from"),
    *("--seed", "--limit", "--plan", "--device", "--keep-megabytes", "--dataset", "--attack"),
)
TRAINING = ("--name", "--seed", "--epochs", "--device", "--init", "--teacher", "--set", "--preset", "--model")
COMMANDS: Sequence[tuple[str, ...]] = (
    ("compare", "--", "alpha", "TEXT"),
    ("compare", "alpha", "beta", "--baseline", "TEXT"),
    ("compare", "--tag", "TEXT"),
    ("export", "--out", "OUT/one", "--", "TEXT"),
    ("resume", "--queue", "--", "TEXT"),
    ("pause", "--", "TEXT"),
    ("cancel", "--", "TEXT"),
    ("fetch", "--queue", "--", "TEXT"),
    ("evaluate", *QUEUED, "--", "TEXT"),
    *(("evaluate", "beta", *QUEUED, option, "TEXT") for option in EVALUATING),
    ("evaluate", "OUT/../work/weights.safetensors", "--dataset", DATASET, *QUEUED, "--model", "TEXT"),
    ("evaluate", "OUT/../work/weights.safetensors", "--dataset", DATASET, *QUEUED, "--normalize", "TEXT"),
    *(
        ("train", "--method", "pgd-at", "--dataset", DATASET, "--queue", option, "TEXT")
        for option in TRAINING
    ),
    ("train", "--method", "TEXT", "--dataset", DATASET, "--queue"),
    ("train", "--method", "pgd-at", "--dataset", "TEXT", "--queue"),
    ("import", LOG, "--name", "TEXT"),
    ("import", LOG, "--method", "TEXT"),
    ("import", LOG, "--set", "TEXT"),
    ("import", "--", "TEXT"),
    ("suite", "plan", "--", "TEXT"),
    ("suite", "run", "OUT/../work/suite.toml", "--dataset", "TEXT"),
)


def _alpha(artefacts: Artefacts, file: str = "") -> str:
    return f"home/runs/{artefacts.alpha}/{file}"


def _config(artefacts: Artefacts) -> Mapping[str, Any]:
    return artefacts.having(_alpha(artefacts, "config"))


def _small_files(artefacts: Artefacts) -> Mapping[str, Any]:
    found = artefacts.having(_alpha(artefacts))
    return {file: one for file, one in found.items() if ".json" in file and not file.endswith("config.json")}


def _large_files(artefacts: Artefacts) -> Mapping[str, Any]:
    found = artefacts.having(_alpha(artefacts))
    return {file: one for file, one in found.items() if ".json" not in file and "fawa" not in file}


def _jobs(artefacts: Artefacts) -> Mapping[str, Any]:
    return artefacts.having("home/jobs/")


def _row(artefacts: Artefacts) -> Mapping[str, Any]:
    return {"row": artefacts.row}


def _weights(artefacts: Artefacts) -> Mapping[str, Any]:
    return {BROUGHT: artefacts.checkpoint, **artefacts.having("work/weights")}


def _exported(artefacts: Artefacts) -> Mapping[str, Any]:
    found = artefacts.having("work/export/")
    return {file: one for file, one in found.items() if ".json" in file}


def _fields(documents: Callable[[Artefacts], Mapping[str, Any]]) -> Callable[[Artefacts], Sequence[Any]]:
    return lambda artefacts: in_every_text(documents(artefacts), NAMED_BY_KEYS)


def _each(*firsts: Any) -> Callable[[Artefacts], Sequence[Any]]:
    """Pair each of some first parts of a change with each of the texts."""
    return lambda artefacts: [(first, Text(name)) for first in firsts for name in ALWAYS]


def _drawn(
    documents: Callable[[Artefacts], Mapping[str, Any]], *patterns: str, typed: bool = False
) -> Callable[[Artefacts], Strategy]:
    """Draw changes of fields, and of the bytes of the files that fit patterns."""

    def draw(artefacts: Artefacts) -> Strategy:
        files = artefacts.files(*(pattern.replace("ALPHA", _alpha(artefacts)) for pattern in patterns))
        of_fields = changes(documents(artefacts))
        return strategies.one_of(of_fields, byte_changes(files, typed=typed)) if files else of_fields

    return draw


def _drawn_jobs(artefacts: Artefacts) -> Strategy:
    versions = strategies.builds(Version, strategies.integers(-(2**31), 2**31 - 1))
    return strategies.one_of(_drawn(_jobs, "home/jobs/*/*", "home/queue.sqlite")(artefacts), versions)


def _changed_jobs(artefacts: Artefacts) -> Sequence[Any]:
    versions = [Version(number) for number in (VERSION - 1, VERSION + 1, 2**31 - 1)]
    return [*versions, *in_every_text(_jobs(artefacts), NAMED_BY_KEYS)]


def _drawn_images(artefacts: Artefacts) -> Strategy:
    names = strategies.tuples(strategies.sampled_from(PARTS), texts())
    return strategies.one_of(byte_changes(artefacts.files("work/images/**/*.png")), names)


def _lies(start: str) -> Callable[[Artefacts], Mapping[str, Any]]:
    return lambda artefacts: artefacts.having(start)


PARTS = ("train", "test", "both")
SUITE, LOGS, PUBLISHED = _lies("work/suite.toml"), _lies("work/log/"), _lies("work/published.json")
DOORS: Sequence[Door] = (
    Door("config", _fields(_config), _drawn(_config), put, looks.around_a_config),
    Door("run", _fields(_small_files), _drawn(_small_files), put, looks.around_a_run),
    Door("run files", _fields(_large_files), _drawn(_large_files, "ALPHA**/*"), put, looks.around_a_run),
    Door(
        "run names",
        lambda artefacts: [Text(name) for name in ALWAYS],
        lambda artefacts: texts(),
        rename_run,
        looks.around_a_name,
    ),
    Door("queue", _changed_jobs, _drawn_jobs, lose_the_queue, looks.around_the_queue),
    Door("queue rows", _fields(_row), _drawn(_row), change_row, looks.around_the_queue),
    Door(
        "suite",
        _fields(SUITE),
        _drawn(SUITE, "work/suite.toml", typed=True),
        put,
        looks.around_a_suite,
        follows=True,
    ),
    Door(
        "weights",
        _fields(_weights),
        _drawn(_weights, "work/weights.safetensors", typed=True),
        save_checkpoint,
        looks.around_weights,
        follows=True,
    ),
    Door("images", _each(*PARTS), _drawn_images, change_images, looks.around_images, follows=True),
    Door(
        "import", _fields(_exported), _drawn(_exported, "work/export/runs/**/*"), put, looks.around_an_import
    ),
    Door(
        "official log",
        _fields(LOGS),
        _drawn(LOGS, "work/log/**/*", typed=True),
        put,
        looks.around_a_log,
        follows=True,
    ),
    Door(
        "published numbers",
        _fields(PUBLISHED),
        _drawn(PUBLISHED, "work/published.json", typed=True),
        put,
        looks.around_published,
        follows=True,
    ),
    Door(
        "names",
        _each(*COMMANDS),
        lambda artefacts: strategies.tuples(strategies.sampled_from(COMMANDS), texts()),
        type_text,
        looks.typing,
        follows=True,
    ),
    Door(
        "forms",
        _each(*FORMS),
        lambda artefacts: strategies.tuples(strategies.sampled_from(list(FORMS)), texts()),
        type_on_a_page,
        looks.typing_on_a_page,
        follows=True,
    ),
)
