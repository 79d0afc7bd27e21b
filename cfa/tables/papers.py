"""Numbers that papers print, as data: `benchmarks/published/*.json`, read strictly.

    {"paper": "...", "venue": "CVPR 2023", "link": "https://...", "read_from": "paper",
     "spread": "standard deviation of 5 runs",
     "numbers": [{"table": "1", "label": "AT + EMA", "method": "pgd-at", "weights": "ema",
                  "dataset": "cifar10", "model": "preact-resnet18", "checkpoint": "best",
                  "attack": "autoattack", "mean": 0.496, "mean_spread": 0.002, "worst": 0.213, ...}]}

Accuracies are fractions. ``method`` and ``weights`` are our names, left out where we have no such method.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal, Self

import pydantic
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from cfa.config import WeightsKind
from cfa.errors import ConfigError, StoreError
from cfa.registry import unknown
from cfa.stored import read_stored

PUBLISHED = Path(__file__).resolve().parents[2] / "benchmarks" / "published"
Share = Annotated[float, Field(ge=0, le=1)]
_SCHEME = re.compile(
    r"(?:\b([a-z][a-z0-9+.-]*)://|\b(javascript|data|vbscript|file|mailto):(?=\S))", re.IGNORECASE
)


def _is_text(text: str) -> str:
    """Refuse what is no line of text, and addresses that are not https: tables and charts show it."""
    if not text.isprintable():
        raise ValueError("should be a line of text without control characters")
    schemes = {(found[1] or found[2]).lower() for found in _SCHEME.finditer(text)} - {"https"}
    if schemes:
        raise ValueError(f"holds a link to {min(schemes)}:; only https: is taken")
    return text


Text = Annotated[str, Field(max_length=4000), AfterValidator(_is_text)]
Link = Annotated[str, Field(max_length=500, pattern=r"^(https://[^\s]+)?$"), AfterValidator(_is_text)]
"""Where something is to be read: an https address, or empty."""


WEAK_AUTOATTACK = "10-step AA, not comparable"
ChosenOn = Literal["unstated", "test", "mostly test"]


class PublishedNumber(BaseModel):
    """One accuracy pair of a paper: the mean over classes and the worst class, under one attack.

    Attributes:
        table: Where in the paper.
        label: What the paper calls the row.
        method: Our name of the method, ``None`` where we have none.
        weights: Our kind of weights.
        dataset: Data set.
        model: Network, as the paper says.
        checkpoint: ``unstated`` where the paper does not say.
        attack: ``clean``, ``autoattack``, ...
        eps: Budget of the attack; of no meaning for ``clean``.
        mean: Mean over classes, in [0, 1].
        over: What the mean is over, where that is not all classes: ``last 80 % of classes``.
        mean_spread: Its spread; what kind of spread stands in the file.
        worst: Worst class.
        worst_spread: Its spread.
        runs: How many runs the mean is over.
        settings: What the row was trained with, where rows of a suite differ in it.
        unverified: The number was not seen at its source, or the source is inferred.
        note: Anything else.
        paper: The paper; filled in from the file.
        venue: Where it appeared; filled in from the file.
        read_from: How the number was read; filled in from the file.
        link: Where the paper is; filled in from the file.
        chosen_on: Which images chose the checkpoint; filled in from the file.
        about_all: What a reader has to know about all numbers of the file; filled in from it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    table: Text
    label: Text
    method: Text | None = None
    weights: WeightsKind | None = None
    dataset: Text
    model: Text
    checkpoint: Literal["best", "last", "unstated"]
    attack: Text
    eps: Share = 8 / 255
    mean: Share | None = None
    over: Text = ""
    mean_spread: Share | None = None
    worst: Share | None = None
    worst_spread: Share | None = None
    runs: Annotated[int, Field(ge=1)] | None = None
    settings: dict[Text, float] = {}
    unverified: bool = False
    note: Text = ""
    paper: Text = ""
    venue: Text = ""
    read_from: Text = ""
    link: Link = ""
    chosen_on: ChosenOn = "unstated"
    about_all: Text = ""

    @property
    def own_marks(self) -> list[str]:
        """What a reader has to know of this number, apart from what holds of the whole file."""
        return [
            *(["unverified"] if self.unverified else []),
            *([WEAK_AUTOATTACK] if self.attack == "torchattacks:AutoAttack" else []),
            *([f"mean over the {self.over} only"] if self.over else []),
        ]

    @property
    def marks(self) -> list[str]:
        """What a reader has to know of it where its file is not said."""
        chosen = self.chosen_on != "unstated" and self.checkpoint != "last"
        return [
            *self.own_marks,
            *([f"checkpoint chosen on {self.chosen_on}"] if chosen else []),
            *([] if self.read_from == "paper" else [f"read from a {self.read_from}"]),
        ]

    @pydantic.model_validator(mode="after")
    def _is_possible(self) -> Self:
        if self.mean is None and self.worst is None:
            raise ValueError("neither mean nor worst is given")
        if self.mean is not None and self.worst is not None and self.worst > self.mean:
            raise ValueError(f"the worst class {self.worst} exceeds the mean {self.mean}")
        if (self.method is None) != (self.weights is None):
            raise ValueError("method and weights go together; give both or neither")
        return self


