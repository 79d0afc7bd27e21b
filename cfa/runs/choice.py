"""Which of a run's evaluations count: one answer for every table, chart, report and export.

An evaluation belongs to weights, an attack's settings and an arithmetic. Only those of the weights that a
run has now are in tables; of those that asked the same, the one on most images counts, the newest of equals.
Other settings or another arithmetic are rows of their own, told apart by the attack's name
(:func:`told_apart`).
"""

import dataclasses
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cfa.notation import CLEAN
from cfa.runs.evaluations import Evaluation, read_evaluations, settings_of
from cfa.runs.folder import RunFolder, is_linked
from cfa.runs.rows import Scores
from cfa.weights_identity import WeightsIdentity, read_identity

EXACT = "float32"
REFERENCE = "reference"  # how AutoAttack runs unless told otherwise
_NOT_SETTINGS = ("eps", "eps_sweep", "mode", "batch_size", "seed", "package")
"""What is said elsewhere (the budget, the mode), or draws noise without being another attack."""


@dataclass(frozen=True)
class Measured:
    """Counts of a run under one attack, and the evaluation that they are from.

    Attributes:
        run: Whose.
        evaluation: Where they are from.
        scores: The counts.
        attack: The attack as tables name it: what is unusual follows its name in brackets.
        arithmetic: What it was computed in: float32, tf32 or bf16.
    """

    run: RunFolder
    evaluation: Evaluation
    scores: Scores
    attack: str
    arithmetic: str

    @classmethod
    def of(cls, run: RunFolder, evaluation: Evaluation, scores: Scores) -> "Measured":
        """Name what was measured: its mode and its arithmetic stand with it wherever it is shown."""
        arithmetic = arithmetic_of(run, evaluation)
        mode = settings_of(evaluation, scores).get("mode", REFERENCE)
        marks = [mark for mark, usual in ((mode, REFERENCE), (arithmetic, EXACT)) if mark != usual]
        return cls(run, evaluation, scores, _marked(scores.attack, marks), arithmetic)

    @property
    def images(self) -> int:
        """Count the images."""
        return sum(self.scores.total)

    @property
    def row(self) -> tuple[object, ...]:
        """Name its row in a table: run's id, data set, weights, checkpoint, split, attack, norm, eps."""
        made, scores = self.evaluation, self.scores
        where = (self.run.id, made.dataset, made.weights, made.checkpoint)
        return (*where, scores.split, self.attack, scores.norm, scores.eps)

    @property
    def settings(self) -> dict[str, Any]:
        """All that makes it this attack, but for its budget; empty where the evaluation does not say.

        What is off is left out: an older version, which did not have it, made the same attack.
        """
        found = settings_of(self.evaluation, self.scores)
        settings: dict[str, Any] = _what_is_on({k: v for k, v in found.items() if k not in _NOT_SETTINGS})
        return settings

    @property
    def question(self) -> tuple[object, ...]:
        """Tell it from everything else that can be asked of a run: row, images, classes, settings in full."""
        return (*self.row, self.evaluation.test_fingerprint, self.class_names, _canonical(self.settings))

    @property
    def data(self) -> str:
        """The fingerprint of the run's own data set, where that is what was measured on; else empty."""
        manifest = self.run.manifest
        own = self.evaluation.dataset_to_load == self.run.config.dataset
        return manifest.data_fingerprint if manifest is not None and own else ""

    @property
    def class_names(self) -> tuple[str, ...]:
        """Name the classes, as the evaluation knows them or else the run."""
        return tuple(self.evaluation.class_names) or self.run.class_names


def measured(runs: Iterable[RunFolder]) -> list[Measured]:
    """List the test scores that count of some runs, run by run, attacks told apart."""
    return told_apart([found for run in runs for found in chosen(run)])


def chosen(run: RunFolder, wanted: Callable[[Evaluation], bool] = lambda _: True) -> list[Measured]:
    """List a run's test scores that count, one for everything that was measured of it.

    Sweeps are left out: an image that breaks at a smaller ``eps`` counts as broken at every larger one there,
    so that their figures are not those of one attack at one ``eps``.

    Args:
        run: The run.
        wanted: Which evaluations are looked at; all of them unless it is given.
    """
    found: dict[tuple[object, ...], Measured] = {}
    evaluations = with_images_known(run, read_evaluations(run))
    present = {evaluation.id for evaluation in of_present_weights(run, evaluations)}
    for evaluation in evaluations:  # oldest first
        if evaluation.id not in present or evaluation.plan.get("eps_sweep") or not wanted(evaluation):
            continue
        for scores in evaluation.scores:
            one = Measured.of(run, evaluation, scores)
            before = found.get(one.question)
            if before is None or one.images >= before.images:
                found[one.question] = one
    return list(found.values())


