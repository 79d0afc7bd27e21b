"""A comparison as a document: what every format of it shows, and the formats that are text."""

import math
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import pandas as pd

from cfa.config import RunConfig
from cfa.errors import ConfigError
from cfa.escaping import LATEX_UNKNOWN, fenced, latex_text, markdown_text, printable
from cfa.methods import family_of
from cfa.runs.choice import left_out
from cfa.runs.folder import RunFolder, now
from cfa.statistics import over_seeds
from cfa.tables.comparison import Comparison, compare
from cfa.tables.frames import add_group_means, fairness_frame
from cfa.tables.headings import Heading, headings_of
from cfa.tables.seeds import DistinctSeeds, common_weights, distinct_seeds
from cfa.tables.statements import Statement, statements

ABOUT = (
    "Mean over classes and worst class, in percent; of several seeds mean ± standard deviation. Checkpoints "
    "are chosen on validation unless a mark says otherwise. Intervals are 95 %, over test images."
)


@dataclass(frozen=True)
class Experiment:
    """A run, or runs that differ only in their seed.

    Attributes:
        label: For people.
        runs: The runs.
        is_baseline: The others are measured against it.
    """

    label: str
    runs: tuple[RunFolder, ...]
    is_baseline: bool

    @property
    def seeds(self) -> int:
        """Count its seeds; runs that repeat one are one seed."""
        return len({run.config.seed for run in self.runs})


@dataclass(frozen=True)
class Report:
    """Everything that a document of a comparison shows.

    Attributes:
        title: What is compared.
        created: When the report was made.
        experiments: What is compared, the baseline among them.
        comparison: Per class, and reduced.
        grouped: The summary with head, medium and tail, where there is a long tail.
        seeds: The rows of the summary that are averaged over seeds.
        fairness: The field's metrics.
        statements: What is certain, by the label of what is compared with the baseline.
        marks: What a reader must know about how runs were made.
        commands: Shell commands that make it all again.
        name: Names a method with a kind of weights.
        family: Says which family a method belongs to, and whether it is the plain one of it.
    """

    title: str
    created: str
    experiments: tuple[Experiment, ...]
    comparison: Comparison
    grouped: pd.DataFrame
    seeds: DistinctSeeds
    fairness: pd.DataFrame
    statements: Mapping[str, Sequence[Statement]]
    marks: tuple[str, ...]
    commands: tuple[str, ...]
    name: Callable[[str, str], str]
    family: Callable[[str], tuple[int, bool]] = family_of

    @property
    def baseline(self) -> Experiment:
        """The experiment that the others are measured against."""
        return next(experiment for experiment in self.experiments if experiment.is_baseline)


def build_report(
    runs: Sequence[RunFolder],
    baseline: RunFolder,
    automatic: Callable[[RunFolder], str],
    name: Callable[[str, str], str],
    command: Callable[[RunConfig], str],
) -> Report:
    """Put together what a document shows.

    Args:
        runs: Two or more, the baseline among them or not.
        baseline: What the others are measured against, with the other seeds of it that are among ``runs``.
        automatic: The kind of weights that a run is reported with.
        name: Names a method with a kind of weights.
        command: Writes the command that trains a configuration.

    Raises:
        ConfigError: Fewer than two runs, or no shared evaluation.
    """
    comparison = compare(runs, baseline, automatic)
    everything = list({run.id: run for run in [baseline, *runs]}.values())
    experiments = _experiments(everything, baseline, automatic, name)
    base = next(experiment for experiment in experiments if experiment.is_baseline)
    said = {
        other.label: statements(base.runs, other.runs, automatic)
        for other in experiments
        if other is not base
    }
    groups = {run.id: run.class_groups for run in everything}
    seeds = distinct_seeds(comparison.summary, {run.id: run.experiment for run in everything})
    return Report(
        title=f"{', '.join(e.label for e in experiments if e is not base)} against {base.label}",
        created=now(),
        experiments=experiments,
        comparison=comparison,
        grouped=add_group_means(comparison.summary, comparison.per_class, groups),
        seeds=seeds,
        fairness=fairness_frame(
            comparison.per_class,
            [run.id for run in base.runs],
            {run.id: run for run in everything},
            comparison.clean,
        ),
        statements=said,
        marks=(
            *(f"{run.name}: {mark}" for run in everything for mark in run.marks),
            *comparison.refused,
            *_unequal(comparison.summary),
            *(said for run in everything for said in left_out(run)),
            *seeds.left_out,
        ),
        commands=_commands(everything, baseline, command),
        name=name,
    )


