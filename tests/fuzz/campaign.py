"""Knock at doors in a process of its own: ``python -m tests.fuzz.campaign --examples 20 [--door NAME]``.

Prints one line of JSON for each door: how many changes were tried, and the smallest that went wrong. First
come the changes of `tests.fuzz.mutations.ALWAYS`, one for each text field, then drawn ones; they are the same
every time. ``--open`` takes a guard away before its door is knocked at.
"""

import argparse
import contextlib
import functools
import itertools
import json
import logging
import os
import random
import secrets
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import typer.main
import typer.testing
from hypothesis import HealthCheck, Phase, Verbosity, given, settings

from tests.fuzz.artefacts import Artefacts, make
from tests.fuzz.audit import Watch
from tests.fuzz.doors import DOORS, Door, Hanging, visit
from tests.fuzz.holes import HOLES

Until = Literal["first", "smallest", "end"]


@dataclass(frozen=True)
class Outcome:
    """What came of knocking at a door.

    Attributes:
        door: Its name.
        hole: What had been opened, or "".
        tried: Changes that were tried.
        seconds: How long it took.
        found: What went wrong, and the (first, or smallest) change that it went wrong with.
    """

    door: str
    hole: str
    tried: int
    seconds: float
    found: Mapping[str, str]


class WentWrong(AssertionError):
    """A change went wrong."""


@dataclass
class Knocker:
    """Tries changes at doors.

    Attributes:
        artefacts: The valid place.
        watch: Hears what the process does.
        examples: How many changes are tried at a door: at most half of them those of every text.
        until: The first that goes wrong, that one made small, or the end, where all are told.
    """

    artefacts: Artefacts
    watch: Watch
    examples: int
    until: Until

    def knock(self, door: Door, hole: str = "") -> Outcome:
        """Try changes at one door."""
        started, tried = time.monotonic(), 0
        found: dict[str, str] = {}

        def one(change: Any) -> None:
            nonlocal tried
            if found and self.until == "first":
                return  # what else is drawn costs little
            tried += 1
            if not (problem := self._problem(door, change)):
                return
            if self.until == "smallest":
                found.clear()
            found.setdefault(problem, repr(change)[:300])
            if self.until == "smallest":
                raise WentWrong(problem[:40])

        with contextlib.suppress(WentWrong):
            every = door.every(self.artefacts)
            some = min(len(every), self.examples // 2)
            for change in random.Random(0).sample(every, some):
                one(change)
            self._settings(self.examples - some)(given(door.draws(self.artefacts))(one))()
        return Outcome(door.name, hole, tried, round(time.monotonic() - started, 1), found)

    def _problem(self, door: Door, change: Any) -> str:
        try:
            return "; ".join(visit(door, self.artefacts, change, self.watch)[:3])[:1500]
        except (Exception, Hanging) as error:
            return _place_of(error)

    def _settings(self, examples: int) -> settings:
        return settings(
            max_examples=examples,
            derandomize=True,
            database=None,
            deadline=None,
            phases=(Phase.generate, Phase.shrink),
            verbosity=Verbosity.quiet,
            suppress_health_check=list(HealthCheck),
            report_multiple_bugs=False,
        )


def _place_of(error: BaseException) -> str:
    """Name an error and the lines of ours that it came through."""
    frames = [
        f for f in traceback.extract_tb(error.__traceback__) if "/cfa/" in f.filename or "/app/" in f.filename
    ]
    where = " < ".join(f"{Path(f.filename).name}:{f.lineno}" for f in reversed(frames[-4:]))
    return f"{type(error).__name__} at {where}: {str(error)[:200]}"


def prepare() -> Watch:
    """Turn off what has nothing to do with doors, and install the audit hook."""
    sys.dont_write_bytecode = True
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    from cfa.runs.store import Store
    from cfa.suites.costs import SuiteCosts
    from cfa.training.estimate import Estimate

    Store.open.__func__.__defaults__ = (None, None)  # type: ignore[attr-defined]  # no shipped runs
    # To measure what a suite costs takes seconds and reads no file.
    SuiteCosts.training = lambda self, config: Estimate(1.0, 1.0, 1.0, 1, 1)  # type: ignore[method-assign]
    SuiteCosts.evaluation = lambda self, wanted: (1.0, 1)  # type: ignore[method-assign]
    # The tree of commands is built once; that took a third of the time.
    typer.testing._get_command = functools.cache(typer.main.get_command)  # type: ignore[attr-defined]
    os.fsync = lambda descriptor: None  # nothing here has to outlive a power cut
    numbers = itertools.count()
    secrets.token_hex = lambda length=8: f"{next(numbers):0{2 * length}x}"  # ids are the same every time
    watch = Watch()
    watch.install()
    return watch


def main(arguments: Sequence[str] | None = None) -> None:
    """Knock at the doors asked for, then at those of the holes."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--examples", type=int, default=20)
    parser.add_argument("--door", action="append", choices=[door.name for door in DOORS], default=[])
    parser.add_argument("--until", choices=get_args(Until), default="smallest", help="when a door is left")
    parser.add_argument(
        "--open", action="append", choices=list(HOLES), default=[], help="a guard to take away"
    )
    chosen = parser.parse_args(arguments)
    doors = {door.name: door for door in DOORS}
    watch = prepare()
    with tempfile.TemporaryDirectory() as folder:
        artefacts = make(Path(folder))
        sys.path.append(str(artefacts.place / "work"))  # so that only whose name it is decides
        knocker = Knocker(artefacts, watch, chosen.examples, chosen.until)
        for name in chosen.door or ([] if chosen.open else doors):
            print(json.dumps(asdict(knocker.knock(doors[name]))), flush=True)
        for name in chosen.open:
            with HOLES[name].open():
                print(json.dumps(asdict(knocker.knock(doors[HOLES[name].door], name))), flush=True)


if __name__ == "__main__":
    main()
