"""Whose code the runs and jobs of this store may run: the import names that a person typed for them.

CFA_HOME/trusted/ID.json   {"names": ["package.module:name", ...], "folder": "/where/they/were/typed"}

The store keeps this apart from the folders of runs and jobs, which are copied from one person to another:
what stands in those is a text.
"""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pydantic

from cfa import trust
from cfa.config import RunConfig
from cfa.files import write_text
from cfa.results.store import Store

LARGEST = 100_000  # bytes of a record


class Typed(pydantic.BaseModel):
    """What a person typed: names of their code, and the folder that they stood in."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid", strict=True)

    names: tuple[str, ...] = ()
    folder: str = ""


@dataclass(frozen=True)
class Trusted:
    """The records of one store."""

    home: Path

    @classmethod
    def of(cls, store: Store) -> "Trusted":
        """Open the records of a store."""
        return cls(store.home)

    def remember(self, owner: str, texts: Iterable[object], folder: Path | None = None) -> None:
        """Keep, for a run or a job that is made now, the import names among what it names.

        Args:
            owner: Its id.
            texts: Names of methods, data sets, models and attacks; only import names count.
            folder: Where they were typed; by default the working folder.

        Raises:
            Untrusted: One of them was not typed by a person here.
        """
        names = trust.import_names(texts)
        for name in names:
            trust.require_allowed("name", name)
        if names:
            known = self.read(owner)
            typed = Typed(names=(*known.names, *names), folder=known.folder or str(folder or Path.cwd()))
            self._file(owner).parent.mkdir(parents=True, exist_ok=True)
            write_text(self._file(owner), typed.model_dump_json())

    def read(self, owner: str) -> Typed:
        """Return what was typed for a run or a job; nothing where nothing is known of it."""
        file = self._file(owner)
        try:
            if not file.is_file() or file.stat().st_size > LARGEST:
                return Typed()
            return Typed.model_validate_json(file.read_text(encoding="utf-8"))
        except (OSError, ValueError):  # damaged: nothing is trusted
            return Typed()

    @contextmanager
    def allowing(self, *owners: str | None) -> Iterator[None]:
        """Let the code be imported that belongs to runs and jobs of this store."""
        with ExitStack() as stack:
            for typed in (self.read(owner) for owner in owners if owner):
                if typed.names:
                    stack.enter_context(trust.allowing(typed.names, Path(typed.folder)))
            yield

    def require(self, owner: str, texts: Iterable[object]) -> None:
        """Refuse import names that neither a person typed here nor the store knows of a run.

        Raises:
            Untrusted: With the way out.
        """
        with self.allowing(owner):
            for name in trust.import_names(texts):
                trust.require_allowed("name", name)

    def _file(self, owner: str) -> Path:
        return self.home / "trusted" / f"{Path(owner).name}.json"


def code_of(config: RunConfig) -> tuple[str, ...]:
    """Return the import names in a configuration."""
    return trust.import_names((config.method, config.dataset, config.model))
