"""The queue's table in SQLite: an index over job folders, rebuilt from them when it is lost or broken."""

import errno
import os
import re
import sqlite3
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.sqlite import dialect as sqlite_dialect
from sqlalchemy.pool import NullPool

from cfa.errors import StoreError
from cfa.files import cannot_write, make_folder, replacing
from cfa.jobs.job import JobRow, unreadable
from cfa.jobs.job_folder import JobFolder, write_json
from cfa.locks import hold
from cfa.stored import MB, convert, is_file, open_file, parse, read_bytes

VERSION = 1  # of the table and of the files in job folders; older ones are brought here, newer ones refused
BUSY_SECONDS = 30.0  # that one waits while others write
MOST_VALUES = 500  # that one statement names

_metadata = sa.MetaData()
JOBS = sa.Table(
    "jobs",
    _metadata,
    sa.Column("id", sa.String, primary_key=True),
    sa.Column("kind", sa.String, nullable=False),
    sa.Column("title", sa.String, nullable=False),
    sa.Column("spec", sa.JSON, nullable=False),
    sa.Column("after_jobs", sa.JSON, nullable=False),
    sa.Column("run_id", sa.String),
    sa.Column("created", sa.String, nullable=False),
    sa.Column("estimate_seconds", sa.Float),
    sa.Column("state", sa.String, nullable=False),
    sa.Column("requested", sa.String),
    sa.Column("position", sa.Float, nullable=False),
    sa.Column("device", sa.String),
    sa.Column("foreground", sa.Boolean, nullable=False),
    sa.Column("ran_on", sa.String),
    sa.Column("started", sa.String),
    sa.Column("finished", sa.String),
    sa.Column("message", sa.String, nullable=False),
    sa.Column("pid", sa.Integer),
    sa.Column("host", sa.String),
)
FIXED = ("id", "kind", "title", "spec", "after_jobs", "run_id", "created", "estimate_seconds")
CHANGING = tuple(column.name for column in JOBS.columns if column.name not in FIXED)

COLUMNS = tuple(column.name for column in JOBS.columns)

_OF_ONE_FOLDER = (errno.ENOTDIR, errno.EEXIST, errno.EISDIR, errno.EACCES, errno.EPERM, errno.ELOOP)
Rows = Generator[dict[str, Any], None, None]
"""Rows of the table, one after the other, by the names of their columns."""

_DAMAGED = (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT)
_WAYS_OUT = {
    "SQLITE_BUSY": "another process holds it; end that one, or retry",
    "SQLITE_LOCKED": "another process holds it; end that one, or retry",
    "SQLITE_FULL": "free disk space, then retry",
    "SQLITE_READONLY": "set CFA_HOME to a folder that you may write to",
    "SQLITE_CANTOPEN": "set CFA_HOME to a folder that you may write to",
    "SQLITE_PERM": "set CFA_HOME to a folder that you may write to",
}
"""By the beginning of SQLite's name of an error."""


