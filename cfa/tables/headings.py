"""What a column of a table is about: numbers under one heading were measured alike, no others are joined."""

from collections.abc import Iterable
from dataclasses import dataclass

import pandas as pd

from cfa.notation import format_eps

MEASURED_AS = ["dataset", "attack", "norm", "eps"]
"""Columns of a summary or a per-class table that tell one measurement from others of the same weights."""


@dataclass(frozen=True)
class Heading:
    """A data set and an attack on its test images.

    Attributes:
        dataset: As it is loaded.
        attack: Its name; ``clean`` is none.
        norm: Its norm, ``none`` of clean images.
        eps: Its budget.
    """

    dataset: str
    attack: str
    norm: str
    eps: float

    @property
    def attack_title(self) -> str:
        """Write the attack with its budget: ``pgd-20, 8/255``."""
        if self.attack == "clean":
            return "clean"
        return (
            f"{self.attack}, {format_eps(self.eps) if self.norm == 'linf' else f'{self.norm} {self.eps:g}'}"
        )

    def title(self, among: Iterable["Heading"]) -> str:
        """Write it as a column's heading, with the data set where the table has several."""
        several = len({self.dataset, *(other.dataset for other in among)}) > 1
        return f"{self.attack_title} on {self.dataset}" if several else self.attack_title

    def of(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Keep the rows of a table that were measured so."""
        wanted = (self.dataset, self.attack, self.norm, self.eps)
        chosen = pd.Series(True, frame.index)
        for column, value in zip(MEASURED_AS, wanted, strict=True):
            chosen &= frame[column] == value
        return frame[chosen]


def headings_of(frame: pd.DataFrame) -> list[Heading]:
    """List what a table's rows were measured as: by data set in their order, clean first."""
    found = [Heading(*row) for row in frame[MEASURED_AS].drop_duplicates().itertuples(index=False, name=None)]
    datasets = list(dict.fromkeys(heading.dataset for heading in found))
    return sorted(found, key=lambda one: (datasets.index(one.dataset), one.attack != "clean"))
