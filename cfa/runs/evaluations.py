"""Evaluations of a run: scores for the tables, and what became of every image for everything else."""

import dataclasses
import json
import math
import os
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Protocol, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import AfterValidator

from cfa.errors import StoreError
from cfa.files import make_folder, replacing, write_text
from cfa.runs.columns import Column, Columns
from cfa.runs.folder import RunFolder, now
from cfa.runs.older_columns import older_columns, older_settings
from cfa.runs.rows import EvaluatedWeights, Scores
from cfa.stored import MB, STRICT, Count, Moment, Name, Names, Text, checked_id, open_file, read_stored
from cfa.weights_identity import WeightsIdentity

WHOLE, SEQUENTIAL = "evaluation.json", "sequential.json"
"""One of them is in the folder of an evaluation that is finished; the other kind is `cfa.runs.sequential`."""
MOST_CELLS = 10**8  # of a table: a million images under a hundred attacks
LONGEST_MEMBER = 300  # characters of a member's name


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What one check of a model came to.

    Attributes:
        name: The check.
        passed: ``None`` where it could not be made.
        numbers: What was compared: accuracies in [0, 1] by what they are of.
        meaning: What a failure means.
    """

    __pydantic_config__ = STRICT

    name: Name
    passed: bool | None
    numbers: Mapping[str, float]
    meaning: Text


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """One plan carried out on one set of weights.

    ``settings`` maps an attack's name to all that it ran with; ``findings`` are sentences about the numbers;
    ``checks`` are the verdicts of a sanity checklist; ``plan`` is what was asked for (it can be repeated);
    ``loaded_as`` is the name that loads the data set where ``dataset`` does not (``package.module:name``);
    ``weights_hash`` is the SHA-256 of the weights' content, ``arithmetic`` what was computed in (``float32``,
    ``tf32``, ``bf16``), ``test_fingerprint`` the SHA-256 of the test part's images and labels, ``columns``
    says what those of the outcomes are; all are empty in evaluations made before they were stored
    (:func:`columns_of` tells the columns of any).
    """

    __pydantic_config__ = STRICT

    id: Name
    created: Moment
    dataset: Text  # may be the path of a folder
    split: Name
    weights: EvaluatedWeights
    checkpoint: Name
    epoch: Count
    seed: Count
    limit: Count | None
    scores: tuple[Scores, ...]
    settings: Annotated[
        Mapping[str, Mapping[str, Any]], AfterValidator(lambda settings: _checked_settings(settings))
    ]
    findings: tuple[Text, ...] = ()
    class_names: Names = ()
    checks: tuple[Verdict, ...] = ()
    plan: Annotated[Mapping[str, Any], AfterValidator(lambda plan: _checked_plan(plan))] = field(
        default_factory=dict
    )
    loaded_as: Text = ""
    weights_hash: Name = ""
    arithmetic: Name = ""
    test_fingerprint: Name = ""
    columns: tuple[Column, ...] = ()

    def __post_init__(self) -> None:
        """Refuse scores of different classes, and of other weights or images than it says."""
        if not self.scores:
            raise ValueError("it has no scores")
        if any((row.weights, row.split) != (self.weights, self.split) for row in self.scores):
            raise ValueError(f"its scores are not all of {self.weights} weights on {self.split} images")
        classes = {scores.classes for scores in self.scores} | (
            {len(self.class_names)} if self.class_names else set()
        )
        if any(not scores.total or 0 in scores.total for scores in self.scores):
            raise ValueError("its scores have a class without an image")
        if len(classes) > 1:
            raise ValueError(f"its scores and names are of {' and '.join(map(str, sorted(classes)))} classes")
        described = Columns(self.columns)
        for column in self.columns:
            if column.asked not in self.settings or _without_budget(column.asked) != column.attack:
                raise ValueError(f"its column {column.name[:80]!r} names settings that are not its own")
        strange = next((row for row in self.scores if described.of_scores(row) is None), None)
        if self.columns and strange is not None:
            raise ValueError(f"no column is the one that its scores of {strange.attack[:80]} are of")

    @property
    def dataset_to_load(self) -> str:
        """The name to load the data set by."""
        return self.loaded_as or self.dataset

    @property
    def images(self) -> int:
        """Count the images that were evaluated."""
        return sum(self.scores[0].total) if self.scores else 0

    def is_of(self, weights: WeightsIdentity) -> bool:
        """Tell whether these weights were evaluated: by their hash, without one by their epoch."""
        if self.weights_hash:
            return self.weights_hash == weights.hash
        return weights.epoch is None or weights.epoch == self.epoch

    def to_json(self) -> str:
        """Write the evaluation as JSON."""
        return json.dumps(dataclasses.asdict(self), indent=1)


def _without_budget(asked: str) -> str:
    """Return an attack's name from what a plan calls it: ``pgd-20@16/255`` is ``pgd-20``."""
    base, at, _ = asked.rpartition("@")
    return base if at else asked


