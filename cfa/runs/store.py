"""The store: every run under ``CFA_HOME`` and, read-only, those that ship with the project.

There is no index beside the folders that could go stale: listing a hundred runs reads a few hundred small
files, and names are kept unique by a lock around the one place that gives them out.
"""

import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from cfa.config import RunConfig
from cfa.errors import ConfigError, StoreError, UnknownName
from cfa.files import replacing_folder
from cfa.home import SHIPPED_RUNS, default_home
from cfa.locks import hold
from cfa.registry import unknown
from cfa.runs.folder import FILES, Label, RunFolder
from cfa.runs.run_names import (
    LONGEST,
    Taken,
    begins,
    is_usable_name,
    normal,
    tag_refusal,
    usable_name,
)

MOST_TAGS, LONGEST_TAG, LONGEST_NOTES = 100, LONGEST, 100_000


@dataclass(frozen=True)
class Store:
    """Runs in ``home/runs`` and, read-only, in ``shipped``."""

    home: Path
    shipped: Path | None = SHIPPED_RUNS

    @classmethod
    def open(cls, home: str | Path | None = None, shipped: Path | None = SHIPPED_RUNS) -> "Store":
        """Open the store at ``home`` (default: ``CFA_HOME``), making its folders."""
        store = cls(Path(home) if home else default_home(), shipped)
        try:
            for folder in (store.runs_folder, store.data_folder, store.locks_folder):
                folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(
                f"cannot make {store.home} ({error.strerror}); set CFA_HOME to a folder you may write to"
            ) from error
        return store

    @property
    def runs_folder(self) -> Path:
        """Where the user's runs are."""
        return self.home / "runs"

    @property
    def data_folder(self) -> Path:
        """Where downloaded data sets are."""
        return self.home / "data"

    @property
    def locks_folder(self) -> Path:
        """Where the lock files of devices are."""
        return self.home / "locks"

    def runs(self) -> list[RunFolder]:
        """List all runs, shipped ones first, then in the order in which they were made.

        Whatever may be meant as a run is among them: `cfa.runs.listed` says which can be read.
        """
        return [
            *(self.at(path) for path in self._paths(self.shipped)),
            *(self.at(path) for path in self._paths(self.runs_folder)),
        ]

    def at(self, path: Path) -> RunFolder:
        """Return the run in a folder; evaluations of one that ships go into this store."""
        if path.parent != self.shipped:
            return RunFolder(path)
        return RunFolder(path, read_only=True, aside=self.home / "evaluations" / path.name)

    def find(self, reference: str) -> RunFolder:
        """Find a run by name, id, or a unique prefix (4 characters or more) of its id."""
        runs = self.runs()
        exact = [run for run in runs if run.id == reference]
        # Folders that were copied here may bring a name that is already there, or the start of another's id.
        named = normal(reference)
        found = [run for run in runs if named == normal(run.name) or begins(reference, run.id)]
        if (run := _only(exact or found, reference)) is not None:
            return run
        if called := [run.id for run in runs if run.given_name == reference]:
            raise UnknownName(f"name {reference!a} of run {called[0]} is not usable; write its id")
        raise unknown("run", reference, [run.name for run in runs])

    def named(self, name: str) -> RunFolder | None:
        """Find a run by its name alone; an UnknownName where several carry it."""
        return _only([run for run in self.runs() if normal(run.name) == normal(name)], name)

    def create(
        self, config: RunConfig, name: str | None = None, tags: tuple[str, ...] = (), notes: str = ""
    ) -> RunFolder:
        """Make a run folder, state ``queued``; a taken name is refused, without one a free one is found."""
        check_texts(Label(name or "", tags, notes))
        with self._names() as taken:
            chosen = _checked(name, taken) if name else taken.free(_default_name(config))
            run = RunFolder(self.runs_folder / taken.new_id())
            with replacing_folder(run.path) as temporary:
                for folder in ("weights", "state", "evaluations"):
                    (temporary / folder).mkdir()
                half = RunFolder(temporary)
                half.write_config(config)
                half.write_label(Label(chosen, tags, notes))
                half.write_status("queued", 0)
        return run

    def free_name(self, wanted: str) -> str:
        """Return ``wanted``, or with the first number that makes it unique (until someone else takes it)."""
        return self._taken().free(usable_name(wanted, "run"))

    def check_name(self, name: str) -> None:
        """Refuse a name that no new run could have at this moment.

        Raises:
            ConfigError: It is taken, or not usable.
        """
        _checked(name, self._taken())

    def names_for(self, name: str | None, count: int) -> list[str | None]:
        """Name runs that are asked for at once: one as it is, several with a number each (``mine-1``, ...).

        Raises:
            ConfigError: One of several names is taken or not usable: told before the first run is made.
        """
        if not name or count < 2:
            return [name or None] * count
        names, taken = [f"{name}-{number}" for number in range(1, count + 1)], self._taken()
        for wanted in names:
            if taken.has(wanted):
                raise ConfigError(f"name {wanted!r} is taken; choose another than {name!r} for {count} runs")
            _checked(wanted, taken)
        return list(map(normal, names))

    def relabel(self, run: RunFolder, label: Label) -> None:
        """Change a run's name, tags and notes; a taken name is refused."""
        check_texts(label)
        before = run.label
        for tag in label.tags:
            if tag not in before.tags and (why := tag_refusal(tag)):
                raise ConfigError(f"tag {tag!a} is not usable{why}")
        with self._names() as taken:
            name = label.name
            if name != run.name:
                name = _checked(name, taken.without(run.name))
            run.write_label(replace(label, name=name, tags=tuple(map(normal, label.tags))))

    def adopt(self, folder: Path, label: Label) -> RunFolder:
        """Move a whole run folder into the store, where it keeps its id.

        A taken name gets a number, one that is not usable gives way to the id.
        """
        run = RunFolder(self.runs_folder / folder.name)
        with self._names() as taken:
            wanted = label.name if is_usable_name(label.name) else run.id
            # Its own id begins with no other, and may be its name.
            RunFolder(folder).write_label(replace(label, name=taken.free(wanted)))
            with replacing_folder(run.path) as temporary:
                folder.rename(temporary)
        return run

    @contextmanager
    def _names(self) -> Iterator[Taken]:
        """Hold the lock on names and give those that are taken."""
        busy = "another process has been choosing a name for a minute; end it, then retry"
        with hold(self.locks_folder / "names.lock", busy, timeout=60):
            yield self._taken()

    def _taken(self) -> Taken:
        runs = self.runs()
        return Taken(frozenset(run.name for run in runs), frozenset(run.id for run in runs))

    @staticmethod
    def _paths(folder: Path | None) -> list[Path]:
        if folder is None or not os.path.isdir(folder):
            return []
        try:
            paths = [path for path in folder.iterdir() if not path.name.startswith(".")]
        except OSError as error:
            raise StoreError(f"cannot look into {folder} ({error.strerror}); see whose it is") from error
        made = ((moment, path.name, path) for path in paths if (moment := _made(path)) is not None)
        return [path for _, _, path in sorted(made)]