def _unequal(summary: pd.DataFrame) -> list[str]:
    """Say where runs were measured on different numbers of images."""
    marks = []
    headings = headings_of(summary)
    for heading in headings:
        sizes = sorted(set(heading.of(summary)["total"]))
        if len(sizes) > 1:
            title = heading.title(headings)
            marks.append(f"{title}: not all on the same images (from {sizes[0]:,} to {sizes[-1]:,} of them)")
    return marks


def _experiments(
    runs: Sequence[RunFolder],
    baseline: RunFolder,
    automatic: Callable[[RunFolder], str],
    name: Callable[[str, str], str],
) -> tuple[Experiment, ...]:
    """Group runs that differ only in their seed, and label them so that they can be told apart."""
    grouped: dict[str, list[RunFolder]] = {}
    for run in runs:
        grouped.setdefault(run.experiment, []).append(run)
    methods = [members[0].config.method for members in grouped.values()]
    found = []
    for members in grouped.values():
        first = members[0]
        method = first.config.method
        alone = methods.count(method) == 1 and not first.config.is_external
        label = name(method, common_weights(members, automatic)) if alone else first.name
        whole = Experiment(label, tuple(members), baseline.id in {run.id for run in members})
        found.append(replace(whole, label=label + _seeds_in_words(whole)))
    return tuple(found)


def _seeds_in_words(experiment: Experiment) -> str:
    return f" ({experiment.seeds} seeds)" if experiment.seeds > 1 else ""


def _commands(
    runs: Sequence[RunFolder], baseline: RunFolder, command: Callable[[RunConfig], str]
) -> tuple[str, ...]:
    own = [run for run in runs if not run.config.is_external]
    trained = [f"{command(run.config)} --name {shlex.quote(run.name)}" for run in own]
    compared = ["cfa", "compare", *(run.name for run in runs), "--baseline", baseline.name]
    return (*trained, shlex.join([*compared, "--out", "report.html"]))


# Rows of a table: experiments by kind of weights, conditions as columns ------------------------------------


@dataclass(frozen=True)
class Cell:
    """Mean and worst class of one row under one condition, with their spread over seeds."""

    mean: float
    mean_spread: float | None
    worst: float
    worst_spread: float | None
    images: int


def headings(report: Report) -> list[Heading]:
    """List data set and attack of what all runs share, clean first."""
    return headings_of(report.comparison.summary)


def titles(report: Report) -> list[str]:
    """Write the headings of a report's table."""
    found = headings(report)
    return [heading.title(found) for heading in found]


def table(report: Report) -> list[tuple[str, list[Cell | None]]]:
    """Return a label per experiment and kind of weights, with a cell per condition."""
    summary = report.seeds.kept
    summary = summary[summary["checkpoint"] != "last"]
    heads = headings(report)
    rows = []
    for experiment in report.experiments:
        ids = [run.id for run in experiment.runs]
        own = summary[summary["run_id"].isin(ids)]
        for weights in own["weights"].unique():
            kind = own[own["weights"] == weights]
            cells = [_cell(heading.of(kind)) for heading in heads]
            rows.append((_row_label(report, experiment, weights), cells))
    return rows


def _row_label(report: Report, experiment: Experiment, weights: str) -> str:
    config = experiment.runs[0].config
    method, methods = config.method, [other.runs[0].config.method for other in report.experiments]
    if config.is_external or methods.count(method) > 1:
        return f"{experiment.label} · {weights}"
    return report.name(method, weights) + _seeds_in_words(experiment)


def _cell(rows: pd.DataFrame) -> Cell | None:
    if rows.empty:
        return None
    mean, worst = (over_seeds(rows[column]) for column in ("mean_accuracy", "worst_accuracy"))
    return Cell(mean.mean, mean.deviation, worst.mean, worst.deviation, int(rows["total"].iloc[0]))


def _sizes(report: Report) -> list[list[int]]:
    """List, for each condition, the numbers of images that its cells are of, ascending."""
    columns = zip(*(row for _, row in table(report)), strict=True)
    return [sorted({cell.images for cell in column if cell is not None}) for column in columns]


def images_in_words(report: Report) -> str:
    """Say on how many test images the table's numbers are."""
    sizes = _sizes(report)
    if len({tuple(found) for found in sizes}) == 1 and len(sizes[0]) == 1:
        return f"On {sizes[0][0]:,} test images."
    each = [
        f"{title}: {' or '.join(f'{size:,}' for size in found)}"
        for title, found in zip(titles(report), sizes, strict=True)
    ]
    return f"Test images: {'; '.join(each)}."


def _best(report: Report) -> list[tuple[float, float]]:
    """Return the best mean and worst class of each condition, as printed; NaN where sizes differ."""
    cells = [row for _, row in table(report)]
    found = []
    for column, sizes in zip(zip(*cells, strict=True), _sizes(report), strict=True):
        known = [cell for cell in column if cell is not None]
        best = max(round(100 * c.mean, 1) for c in known), max(round(100 * c.worst, 1) for c in known)
        found.append(best if len(sizes) == 1 else (math.nan, math.nan))
    return found


