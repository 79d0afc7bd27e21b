"""A comparison as a document: those that are text, and those that this machine's browser draws."""

import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from app.browsers import find_browser
from app.engine.evaluated import results
from app.engine.snapshots import Run
from app.process.rights import acts, looks
from cfa.errors import ConfigError
from cfa.tables.comparison import shared_scores
from cfa.tables.written import make_report, write_report

PRINTED = (".pdf", ".zip")
"""Reports that are drawn by this machine's browser."""


@looks
def report(chosen: Sequence[Run], baseline: str, ending: str) -> bytes:
    """Write a comparison as a document: ``.html``, ``.tex`` or ``.md``.

    Args:
        chosen: The runs.
        baseline: Id of the run that the others are measured against, with its other seeds among them.
        ending: The format.
    """
    if ending in PRINTED:
        raise ConfigError(f"a report as {ending} takes a browser; ask for it with print_report")
    return _report(chosen, baseline, ending)


@acts
def print_report(chosen: Sequence[Run], baseline: str, ending: str) -> Callable[[], bytes]:
    """Return what starts this machine's browser and draws a comparison: ``.pdf``, or a ``.zip`` of pictures.

    It is called once the document is asked for, when nobody can tell any more who does.
    """
    return partial(_report, chosen, baseline, ending)


def _report(chosen: Sequence[Run], baseline: str, ending: str) -> bytes:
    folders = {run.id: run.folder for run in chosen}
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / f"report{ending}"
        write_report(make_report(list(folders.values()), folders[baseline]), file)
        return file.read_bytes()


@looks
def report_problem(chosen: Sequence[Run]) -> str:
    """Say why these runs make no report; empty where they do."""
    try:
        shared_scores([run.folder for run in chosen], results(chosen).per_class)
    except ConfigError as error:
        return str(error)
    return ""


@looks
def has_browser() -> bool:
    """Tell whether there is a Chromium on this machine, which PDF and pictures are drawn with."""
    return find_browser() is not None
