"""The holes that were closed, each opened again by taking one guard away.

`tests.fuzz.campaign --open HOLE` then has to find it at its door; a fuzzer that finds nothing there looks at
nothing. Each guard stands in one place, so that one patch takes it away.
"""

import json
import re
import shutil
import sys
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

from cfa import stored, trust
from cfa.errors import StoreError
from cfa.jobs import database
from cfa.jobs.database import Database
from cfa.runs import imports
from cfa.suites import suite_file
from cfa.tables import exports

Opening = AbstractContextManager[object]


@dataclass(frozen=True)
class Hole:
    """A guard that can be taken away.

    Attributes:
        point: Of issue 11.
        door: Where the fuzzer knocks.
        open: Takes the guard away for a while, in this process.
        says: What the problem that is then found has to say.
    """

    point: str
    door: str
    open: Callable[[], Opening]
    says: str


def _import_whatever_is_named() -> Opening:
    return patch.object(trust, "require_allowed", lambda kind, text: None)


def _take_every_file() -> Opening:
    return patch.object(imports, "room_for", lambda name: sys.maxsize)


def _follow_links_out() -> Opening:
    return patch.object(exports, "copy_regular", _copy_all)


def _follow_links_in() -> Opening:
    return patch.object(imports, "copy_regular", _copy_all)


def _copy_all(source: Path, target: Path, room: object) -> list[Any]:
    code = shutil.ignore_patterns("*.py")  # which would be found before
    shutil.copytree(source, target, dirs_exist_ok=True, ignore_dangling_symlinks=True, ignore=code)
    return []


def _open_links() -> Opening:
    return patch.object(stored, "open_file", lambda path: path.open("rb"))


def _believe_every_field() -> Opening:
    return patch.object(stored, "decode", lambda content, kind: kind(**json.loads(content)))


def _read_rows_unchecked() -> Opening:
    return patch.object(database, "convert", lambda fields, kind: kind(**fields))


def _take_paths_for_ids() -> Opening:
    return patch.object(stored, "ID", re.compile(".*", re.DOTALL))


def _overwrite_newer_queues() -> Opening:
    usable = Database._usable

    def of_this_version_or_no_queue(self: Database) -> bool:
        try:
            return usable(self)
        except StoreError:
            return False

    return patch.object(Database, "_usable", of_this_version_or_no_queue)


def _parse_without_end() -> Opening:
    # What catches it catches something else then; without `check_depth` alone nothing is to be seen.
    return patch.object(suite_file, "RecursionError", KeyError, create=True)


HOLES: Mapping[str, Hole] = {
    "import what a stored file names": Hole("A2", "config", _import_whatever_is_named, "canary.imported"),
    "import a whole folder": Hole("A2", "import", _take_every_file, "imported: canary.py"),
    "export what links lead to": Hole("A2", "run files", _follow_links_out, "carried away"),
    "import what links lead to": Hole("A2", "import", _follow_links_in, "open for reading"),
    "read what links lead to": Hole("D1", "run files", _open_links, "open for reading"),
    "believe every field": Hole("D1", "run", _believe_every_field, "Error"),
    "read rows unchecked": Hole("D1", "queue", _read_rows_unchecked, "Error"),
    "take paths for ids": Hole("D4", "queue rows", _take_paths_for_ids, ""),
    "overwrite newer queues": Hole("D3", "queue", _overwrite_newer_queues, "was overwritten"),
    "parse without end": Hole("D10", "suite", _parse_without_end, "RecursionError"),
}
