"""Runs as a list shows them: what can be read of each, and a sentence where it cannot.

One run that is damaged, foreign, a link or not ours to look into hides no other.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from cfa.config import RunConfig
from cfa.errors import ConfigError, StoreError
from cfa.locks import is_held
from cfa.runs.contradictions import contradiction
from cfa.runs.evaluations import list_evaluations
from cfa.runs.folder import Label, Manifest, RunFolder, Status
from cfa.runs.store import Store
from cfa.stored import checked_id


@dataclass(frozen=True)
class ReadableRun:
    """A run whose files can be read.

    Attributes:
        folder: Where it is.
        config: Its settings.
        label: Its name, tags and notes.
        status: How far it is, as its trainer last wrote.
        manifest: How it was made; ``None`` before it has started.
        is_trained: Whether it says so and a living process trains it.
    """

    folder: RunFolder
    config: RunConfig
    label: Label
    status: Status
    manifest: Manifest | None
    is_trained: bool

    @property
    def state(self) -> str:
        """The state for people: ``interrupted`` where it says ``running`` and nobody trains it."""
        return _state(self.status.state, self.is_trained)


@dataclass(frozen=True)
class UnreadableRun:
    """A run that cannot be read, and the sentence that says why and what to do."""

    folder: RunFolder
    problem: str

    @property
    def state(self) -> str:
        """The state for people."""
        return "unreadable"


def fields_of(run: ReadableRun | UnreadableRun) -> dict[str, Any]:
    """Write a run as a list shows it, the same fields whether it can be read or not."""
    folder = run.folder
    if isinstance(run, UnreadableRun):
        told = dict.fromkeys(("method", "dataset", "model", "preset"), "")
        counted = dict.fromkeys(("seed", "epoch", "epochs"))
        words = {"name": folder.id, "message": run.problem, "tags": list[str]()}
    else:
        config, status = run.config, run.status
        told = {name: getattr(config, name) for name in ("method", "dataset", "model", "preset")}
        counted = {"seed": config.seed, "epoch": status.epoch, "epochs": config.train.epochs}
        words = {"name": run.label.name, "message": status.message, "tags": list(run.label.tags)}
    places = {"bytes": folder.bytes_used(), "path": str(folder.path), "read_only": folder.read_only}
    return {"id": folder.id, "state": run.state, **told, **counted, **words, **places}


def look_at(run: RunFolder) -> ReadableRun | UnreadableRun:
    """Read what a list shows of a run; never raises for what is in its folder."""
    try:
        checked_id(run.id, "run")
        config, label, status, manifest = run.config, run.label, run.status, run.manifest
        return ReadableRun(run, config, label, status, manifest, _is_trained(run, status.state))
    except StoreError as error:
        return UnreadableRun(run, str(error))


def state_now(run: RunFolder, written: str) -> str:
    """Return the state for people at this moment.

    Args:
        run: Whose.
        written: What its trainer last wrote.

    Raises:
        StoreError: Its lock cannot be opened.
    """
    return _state(written, _is_trained(run, written))


def _is_trained(run: RunFolder, written: str) -> bool:
    return written == "running" and is_held(run.lock_file)


def _state(written: str, is_trained: bool) -> str:
    return "interrupted" if written == "running" and not is_trained else written


def list_runs(store: Store) -> list[ReadableRun | UnreadableRun]:
    """List all runs of a store, in its order."""
    return [look_at(run) for run in store.runs()]


def readable_runs(store: Store) -> list[ReadableRun]:
    """List the runs of a store that can be read."""
    return [run for run in list_runs(store) if isinstance(run, ReadableRun)]


def named_or_tagged(store: Store, references: Sequence[str], tags: Sequence[str]) -> list[RunFolder]:
    """Find runs by reference, and those that carry one of the tags, each once.

    Raises:
        UnknownName: A reference is none.
        ConfigError: There is no run at all.
    """
    found = {run.id: run for run in map(store.find, references)}
    if tags:
        tagged = [run.folder for run in readable_runs(store) if set(tags) & set(run.label.tags)]
        found |= {run.id: run for run in tagged if run.id not in found}
    if not found:
        wanted = f"has the tag {', '.join(map(repr, tags))}" if tags else "is named"
        raise ConfigError(f"no run {wanted}; `cfa runs` lists them")
    return list(found.values())


def require_readable(runs: Iterable[RunFolder]) -> None:
    """Refuse runs that cannot be read, before anything is written of the others.

    Raises:
        StoreError: The first of them.
    """
    for run in runs:
        found = look_at(run)
        if isinstance(found, UnreadableRun):
            raise StoreError(found.problem)
        _ = run.history


def problems_of(runs: Iterable[RunFolder]) -> list[str]:
    """Say what is wrong with the results of runs: evaluations and rows that are damaged, or were changed."""
    problems: list[str] = []
    for run in runs:
        evaluations = list_evaluations(run)
        problems += evaluations.problems
        for evaluation in evaluations.found:
            if changed := contradiction(run, evaluation):
                problems.append(
                    f"run {run.name}: evaluation {evaluation.id} was changed since it was made ({changed}); "
                    "evaluate again, or delete that folder"
                )
        try:
            damaged = run.history.problem
        except StoreError as error:
            problems.append(str(error))
        else:
            problems += [f"run {run.name}: of history.jsonl {damaged}"] if damaged else []
    return problems
