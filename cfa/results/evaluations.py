"""Evaluations of a run: scores for the tables, and what became of every image for everything else."""

import dataclasses
import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from cfa.errors import StoreError
from cfa.files import make_folder, replacing, write_text
from cfa.results.rows import Scores
from cfa.results.runs import RunFolder, now
from cfa.weights_identity import WeightsIdentity


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What one check of a model came to.

    Attributes:
        name: The check.
        passed: ``None`` where it could not be made.
        numbers: What was compared: accuracies in [0, 1] by what they are of.
        meaning: What a failure means.
    """

    name: str
    passed: bool | None
    numbers: Mapping[str, float]
    meaning: str


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """One plan carried out on one set of weights.

    ``settings`` maps an attack's name to all that it ran with; ``findings`` are sentences about the numbers;
    ``checks`` are the verdicts of a sanity checklist; ``plan`` is what was asked for (it can be repeated);
    ``loaded_as`` is the name that loads the data set where ``dataset`` does not (``package.module:name``);
    ``weights_hash`` is the SHA-256 of the weights' content, ``arithmetic`` what was computed in (``float32``,
    ``tf32``, ``bf16``); both are empty in evaluations made before they were stored.
    """

    id: str
    created: str
    dataset: str
    split: str
    weights: str
    checkpoint: str
    epoch: int
    seed: int
    limit: int | None
    scores: tuple[Scores, ...]
    settings: Mapping[str, Mapping[str, Any]]
    findings: tuple[str, ...] = ()
    class_names: tuple[str, ...] = ()
    checks: tuple[Verdict, ...] = ()
    plan: Mapping[str, Any] = field(default_factory=dict)
    loaded_as: str = ""
    weights_hash: str = ""
    arithmetic: str = ""

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

    @classmethod
    def from_json(cls, text: str) -> "Evaluation":
        """Read an evaluation back."""
        fields: dict[str, Any] = json.loads(text)
        scores = tuple(
            Scores(**{**s, "correct": tuple(s["correct"]), "total": tuple(s["total"])})
            for s in fields.pop("scores")
        )
        for key in ("findings", "class_names"):
            fields[key] = tuple(fields[key])
        checks = tuple(Verdict(**verdict) for verdict in fields.pop("checks", ()))
        return cls(scores=scores, checks=checks, **fields)


def new_id() -> str:
    """Draw an evaluation id that sorts by time."""
    return f"{now().replace('-', '').replace(':', '')[:15]}-{secrets.token_hex(4)}"


def outcomes_file(run: RunFolder, evaluation_id: str) -> Path:
    """Say where the per-image outcomes of an evaluation are."""
    return run.path / "evaluations" / evaluation_id / "outcomes.parquet"


def save_evaluation(run: RunFolder, evaluation: Evaluation, outcomes: Mapping[str, np.ndarray]) -> None:
    """Write outcomes, then the evaluation; readers see the evaluation only when both are whole.

    Args:
        run: The run that was evaluated.
        evaluation: Scores and settings.
        outcomes: Columns of equal length, one row an image: ``image`` (index in the split), ``label``, and
            one predicted class per attack, named for it.
    """
    file = outcomes_file(run, evaluation.id)
    make_folder(file.parent.parent)
    make_folder(file.parent)
    save_columns(file, outcomes)
    write_text(file.with_name("evaluation.json"), evaluation.to_json())


def save_columns(file: Path, columns: Mapping[str, np.ndarray]) -> None:
    """Write columns of equal length as a Parquet file."""
    with replacing(file) as temporary:
        pq.write_table(pa.table(dict(columns)), temporary, compression="zstd")


def read_evaluations(run: RunFolder) -> list[Evaluation]:
    """Read a run's finished evaluations, oldest first; unreadable ones are a StoreError."""
    found = [_read(run, file) for file in sorted((run.path / "evaluations").glob("*/evaluation.json"))]
    return sorted(found, key=lambda evaluation: (evaluation.created, evaluation.id))


def read_evaluation(run: RunFolder, evaluation_id: str) -> Evaluation:
    """Read one of a run's evaluations; a StoreError where it is not there, or unreadable."""
    file = outcomes_file(run, evaluation_id).with_name("evaluation.json")
    if not file.exists():
        raise StoreError(f"run {run.name!r} has no evaluation {evaluation_id}; it may have been deleted")
    return _read(run, file)


def _read(run: RunFolder, file: Path) -> Evaluation:
    try:
        return Evaluation.from_json(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StoreError(
            f"run {run.id}: evaluation {file.parent.name} cannot be read; delete that folder"
        ) from error


def read_outcomes(
    run: RunFolder, evaluation_id: str, columns: Sequence[str] | None = None
) -> dict[str, np.ndarray]:
    """Read the per-image outcomes of an evaluation as columns, or those of some names that it has."""
    file = outcomes_file(run, evaluation_id)
    wanted = None if columns is None else [c for c in pq.read_schema(file).names if c in columns]
    table = pq.read_table(file, columns=wanted)
    return {name: table.column(name).to_numpy() for name in table.column_names}