class Database:
    """Short transactions on the queue; each opens the file anew, so a deleted file is noticed."""

    def __init__(self, home: Path) -> None:
        """Name the queue at ``home``; nothing is opened yet."""
        self.home = home
        self.path = home / "queue.sqlite"
        self._journal = home / "queue.sqlite-journal"
        self._logs = home / "queue.sqlite-wal", home / "queue.sqlite-shm"
        self._engine = _engine(self.path)

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """Give a connection to read from."""
        with self._connection() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """Give a connection that alone may write; committed at the end, undone by an error."""
        with self._connection() as connection:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            try:
                yield connection
            except BaseException:
                connection.rollback()
                raise
            connection.commit()

    @staticmethod
    def rows(connection: sa.Connection, job_id: str | None = None) -> list[dict[str, Any]]:
        """Read all rows in the order of the queue, or that of one job, as SQLite has them: nothing converted.

        A row that somebody else wrote, in which a type does not fit, then spoils no other.
        """
        if job_id is None:
            return list(_found(connection))
        return list(_found(connection, "id = ?", _storable([job_id])))

    @staticmethod
    def queued(connection: sa.Connection, device: str) -> Rows:
        """Read the rows of jobs that wait and may run on a device, one after the other, in order."""
        which = "state = 'queued' AND (device IS NULL OR device = ?)"
        # Sorted are their numbers alone: rows are read one by one, and mostly the first of them is all.
        text = f"SELECT rowid FROM jobs WHERE {which} ORDER BY position, created"
        with closing(connection.exec_driver_sql(text, (device,))) as numbers:
            for (number,) in numbers:
                yield from _found(connection, "rowid = ?", (number,))

    @staticmethod
    def rows_of_runs(connection: sa.Connection, run_ids: Iterable[str]) -> list[dict[str, Any]]:
        """Read the rows of jobs about some runs, in order."""
        ids = _storable(run_ids)
        if len(ids) > MOST_VALUES:
            wanted = set(ids)
            return [row for row in _found(connection) if row["run_id"] in wanted]
        return list(_found(connection, _one_of("run_id", ids), ids))

    @staticmethod
    def rows_after(connection: sa.Connection, job_id: str) -> list[dict[str, Any]]:
        """Read the rows that may wait for a job, in order: those that name it, or what a backslash hides."""
        which = r"instr(after_jobs, ?) OR instr(after_jobs, '\')"
        return list(_found(connection, which, _storable([job_id])))

    @staticmethod
    def states(connection: sa.Connection, job_ids: Iterable[str]) -> dict[str, Any]:
        """Read the states of some jobs by their ids; of one that is not there none."""
        wanted = _storable(job_ids)
        found: dict[str, Any] = {}
        # What is not found by its id may have an id of another type, or the file's index of ids is damaged.
        for column in ("id", "CAST(id AS TEXT)"):
            for some in _in_pieces([job_id for job_id in wanted if job_id not in found]):
                text = f"SELECT CAST(id AS TEXT), state FROM jobs WHERE {_one_of(column, some)}"
                found |= {row[0]: row[1] for row in connection.exec_driver_sql(text, some)}
        return found

    def mirror(self, connection: sa.Connection, job_id: str) -> None:
        """Copy a row's changing part to the job's folder; call it before the commit, so that order holds.

        Raises:
            StoreError: The row that was just written is not found: the file is damaged.
        """
        row = next(iter(self.rows(connection, job_id)), None)
        if row is None:
            raise StoreError(
                f"{self.path} is damaged: it does not find job {job_id}, which it has; remove it: the queue "
                "is rebuilt from the job folders"
            )
        folder = JobFolder.of(self.home, row["id"])
        if folder.path.is_symlink():
            return
        values = dict(row) | {name: parse(row[name]) for name in ("spec", "after_jobs")}
        try:
            if not os.path.lexists(folder.spec_file):
                make_folder(folder.path.parent)
                make_folder(folder.path)
                write_json(folder.spec_file, {name: values[name] for name in FIXED})
            write_json(folder.state_file, {name: values[name] for name in CHANGING})
        except StoreError as error:
            # A folder that is a file, or another user's: the table alone knows what becomes of this job.
            if getattr(error.__cause__, "errno", None) not in _OF_ONE_FOLDER:
                raise

    @contextmanager
    def _connection(self) -> Iterator[sa.Connection]:
        if not os.path.isdir(self.home):  # made by whoever opens a store; a deleted one stays deleted
            raise StoreError(f"{self.home} is not there any more; set CFA_HOME to the folder of the store")
        try:
            if not self._usable():
                self._rebuild()
            with self._engine.connect() as connection:
                yield connection
        except sa.exc.DBAPIError as error:
            raise _refused(self.path, error) from error
        except OSError as error:
            raise cannot_write(self.path, error) from error

    def _usable(self) -> bool:
        """Tell whether the file is a queue of this version.

        Raises:
            StoreError: It is one of a newer version.
        """
        if not os.path.lexists(self.path):
            return False
        if not is_file(self.path):  # opening a pipe would wait for its other end, and a link leads elsewhere
            raise StoreError(f"{self.path} is no file; remove it: the queue is rebuilt from the job folders")
        # A log of writes beside it is none of ours, and would be played back as well.
        if any(os.path.lexists(log) for log in self._logs) or not _is_own_journal(self._journal):
            return False
        try:
            with self._engine.connect() as connection:
                version = connection.exec_driver_sql("PRAGMA user_version").scalar() or 0
                found = connection.exec_driver_sql("SELECT type, name, sql FROM sqlite_master").all()
        except sa.exc.DatabaseError as error:
            if getattr(error.orig, "sqlite_errorcode", None) in _DAMAGED:
                return False
            raise
        if version > VERSION:
            raise newer(self.path, version)
        return version == VERSION and _schema(found) == _SCHEMA

    def _rebuild(self) -> None:
        """Scan the job folders into a new file, which then takes the place of the lost one."""
        busy = "another process has been rebuilding the queue for a minute; end it, then retry"
        with hold(self.home / "locks" / "queue.lock", busy, timeout=60):
            if self._usable():
                return  # another process was faster
            with replacing(self.path) as fresh:
                with _engine(fresh).connect() as connection:
                    connection.exec_driver_sql("BEGIN IMMEDIATE")
                    _metadata.create_all(connection)
                    rows = list(_rows_of_folders(self.home))
                    if rows:
                        connection.execute(JOBS.insert(), rows)
                    connection.exec_driver_sql(f"PRAGMA user_version = {VERSION}")
                    connection.commit()
                if self.path.exists():  # nothing is thrown away that someone may know how to read
                    os.replace(self.path, self.path.with_name("queue-set-aside.sqlite"))
                # A journal left by the lost file would be played back into the new one.
                for left in (self._journal, *self._logs):
                    left.unlink(missing_ok=True)


