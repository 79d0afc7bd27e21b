"""The evaluations that somebody has just asked for: their scores, what was found, and whether checks hold."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import pandas as pd

from cfa.runs.evaluations import Evaluation, Verdict
from cfa.runs.folder import RunFolder
from cfa.tables.comparison import records
from cfa.tables.frames import add_group_means, evaluations_frame, summary_frame
from cfa.tables.stopped import Stopped, stopped_documents, stopped_per_class, stopped_summary


@dataclass(frozen=True)
class FreshEvaluations:
    """Evaluations, each with its run; those that stopped when they were certain are apart from the others."""

    made: Sequence[tuple[RunFolder, Evaluation]]
    stopped: Sequence[Stopped] = ()

    @property
    def findings(self) -> list[str]:
        """What is strange about each, with the run and the weights that it is about."""
        all_of_them = [*self.made, *((run, one.counted) for run, one in self.stopped)]
        return [f"{run.name} ({e.weights}): {text}" for run, e in all_of_them for text in e.findings]

    @property
    def checks(self) -> list[tuple[RunFolder, Verdict]]:
        """What a checklist says of each."""
        return [(run, check) for run, evaluation in self.made for check in evaluation.checks]

    @cached_property
    def per_class(self) -> pd.DataFrame:
        """Scores in the contracted columns."""
        return evaluations_frame(self.made)

    def summary(self) -> list[dict[str, Any]]:
        """Return a row for each run, weights and attack, with groups of classes where there are some."""
        groups = {run.id: run.class_groups for run, _ in self.made}
        return records(add_group_means(summary_frame(self.per_class), self.per_class, groups))

    @cached_property
    def stopped_per_class(self) -> pd.DataFrame:
        """Classes of those that stopped when they were certain, with their own ends."""
        return stopped_per_class(self.stopped)

    def stopped_summary(self) -> list[dict[str, Any]]:
        """Return a row for each attack of those."""
        return records(stopped_summary(self.stopped))

    def document(self) -> dict[str, Any]:
        """Return all of it as plain values for JSON; rows of sequential evaluations say so in ``attack``."""
        sequential = {"sequential": stopped_documents(self.stopped)} if self.stopped else {}
        return {
            "scores": [*records(self.per_class), *records(self.stopped_per_class)],
            **sequential,
            "findings": self.findings,
            "checks": [{"run": run.name, **asdict(check)} for run, check in self.checks],
        }
