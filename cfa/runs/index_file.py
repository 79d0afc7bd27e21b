"""The file that an index is kept in between processes: SQLite on a local disk, thrown away whenever in doubt.

What it says is checked before it is believed: every row carries a hash of itself, of the code that made it
and of the state of the files that it was made from. A file that is damaged, of another version or somebody
else's is deleted or left alone, and everything is made anew; nothing is lost with it.
"""

import hashlib
import os
import sqlite3
import stat
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from cfa.home import PROJECT

BUSY_SECONDS = 0.5  # that one waits for another process; then one does without

_PASSES = (
    *(sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL, sqlite3.SQLITE_NOMEM),
    *(sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_INTERRUPT),
)
"""Errors that say nothing of the file; every other one deletes it."""

_TABLE = (
    "CREATE TABLE entries (kind TEXT, path BLOB, standing TEXT, content TEXT, digest BLOB, "
    "PRIMARY KEY (kind, path)) WITHOUT ROWID"
)


@dataclass(frozen=True)
class Row:
    """What is kept of one thing that was made of one run.

    Attributes:
        kind: What it is.
        path: The run's folder.
        standing: How the run's files stood, as text.
        content: What was made, as JSON.
    """

    kind: str
    path: str
    standing: str
    content: str

    @property
    def digest(self) -> bytes:
        """A hash of all of it and of the code of this process, which other code does not read."""
        said = hashlib.blake2b(code_identity(), digest_size=16)
        for part in (self.kind, self.path, self.standing, self.content):
            encoded = os.fsencode(part)
            said.update(b"%d:" % len(encoded) + encoded)
        return said.digest()


class IndexFile:
    """Rows on a disk; reads none and keeps none where that cannot be."""

    def __init__(self, path: Path) -> None:
        """Name the file; nothing is opened yet."""
        self.path = path
        self._swept = False

    def read(self, kind: str, paths: Iterable[str]) -> dict[str, Row]:
        """Return the rows of some runs, by the runs' paths; a row that is not whole is left out."""
        rows: dict[str, Row] = {}
        with suppress(sqlite3.Error, OSError), self._opened() as connection:
            for path in paths:
                found = connection.execute(
                    "SELECT standing, content, digest FROM entries WHERE kind = ? AND path = ?",
                    (kind, os.fsencode(path)),
                ).fetchone()
                if found is not None and all(isinstance(text, str) for text in found[:2]):
                    row = Row(kind, path, found[0], found[1])
                    if row.digest == found[2]:
                        rows[path] = row
        return rows

    def write(self, rows: Iterable[Row]) -> None:
        """Keep rows, in the place of those of the same kind and run; no trace stays where that fails."""
        with suppress(sqlite3.Error, OSError), self._opened() as connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(
                "INSERT OR REPLACE INTO entries VALUES (?, ?, ?, ?, ?)",
                [(row.kind, os.fsencode(row.path), row.standing, row.content, row.digest) for row in rows],
            )
            if not self._swept:  # once a process
                self._swept = True
                gone = [
                    found
                    for found in connection.execute("SELECT DISTINCT path FROM entries").fetchall()
                    if not (isinstance(found[0], bytes) and os.path.lexists(found[0]))
                ]
                connection.executemany("DELETE FROM entries WHERE path = ?", gone)
            connection.execute("COMMIT")

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        """Open the file, made anew where it is none of ours; whatever damage turns up deletes it."""
        self._refuse_others()
        try:
            with closing(self._connected()) as connection:
                if not _is_ours(connection):
                    raise sqlite3.DatabaseError("another table")
                yield connection
        except (
            sqlite3.Error,
            UnicodeError,
        ) as error:  # sqlite3 cannot even say what is wrong with some files
            if getattr(error, "sqlite_errorcode", 0) & 0xFF not in _PASSES:
                self._throw_away()
            raise sqlite3.DatabaseError("no index") from error

    def _connected(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, timeout=BUSY_SECONDS, isolation_level=None)
        try:
            connection.execute("PRAGMA trusted_schema = OFF")
            connection.execute("PRAGMA synchronous = OFF")  # what a power cut spoils is made anew
            if connection.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,):
                connection.execute(_TABLE.replace("TABLE", "TABLE IF NOT EXISTS", 1))
        except BaseException:
            connection.close()
            raise
        return connection

    def _refuse_others(self) -> None:
        """Make the folder for this user alone; an OSError where file or folder are another's, or no such."""
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        for place, is_kind in ((self.path.parent, stat.S_ISDIR), (self.path, stat.S_ISREG)):
            with suppress(FileNotFoundError):
                found = os.lstat(place)
                if not is_kind(found.st_mode) or found.st_uid != os.geteuid():
                    raise PermissionError(f"{place} is not ours")

    def _throw_away(self) -> None:
        for place in (f"{self.path}-journal", f"{self.path}-wal", f"{self.path}-shm", self.path):
            with suppress(OSError):
                os.unlink(place)


def _is_ours(connection: sqlite3.Connection) -> bool:
    found = connection.execute("SELECT sql FROM sqlite_master").fetchall()
    return [sql.replace("IF NOT EXISTS ", "") if sql else "" for (sql,) in found] == [_TABLE]


@cache
def code_identity() -> bytes:
    """Tell the code of this process from every other, which may make something else of the same files."""
    said = hashlib.blake2b(digest_size=16)
    for top in ("cfa", "app"):
        for file in sorted((PROJECT / top).rglob("*.py")):
            found = file.stat()
            said.update(f"{file} {found.st_size} {found.st_mtime_ns}\n".encode(errors="surrogateescape"))
    return said.digest()