def _made(path: Path) -> float | None:
    """Say when a run was made, for the order of a list; ``None`` for what is no run.

    A folder with any file of a run is one, also where its configuration is lost; so is one that may not be
    looked into, and a link, which the list names as such.
    """
    try:
        itself = path.lstat()
        if stat.S_ISLNK(itself.st_mode):
            return None if path.is_file() else itself.st_mtime
        if not stat.S_ISDIR(itself.st_mode):
            return None
        with suppress(FileNotFoundError):
            return (path / "config.json").lstat().st_mtime
        found = any(os.path.lexists(path / name) for name in FILES)
        return itself.st_mtime if found else None
    except FileNotFoundError:  # deleted while we look
        return None
    except OSError:
        return itself.st_mtime


def _only(matches: list[RunFolder], reference: str) -> RunFolder | None:
    """Return the one run that a reference means, or none; an UnknownName where it means several."""
    if len(matches) > 1:
        listed = ", ".join(f"{run.id} ({run.name})" for run in matches)
        raise UnknownName(f"run {reference!r} is ambiguous; write the id of one of {listed}")
    return matches[0] if matches else None


def _default_name(config: RunConfig) -> str:
    method = config.method.rpartition(":")[2]
    dataset = re.sub(r"[^A-Za-z0-9_.+-]+", "-", config.dataset.rpartition(":")[2]).strip("-")
    return usable_name(f"{method}-{dataset}-s{config.seed}", "run")


def check_texts(label: Label) -> None:
    """Refuse tags and notes without bounds: they stand in every list."""
    long = next((tag for tag in label.tags if len(tag) > LONGEST_TAG), None)
    if long is not None:
        raise ConfigError(f"tag {long[:20]!r}... is {len(long):,} characters long; take up to {LONGEST_TAG}")
    for what, count, most in (
        ("tags", len(label.tags), MOST_TAGS),
        ("notes", len(label.notes), LONGEST_NOTES),
    ):
        if count > most:
            unit = "" if what == "tags" else "characters of "
            raise ConfigError(f"{count:,} {unit}{what} are too many; take up to {most:,}")


def _checked(name: str, taken: Taken) -> str:
    if why := taken.refusal(name):
        raise ConfigError(f"name {name!a} {why}")
    return normal(name)
