"""A suite's table beside the published numbers, also while the suite is unfinished."""

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from cfa.escaping import csv_cell, markdown_text
from cfa.jobs.kinds.train_run import CLOSING_ATTACKS
from cfa.notation import parse_fraction
from cfa.older_settings import present_name, under_present_names
from cfa.runs.rows import Scores
from cfa.runs.store import Store
from cfa.statistics import GROUPS, Group, class_mean_interval, group_means, over_seeds, worst_class_interval
from cfa.suites.planned import PlannedEvaluation, plan_evaluations, plan_suite
from cfa.suites.suite import Suite, SuiteEvaluation
from cfa.tables.papers import PublishedNumber

CLOSING = SuiteEvaluation(attacks=CLOSING_ATTACKS, weights=("online", "ema", "fawa"))
Interval = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class SuiteLine:
    """One line of the table: a method's weights under one attack, over seeds.

    Attributes:
        dataset: Data set.
        method: Our name; empty where only the paper has it.
        label: For people.
        weights: Kind of weights; several where ``auto`` meant different ones.
        checkpoint: ``best`` or ``last``.
        attack: The attack.
        eps: Its budget, 0 for clean.
        variant: Settings of the grid.
        planned: Runs that the suite asks for.
        runs: Those that were evaluated.
        mean: Mean over classes, averaged over runs; ``None`` while there is none.
        mean_spread: Standard deviation over runs, from two on.
        mean_interval: Ends of the 95 % intervals over images, averaged over runs.
        worst: Accuracy of each run's worst class, averaged over runs; the same three follow for it.
        worst_spread: See ``mean_spread``.
        worst_interval: See ``mean_interval``.
        worst_classes: The worst class of each run.
        groups: Mean over head, medium and tail classes, averaged over runs; empty where classes are equal.
        published: The number beside it.
        images: On how many each of the runs was measured.
    """

    dataset: str
    method: str
    label: str
    weights: str
    checkpoint: str
    attack: str
    eps: float
    variant: Mapping[str, Any]
    planned: int
    runs: int
    mean: float | None = None
    mean_spread: float | None = None
    mean_interval: Interval | None = None
    worst: float | None = None
    worst_spread: float | None = None
    worst_interval: Interval | None = None
    worst_classes: tuple[str, ...] = ()
    groups: Mapping[str, float] = field(default_factory=dict)
    published: PublishedNumber | None = None
    images: int | None = None


