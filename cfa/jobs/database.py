"""The queue's table in SQLite: an index over job folders, rebuilt from them when it is lost or broken."""

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from filelock import FileLock
from sqlalchemy.pool import NullPool

from cfa.errors import StoreError
from cfa.files import replacing
from cfa.jobs.folders import JobFolder, read_json, write_json

VERSION = 1  # of the table; another one in the file means that it is rebuilt

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

_DAMAGED = (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT)


class Database:
    """Short transactions on the queue; each opens the file anew, so a deleted file is noticed."""

    def __init__(self, home: Path) -> None:
        """Name the queue at ``home``; nothing is opened yet."""
        self.home = home
        self.path = home / "queue.sqlite"
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

    def mirror(self, row: Mapping[str, Any]) -> None:
        """Copy a row's changing part to the job's folder; call it before the commit, so that order holds."""
        folder = JobFolder.of(self.home, row["id"])
        if not folder.spec_file.exists():
            folder.path.mkdir(parents=True, exist_ok=True)
            write_json(folder.spec_file, {name: row[name] for name in FIXED})
        write_json(folder.state_file, {name: row[name] for name in CHANGING})

    @contextmanager
    def _connection(self) -> Iterator[sa.Connection]:
        try:
            if not self._usable():
                self._rebuild()
            with self._engine.connect() as connection:
                yield connection
        except sa.exc.DBAPIError as error:
            raise StoreError(
                f"the queue {self.path} cannot be used ({error.orig}); free disk space, or delete "
                "that file: it is rebuilt from the job folders"
            ) from error
        except OSError as error:
            raise StoreError(
                f"the queue {self.path} cannot be used ({error.strerror or error}); free disk space or "
                "set CFA_HOME to a folder you may write to"
            ) from error

    def _usable(self) -> bool:
        if not self.path.exists():
            return False
        try:
            with self._engine.connect() as connection:
                return bool(connection.exec_driver_sql("PRAGMA user_version").scalar() == VERSION)
        except sa.exc.DatabaseError as error:
            if getattr(error.orig, "sqlite_errorcode", None) in _DAMAGED:
                return False
            raise

    def _rebuild(self) -> None:
        """Scan the job folders into a new file, which then takes the place of the lost one."""
        locks = self.home / "locks"
        locks.mkdir(parents=True, exist_ok=True)
        with FileLock(locks / "queue.lock", timeout=60):
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
                # A journal left by the lost file would be played back into the new one.
                self.path.with_name("queue.sqlite-journal").unlink(missing_ok=True)


def _engine(path: Path) -> sa.Engine:
    return sa.create_engine(
        f"sqlite:///{path}", poolclass=NullPool, connect_args={"timeout": 30, "isolation_level": None}
    )


def _rows_of_folders(home: Path) -> Iterator[dict[str, Any]]:
    """Read the rows back from the folders; one without readable files was never fully submitted."""
    for spec_file in (home / "jobs").glob("*/job.json"):
        folder = JobFolder(spec_file.parent)
        fixed, changing = read_json(folder.spec_file), read_json(folder.state_file)
        if fixed is None or changing is None:
            continue
        if set(fixed) == set(FIXED) and set(changing) == set(CHANGING):
            yield {**fixed, **changing}
