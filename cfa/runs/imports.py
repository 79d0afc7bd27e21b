"""Runs of somebody else into the store: known files of bounded size that hold what they should."""

import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cfa.errors import ConfigError, StoreError
from cfa.files import cannot_write
from cfa.runs.contents import RUN_ID, room_for
from cfa.runs.contradictions import contradiction
from cfa.runs.evaluations import SEQUENTIAL, WHOLE, Evaluation
from cfa.runs.folder import Label, Manifest, RunFolder, Status
from cfa.runs.origins import StoredSplit
from cfa.runs.regular_files import LINK, LeftOut, copy_regular
from cfa.runs.run_names import is_usable_name
from cfa.runs.sequential import SequentialEvaluation
from cfa.runs.store import Store, check_texts
from cfa.stored import GB, read_stored
from cfa.typed_paths import leads_to_file, leads_to_folder, whole_path


@dataclass(frozen=True)
class Imported:
    """What came of an import.

    Attributes:
        runs: New ones.
        skipped: Ids of those that were there already.
        left_out: What of each run, by its id, was not taken; of a run that is a link, the run.
        renamed: Names that are not usable, by the id that the run is called instead.
    """

    runs: tuple[RunFolder, ...]
    skipped: tuple[str, ...] = ()
    left_out: Mapping[str, Sequence[LeftOut]] = field(default_factory=dict)
    renamed: Mapping[str, str] = field(default_factory=dict)


def import_runs(store: Store, folder: Path) -> Imported:
    """Copy the runs found in ``folder`` into the store; all that are new, or none.

    Runs are looked for in the folder itself, directly below it, and in its ``runs/`` (an export, another
    ``CFA_HOME``). An id that is here already is the same run: skipped. A taken name gets a number, one that
    is not usable gives way to the id. Only files that a run holds are taken (`cfa.runs.contents`), and no
    link is followed.

    Raises:
        ConfigError: There is no run in ``folder``, or one with an id that is not usable.
        StoreError: A run there cannot be read, or this store cannot be written.
    """
    found = list(_found(whole_path(folder)))
    if not found:
        raise ConfigError(f"{folder} holds no run; name a run's folder, or one made by `cfa export`")
    here = store.runs()
    known = {run.id for run in here}
    links = {path.name: [LeftOut("", LINK)] for path in found if path.is_symlink()}
    new = [path for path in found if path.name not in known and path.name not in links]
    for path in new:
        _check_id(path.name, {run.name for run in here})
    imported = Imported((), tuple(path.name for path in found if path.name in known), dict(links), {})
    try:
        # Seen by nobody until all of them are whole.
        with tempfile.TemporaryDirectory(prefix=".import.", suffix=".tmp", dir=store.runs_folder) as scratch:
            copies = [_Copy.of(path, Path(scratch) / path.name) for path in new]
            return _adopted(store, copies, imported)
    except OSError as error:
        raise cannot_write(store.runs_folder, error) from error


def _found(folder: Path) -> Iterator[Path]:
    """List the folders of runs: the folder itself, or those in it and in its ``runs/`` if that is no link."""
    if _is_run(folder):
        yield folder
        return
    for parent in (folder, folder / "runs"):
        if leads_to_folder(parent) and (parent == folder or not parent.is_symlink()):
            below = sorted(path for path in parent.iterdir() if not path.name.startswith("."))
            yield from filter(_is_run, below)


def _is_run(folder: Path) -> bool:
    return leads_to_file(folder / "config.json")


def _check_id(run_id: str, names: set[str]) -> None:
    """Refuse what is no id, and one by which another run is called: it would be found in that one's place."""
    if not RUN_ID.fullmatch(run_id):
        raise ConfigError(
            f"folder {run_id!r} has a name that no run has; rename it to letters, digits and any of . _ - "
            "(up to 80)"
        )
    if run_id in names:
        raise ConfigError(f"folder {run_id!r} is called as another run here is named; rename it")


@dataclass(frozen=True)
class _Copy:
    """A copy of a foreign run, checked, that is not in the store yet."""

    run: RunFolder
    label: Label
    left_out: Sequence[LeftOut]

    @classmethod
    def of(cls, source: Path, target: Path) -> "_Copy":
        target.mkdir()
        left_out = copy_regular(source, target, room_for)
        for part in ("weights", "state", "evaluations"):
            (target / part).mkdir(exist_ok=True)
        run = RunFolder(target)
        _ = run.config  # says what is wrong with it
        label = _read(Label, target / "label.json") or Label(run.id)
        check_texts(label)
        for kind, name in ((Status, "status.json"), (Manifest, "manifest.json"), (StoredSplit, "split.json")):
            _read(kind, target / name)
        return cls(run, label, [*left_out, *_drop_damaged_evaluations(target)])


def _drop_damaged_evaluations(run: Path) -> Iterator[LeftOut]:
    """Delete the evaluations that are not what their folder says, and say so."""
    for folder in sorted((run / "evaluations").iterdir()):
        try:
            whole = _read(Evaluation, folder / WHOLE)
            sequential = _read(SequentialEvaluation, folder / SEQUENTIAL)
            counted = [whole] if whole is not None else []
            counted += [sequential.counted] if sequential is not None else []
            problem = _first_problem(run, folder.name, counted)
        except StoreError as error:
            problem = str(error)
        if problem:
            shutil.rmtree(folder)
            yield LeftOut(f"evaluations/{folder.name}", problem)


def _first_problem(run: Path, name: str, counted: Sequence[Evaluation]) -> str:
    """Say what is wrong with the evaluations in a folder: whose they claim to be, or what they count."""
    if len(counted) > 1:
        return "it is of two kinds at once"
    for one in counted:
        if one.id != name:
            return f"it says that it is {one.id!r}"
        if (problem := contradiction(RunFolder(run), one)) is not None:
            return problem
    return ""


def _read(kind: type[Any], file: Path) -> Any:
    """Read a JSON file into a dataclass, every field of its type; ``None`` where there is no such file.

    Raises:
        StoreError: It holds something else.
    """
    try:
        return read_stored(file, kind, GB)  # how large it may be was looked at when it was copied
    except StoreError as error:
        raise StoreError(f"run {file.parent.name}: {file.name} cannot be read ({error})") from error


def _adopted(store: Store, copies: Sequence[_Copy], imported: Imported) -> Imported:
    """Move copies into the store, and add to what is told about the import."""
    runs, left_out, renamed = [], dict(imported.left_out), dict(imported.renamed)
    for copy in copies:
        run = store.adopt(copy.run.path, copy.label)
        runs.append(run)
        if copy.left_out:
            left_out[run.id] = copy.left_out
        if not is_usable_name(copy.label.name):
            renamed[run.id] = copy.label.name
    return Imported(tuple(runs), imported.skipped, left_out, renamed)