@dataclass(frozen=True)
class SuiteReport:
    """What a suite has come to so far."""

    title: str
    trainings: int
    trainings_done: int
    evaluations: int
    evaluations_done: int
    lines: tuple[SuiteLine, ...]

    @property
    def finished(self) -> bool:
        """Tell whether all trainings and evaluations are done."""
        return (self.trainings_done, self.evaluations_done) == (self.trainings, self.evaluations)

    @property
    def progress(self) -> str:
        """Say in a sentence how far it is."""
        evaluations = f" and {self.evaluations_done} of {self.evaluations} evaluations"
        done = f"{self.trainings_done} of {self.trainings} trainings{evaluations if self.evaluations else ''}"
        return f"{done} are done"

    def document(self) -> dict[str, Any]:
        """Return the report as plain values for JSON."""
        rows = []
        for line in self.lines:
            fields = asdict(line)
            fields["published"] = line.published.model_dump() if line.published else None
            rows.append(fields)
        counts = ("title", "trainings", "trainings_done", "evaluations", "evaluations_done")
        return {**{name: getattr(self, name) for name in counts}, "finished": self.finished, "rows": rows}

    def table(self) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
        """Return headings and rows as people read them, in percent."""
        several = len({line.dataset for line in self.lines}) > 1
        grouped = any(line.groups for line in self.lines)
        printed = any(line.published for line in self.lines)
        headings = (
            *(("data set",) if several else ()),
            *("method", "checkpoint", "attack", "runs", "mean", "worst class"),
            *(("head / medium / tail",) if grouped else ()),
            *(("published mean", "published worst") if printed else ()),
            "images",
        )
        rows = [
            ((line.dataset,) if several else ()) + _row(line, grouped=grouped, printed=printed)
            for line in self.lines
        ]
        return headings, rows

    def markdown(self) -> str:
        """Write the table as Markdown, with what its numbers are."""
        headings, rows = self.table()
        table = [headings, ("---",) * len(headings), *(map(markdown_text, row) for row in rows)]
        body = "\n".join("| " + " | ".join(row) + " |" for row in table)
        papers = dict.fromkeys(
            f"{line.published.paper} ({line.published.venue}; read from: {line.published.read_from})"
            for line in self.lines
            if line.published
        )
        published = "".join(f"\nPublished: {markdown_text(paper)}." for paper in papers)
        return (
            f"# {markdown_text(self.title)}\n\n{self.progress}. Percent; mean over classes and worst class, "
            "averaged over runs, with the standard deviation over runs and in brackets the 95 % interval "
            f"over test images (ends averaged over runs).\n\n{body}\n{published}\n"
        )

    def csv(self) -> str:
        """Write the table as CSV: fractions, empty where there is nothing."""
        text = io.StringIO()
        own = (
            *("dataset", "method", "label", "weights", "checkpoint", "attack", "eps", "variant", "planned"),
            *("runs", "mean", "mean_spread", "worst", "worst_spread"),
        )
        ends = ("mean_ci_low", "mean_ci_high", "worst_ci_low", "worst_ci_high")
        groups = [f"{name}_mean" for name in GROUPS]
        theirs = ("mean", "mean_spread", "worst", "worst_spread", "unverified", "paper", "table")
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow([*own, *ends, *groups, *(f"published_{name}" for name in theirs), "images"])
        for line in self.lines:
            fields = {**vars(line), "variant": _in_words(line.variant)}
            intervals = [*(line.mean_interval or ("", "")), *(line.worst_interval or ("", ""))]
            published = [getattr(line.published, name) if line.published else "" for name in theirs]
            of_groups = [line.groups.get(name, "") for name in GROUPS]
            images = "" if line.images is None else line.images
            row = [*(fields[name] for name in own), *intervals, *of_groups, *published, images]
            writer.writerow([csv_cell(value) if isinstance(value, str) else value for value in row])
        return text.getvalue()


def report_suite(store: Store, suite: Suite) -> SuiteReport:
    """Tabulate what there is of a suite, with the published numbers that belong to it."""
    planned = plan_suite(store, suite)
    evaluations = plan_evaluations(suite, planned)
    shown = suite if suite.evaluations else suite.model_copy(update={"evaluations": (CLOSING,)})
    measured = [_line(group) for group in _groups(plan_evaluations(shown, planned))]
    finished = [run for run in planned if run.existing and run.existing.status.state == "finished"]
    return SuiteReport(
        title=suite.title,
        trainings=len(planned),
        trainings_done=len(finished),
        evaluations=len(evaluations),
        evaluations_done=sum(wanted.is_made for wanted in evaluations),
        lines=tuple(_beside(measured, suite)),
    )


@dataclass(frozen=True)
class _Wanted:
    """One attack of one planned evaluation."""

    evaluation: PlannedEvaluation
    attack: str

    @property
    def key(self) -> tuple[object, ...]:
        run, plan = self.evaluation.run, self.evaluation.plan
        config = run.config
        same_run = (config.dataset, config.method, tuple(run.variant.items()))
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
    scored = _of_one_size([found for found in map(_scores, group) if found is not None])
    kinds = list(dict.fromkeys(wanted.evaluation.kind for wanted in group))
    label = " / ".join(display_name(config.method, kind) for kind in kinds)
    return SuiteLine(
        dataset=config.dataset,
        method=config.method,
        label=label + (f" ({_in_words(variant)})" if variant else ""),
        weights=", ".join(kinds),
        checkpoint=first.evaluation.checkpoint,
        attack=first.attack,
        eps=0.0 if first.attack == "clean" else first.evaluation.plan.eps,
        variant=dict(variant),
        planned=len(group),
        runs=len(scored),
        images=sum(scored[0].scores.total) if scored else None,
        **_averages(scored),
    )


@dataclass(frozen=True)
class _Scored:
    """One run's scores, with the names and the groups of its classes."""

    scores: Scores
    names: tuple[str, ...]
    groups: tuple[Group, ...]