def _checked_plan(plan: Mapping[str, Any]) -> Mapping[str, Any]:
    """Refuse a plan whose budgets, which titles name, are none; the rest is checked by who repeats it."""
    sweep = plan.get("eps_sweep", [])
    _require_budgets((plan.get("eps", 0), *(sweep if isinstance(sweep, list) else [None])))
    return plan


def _checked_settings(settings: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Mapping[str, Any]]:
    """Refuse settings whose mode and budget, which tables name, are none; the others are only compared."""
    for attack, ran_with in settings.items():
        _require_budgets((ran_with.get("eps", 0),), of=f"{attack[:80]} ")
        if ran_with.get("mode", "fast") not in ("reference", "fast"):
            raise ValueError(f"{attack[:80]} has a mode that is none")
    return settings


def _require_budgets(budgets: Sequence[Any], of: str = "") -> None:
    for eps in budgets:
        if isinstance(eps, bool) or not isinstance(eps, int | float) or not 0 <= eps < math.inf:
            raise ValueError(f"{of}has an eps that is no budget")


def new_id() -> str:
    """Draw an evaluation id that sorts by time."""
    return f"{now().replace('-', '').replace(':', '')[:15]}-{secrets.token_hex(4)}"


def outcomes_file(run: RunFolder, evaluation_id: str) -> Path:
    """Say where per-image outcomes of an evaluation are, or would be; a StoreError if the id is a path."""
    folders = [place / checked_id(evaluation_id, "evaluation") for place in run.evaluation_places]
    there = next((folder for folder in folders if os.path.lexists(folder)), folders[-1])
    return there / "outcomes.parquet"


def ships(run: RunFolder, evaluation_id: str) -> bool:
    """Tell whether an evaluation cannot be added to, since it came with a read-only run."""
    return run.read_only and outcomes_file(run, evaluation_id).parent.parent != run.aside


def parts_folder(run: RunFolder, evaluation_id: str) -> Path:
    """Say where an evaluation remembers finished batches until it is whole."""
    return outcomes_file(run, evaluation_id).with_name("parts")


def is_whole(run: RunFolder, evaluation_id: str) -> bool:
    """Tell whether an evaluation of any kind has been made to its end."""
    outcomes = outcomes_file(run, evaluation_id)
    return any(outcomes.with_name(name).exists() for name in (WHOLE, SEQUENTIAL))


def save_evaluation(
    run: RunFolder, evaluation: "_OfAKind", outcomes: Mapping[str, np.ndarray], name: str = WHOLE
) -> None:
    """Write outcomes, then the evaluation; readers see the evaluation only when both are whole.

    Args:
        run: The run that was evaluated.
        evaluation: Scores and settings.
        outcomes: Columns of equal length, one row an image: ``image`` (index in the split), ``label``, and
            one predicted class per attack, named for it.
        name: The file that such an evaluation is in.
    """
    run.open_for_evaluations()
    file = outcomes_file(run, evaluation.id)
    make_folder(file.parent.parent)
    make_folder(file.parent)
    save_columns(file, outcomes)
    write_text(file.with_name(name), evaluation.to_json())