def of_present_weights(run: RunFolder, evaluations: Sequence[Evaluation]) -> list[Evaluation]:
    """Keep the evaluations of the weights that a run has now, or had last where they were not kept."""
    newest = {(e.weights, e.checkpoint): WeightsIdentity(e.weights_hash, e.epoch) for e in evaluations}
    now = {kept: weights_now(run, *kept) or identity for kept, identity in newest.items()}
    return [e for e in evaluations if e.is_of(now[e.weights, e.checkpoint])]


def weights_now(run: RunFolder, weights: str, checkpoint: str) -> WeightsIdentity | None:
    """Identify the weights that a run keeps of a kind; ``None`` where it keeps none that can be read."""
    if (weights, checkpoint) not in run.kept_weights() or is_linked(run.weights_file(weights, checkpoint)):
        return None
    try:
        return read_identity(run.weights_file(weights, checkpoint))
    except (OSError, ValueError):  # whoever wants to load it says what is wrong with it
        return None


def arithmetic_of(run: RunFolder, evaluation: Evaluation) -> str:
    """Return what an evaluation was computed in; older ones did not store it, and took TF32 on CUDA."""
    if evaluation.arithmetic:
        return evaluation.arithmetic
    manifest = run.manifest
    return "tf32" if manifest and manifest.device.startswith("cuda") else EXACT


def with_images_known(run: RunFolder, evaluations: Sequence[Evaluation]) -> list[Evaluation]:
    """Take evaluations that do not say on which images they were made for ones on the oldest known ones.

    Those of the same data set and classes: evaluations of an older version belong with the ones made since.
    """
    oldest: dict[tuple[object, ...], str] = {}

    def about(evaluation: Evaluation) -> tuple[object, ...]:
        return evaluation.dataset, tuple(evaluation.class_names) or run.class_names

    for evaluation in evaluations:  # oldest first
        if evaluation.test_fingerprint:
            oldest.setdefault(about(evaluation), evaluation.test_fingerprint)
    return [
        dataclasses.replace(e, test_fingerprint=e.test_fingerprint or oldest.get(about(e), ""))
        for e in evaluations
    ]


def _images_resolved(found: Sequence[Measured]) -> list[Measured]:
    """Take measurements on images that are not known for ones on the oldest known ones, as within a run.

    Only those of runs that saw the same data: what is called alike may be other images altogether.
    """
    oldest: dict[tuple[object, ...], str] = {}

    def about(one: Measured) -> tuple[object, ...]:
        return one.evaluation.dataset, one.class_names, one.data

    for one in sorted(found, key=lambda m: (m.evaluation.created, m.evaluation.id)):
        if tested := one.evaluation.test_fingerprint:
            oldest.setdefault(about(one), tested)
    return [
        dataclasses.replace(one, evaluation=dataclasses.replace(one.evaluation, test_fingerprint=known))
        if not one.evaluation.test_fingerprint and (known := oldest.get(about(one)))
        else one
        for one in found
    ]


def _data_told_apart(found: Sequence[Measured]) -> list[Measured]:
    found = _images_resolved(found)
    kinds: dict[str, list[Measured]] = {}  # by name, one of each, the newest first
    names: dict[str, str] = {}  # by evaluation
    for one in sorted(found, key=lambda m: (m.evaluation.created, m.evaluation.id), reverse=True):
        known = kinds.setdefault(one.evaluation.dataset, [])
        index = next((k for k, other in enumerate(known) if not _differs(one, other)), len(known))
        if index == len(known):
            known.append(one)
        what, number = _differs(one, known[0]), f" {index}" if index > 1 else ""
        names[one.evaluation.id] = f"{one.evaluation.dataset} ({what}{number})" if index else ""
    return [
        dataclasses.replace(
            one,
            evaluation=dataclasses.replace(
                one.evaluation, dataset=name, loaded_as=one.evaluation.dataset_to_load
            ),
        )
        if (name := names[one.evaluation.id])
        else one
        for one in found
    ]


def _differs(one: Measured, other: Measured) -> str:
    """Say in which way one is about other data; empty where nothing says so."""
    if one.class_names != other.class_names:
        return "other classes"
    tested = {one.evaluation.test_fingerprint, other.evaluation.test_fingerprint}
    if "" in tested:  # of one nobody knows: then the data that the runs saw decide, as far as they are known
        tested = {one.data, other.data}
    return "other images" if len(tested - {""}) > 1 else ""