def _found(connection: sa.Connection, which: str = "", values: tuple[str | int, ...] = ()) -> Rows:
    """Read rows in the order of the queue, one after the other; none where a value is missing."""
    if len(values) != which.count("?"):
        return
    columns = ", ".join(COLUMNS[1:])
    text = f"SELECT CAST(id AS TEXT), {columns} FROM jobs WHERE {which or 'TRUE'} ORDER BY position, created"
    with closing(connection.exec_driver_sql(text, values)) as found:
        for row in found:
            yield dict(zip(COLUMNS, row, strict=True))


def _storable(texts: Iterable[str]) -> tuple[str, ...]:
    """Leave out what no text in a table is: a folder's name may be made of bytes that are no UTF-8."""
    kept = dict.fromkeys(texts)
    return tuple(text for text in kept if text.isascii() or text == text.encode(errors="replace").decode())


def _in_pieces(values: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """Give as many values at a time as one statement takes."""
    for start in range(0, len(values), MOST_VALUES):
        yield tuple(values[start : start + MOST_VALUES])


def _one_of(column: str, values: Sequence[str]) -> str:
    return f"{column} IN ({', '.join('?' * len(values))})"


def _schema(rows: Iterable[Sequence[Any]]) -> set[tuple[str, str, str]]:
    """Bring what a database says of its tables into a form to compare; blanks and quotes do not count."""
    return {(kind, name, re.sub(r'[\s"]', "", sql or "").lower()) for kind, name, sql in rows}


# Nothing but the table: what a view, a trigger or a computed column does, whoever made the file decides.
_SCHEMA = _schema(
    [
        ("table", "jobs", str(sa.schema.CreateTable(JOBS).compile(dialect=sqlite_dialect()))),
        ("index", "sqlite_autoindex_jobs_1", ""),
    ]
)
_JOURNAL_END = bytes.fromhex("d9d505f920a163d7")


def _is_own_journal(journal: Path) -> bool:
    """Tell whether SQLite may play back a journal; where there is none, it may.

    A journal that ends so names another file, which SQLite deletes. It writes such ones only for
    transactions on several databases, and there are none here.
    """
    try:
        with open_file(journal) as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - len(_JOURNAL_END)))
            return file.read() != _JOURNAL_END
    except FileNotFoundError:
        return True
    except StoreError:  # a link or a pipe
        return False


def newer(path: Path, version: object) -> StoreError:
    """Say that a file was written by a version that this one does not know."""
    return StoreError(
        f"a newer version of CFA Studio wrote {path} (its format is {version}, this one knows {VERSION}); "
        "update CFA Studio, or set CFA_HOME to another folder"
    )


def _engine(path: Path) -> sa.Engine:
    def connect() -> sqlite3.Connection:
        connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)
        # Bytes that are no UTF-8 make one text strange, and not all rows unreadable.
        connection.text_factory = lambda content: content.decode("utf-8", errors="replace")
        return connection

    # By a function, since a path in an address loses what stands behind `?` and `#`.
    return sa.create_engine("sqlite://", creator=connect, poolclass=NullPool)


def _refused(path: Path, error: sa.exc.DBAPIError) -> StoreError:
    name = str(getattr(error.orig, "sqlite_errorname", ""))
    way_out = next((what for known, what in _WAYS_OUT.items() if name.startswith(known)), None)
    way_out = way_out or "free disk space, or delete that file: it is rebuilt from the job folders"
    return StoreError(f"the queue {path} cannot be used ({error.orig}); {way_out}")


def _rows_of_folders(home: Path) -> Iterator[dict[str, Any]]:
    """Read the rows back from the folders; one without files was never fully submitted.

    Raises:
        StoreError: A newer version wrote one of them.
    """
    for spec_file in sorted((home / "jobs").glob("*/job.json")):
        folder = JobFolder(spec_file.parent)
        if not os.path.lexists(folder.state_file):
            continue
        try:
            fixed, changing = _mirror(folder.spec_file), _mirror(folder.state_file)
            row = convert({**fixed, **changing}, JobRow)
            if row.id != folder.path.name:
                raise StoreError(f"job.json says that it is {row.id!r}")
        except _Newer as error:
            raise newer(error.path, error.version) from error
        except StoreError as error:
            yield _placeholder(folder.path.name, str(error))
        else:
            yield dict(vars(row))


class _Newer(StoreError):
    """A file that a newer version wrote."""

    def __init__(self, path: Path, version: object) -> None:
        super().__init__(f"it is of format {version}")
        self.path, self.version = path, version


def _mirror(path: Path) -> dict[str, Any]:
    """Read one of the two files that a job is kept in."""
    content = read_bytes(path, 64 * MB)
    fields = parse(content) if content is not None else None
    if not isinstance(fields, dict):
        raise StoreError(f"{path.name} holds no job")
    version = fields.pop("format", VERSION)
    if version != VERSION:
        raise _Newer(path, version)
    return fields


def _placeholder(name: str, problem: str) -> dict[str, Any]:
    """Make a row for a folder that cannot be read, so that it is listed and can be removed."""
    fields = vars(unreadable(name, f"its folder cannot be read ({problem}); remove it")).copy()
    fields["after_jobs"] = fields.pop("after")
    return {column: fields[column] for column in COLUMNS}