# Text ------------------------------------------------------------------------------------------------------


def markdown(report: Report) -> str:
    """Write a report as Markdown: the table, what is certain, marks, commands."""
    heads = titles(report)
    columns = ["Model", *(f"{markdown_text(head)}: {part}" for head in heads for part in ("mean", "worst"))]
    lines = [columns, ["---"] * len(columns)]
    mixed = [len(sizes) > 1 for sizes in _sizes(report)]
    for label, cells in table(report):
        texts = (_plain(cell, several) for cell, several in zip(cells, mixed, strict=True))
        lines.append([markdown_text(label), *(text for pair in texts for text in pair)])
    body = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    found_under = headings(report)
    said = "\n".join(
        "- " + markdown_text(f"{label}, {s.heading.title(found_under)}, {s.weights}: {s.words} ({s.basis})")
        for label, found in report.statements.items()
        for s in found
    )
    marks = "".join(f"\n- {markdown_text(mark)}" for mark in report.marks)
    commands = fenced("\n".join(map(printable, report.commands)))
    return (
        f"# {markdown_text(report.title)}\n\n{ABOUT} {markdown_text(images_in_words(report))}\n\n{body}\n\n"
        f"## What is certain, against {markdown_text(report.baseline.label)}\n\n"
        f"Differences in percentage points, with 95 % intervals. One run of each compares two checkpoints; "
        f"only several seeds of both say something about the methods.\n\n{said or 'Nothing.'}\n"
        + (f"\n## How runs were made\n{marks}\n" if marks else "")
        + f"\n## Again\n\n{commands}\n"
    )


def _plain(cell: Cell | None, several_sizes: bool) -> tuple[str, str]:
    if cell is None:
        return "", ""
    of = f" (of {cell.images:,})" if several_sizes else ""
    pairs = ((cell.mean, cell.mean_spread), (cell.worst, cell.worst_spread))
    one, other = (f"{100 * v:.1f}" + ("" if s is None else f" ± {100 * s:.1f}") + of for v, s in pairs)
    return one, other


def latex(report: Report) -> str:
    """Write the table for a paper: booktabs, best of each column bold, spread over seeds."""
    heads = titles(report)
    if not heads:
        raise ConfigError("there is nothing to tabulate; the runs share no evaluation")
    top = " & ".join(rf"\multicolumn{{2}}{{c}}{{{latex_text(head)}}}" for head in heads)
    rules = " ".join(rf"\cmidrule(lr){{{2 * i + 2}-{2 * i + 3}}}" for i in range(len(heads)))
    below = " & ".join("Mean & Worst" for _ in heads)
    best, mixed = _best(report), [len(sizes) > 1 for sizes in _sizes(report)]
    rows = [
        " & ".join([latex_text(label), *(_tex_cell(*each) for each in zip(cells, best, mixed, strict=True))])
        + r" \\"
        for label, cells in table(report)
    ]
    marks = "".join(f" {latex_text(mark)}." for mark in report.marks)
    images = latex_text(images_in_words(report))
    spread = r", mean $\pm$ standard deviation over seeds" if _has_seeds(report) else ""
    lines = "\n".join(
        [
            "% needs \\usepackage{booktabs}",
            r"\begin{table}",
            r"\centering",
            rf"\begin{{tabular}}{{l{'cc' * len(heads)}}}",
            r"\toprule",
            f" & {top} \\\\",
            rules,
            f"Model & {below} \\\\",
            r"\midrule",
            *rows,
            r"\bottomrule",
            r"\end{tabular}",
            rf"\caption{{Accuracy in percent: mean over classes and worst class{spread}. {images}{marks}}}",
            r"\end{table}",
            "",
        ]
    )
    return f"{LATEX_UNKNOWN}\n{lines}" if r"\cfachar" in lines else lines


def _has_seeds(report: Report) -> bool:
    return any(experiment.seeds > 1 for experiment in report.experiments)


def _tex_cell(cell: Cell | None, best: tuple[float, float], several_sizes: bool) -> str:
    if cell is None:
        return "-- & --"
    of = f" (of {cell.images:,})" if several_sizes else ""
    pairs = ((cell.mean, cell.mean_spread, best[0]), (cell.worst, cell.worst_spread, best[1]))
    return " & ".join(_tex_number(*pair) + of for pair in pairs)


def _tex_number(value: float, deviation: float | None, best: float) -> str:
    shown = f"{100 * value:.1f}"
    text = rf"\textbf{{{shown}}}" if round(100 * value, 1) == best else shown
    return text if deviation is None else rf"{text} $\pm$ {100 * deviation:.1f}"
