"""Rows of runs in other programs: TensorBoard's event files and an MLflow tracking store."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cfa.errors import ConfigError, StoreError
from cfa.escaping import fenced, markdown_text, name_part
from cfa.runs.choice import measured
from cfa.runs.contents import RUN_ID
from cfa.runs.folder import RunFolder
from cfa.runs.rows import BETA_WEIGHTS, Epoch, KnobValues, Scores
from cfa.runs.run_names import is_usable_name

RUN_TAG = "cfa.run_id"  # by which a run is found again in a tracking store
BATCH = 1000  # metrics that MLflow takes at once


@dataclass(frozen=True)
class Scalar:
    """A number of an epoch, with a name such as ``val/pgd-10/fawa/worst``."""

    name: str
    epoch: int
    value: float


def scalars(run: RunFolder) -> Iterator[Scalar]:
    """List what a run's rows say, epoch by epoch, and its test results at the epoch of their checkpoint."""
    names = run.class_names
    for row in run.rows():
        if isinstance(row, Scores):
            yield from _of_scores(row, name_part(row.weights), names)
        elif isinstance(row, KnobValues):
            for title, values in {**_drawn(row), "beta": row.beta}.items():
                for name, value in zip(_classes(names, len(values)), values, strict=True):
                    if value is not None:
                        yield Scalar(f"{title}/{name_part(name)}", row.epoch, value)
        else:
            yield from _of_epoch(row)
    for one in measured([run]):
        weights = f"{name_part(one.scores.weights)} _{name_part(one.evaluation.checkpoint)}_"
        row = replace(one.scores, attack=one.attack)
        yield from _of_scores(row, weights, one.evaluation.class_names or names)
        yield Scalar(f"{_prefix(row, weights)}/images", row.epoch, one.images)


def _drawn(row: KnobValues) -> dict[str, tuple[float, ...]]:
    """Return a row's knobs; beta stands for the two weights where they are made of it, and so sum to 1."""
    weights = [row.values[name] for name in BETA_WEIGHTS if name in row.values]
    made_of_beta = all(math.isclose(sum(of_class), 1) for of_class in zip(*weights, strict=True))
    return {name: v for name, v in row.values.items() if not (made_of_beta and name in BETA_WEIGHTS)}


def _of_scores(row: Scores, weights: str, names: Sequence[str]) -> Iterator[Scalar]:
    accuracy = [correct / total for correct, total in zip(row.correct, row.total, strict=True) if total]
    if not accuracy:
        return
    prefix = _prefix(row, weights)
    yield Scalar(f"{prefix}/mean", row.epoch, sum(accuracy) / len(accuracy))
    yield Scalar(f"{prefix}/worst", row.epoch, min(accuracy))
    if len(accuracy) == len(row.total):
        for name, value in zip(_classes(names, len(accuracy)), accuracy, strict=True):
            yield Scalar(f"{prefix}/class/{name_part(name)}", row.epoch, value)


def _prefix(row: Scores, weights: str) -> str:
    return f"{name_part(row.split)}/{name_part(row.attack)}/{weights}"


def _of_epoch(row: Epoch) -> Iterator[Scalar]:
    for name in ("learning_rate", "loss", "seconds", "images_per_second", "gate_worst"):
        value = getattr(row, name)
        if value is not None:
            yield Scalar(f"epoch/{name}", row.epoch, float(value))
    if row.gate_accepted is not None:
        yield Scalar("epoch/gate_accepted", row.epoch, float(row.gate_accepted))


def _classes(names: Sequence[str], classes: int) -> list[str]:
    return list(names) if len(names) == classes else [f"class {index}" for index in range(classes)]


def to_tensorboard(runs: Sequence[RunFolder], folder: Path) -> list[Path]:
    """Write event files, a folder per run; a run that is there already is written anew.

    Args:
        runs: The runs; one whose name is not usable, or another's, gets a folder called by its id.
        folder: Nothing is written or deleted outside of it.

    Raises:
        ConfigError: TensorBoard is not installed.
        StoreError: The folder cannot be written, or holds a link in the place of a run's folder.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise ConfigError(f"TensorBoard is not installed ({error}); pip install tensorboard") from error
    written: list[Path] = []
    for run in runs:
        target = folder / (run.name if is_usable_name(run.name) else run.id)
        target = folder / run.id if target in written else target
        if target.is_symlink():
            raise StoreError(
                f"{target} is a link to another folder; delete the link, or choose another folder"
            )
        try:
            for old in target.glob("events.out.tfevents.*"):
                old.unlink()
            writer: Any = SummaryWriter(str(target))
        except OSError as error:
            raise StoreError(f"cannot write {target} ({error.strerror}); choose another folder") from error
        with writer:
            writer.add_text("configuration", fenced(run.config.to_json()))
            for scalar in scalars(run):
                writer.add_scalar(scalar.name, scalar.value, scalar.epoch)
        written.append(target)
    return written


def to_mlflow(runs: Sequence[RunFolder], uri: str, experiment: str = "CFA Studio") -> list[str]:
    """Write runs to an MLflow tracking store, settings as parameters; one that is there already is skipped.

    Args:
        runs: The runs.
        uri: Of the store: ``sqlite:///mlflow.db``, ``http://…``.
        experiment: Where in it.

    Returns:
        MLflow's ids of the runs that were written.

    Raises:
        ConfigError: MLflow is not installed, or there is no such store.
    """
    try:
        from mlflow import MlflowClient
        from mlflow.entities import Metric, Param, RunTag
        from mlflow.exceptions import MlflowException
    except ImportError as error:
        raise ConfigError(f"MLflow is not installed ({error}); pip install mlflow") from error
    try:
        client: Any = MlflowClient(tracking_uri=uri)
        found = client.get_experiment_by_name(experiment)
        where = found.experiment_id if found else client.create_experiment(experiment)
        written = []
        for run in runs:
            if not RUN_ID.fullmatch(run.id):  # it stands in a question to the store
                raise ConfigError(f"run {run.name!r} has no usable id; rename its folder {run.id!r}")
            if client.search_runs([where], filter_string=f"tags.`{RUN_TAG}` = '{run.id}'"):
                continue
            begun = client.create_run(where, run_name=run.name, tags={RUN_TAG: run.id})
            params = [Param(name, str(value)) for name, value in run.config.flat().items()]
            tags = [
                RunTag("cfa.tags", ", ".join(run.label.tags)),
                RunTag("mlflow.note.content", "\n\n".join(map(markdown_text, run.label.notes.splitlines()))),
            ]
            client.log_batch(begun.info.run_id, params=params, tags=tags)
            metrics = [Metric(s.name, s.value, 0, s.epoch) for s in scalars(run)]
            for start in range(0, len(metrics), BATCH):
                client.log_batch(begun.info.run_id, metrics=metrics[start : start + BATCH])
            client.set_terminated(begun.info.run_id)
            written.append(str(begun.info.run_id))
    except ImportError as error:  # mlflow-skinny has no database of its own
        raise ConfigError(f"MLflow is not complete here ({error}); pip install mlflow") from error
    except MlflowException as error:
        raise ConfigError(f"MLflow at {uri!r} does not take it ({error}); check the address") from error
    return written
