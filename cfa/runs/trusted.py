"""What the runs and jobs of this store may open: the code and the folders that a person typed for them.

CFA_HOME/trusted/ID.json   {"names": ["package.module:name", ...], "folder": "/where/typed", "seal": "..."}

The store keeps this apart from the folders of runs and jobs, which are copied from one person to another:
what stands in those is a text. A whole ``CFA_HOME`` may be copied as well, so a record is sealed with a key
that lies in this user's own configuration; one without that seal says nothing.
"""

import hmac
import json
import os
import secrets
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pydantic

from cfa import trust
from cfa.config import RunConfig
from cfa.errors import StoreError
from cfa.files import make_folder, write_text
from cfa.runs.folder import RunFolder
from cfa.runs.store import Store
from cfa.stored import checked_id, read_stored

LARGEST = 100_000  # bytes of a record


class Typed(pydantic.BaseModel):
    """What a person typed: names of their code, and the folder that they stood in."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid", strict=True)

    names: tuple[str, ...] = ()
    folder: str = ""
    seal: str = ""


@dataclass(frozen=True)
class Trusted:
    """The records of one store."""

    home: Path

    @classmethod
    def of(cls, store: Store) -> "Trusted":
        """Open the records of a store."""
        return cls(store.home)

    def remember(self, owner: str, texts: Iterable[object], folder: Path | None = None) -> None:
        """Keep, for a run or a job that is made now, the code and the folders among what it names.

        Where this user's configuration cannot be written nothing is kept: they are asked again.

        Args:
            owner: Its id.
            texts: Names of methods, data sets, models and attacks; only those of code and folders count.
            folder: Where they were typed; by default the working folder.

        Raises:
            Untrusted: One of them was not typed by a person here.
        """
        names = trust.outside_names(texts)
        for name in names:
            trust.require_allowed("name", name)
        key = own_key() if names else b""
        if key:
            known = self.read(owner)
            all_names = tuple(dict.fromkeys((*known.names, *names)))
            where = known.folder or str((folder or Path.cwd()).resolve())
            typed = Typed(names=all_names, folder=where, seal=_seal(key, owner, all_names, where))
            make_folder(self._file(owner).parent)
            write_text(self._file(owner), typed.model_dump_json())

    def read(self, owner: str) -> Typed:
        """Return what was typed for a run or a job; nothing where nothing is known of it."""
        try:
            found = read_stored(self._file(owner), Typed, LARGEST) or Typed()
        except StoreError:  # damaged: nothing is trusted
            return Typed()
        key = own_key(make=False)
        sealed = bool(key) and hmac.compare_digest(
            found.seal.encode(), _seal(key, owner, found.names, found.folder).encode()
        )
        return found if sealed else Typed()

    @contextmanager
    def allowing(self, *owners: str | None) -> Iterator[None]:
        """Let the code be imported that belongs to runs and jobs of this store."""
        with ExitStack() as stack:
            for typed in (self.read(owner) for owner in owners if owner):
                if typed.names:
                    stack.enter_context(trust.allowing(typed.names, Path(typed.folder)))
            yield

    def require(self, owner: str, texts: Iterable[object]) -> None:
        """Refuse code and folders that neither a person typed here nor the store knows of a run.

        Raises:
            Untrusted: With the way out.
        """
        with self.allowing(owner):
            for name in trust.outside_names(texts):
                trust.require_allowed("name", name)

    def admit(self, run: RunFolder, *, vouched: bool) -> None:
        """Refuse to go on with a run that names code or a folder that neither this store nor a person knows.

        Args:
            run: The run.
            vouched: A person says that what it names may be opened; the store remembers that.

        Raises:
            Untrusted: With the way out.
        """
        names = code_of(run.config)
        vouched_for = names if vouched else ()
        with trust.allowing(vouched_for):
            self.require(run.id, names)
            self.remember(run.id, vouched_for)

    def _file(self, owner: str) -> Path:
        return self.home / "trusted" / f"{checked_id(owner, 'run or job')}.json"


def code_of(config: RunConfig) -> tuple[str, ...]:
    """Return the code and the folders that a configuration names."""
    return trust.outside_names((config.method, config.dataset, config.model))


def own_key(*, make: bool = True) -> bytes:
    """Return this user's key, from their own configuration (``XDG_CONFIG_HOME`` or ``~/.config``).

    Args:
        make: Make one where there is none.

    Returns:
        32 bytes; none where there is no key, or it cannot be kept.
    """
    folder = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "cfa-studio"
    file = folder / "trust.key"
    try:
        if not file.exists() and make:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            with suppress(FileExistsError):  # another process was as fast
                descriptor = os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
                os.write(descriptor, secrets.token_bytes(32))
                os.close(descriptor)
        key = file.read_bytes()
    except OSError:
        return b""
    return key if len(key) == 32 else b""


def _seal(key: bytes, owner: str, names: Sequence[str], folder: str) -> str:
    return hmac.new(key, json.dumps([owner, list(names), folder]).encode(), "sha256").hexdigest()