def save_columns(file: Path, columns: Mapping[str, np.ndarray]) -> None:
    """Write columns of equal length as a Parquet file."""
    with replacing(file) as temporary:
        pq.write_table(pa.table(dict(columns)), temporary, compression="zstd")


@dataclass(frozen=True)
class Evaluations:
    """A run's finished evaluations, oldest first, and a sentence for each that cannot be read."""

    found: tuple[Evaluation, ...] = ()
    problems: tuple[str, ...] = ()


def list_evaluations(run: RunFolder) -> Evaluations:
    """Read a run's finished evaluations; one that is damaged, foreign or a link spoils none beside it."""
    found: list[Evaluation] = []
    problems: list[str] = []
    for folder in evaluation_folders(run):
        try:
            evaluation = read_folder(run, folder, WHOLE, Evaluation)
        except StoreError as error:
            problems.append(str(error))
        else:
            found += [evaluation] if evaluation is not None else []
    found.sort(key=lambda evaluation: (evaluation.created, evaluation.id))
    return Evaluations(tuple(found), tuple(problems))


def read_evaluations(run: RunFolder) -> list[Evaluation]:
    """Read a run's finished evaluations that can be read (:func:`list_evaluations` says of the others)."""
    return list(list_evaluations(run).found)


def read_evaluation(run: RunFolder, evaluation_id: str) -> Evaluation:
    """Read one of a run's evaluations; a StoreError where it is not there, or unreadable."""
    evaluation = read_folder(run, outcomes_file(run, evaluation_id).parent, WHOLE, Evaluation)
    if evaluation is None:
        raise StoreError(f"run {run.name!r} has no evaluation {evaluation_id}; it may have been deleted")
    return evaluation


def evaluation_folders(run: RunFolder) -> list[Path]:
    """List the folders of evaluations of any kind, finished or not."""
    return [folder for place in run.evaluation_places for folder in _folders_in(place)]


