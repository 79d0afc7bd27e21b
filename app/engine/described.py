"""What pages say of every run, made of its files alone and kept in the index until they change."""

from dataclasses import dataclass

from app.process.opened import index
from app.process.rights import looks
from cfa.evaluation import default_weights
from cfa.runs.evaluations import list_evaluations, read_evaluations
from cfa.runs.folder import RunFolder, experiment_of
from cfa.runs.index import Derived, Made
from cfa.runs.listed import ReadableRun, UnreadableRun, look_at
from cfa.runs.standing import history_standing, list_standing, results_standing
from cfa.stored import STRICT
from cfa.tables.comparability import NOT_KNOWN, protocol_of
from cfa.tables.frames import worst_on_validation


@dataclass(frozen=True)
class Described:
    """A run as its files describe it; ``state`` is what its trainer last wrote.

    Attributes:
        chosen_on: With ``conditions``, how it was trained (`cfa.tables.comparability`).
        problem: Why it cannot be read; everything else is empty then.
    """

    __pydantic_config__ = STRICT

    name: str = ""
    method: str = ""
    dataset: str = ""
    model: str = ""
    preset: str = ""
    seed: int = 0
    experiment: str = ""
    state: str = ""
    epoch: int = 0
    epochs: int = 0
    message: str = ""
    created: str = ""
    updated: str = ""
    tags: tuple[str, ...] = ()
    notes: str = ""
    kept: tuple[tuple[str, str], ...] = ()
    chosen_on: str = NOT_KNOWN.chosen_on
    conditions: tuple[tuple[str, str], ...] = NOT_KNOWN.conditions
    problem: str = ""


def _described(folder: RunFolder) -> Made[Described]:
    found = look_at(folder)
    if isinstance(found, UnreadableRun):  # perhaps too many files are open: it is looked at each time
        return Made(Described(problem=found.problem), whole=False)
    return Made(_of_readable(found), whole=folder.given_name == found.label.name)


def _of_readable(found: ReadableRun) -> Described:
    config, label, status, manifest = found.config, found.label, found.status, found.manifest
    protocol = protocol_of(config, manifest)
    return Described(
        name=label.name,
        method=config.method,
        dataset=config.dataset,
        model=config.model,
        preset=config.preset,
        seed=config.seed,
        experiment=experiment_of(found.folder.id, config, manifest.origins if manifest else {}),
        state=status.state,
        epoch=status.epoch,
        epochs=config.train.epochs,
        message=status.message,
        created=manifest.created if manifest else status.updated,
        updated=status.updated,
        tags=label.tags,
        notes=label.notes,
        kept=tuple(found.folder.kept_weights()),
        chosen_on=protocol.chosen_on,
        conditions=protocol.conditions,
    )


DESCRIBED = Derived("described", Described, list_standing, _described)


@dataclass(frozen=True)
class WorstOnValidation:
    """The class that was worst on validation, for weights that were evaluated: kind, epoch, class."""

    __pydantic_config__ = STRICT

    found: tuple[tuple[str, int, int], ...]

    @property
    def by_weights(self) -> dict[tuple[str, int], int]:
        """The class, by kind of weights and epoch."""
        return {(weights, epoch): worst for weights, epoch, worst in self.found}


def _worst(folder: RunFolder) -> Made[WorstOnValidation]:
    evaluations = list_evaluations(folder)
    asked = {(evaluation.weights, evaluation.epoch) for evaluation in evaluations.found}
    found = worst_on_validation(folder) if asked else {}  # reads every epoch: what the index is for
    rows = tuple((*key, found[key]) for key in sorted(asked & found.keys()))
    return Made(WorstOnValidation(rows), whole=bool(asked) and not evaluations.problems)


@dataclass(frozen=True)
class EvaluatedKinds:
    """The kinds of weights that were evaluated."""

    __pydantic_config__ = STRICT

    kinds: tuple[str, ...]


def _kinds(folder: RunFolder) -> Made[EvaluatedKinds]:
    found = read_evaluations(folder)
    return Made(EvaluatedKinds(tuple(sorted({one.weights for one in found}))), whole=bool(found))


EVALUATED_KINDS = Derived("kinds of weights", EvaluatedKinds, results_standing, _kinds)


@looks
def reported_kind(folder: RunFolder) -> str:
    """Say which weights a run is reported with (:func:`cfa.evaluation.default_weights`).

    Raises:
        StoreError: One of its evaluations cannot be read.
    """
    (evaluated,) = index().values(EVALUATED_KINDS, [folder])
    return default_weights(folder, evaluated.kinds)


WORST_ON_VALIDATION = Derived("worst on validation", WorstOnValidation, history_standing, _worst)
