"""A suite's table beside the published numbers, also while the suite is unfinished."""

import csv
import io
from dataclasses import asdict, dataclass
from typing import Any

from cfa.escaping import csv_cell, markdown_text
from cfa.jobs.kinds.train_run import CLOSING_ATTACKS
from cfa.runs.store import Store
from cfa.statistics import GROUPS, LAST_80
from cfa.suites.lines import Interval, SuiteLine, suite_lines, variant_in_words
from cfa.suites.planned import plan_evaluations, plan_suite
from cfa.suites.suite import Suite, SuiteEvaluation
from cfa.tables.papers import PublishedNumber

CLOSING = SuiteEvaluation(attacks=CLOSING_ATTACKS, weights=("online", "ema", "fawa"))


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
            for name in ("published", "published_last_80"):
                number = getattr(line, name)
                fields[name] = number.model_dump() if number else None
            rows.append(fields)
        counts = ("title", "trainings", "trainings_done", "evaluations", "evaluations_done")
        return {**{name: getattr(self, name) for name in counts}, "finished": self.finished, "rows": rows}

    def table(self) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
        """Return headings and rows as people read them, in percent."""
        several = len({line.dataset for line in self.lines}) > 1
        grouped = any(line.groups or line.published_last_80 for line in self.lines)
        printed = any(_numbers(line) for line in self.lines)
        headings = (
            *(("data set",) if several else ()),
            *("method", "checkpoint", "attack", "runs", "mean", "worst class"),
            *(("head / medium / tail", LAST_80) if grouped else ()),
            *(("published mean", "published worst") if printed else ()),
            *((f"published, {LAST_80}",) if printed and grouped else ()),
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
            f"{number.paper} ({number.venue}; read from: {number.read_from})"
            + (f". {number.about_all.rstrip('.')}" if number.about_all else "")
            for line in self.lines
            for number in _numbers(line)
        )
        published = "".join(f"\nPublished: {markdown_text(paper)}." for paper in papers)
        return (
            f"# {markdown_text(self.title)}\n\n{self.progress}. {markdown_text(self.networks)}. "
            "Percent; mean over classes and worst class, "
            "averaged over runs, with the standard deviation over runs and in brackets the 95 % interval "
            f"over test images (ends averaged over runs).\n\n{body}\n{published}\n"
            + "".join(f"\n- {markdown_text(said)}." for said in self.left_out)
        )

    @property
    def networks(self) -> str:
        """Name the networks that were trained."""
        return f"Network: {', '.join(dict.fromkeys(line.model for line in self.lines if line.planned))}"

    @property
    def left_out(self) -> list[str]:
        """Say which runs are in no average, since they were measured otherwise than most."""
        return list(dict.fromkeys(said for line in self.lines for said in line.left_out))

    def csv(self) -> str:
        """Write the table as CSV: fractions, empty where there is nothing."""
        text = io.StringIO()
        own = (
            *("dataset", "method", "label", "weights", "checkpoint", "attack", "eps", "variant"),
            *("control_of", "planned", "runs", "mean", "mean_spread", "worst", "worst_spread"),
        )
        ends = ("mean_ci_low", "mean_ci_high", "worst_ci_low", "worst_ci_high")
        groups = [f"{name}_mean" for name in GROUPS]
        theirs = ("mean", "mean_spread", "worst", "worst_spread", "unverified", "paper", "table")
        writer = csv.writer(text, lineterminator="\n")
        rest = ("last_80_mean", "published_last_80_mean")
        writer.writerow([*own, *ends, *groups, *(f"published_{name}" for name in theirs), "images", *rest])
        for line in self.lines:
            fields = {**vars(line), "variant": variant_in_words(line.variant)}
            intervals = [*(line.mean_interval or ("", "")), *(line.worst_interval or ("", ""))]
            published = [getattr(line.published, name) if line.published else "" for name in theirs]
            of_groups = [line.groups.get(name, "") for name in GROUPS]
            images = "" if line.images is None else line.images
            theirs_last = line.published_last_80.mean if line.published_last_80 else None
            last = ["" if mean is None else mean for mean in (line.last_80, theirs_last)]
            row = [*(fields[name] for name in own), *intervals, *of_groups, *published, images, *last]
            writer.writerow([csv_cell(value) if isinstance(value, str) else value for value in row])
        return text.getvalue()


def report_suite(store: Store, suite: Suite) -> SuiteReport:
    """Tabulate what there is of a suite, with the published numbers that belong to it."""
    planned = plan_suite(store, suite)
    evaluations = plan_evaluations(suite, planned)
    shown = suite if suite.evaluations else suite.model_copy(update={"evaluations": (CLOSING,)})
    finished = [run for run in planned if run.existing and run.existing.status.state == "finished"]
    return SuiteReport(
        title=suite.title,
        trainings=len(planned),
        trainings_done=len(finished),
        evaluations=len(evaluations),
        evaluations_done=sum(wanted.is_made for wanted in evaluations),
        lines=tuple(suite_lines(plan_evaluations(shown, planned), suite)),
    )


def _row(line: SuiteLine, *, grouped: bool, printed: bool) -> tuple[str, ...]:
    number, of_last = line.published, line.published_last_80
    theirs = ["", ""]
    if number is not None:
        theirs = [
            _printed(number, number.mean, number.mean_spread),
            _printed(number, number.worst, number.worst_spread),
        ]
    if grouped:
        theirs.append(_printed(of_last, of_last.mean, of_last.mean_spread) if of_last else "")
    return (
        line.label,
        line.checkpoint,
        line.attack,
        f"{line.runs}/{line.planned}" if line.planned else "",
        _percent(line.mean, line.mean_spread, line.mean_interval),
        _percent(line.worst, line.worst_spread, line.worst_interval),
        *((" / ".join(f"{100 * value:.1f}" for value in line.groups.values()),) if grouped else ()),
        *((_percent(line.last_80, None, None),) if grouped else ()),
        *(theirs if printed else ()),
        "" if line.images is None else f"{line.images:,}",
    )


def _numbers(line: SuiteLine) -> list[PublishedNumber]:
    return [number for number in (line.published, line.published_last_80) if number is not None]


def _printed(number: PublishedNumber, value: float | None, spread: float | None) -> str:
    """Write a published accuracy with what is doubtful about it."""
    if value is None:
        return ""
    marks = [mark for mark in number.own_marks if LAST_80 not in mark]  # which its column says
    return _percent(value, spread, None) + (f" ({'; '.join(marks)})" if marks else "")


def _percent(value: float | None, spread: float | None, interval: Interval | None) -> str:
    if value is None:
        return ""
    text = f"{100 * value:.1f}" + ("" if spread is None else f" ± {100 * spread:.1f}")
    return text if interval is None else f"{text} [{100 * interval[0]:.1f}, {100 * interval[1]:.1f}]"