def _folders_in(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError:  # before the first there is none
        return []


class _OfAKind(Protocol):
    @property
    def id(self) -> str: ...
    def to_json(self) -> str: ...


Kind = TypeVar("Kind", bound=_OfAKind)


def read_folder(run: RunFolder, folder: Path, name: str, kind: type[Kind]) -> Kind | None:
    """Read an evaluation of a kind from its folder; ``None`` where it has not finished, or is of another.

    Args:
        run: Whose it is.
        folder: The evaluation's.
        name: The file that such an evaluation is in.
        kind: Its type.

    Raises:
        StoreError: It is damaged, foreign, or a link.
    """
    try:
        if folder.is_symlink():
            raise StoreError("it is a link; copy the folder itself")
        evaluation: Kind | None = read_stored(folder / name, kind, 64 * MB)
        if evaluation is not None and evaluation.id != folder.name:
            raise StoreError(f"it says that it is {evaluation.id[:80]!r}")
    except StoreError as error:
        called = folder.name if folder.name.isprintable() else repr(folder.name)
        raise StoreError(
            f"run {run.id}: evaluation {called[:80]} cannot be read ({error}); restore or delete that folder"
        ) from error
    return evaluation


def read_outcomes(
    run: RunFolder, evaluation_id: str, columns: Sequence[str] | None = None
) -> dict[str, np.ndarray]:
    """Read the per-image outcomes of an evaluation as columns, or those of some names that it has.

    Raises:
        StoreError: They are not there, or damaged.
    """
    try:
        read = read_columns(outcomes_file(run, evaluation_id), columns)
        for name in {"image", "label"} & read.keys():
            if read[name].dtype.kind not in "iu":
                raise StoreError(f"its column {name} holds no whole numbers")
        return read
    except (OSError, StoreError) as error:
        raise _unreadable(run, evaluation_id, error) from error


def columns_of(run: RunFolder, evaluation: Evaluation) -> Columns:
    """Say what the columns of an evaluation's outcomes are.

    Raises:
        StoreError: The evaluation is older than what says so, and its outcomes are not there, or damaged.
    """
    if evaluation.columns:
        return Columns(evaluation.columns)
    try:
        with open_file(outcomes_file(run, evaluation.id)) as opened:
            names = pq.ParquetFile(opened).schema_arrow.names
        return older_columns(names, evaluation.scores, evaluation.plan, list(evaluation.settings))
    except (OSError, StoreError, ValueError, pa.ArrowException) as error:
        raise _unreadable(run, evaluation.id, error) from error


def settings_of(evaluation: Evaluation, scores: Scores) -> Mapping[str, Any]:
    """Find what the attack of some scores ran with; empty where the evaluation does not say."""
    column = Columns(evaluation.columns).of_scores(scores)
    if column is not None:
        return evaluation.settings.get(column.asked, {})
    return older_settings(evaluation.settings, scores)


def _unreadable(run: RunFolder, evaluation_id: str, error: Exception) -> StoreError:
    why = " ".join(str(error).split())[:200]
    return StoreError(
        f"the outcomes of evaluation {evaluation_id} of run {run.id} cannot be read ({why}); evaluate again"
    )


def _require_room(stored: pq.ParquetFile, names: Sequence[str]) -> None:
    """Refuse a table that would take far more memory than any evaluation does: a small file may say so."""
    rows = stored.metadata.num_rows
    if rows * len(names) > MOST_CELLS:
        raise ValueError(f"{rows:,} rows of {len(names)} columns are more than an evaluation has")


def _words(stored: pq.ParquetFile, names: Sequence[str]) -> list[str]:
    kinds = {name: stored.schema_arrow.field(name).type for name in names}
    return [name for name, k in kinds.items() if pa.types.is_string(k) or pa.types.is_large_string(k)]


def _spelt_out(column: pa.ChunkedArray) -> np.ndarray:
    """Return a column as an array; names of members once they are found to be as short as names are."""
    if not pa.types.is_dictionary(column.type):
        return np.asarray(column.to_numpy())
    for chunk in column.chunks:
        if any(len(str(word)) > LONGEST_MEMBER for word in chunk.dictionary.to_pylist()):
            raise ValueError(f"a name in it has more than {LONGEST_MEMBER} characters")
    return np.asarray(column.cast(column.type.value_type).to_numpy())


def _is_column(values: np.ndarray) -> bool:
    """Tell numbers and words from everything else that a table may hold."""
    return values.dtype.kind in "iuf" or all(isinstance(value, str) for value in values)


def read_columns(file: Path, columns: Sequence[str] | None = None) -> dict[str, np.ndarray]:
    """Read a Parquet file of numbers, and of the names of members, as columns, or some of them.

    Raises:
        FileNotFoundError: It is not there.
        StoreError: The reason why it is not read, as a phrase.
    """
    with open_file(file) as opened:
        try:
            stored = pq.ParquetFile(opened)
            names = [name for name in stored.schema_arrow.names if columns is None or name in columns]
            _require_room(stored, names)
            # What repeats is written once, and takes no room until it is spelt out.
            stored = pq.ParquetFile(opened, read_dictionary=_words(stored, names))
            table = stored.read(columns=names)
            read = {name: _spelt_out(table.column(name)) for name in names}
        except (OSError, ValueError, pa.ArrowException) as error:
            raise StoreError(" ".join(str(error).split())[:200]) from error
    wrong = next((name for name, values in read.items() if not _is_column(values)), None)
    if wrong is not None:
        raise StoreError(f"column {wrong[:80]!r} holds neither numbers nor names")
    return read