def told_apart(found: Sequence[Measured]) -> list[Measured]:
    """Name apart whatever would look alike in one table and is not: data sets first, then attacks.

    Attacks of one name with other settings: what differs from the newest in brackets, ``pgd-20`` and
    ``pgd-20 (step_size=0.1*eps)``. Data sets of one name with other images or classes: the newest keeps the
    name, ``folder:/pets`` and ``folder:/pets (other images)``.
    """
    found = _data_told_apart(found)
    alike: dict[tuple[object, ...], dict[str, Measured]] = {}
    for one in sorted(found, key=lambda m: (m.evaluation.created, m.evaluation.id), reverse=True):
        alike.setdefault(_kind(one), {}).setdefault(_canonical(one.settings), one)
    names = {kind: _names(list(variants.values())) for kind, variants in alike.items()}
    return [
        dataclasses.replace(one, attack=names[_kind(one)][_canonical(one.settings)])
        if len(names[_kind(one)]) > 1
        else one
        for one in found
    ]


def clean_beside(found: Sequence[Measured]) -> dict[tuple[object, ...], Scores]:
    """Find the clean counts on the very images of each row: of its own evaluation, or of one as large.

    Returns:
        Clean counts by :attr:`Measured.row`; rows without any are left out.
    """

    def alike(one: Measured) -> tuple[object, ...]:
        return *one.row[:5], one.arithmetic, one.scores.total

    whole = {alike(one): one.scores for one in found if one.scores.attack == CLEAN}
    beside: dict[tuple[object, ...], Scores] = {}
    for one in found:
        own = next((s for s in one.evaluation.scores if s.attack == CLEAN), None)
        if own is None or own.total != one.scores.total:
            own = whole.get(alike(one))
        if own is not None:
            beside[one.row] = own
    return beside


def left_out(run: RunFolder) -> list[str]:
    """Say which of a run's evaluations are in no table, and why: other weights, or fewer images."""
    evaluations = with_images_known(run, read_evaluations(run))
    present = {evaluation.id for evaluation in of_present_weights(run, evaluations)}
    images = {one.question: one.images for one in chosen(run)}
    said = []
    for evaluation in evaluations:
        attacks = [scores for scores in evaluation.scores if scores.attack != CLEAN] or evaluation.scores
        whose = f"{evaluation.checkpoint} {evaluation.weights} weights"
        if evaluation.id not in present:
            names = ", ".join(dict.fromkeys(scores.attack for scores in attacks))
            said.append(
                f"{run.name}: {names} on {evaluation.images:,} images is of epoch {evaluation.epoch}, and "
                f"the {whose} are others now; it is in no table"
            )
        elif not evaluation.plan.get("eps_sweep"):
            fewer = [Measured.of(run, evaluation, scores) for scores in attacks]
            said += [
                f"{run.name}: of {one.attack} on the {whose}, {images[one.question]:,} images count and not "
                f"{one.images:,}"
                for one in fewer
                if images[one.question] > one.images
            ]
    return list(dict.fromkeys(said))


def _what_is_on(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: kept for key, part in value.items() if (kept := _what_is_on(part))}
    return [_what_is_on(part) for part in value] if isinstance(value, list | tuple) else value


def _marked(attack: str, marks: Sequence[str]) -> str:
    if not marks:
        return attack
    bare, bracket, before = attack.partition(" (")
    return f"{bare} ({', '.join([*([before[:-1]] if bracket else []), *marks])})"


def _kind(one: Measured) -> tuple[object, ...]:
    return one.evaluation.dataset, one.attack, one.scores.norm, one.scores.eps


def _names(variants: Sequence[Measured]) -> dict[str, str]:
    """Name the variants of an attack by their settings; the first keeps the name."""
    usual = variants[0].settings
    names = {_canonical(usual): variants[0].attack}
    for one in variants[1:]:
        name = _marked(one.attack, _differences(one.settings, usual))
        taken = set(names.values())
        free = (name, *(f"{name} {number}" for number in range(2, len(variants) + 1)))
        names[_canonical(one.settings)] = next(found for found in free if found not in taken)
    return names


def _differences(settings: Mapping[str, Any], usual: Mapping[str, Any]) -> list[str]:
    said = []
    for key in sorted(settings.keys() | usual.keys()):
        value = settings.get(key)
        if value == usual.get(key):
            continue
        short = isinstance(value, str | int | float) and len(str(value)) <= 40
        said.append(f"without {key}" if value is None else f"{key}={value}" if short else f"other {key}")
    return said


def _canonical(settings: Mapping[str, Any]) -> str:
    return json.dumps(settings, sort_keys=True, default=str)
