"""A copy of the valid place, in which one thing is changed and commands are called."""

import shutil
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from click.testing import Result
from typer.testing import CliRunner

from cfa.commands import app
from cfa.errors import CfaError
from cfa.trust import is_import_name
from tests.fuzz import formats
from tests.fuzz.artefacts import Artefacts
from tests.fuzz.contents import Bytes
from tests.fuzz.mutations import Change, Spelled, Text, Version

BROUGHT = "brought.pth"  # a checkpoint of torch, once it is saved
RUN_OWN_CODE = ("configure a training", "open a place", "describe a model")  # forms that take one
OWN_CODE = (
    "--dataset",
    "--model",
    "--method",
    "--attack",
    "evaluate",
    "fetch",
)  # take an import name that is typed


@dataclass
class Place:
    """A copy of the valid place, and what went wrong there."""

    root: Path
    artefacts: Artefacts
    problems: list[str]
    number: int = 0  # of the change: decides what is looked at
    changed: Path = Path()  # the file that was changed
    typed: str = ""  # how the run that was changed is called by a person
    words: Sequence[str] = ()  # of a command with a text in it

    @property
    def home(self) -> Path:
        """Return ``CFA_HOME``."""
        return self.root / "home"

    @property
    def out(self) -> Path:
        """Return where commands are told to write to."""
        return self.root / "out"

    def command(self, *words: str, must_work: bool = False) -> Result:
        """Call a command; it ends in 0, 1 or 2, with a sentence."""
        result = CliRunner().invoke(app, list(words))
        shown = " ".join(word[:60] for word in words)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception  # with its place
        if result.exit_code not in (0, 1, 2) or "Traceback" in result.output + result.stderr:
            self.problems.append(f"cfa {shown}: exit code {result.exit_code}, {result.stderr[-300:]}")
        if must_work and result.exit_code != 0:
            self.problems.append(f"cfa {shown}: stopped by a neighbour: {result.stderr[-300:]}")
        return result

    def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call a function of the engine; it returns something, or raises a sentence (then ``None``)."""
        try:
            return function(*arguments)
        except CfaError:
            return None


# Changes -----------------------------------------------------------------------------------------------


def put(place: Place, change: Change | Bytes) -> bool:
    """Apply a change of a field or of bytes to its file in the copy."""
    path = place.root / change.file
    place.changed = path
    if isinstance(change, Bytes):
        change.apply(path, place.root)
        return True
    document = change.apply(place.artefacts.documents[change.file], place.root)
    return formats.write(path, document)


def lose_the_queue(place: Place, change: Change | Bytes | Version) -> bool:
    """Change a job's files and lose the queue, so that it is rebuilt; or change the queue itself."""
    queue = place.home / "queue.sqlite"
    if isinstance(change, Version):
        with sqlite3.connect(queue) as connection:
            connection.execute(f"PRAGMA user_version = {change.number}")
        return True
    put(place, change)
    if place.changed != queue:
        queue.unlink()
    return True


def change_row(place: Place, change: Change) -> bool:
    """Change one column of a job's row, whatever type the table has there."""
    row = change.apply(place.artefacts.row, place.root)
    if not isinstance(row, dict):
        return False
    with sqlite3.connect(place.home / "queue.sqlite") as connection:
        for name in row.keys() & place.artefacts.row.keys():
            value = row[name]
            if not isinstance(value, bytes | str | float | int | None) or (
                isinstance(value, int) and abs(value) >= 2**63
            ):
                value = formats.to_json(value).decode()
            try:
                connection.execute(
                    f"UPDATE jobs SET {name} = ? WHERE id = ?", (value, place.artefacts.row["id"])
                )
            except (sqlite3.Error, UnicodeEncodeError):  # the table does not take it
                return False
    return True


def rename_run(place: Place, name: Text | Spelled) -> bool:
    """Copy the neighbour's folder under another name, as somebody may who hands it round."""
    value = name.value(place.root)
    runs = place.home / "runs"
    try:
        shutil.copytree(runs / place.artefacts.beta, runs / value.replace("/", "-"), symlinks=True)
    except (OSError, ValueError):
        return False
    place.typed = value.replace("/", "-")
    return True


def save_checkpoint(place: Place, change: Change | Bytes) -> bool:
    """Save a changed checkpoint of torch, or change a file of safetensors."""
    if isinstance(change, Bytes) or change.file != BROUGHT:
        return put(place, change)
    place.changed = place.root / "work" / BROUGHT
    try:
        torch.save(change.apply(place.artefacts.checkpoint, place.root), place.changed)
    except (RuntimeError, UnicodeEncodeError, OverflowError):
        return False
    return True


def change_images(place: Place, change: Bytes | tuple[str, Text | Spelled]) -> bool:
    """Change an image, or the name of a class's folder."""
    if isinstance(change, Bytes):
        return put(place, change)
    part, name = change
    images = place.root / "work" / "images"
    try:
        for each in ("train", "test") if part == "both" else (part,):
            (images / each / "ant").rename(images / each / name.value(place.root).replace("/", "-"))
    except (OSError, ValueError):
        return False
    return True


def type_text(place: Place, typed: tuple[tuple[str, ...], Text | Spelled]) -> bool:
    """Take a command's words with a text in them; own code that is typed is run: that is what it is for."""
    words, text = typed[0], typed[1].value(place.root)
    place.words = [text if word == "TEXT" else word.replace("OUT", str(place.out)) for word in words]
    return not (is_import_name(text.partition("@")[0]) and any(word in OWN_CODE for word in words))


def type_on_a_page(place: Place, typed: tuple[str, Text | Spelled]) -> bool:
    """Take a form's name with a text for it; own code that is typed is run."""
    place.words = (typed[0], typed[1].value(place.root))
    return not (is_import_name(place.words[1].partition("@")[0]) and typed[0] in RUN_OWN_CODE)
