"""What a job asks for: each kind of job is a type of its own in `cfa.jobs.kinds`, and can do what it asks."""

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Self

import pydantic
from pydantic import Field

from cfa.errors import ConfigError, StoreError
from cfa.jobs.amount import Amount
from cfa.jobs.task import Task
from cfa.runs.folder import RunFolder
from cfa.runs.store import Store
from cfa.stored import decode

Position = Annotated[int, Field(ge=0, lt=2**31)]
"""Of an image in the test part."""


class Work(pydantic.BaseModel, ABC):
    """What a job asks for, read from what is stored of it, which may say anything.

    Attributes:
        kind: The word that it is stored under.
        trains: Whether it trains its run, whose state is then the job's.
        evaluates: Whether it evaluates its run.
        can_be_done: Whether a worker may take it.
        needs_all: Whether it is cancelled with any one of the jobs that it waits for, and comes back with it.
    """

    # What an older version wrote besides is passed over.
    model_config = pydantic.ConfigDict(frozen=True, strict=True, allow_inf_nan=False)

    kind: ClassVar[str]
    trains: ClassVar[bool] = False
    evaluates: ClassVar[bool] = False
    can_be_done: ClassVar[bool] = True
    needs_all: ClassVar[bool] = False

    @classmethod
    def read(cls, spec: Mapping[str, Any]) -> Self:
        """Read what is stored.

        Raises:
            StoreError: The first thing that does not fit, as a phrase.
        """
        found: Self = decode(json.dumps(spec).encode(), cls)  # as JSON, where a list may stand for a tuple
        return found

    @classmethod
    def asked(cls, fields: Mapping[str, Any]) -> Self:
        """Make a job of what somebody asks for now.

        Raises:
            ConfigError: The first thing that no job may say.
        """
        try:
            return cls.read(fields)
        except StoreError as error:
            raise ConfigError(f"no job can ask for this: {error}") from error

    @property
    def spec(self) -> dict[str, Any]:
        """What is stored, as plain values."""
        return self.model_dump(mode="json")

    @abstractmethod
    def title(self, store: Store, run_name: str) -> str:
        """Say for people what will be done.

        Args:
            store: Where runs and data sets are.
            run_name: The name of the run that it is about; empty where it is about none.
        """

    @abstractmethod
    def run(self, task: Task) -> None:
        """Do it; a job that was stopped goes on where it was.

        Raises:
            CfaError: It cannot be done; the sentence says why.
            Stopped: Somebody asked for it.
        """

    def same_as(self, other: "Work") -> bool:
        """Tell whether another job of the same run makes this one superfluous."""
        return self == other

    def amount(self, run: RunFolder | None) -> Amount | None:
        """Say how much there is to do, so that jobs like it tell how long it takes; ``None`` if nothing does.

        Args:
            run: The run that it is about, if it is about one.
        """
        return None

    def runs_read(self) -> tuple[str, ...]:
        """Return ids of runs beside its own whose networks it opens."""
        return ()
