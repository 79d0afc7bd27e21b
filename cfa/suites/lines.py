"""Lines of a suite's table: a method's weights under one attack over seeds, beside a published number."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from cfa.notation import parse_fraction
from cfa.older_settings import present_name, under_present_names
from cfa.runs.choice import Measured, told_apart
from cfa.statistics import (
    GROUPS,
    LAST_80,
    class_mean_interval,
    group_means,
    last_80_percent,
    over_seeds,
    worst_class_interval,
)
from cfa.suites.planned import PlannedEvaluation
from cfa.suites.suite import Suite
from cfa.tables.papers import PublishedNumber

Interval = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class SuiteLine:
    """One line of the table: a method's weights under one attack, over seeds.

    Attributes:
        dataset: Data set.
        model: Network.
        method: Our name; empty where only the paper has it.
        label: For people.
        weights: Kind of weights; several where ``auto`` meant different ones.
        checkpoint: ``best`` or ``last``.
        attack: The attack.
        norm: Its norm.
        eps: Its budget, 0 for clean.
        variant: Settings of the grid.
        planned: Runs that the suite asks for.
        runs: Those that were evaluated.
        control_of: The method that these runs are the control of; empty where they are none.
        mean: Mean over classes, averaged over runs; ``None`` while there is none.
        mean_spread: Standard deviation over runs, from two on.
        mean_interval: Ends of the 95 % intervals over images, averaged over runs.
        worst: Accuracy of each run's worst class, averaged over runs; the same three follow for it.
        worst_spread: See ``mean_spread``.
        worst_interval: See ``mean_interval``.
        worst_classes: The worst class of each run.
        groups: Mean over head, medium and tail classes, averaged over runs; empty where classes are equal.
        last_80: Mean over the classes but the fifth with the most training images, averaged over runs.
        published: The number beside it.
        published_last_80: The number of such a mean beside it.
        images: On how many each of the runs was measured.
        left_out: Sentences about runs that were measured otherwise and are not averaged.
    """

    dataset: str
    model: str
    method: str
    label: str
    weights: str
    checkpoint: str
    attack: str
    norm: str
    eps: float
    variant: Mapping[str, Any]
    planned: int
    runs: int
    control_of: str = ""
    mean: float | None = None
    mean_spread: float | None = None
    mean_interval: Interval | None = None
    worst: float | None = None
    worst_spread: float | None = None
    worst_interval: Interval | None = None
    worst_classes: tuple[str, ...] = ()
    groups: Mapping[str, float] = field(default_factory=dict)
    last_80: float | None = None
    published: PublishedNumber | None = None
    published_last_80: PublishedNumber | None = None
    images: int | None = None
    left_out: tuple[str, ...] = ()


def suite_lines(evaluations: Iterable[PlannedEvaluation], suite: Suite) -> Iterator[SuiteLine]:
    """Average what evaluations came to, line by line, and set published numbers beside.

    Args:
        evaluations: Those planned, whether they are made or not.
        suite: Whose published numbers are set beside; those of methods that we do not have follow.
    """
    yield from _beside([_line(group) for group in _groups(evaluations)], suite)


def variant_in_words(variant: Mapping[str, Any]) -> str:
    """Write the settings of a grid that a line has."""
    return ", ".join(f"{key}={value}" for key, value in variant.items())


@dataclass(frozen=True)
class _Wanted:
    """One attack of one planned evaluation."""

    evaluation: PlannedEvaluation
    attack: str

    @property
    def key(self) -> tuple[object, ...]:
        run, plan = self.evaluation.run, self.evaluation.plan
        config = run.config
        same_run = (config.dataset, config.method, run.control_of, tuple(run.variant.items()))
        eps = 0.0 if self.attack == "clean" else plan.eps
        return (*same_run, self.evaluation.weights, self.evaluation.checkpoint, self.attack, eps, plan.limit)


def _groups(evaluations: Iterable[PlannedEvaluation]) -> list[list[_Wanted]]:
    """Put the seeds of a line together; what several evaluations bring (``clean``) counts once a run."""
    groups: dict[tuple[object, ...], dict[str, _Wanted]] = {}
    for evaluation in evaluations:
        for attack in evaluation.plan.attacks:
            wanted = _Wanted(evaluation, attack)
            groups.setdefault(wanted.key, {}).setdefault(evaluation.run.config.key(), wanted)
    return [list(group.values()) for group in groups.values()]


def _line(group: Sequence[_Wanted]) -> SuiteLine:
    """Average one line over its runs."""
    from cfa.methods import display_name

    first = group[0]
    config, variant = first.evaluation.run.config, first.evaluation.run.variant
    found = [one for wanted in group if (one := _measured(wanted)) is not None]
    scored, left_out = _alike(found)
    kinds = list(dict.fromkeys(wanted.evaluation.kind for wanted in group))
    label = " / ".join(display_name(config.method, kind) for kind in kinds)
    label += f" ({variant_in_words(variant)})" if variant else ""
    control_of = first.evaluation.run.control_of
    label += f" (control of {display_name(control_of, 'online')})" if control_of else ""
    return SuiteLine(
        dataset=config.dataset,
        model=config.model,
        method=config.method,
        label=label,
        weights=", ".join(kinds),
        checkpoint=first.evaluation.checkpoint,
        attack=first.attack,
        norm=first.evaluation.plan.norm,
        eps=0.0 if first.attack == "clean" else first.evaluation.plan.eps,
        variant=dict(variant),
        control_of=control_of,
        planned=len(group),
        runs=len(scored),
        images=scored[0].images if scored else None,
        left_out=tuple(f"{label}, {first.attack}: {said}" for said in left_out),
        **_averages(scored),
    )


def _measured(wanted: _Wanted) -> Measured | None:
    """Find what counts of a planned evaluation, the newest of several."""
    if wanted.evaluation.run.existing is None:
        return None
    found = [one for one in wanted.evaluation.scores if one.attack == wanted.attack]
    return max(found, key=lambda one: one.evaluation.created, default=None)


def _alike(found: Sequence[Measured]) -> tuple[list[Measured], list[str]]:
    """Keep the runs that were measured as most of them were: on the same images, with the same settings.

    Returns:
        Those, and a sentence about each of the others.
    """
    kinds = [(one.evaluation.dataset, one.attack, one.images) for one in told_apart(found)]
    most = max(kinds, key=lambda kind: (kinds.count(kind), kind[2]), default=None)
    kept = [one for one, kind in zip(found, kinds, strict=True) if kind == most]
    said = [
        f"{one.run.name} is not averaged with the others: {attack} on {images:,} images of {dataset}"
        for one, (dataset, attack, images) in zip(found, kinds, strict=True)
        if (dataset, attack, images) != most
    ]
    return kept, said


def _averages(scored: Sequence[Measured]) -> dict[str, Any]:
    if not scored:
        return {}
    counts = [(np.array(one.scores.correct, float), np.array(one.scores.total, float)) for one in scored]
    accuracies = [correct / total for correct, total in counts]
    columns = {
        "mean": ([float(a.mean()) for a in accuracies], [class_mean_interval(*pair) for pair in counts]),
        "worst": ([float(a.min()) for a in accuracies], [worst_class_interval(*pair) for pair in counts]),
    }
    fields: dict[str, Any] = {}
    for name, (values, intervals) in columns.items():
        seeds = over_seeds(values)
        fields[name], fields[f"{name}_spread"] = seeds.mean, seeds.deviation
        low, high = np.mean(intervals, axis=0).tolist()
        fields[f"{name}_interval"] = (low, high)
    worst = [int(a.argmin()) for a in accuracies]
    known = [one.class_names for one in scored]
    names = [of[k] if of else str(k) for k, of in zip(worst, known, strict=True)]
    groups, rest = _group_means(accuracies, scored), _last_80(accuracies, scored)
    return {**fields, "worst_classes": tuple(names), "groups": groups, "last_80": rest}


def _last_80(accuracies: Sequence[np.ndarray], scored: Sequence[Measured]) -> float | None:
    manifests = [one.run.manifest for one in scored]
    chosen = [last_80_percent(made.train_counts) if made else () for made in manifests]
    if not all(chosen):
        return None
    return float(np.mean([a[list(classes)].mean() for a, classes in zip(accuracies, chosen, strict=True)]))


def _group_means(accuracies: Sequence[np.ndarray], scored: Sequence[Measured]) -> dict[str, float]:
    groups = [one.run.class_groups for one in scored]
    if not all(groups):
        return {}
    means = [group_means(a, of_run) for a, of_run in zip(accuracies, groups, strict=True)]
    return {name: float(np.mean([of_run[name] for of_run in means])) for name in GROUPS}


def _beside(lines: Sequence[SuiteLine], suite: Suite) -> Iterator[SuiteLine]:
    """Set the published numbers beside the suite's; those of methods that we do not have follow them."""
    left = [number for number in suite.published_numbers() if number.dataset in suite.datasets]
    networks = {line.model for line in lines}
    for line in lines:
        fitting = [number for number in left if _belongs(number, line)]
        of_all, of_last = (
            next((number for number in fitting if number.over == over), None) for over in ("", LAST_80)
        )
        yield replace(line, published=of_all, published_last_80=of_last)
    for number in left:
        if number.method is None:
            yield _published_alone(number, networks)


