"""Comparisons as files: text formats of our own, and those that draw charts by whoever offers them."""

from collections.abc import Callable, Sequence
from importlib.metadata import entry_points
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from cfa.errors import CfaError, ConfigError
from cfa.runs.folder import RunFolder

if TYPE_CHECKING:
    from cfa.tables.documents import Report

GROUP = "cfa.reports"  # entry points: the ending of a file's name -> (report, file) -> None
TEXT = (".csv", ".md", ".tex")


def report_formats() -> tuple[str, ...]:
    """List the endings of files that a report can be written to."""
    return (*TEXT, *sorted(f".{found.name}" for found in entry_points(group=GROUP)))


def check_format(file: Path) -> None:
    """Refuse a file whose ending is none of the formats, before anything is computed."""
    if file.suffix not in report_formats():
        raise ConfigError(f"--out {file} ends with none of {', '.join(report_formats())}; choose one of them")


def make_report(runs: Sequence[RunFolder], baseline: RunFolder) -> "Report":
    """Compare runs with a baseline and put together what a document shows.

    Args:
        runs: Two or more, the baseline among them or not.
        baseline: What the others are measured against.

    Raises:
        ConfigError: Fewer than two runs, or no shared evaluation.
    """
    from cfa.evaluation import default_weights
    from cfa.methods import display_name, train_command
    from cfa.tables.documents import build_report

    return build_report(runs, baseline, default_weights, display_name, train_command)


def write_report(report: "Report", file: Path) -> list[Path]:
    """Write a report to a file, in the format that its name ends with.

    Args:
        report: What :func:`make_report` put together.
        file: Where to; of ``.csv`` the summary is written beside it.

    Returns:
        The files that were written.

    Raises:
        ConfigError: The ending is none of :func:`report_formats`.
        CfaError: It cannot be written, or a program that it needs is missing.
    """
    from cfa.files import write_bytes, write_text
    from cfa.tables.documents import latex, markdown
    from cfa.tables.exports import write_csv

    check_format(file)
    if file.suffix == ".csv":
        beside = file.with_name(f"{file.stem}-summary.csv")
        write_csv(report.comparison.per_class, file)
        write_csv(report.comparison.summary, beside)
        return [file, beside]
    if file.suffix in (".md", ".tex"):
        write_text(file, markdown(report) if file.suffix == ".md" else latex(report))
        return [file]
    (found,) = entry_points(group=GROUP, name=file.suffix.removeprefix("."))
    write: Callable[[object, Path], None] = found.load()
    try:
        with TemporaryDirectory() as folder:  # the formats know nothing of our way of writing either
            drawn = Path(folder) / file.name
            write(report, drawn)
            write_bytes(file, drawn.read_bytes())
    except (OSError, ValueError) as error:  # the formats know nothing of our errors
        raise CfaError(f"cannot write {file} ({error})") from error
    return [file]
