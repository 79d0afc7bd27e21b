"""What the command line prints: progress on stderr, tables or one JSON document on stdout."""

import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, TextIO

from cfa.errors import StoreError
from cfa.escaping import harmless_json, printable
from cfa.files import append_line
from cfa.jobs.folders import JobProgress
from cfa.jobs.observer import Listener
from cfa.jobs.queue import Job

QUIET = 5.0  # seconds between lines of progress where lines cannot be rewritten


class TerminalListener(Listener):
    """Shows a foreground job on stderr, and keeps its lines in the job's log as the queue does."""

    def __init__(
        self,
        log_file: Path,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Write to ``stream`` (stderr by default) and append lines to ``log_file``."""
        self._log_file = log_file
        self._stream = stream or sys.stderr
        self._rewrites = self._stream.isatty()
        self._clock = clock
        self._shown = float("-inf")
        self._line_is_open = False

    def progress(self, progress: JobProgress) -> None:
        """Rewrite the line of progress; where that is no terminal, print one every few seconds."""
        if self._rewrites:
            self._stream.write(f"\r\x1b[2K{printable(describe(progress))}")
            self._stream.flush()
            self._line_is_open = True
        elif self._clock() - self._shown >= QUIET:
            self._shown = self._clock()
            print(printable(describe(progress)), file=self._stream, flush=True)

    def log(self, line: str) -> None:
        """Print a line and keep it."""
        self._close_line()
        print(printable(line), file=self._stream, flush=True)
        self._keep(line)

    def failed(self, message: str) -> None:
        """Print the error as every command does."""
        self._close_line()
        print(printable(f"error: {message}"), file=self._stream, flush=True)
        self._keep(f"failed: {message}")

    def close(self) -> None:
        """End the line of progress."""
        self._close_line()

    def _close_line(self) -> None:
        if self._line_is_open:
            self._stream.write("\r\x1b[2K")
            self._line_is_open = False

    def _keep(self, line: str) -> None:
        with suppress(StoreError):  # a full disk: the terminal has it
            append_line(self._log_file, printable(line))


def describe(progress: JobProgress) -> str:
    """Put progress into one line."""
    share = progress.done / progress.total if progress.total else 1.0
    parts = [f"{share:4.0%}"]
    if progress.epoch is not None:
        parts.append(f"epoch {progress.epoch}/{progress.epochs}")
    parts.append(progress.phase)
    if progress.rate:
        rate = f"{progress.rate:,.0f}" if progress.rate >= 100 else f"{progress.rate:.3g}"
        parts.append(f"{rate} {progress.unit}/s")
    if progress.seconds_left is not None:
        parts.append(f"{duration(progress.seconds_left)} left")
    return "  ".join(parts)


def duration(seconds: float) -> str:
    """Write seconds as people say them: 42 s, 3 min 20 s, 2 h 05 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def size(count: float) -> str:
    """Write bytes as people say them."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def print_json(document: object) -> None:
    """Print one JSON document on stdout, in which no text moves the cursor of a terminal."""
    print(harmless_json(json.dumps(document, indent=2, ensure_ascii=False)))


def print_table(rows: Sequence[Sequence[Any]], headings: Sequence[str], empty: str) -> None:
    """Print rows in aligned columns on stdout, or a sentence where there are none."""
    if not rows:
        print(empty)
        return
    texts = [[printable(str(cell)) for cell in row] for row in [headings, *rows]]
    widths = [max(len(row[column]) for row in texts) for column in range(len(headings))]
    for row in texts:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def note(message: str) -> None:
    """Say something beside the result in a line on stderr."""
    print(printable(message), file=sys.stderr, flush=True)


def say(line: str) -> None:
    """Print a line of the result on stdout."""
    print(printable(line))


def print_jobs(found: Sequence[Job], as_json: bool, alone: bool = False) -> None:
    """Print jobs as a table or as JSON: a list, or the only one ``alone``."""
    documents = [{"name": job.title, **asdict(job)} for job in found]
    if as_json:
        print_json(documents[0] if alone else documents)
        return
    rows = [
        (job.id, job.kind, _state_in_words(job), job.ran_on or job.device or "any", job.title, job.message)
        for job in found
    ]
    print_table(rows, ("id", "kind", "state", "device", "title", "message"), "no jobs yet")


def _state_in_words(job: Job) -> str:
    return f"{job.state}, to {job.requested}" if job.requested else job.state


def print_list(rows: Sequence[Mapping[str, Any]], shown: Sequence[str], as_json: bool, empty: str) -> None:
    """Print rows as a table of the columns ``shown``, or whole as JSON."""
    if as_json:
        print_json(list(rows))
        return
    table = [[_cell(name, row[name]) for name in shown] for row in rows]
    print_table(table, [name.replace("_", " ") for name in shown], empty)


def _cell(name: str, value: Any) -> str:
    if name == "bytes":
        return size(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)