class PublishedTable(BaseModel):
    """One file of published numbers.

    Attributes:
        paper: Title.
        venue: Where and when.
        link: Where the paper is, https.
        read_from: ``paper``, a ``figure``, a ``log`` or the texts of the authors' ``repository``, a
            ``leaderboard`` that evaluated the weights itself, someone's ``note`` or ``review`` of the paper,
            or a ``benchmark page`` that names no source.
        spread: What the spreads are.
        chosen_on: Which images chose the checkpoints that are called best, or of which nothing is said.
        note: What a reader has to know about all of them.
        numbers: The numbers.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    paper: Text
    venue: Text
    read_from: Literal[
        "paper", "figure", "log", "repository", "leaderboard", "note", "review", "benchmark page"
    ]
    link: Link = ""
    spread: Text = ""
    chosen_on: ChosenOn = "unstated"
    note: Text = ""
    numbers: tuple[PublishedNumber, ...] = Field(min_length=1)

    @pydantic.model_validator(mode="after")
    def _numbers_are_distinct(self) -> Self:
        seen = set()
        for number in self.numbers:
            measured = (number.checkpoint, number.attack, number.over)
            key = (number.table, number.label, number.dataset, number.model, *measured)
            if key in seen:
                raise ValueError(f"{number.label}, {number.checkpoint}, {number.attack} stands there twice")
            seen.add(key)
        return self


def read_published(file: Path) -> tuple[PublishedNumber, ...]:
    """Read a file of published numbers, each with its paper.

    Raises:
        StoreError: The file is missing, not JSON, or says something that cannot be.
    """
    try:
        table = read_stored(file, PublishedTable)
    except StoreError as error:
        raise StoreError(f"published numbers {file.name}: {error}") from error
    if table is None:
        raise StoreError(f"published numbers {file.name}: there is no such file")
    origin = {"paper": table.paper, "venue": table.venue, "read_from": table.read_from, "link": table.link}
    spread = f"Spread: {table.spread}." if table.spread else ""
    chosen = "" if table.chosen_on == "unstated" else f"Checkpoints chosen on {table.chosen_on} images."
    origin["about_all"] = " ".join(filter(None, (chosen, table.note, spread)))
    origin["chosen_on"] = table.chosen_on
    return tuple(number.model_copy(update=origin) for number in table.numbers)


def find_published(names: Sequence[str], folder: Path) -> tuple[PublishedNumber, ...]:
    """Read ``folder/NAME.json`` for every name; an unknown name gets the nearest choices."""
    choices = [file.stem for file in sorted(folder.glob("*.json"))]
    for name in names:
        if name not in choices:
            raise ConfigError(str(unknown("table of published numbers", name, choices)))
    return tuple(number for name in names for number in read_published(folder / f"{name}.json"))


def all_published() -> tuple[PublishedNumber, ...]:
    """Read every published number that is here; none where the project's benchmarks are not installed."""
    return find_published([file.stem for file in sorted(PUBLISHED.glob("*.json"))], PUBLISHED)