def _scores(wanted: _Wanted) -> _Scored | None:
    """Find the scores of a planned evaluation that count."""
    run = wanted.evaluation.run.existing
    found = [one for one in wanted.evaluation.scores if one.attack == wanted.attack]
    if run is None or not found:
        return None
    newest = max(found, key=lambda one: one.evaluation.created)
    return _Scored(newest.scores, newest.evaluation.class_names or run.class_names, run.class_groups)


def _of_one_size(scored: Sequence[_Scored]) -> list[_Scored]:
    """Keep the runs that were measured on as many images as most of them: other sizes are not averaged."""
    sizes = [sum(one.scores.total) for one in scored]
    size = max(sizes, key=lambda images: (sizes.count(images), images), default=0)
    return [one for one, images in zip(scored, sizes, strict=True) if images == size]


def _averages(scored: Sequence[_Scored]) -> dict[str, Any]:
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
    names = [one.names[k] if one.names else str(k) for k, one in zip(worst, scored, strict=True)]
    return {**fields, "worst_classes": tuple(names), "groups": _group_means(accuracies, scored)}


def _group_means(accuracies: Sequence[np.ndarray], scored: Sequence[_Scored]) -> dict[str, float]:
    if not all(one.groups for one in scored):
        return {}
    means = [group_means(a, one.groups) for a, one in zip(accuracies, scored, strict=True)]
    return {name: float(np.mean([of_run[name] for of_run in means])) for name in GROUPS}


def _beside(lines: Sequence[SuiteLine], suite: Suite) -> Iterator[SuiteLine]:
    """Set the published numbers beside the suite's; those of methods that we do not have follow them."""
    left = [number for number in suite.published_numbers() if number.dataset in suite.datasets]
    for line in lines:
        fitting = [number for number in left if _belongs(number, line)]
        yield replace(line, published=fitting[0]) if fitting else line
    for number in left:
        if number.method is None:
            yield _published_alone(number)


def _belongs(number: PublishedNumber, line: SuiteLine) -> bool:
    checkpoint = "best" if number.checkpoint == "unstated" else number.checkpoint
    same = (number.dataset, number.method, number.weights, checkpoint, number.attack)
    if same != (line.dataset, line.method, line.weights, line.checkpoint, line.attack):
        return False
    if line.attack != "clean" and abs(number.eps - line.eps) > 1e-6:
        return False
    ours = {present_name(key): parse_fraction(value) for key, value in line.variant.items()}
    theirs = under_present_names(number.settings)
    return all(key in theirs and _equal(value, theirs[key]) for key, value in ours.items())


def _equal(one: object, other: float) -> bool:
    return isinstance(one, int | float) and abs(one - other) < 1e-9


def _published_alone(number: PublishedNumber) -> SuiteLine:
    return SuiteLine(
        dataset=number.dataset,
        method="",
        label=number.label,
        weights=number.weights or "",
        checkpoint=number.checkpoint,
        attack=number.attack,
        eps=0.0 if number.attack == "clean" else number.eps,
        variant={},
        planned=0,
        runs=0,
        published=number,
    )


def _row(line: SuiteLine, *, grouped: bool, printed: bool) -> tuple[str, ...]:
    number = line.published
    doubt = " (unverified)" if number is not None and number.unverified else ""
    theirs = [
        _percent(number.mean, number.mean_spread, None) + doubt if number else "",
        _percent(number.worst, number.worst_spread, None) if number else "",
    ]
    return (
        line.label,
        line.checkpoint,
        line.attack,
        f"{line.runs}/{line.planned}" if line.planned else "",
        _percent(line.mean, line.mean_spread, line.mean_interval),
        _percent(line.worst, line.worst_spread, line.worst_interval),
        *((" / ".join(f"{100 * value:.1f}" for value in line.groups.values()),) if grouped else ()),
        *(theirs if printed else ()),
        "" if line.images is None else f"{line.images:,}",
    )


def _percent(value: float | None, spread: float | None, interval: Interval | None) -> str:
    if value is None:
        return ""
    text = f"{100 * value:.1f}" + ("" if spread is None else f" ± {100 * spread:.1f}")
    return text if interval is None else f"{text} [{100 * interval[0]:.1f}, {100 * interval[1]:.1f}]"


def _in_words(variant: Mapping[str, Any]) -> str:
    return ", ".join(f"{key}={value}" for key, value in variant.items())
