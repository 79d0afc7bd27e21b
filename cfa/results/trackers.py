"""Rows of runs in other programs: TensorBoard's event files and an MLflow tracking store."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cfa.errors import ConfigError, StoreError
from cfa.results.frames import newest_scores
from cfa.results.rows import Epoch, Knobs, Scores
from cfa.results.runs import RunFolder

RUN_TAG = "cfa.run_id"  # by which a run is found again in a tracking store
BATCH = 1000  # metrics that MLflow takes at once
_FORBIDDEN = re.compile(r"[^\w\-. /]")  # in a metric's name, by MLflow


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
            yield from _of_scores(row, f"{row.split}/{row.attack}/{row.weights}", names)
        elif isinstance(row, Knobs):
            for title, values in (("eps", row.eps), ("beta", row.beta)):
                for name, value in zip(_classes(names, len(values)), values, strict=True):
                    if value is not None:
                        yield _scalar(f"{title}/{name}", row.epoch, value)
        else:
            yield from _of_epoch(row)
    for evaluation, scores in newest_scores(run):
        where = f"test/{scores.attack}/{scores.weights} ({evaluation.checkpoint})"
        yield from _of_scores(scores, where, evaluation.class_names or names)


def _of_scores(row: Scores, prefix: str, names: Sequence[str]) -> Iterator[Scalar]:
    accuracy = [correct / total for correct, total in zip(row.correct, row.total, strict=True) if total]
    if not accuracy:
        return
    yield _scalar(f"{prefix}/mean", row.epoch, sum(accuracy) / len(accuracy))
    yield _scalar(f"{prefix}/worst", row.epoch, min(accuracy))
    if len(accuracy) == len(row.total):
        for name, value in zip(_classes(names, len(accuracy)), accuracy, strict=True):
            yield _scalar(f"{prefix}/class/{name}", row.epoch, value)


def _of_epoch(row: Epoch) -> Iterator[Scalar]:
    for name in ("learning_rate", "loss", "seconds", "images_per_second", "gate_worst"):
        value = getattr(row, name)
        if value is not None:
            yield _scalar(f"epoch/{name}", row.epoch, value)
    if row.gate_accepted is not None:
        yield _scalar("epoch/gate_accepted", row.epoch, float(row.gate_accepted))


def _scalar(name: str, epoch: int, value: float) -> Scalar:
    return Scalar(_FORBIDDEN.sub("_", name), epoch, float(value))


def _classes(names: Sequence[str], classes: int) -> list[str]:
    return list(names) if len(names) == classes else [f"class {index}" for index in range(classes)]


def to_tensorboard(runs: Sequence[RunFolder], folder: Path) -> list[Path]:
    """Write event files, a folder per run; a run that is there already is written anew.

    Raises:
        ConfigError: TensorBoard is not installed.
        StoreError: The folder cannot be written.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise ConfigError(f"TensorBoard is not installed ({error}); pip install tensorboard") from error
    written = []
    for run in runs:
        target = folder / run.name
        try:
            for old in target.glob("events.out.tfevents.*"):
                old.unlink()
            writer: Any = SummaryWriter(str(target))
        except OSError as error:
            raise StoreError(f"cannot write {target} ({error.strerror}); choose another folder") from error
        with writer:
            writer.add_text("configuration", f"```\n{run.config.to_json()}\n```")
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
            if client.search_runs([where], filter_string=f"tags.`{RUN_TAG}` = '{run.id}'"):
                continue
            begun = client.create_run(where, run_name=run.name, tags={RUN_TAG: run.id})
            params = [Param(name, str(value)) for name, value in run.config.flat().items()]
            tags = [
                RunTag("cfa.tags", ", ".join(run.label.tags)),
                RunTag("mlflow.note.content", run.label.notes),
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
