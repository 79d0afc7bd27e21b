"""What Sweep shows: a run with one of its evaluations, and which of several counts."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
import streamlit as st

from app import charts, elements, wording
from app.engine import downloadable, evaluated, snapshots


@dataclass(frozen=True)
class Swept:
    """A run with the evaluation that is shown of it."""

    run: snapshots.Run
    evaluation: evaluated.Evaluation

    @property
    def key(self) -> str:
        """Name it among others."""
        return f"{self.run.id}_{self.evaluation.id}"

    @property
    def old(self) -> bool:
        """Tell whether the run has other weights now."""
        return self.evaluation.id in evaluated.of_old_weights(self.run)

    @property
    def title(self) -> str:
        """Say whose weights these are."""
        weights = charts.WEIGHTS_TITLES.get(self.evaluation.weights, self.evaluation.weights)
        last = ", last checkpoint" if self.evaluation.checkpoint == "last" else ""
        epoch = f" of epoch {self.evaluation.epoch}" if self.old else ""
        return f"{self.run.name} · {weights}{last}{epoch}"


def that_counts(found: list[Swept]) -> list[Swept]:
    """Keep, of all of the same weights and data set, the one on most images, the newest of equals."""
    kept: dict[tuple[str, ...], Swept] = {}
    for swept in found:  # newest first
        evaluation = swept.evaluation
        key = (swept.run.id, evaluation.dataset, evaluation.weights, evaluation.checkpoint)
        if key not in kept or swept.evaluation.images > kept[key].evaluation.images:
            kept[key] = swept
    return list(kept.values())


def unit_of(norm: str) -> charts.Unit:
    """Say how a budget of a norm is drawn."""
    return charts.EPS if norm == "linf" else charts.Unit(f"eps ({wording.norm_title(norm)})")


def downloads(files: Sequence[tuple[str, pd.DataFrame, str]]) -> None:
    """Offer tables as files: label, table, name of the file."""
    with st.container(horizontal=True):
        for label, frame, file in files:
            elements.csv_button(label, downloadable.csv(frame), file, f"download_{file}")