def _belongs(number: PublishedNumber, line: SuiteLine) -> bool:
    checkpoint = "best" if number.checkpoint == "unstated" else number.checkpoint
    same = (number.dataset, number.model, number.method, number.weights, checkpoint, number.attack)
    if number.over not in ("", LAST_80) or line.control_of:  # papers have no such controls
        return False
    if same != (line.dataset, line.model, line.method, line.weights, line.checkpoint, line.attack):
        return False
    if line.attack != "clean" and (line.norm != "linf" or abs(number.eps - line.eps) > 1e-6):
        return False
    ours = {present_name(key): parse_fraction(value) for key, value in line.variant.items()}
    theirs = under_present_names(number.settings)
    return all(key in theirs and _equal(value, theirs[key]) for key, value in ours.items())


def _equal(one: object, other: float) -> bool:
    return isinstance(one, int | float) and abs(one - other) < 1e-9


def _published_alone(number: PublishedNumber, networks: Collection[str]) -> SuiteLine:
    return SuiteLine(
        dataset=number.dataset,
        model=number.model,
        method="",
        label=number.label if number.model in networks else f"{number.label} ({number.model})",
        weights=number.weights or "",
        checkpoint=number.checkpoint,
        attack=number.attack,
        norm="linf",
        eps=0.0 if number.attack == "clean" else number.eps,
        variant={},
        planned=0,
        runs=0,
        published=None if number.over == LAST_80 else number,
        published_last_80=number if number.over == LAST_80 else None,
    )
