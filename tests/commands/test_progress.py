import io
import re
from dataclasses import replace
from pathlib import Path

import pytest

from cfa.commands.progress import TerminalListener, describe
from cfa.jobs.job_folder import JobProgress

HALF = JobProgress(5.0, 10.0, "epochs", "training", 6, 10, 0.25, 20.0, "2026-01-01T00:00:00+00:00")


class Screen(io.StringIO):
    """A terminal: what is written to it ends up in lines, as a person sees them."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width

    def isatty(self) -> bool:
        return True

    def lines(self) -> list[str]:
        rows, row, column = [""], 0, 0
        for part in re.findall(r"\x1b\[[?\d;]*[A-Za-z]|.|\n", self.getvalue()):
            if part == "\n":
                row, column = row + 1, 0
            elif part == "\r":
                column = 0
            elif part == "\x1b[2K":
                rows[row] = ""
            elif part.endswith("A") and part.startswith("\x1b"):
                row -= int(part[2:-1])
            elif not part.startswith("\x1b"):
                if column == self.width:
                    row, column = row + 1, 0
                rows += [""] * (row + 1 - len(rows))
                rows[row] = rows[row].ljust(column)[:column] + part + rows[row][column + 1 :]
                column += 1
            rows += [""] * (row + 1 - len(rows))
        return [text.rstrip() for text in rows if text.strip()]

    def cursor_is_shown(self) -> bool:
        return re.findall(r"\x1b\[\?25([lh])", self.getvalue())[-1:] != ["l"]


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch):
    def make(width: int = 100) -> Screen:
        monkeypatch.setenv("TERM", "xterm-256color")
        monkeypatch.setenv("COLUMNS", str(width))
        return Screen(width)

    return make


def test_progress_in_one_line():
    assert describe(HALF) == " 50%  epoch 6/10  training  0.25 epochs/s  20 s left"
    fast = replace(HALF, rate=7270.4)
    assert describe(fast) == " 50%  epoch 6/10  training  7,270 epochs/s  20 s left"
    unknown = JobProgress(0, 0, "images", "pgd-20", None, None, None, None, "")
    assert describe(unknown) == "100%  pgd-20"


def test_on_a_terminal_one_line_is_drawn_again_below_those_that_stay(tmp_path: Path, screen):
    terminal = screen()
    listener = TerminalListener(tmp_path / "log", terminal)
    for done in (1.0, 5.0):
        listener.progress(replace(HALF, done=done))
        (line,) = terminal.lines()
        assert line.endswith(describe(replace(HALF, done=done)))
    listener.log("a line")
    listener.progress(HALF)
    said, line = terminal.lines()
    assert said == "a line"
    assert line.endswith(describe(HALF))
    assert terminal.cursor_is_shown()  # a process that is killed brings back nothing
    listener.failed("no luck")
    listener.close()
    assert terminal.lines() == ["a line", "error: no luck"]
    assert terminal.cursor_is_shown()
    assert (tmp_path / "log").read_text() == "a line\nfailed: no luck\n"


def test_on_a_narrow_terminal_nothing_is_left_of_lines_before(tmp_path: Path, screen):
    terminal = screen(width=30)
    listener = TerminalListener(tmp_path / "log", terminal)
    for _ in range(3):
        listener.progress(HALF)
    (line,) = terminal.lines()
    assert " 50%  epoch 6/10" in line
    listener.log("a line that is longer than this terminal is wide")
    listener.close()
    assert "".join(terminal.lines()) == "a line that is longer than this terminal is wide"


def test_texts_of_others_are_no_markup(tmp_path: Path, screen):
    terminal = screen()
    listener = TerminalListener(tmp_path / "log", terminal)
    listener.progress(replace(HALF, phase="[red]x[/] :smile:"))
    listener.log("[bold]https://a.b[/bold] :smile: 7 \x1b[2K")
    listener.close()
    assert terminal.lines() == ["[bold]https://a.b[/bold] :smile: 7 [2K"]
    assert "[red]x[/] :smile:" in terminal.getvalue()


@pytest.mark.parametrize("terminal", [io.StringIO, lambda: Screen(100)], ids=["a file", "a dumb terminal"])
def test_elsewhere_a_line_comes_every_few_seconds(tmp_path: Path, monkeypatch, terminal):
    monkeypatch.setenv("TERM", "dumb")
    stream, now = terminal(), [0.0]
    listener = TerminalListener(tmp_path / "log", stream, clock=lambda: now[0])
    for second in range(12):
        now[0] = float(second)
        listener.progress(HALF)
    listener.close()
    assert stream.getvalue() == f"{describe(HALF)}\n" * 3
