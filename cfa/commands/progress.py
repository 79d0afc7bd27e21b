"""How far a job is that runs in this terminal, on stderr: a bar, or a line now and then in a file."""

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Column
from rich.text import Text

from cfa.commands.printing import duration
from cfa.errors import StoreError
from cfa.escaping import printable
from cfa.files import append_line
from cfa.jobs.job_folder import JobProgress
from cfa.jobs.observer import Listener

QUIET = 5.0  # seconds between lines of progress where there is no terminal to draw in


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
        self._console = Console(file=stream, stderr=True)
        self._clock = clock
        self._shown = float("-inf")
        # Texts may come from anybody: no markup in them is read. One line, cut where the terminal ends.
        words = TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True))
        self._bar = Progress(
            BarColumn(bar_width=24, complete_style="blue"),  # its usual red looks like a failure
            words,
            console=self._console,
            auto_refresh=False,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._task = self._bar.add_task("")

    def progress(self, progress: JobProgress) -> None:
        """Draw the bar; where that is no terminal, print a line every few seconds."""
        told = printable(describe(progress))
        if self._console.is_interactive:
            self._start()
            self._bar.update(
                self._task,
                completed=progress.done,
                total=progress.total or None,
                description=told,
                refresh=True,
            )
        elif self._clock() - self._shown >= QUIET:
            self._shown = self._clock()
            self._say(told)

    def log(self, line: str) -> None:
        """Print a line and keep it."""
        self._say(line)
        self._keep(line)

    def failed(self, message: str) -> None:
        """Print the error as every command does."""
        self._say(f"error: {message}")
        self._keep(f"failed: {message}")

    def close(self) -> None:
        """Take the bar away."""
        if self._bar.live.is_started:
            self._bar.stop()

    def _start(self) -> None:
        if not self._bar.live.is_started:
            self._bar.start()
            self._console.show_cursor()  # hidden, it would stay so where this process is killed

    def _say(self, line: str) -> None:
        """Print a line, above the bar if there is one."""
        self._console.print(Text(printable(line)), soft_wrap=True)

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
