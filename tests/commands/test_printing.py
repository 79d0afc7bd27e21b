import io
from dataclasses import replace
from pathlib import Path

import pytest

from cfa.commands.printing import TerminalListener, describe, duration, size
from cfa.jobs.folders import JobProgress

HALF = JobProgress(5.0, 10.0, "epochs", "training", 6, 10, 0.25, 20.0, "2026-01-01T00:00:00+00:00")


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (59, "59 s"), (61, "1 min 01 s"), (3660, "1 h 01 min"), (90000, "25 h 00 min")],
)
def test_duration(seconds, text):
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 B"), (999, "999 B"), (1500, "1.5 kB"), (2.5e9, "2.5 GB"), (3e12, "3.0 TB")]
)
def test_size(count, text):
    assert size(count) == text


def test_progress_in_one_line():
    assert describe(HALF) == " 50%  epoch 6/10  training  0.25 epochs/s  20 s left"
    fast = replace(HALF, rate=7270.4)
    assert describe(fast) == " 50%  epoch 6/10  training  7,270 epochs/s  20 s left"
    unknown = JobProgress(0, 0, "images", "pgd-20", None, None, None, None, "")
    assert describe(unknown) == "100%  pgd-20"


def test_on_a_terminal_one_line_is_rewritten(tmp_path: Path):
    screen = Screen()
    listener = TerminalListener(tmp_path / "log", screen)
    listener.progress(HALF)
    listener.progress(HALF)
    listener.log("a line")
    listener.failed("no luck")
    listener.close()
    assert screen.getvalue().count("\r\x1b[2K") == 3  # twice rewritten, then cleared for the line
    assert screen.getvalue().endswith("a line\nerror: no luck\n")
    assert (tmp_path / "log").read_text() == "a line\nfailed: no luck\n"


def test_elsewhere_a_line_comes_every_few_seconds(tmp_path: Path):
    stream, now = io.StringIO(), [0.0]
    listener = TerminalListener(tmp_path / "log", stream, clock=lambda: now[0])
    for second in range(12):
        now[0] = float(second)
        listener.progress(HALF)
    assert stream.getvalue().splitlines() == [describe(HALF)] * 3
