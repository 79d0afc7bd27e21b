"""What commands print: a table or one JSON document on stdout, and notes beside it on stderr."""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from rich.cells import cell_len, set_cell_size

from cfa.escaping import harmless_json, printable
from cfa.jobs.queue import Job


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
    """Print rows in aligned columns on stdout, or a sentence where there are none.

    Nothing is wrapped or cut to a terminal's width: a name can be copied, and a pipe gets the same lines.
    """
    if not rows:
        print(empty)
        return
    texts = [[printable(str(cell)) for cell in row] for row in [headings, *rows]]
    widths = [max(cell_len(row[column]) for row in texts) for column in range(len(headings))]
    for row in texts:
        print("  ".join(map(set_cell_size, row, widths)).rstrip())


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
