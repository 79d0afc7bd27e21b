"""Comparing runs, with tables as files."""

from typing import ClassVar

from cfa.files import refuse_link, require_own
from cfa.jobs.amount import Amount
from cfa.jobs.task import Task
from cfa.jobs.work import Work
from cfa.runs.folder import RunFolder
from cfa.runs.store import Store
from cfa.stored import Name, Names, checked_id


class CompareRuns(Work):
    """Compare runs, by their ids, with one of them."""

    kind: ClassVar[str] = "compare"
    needs_all: ClassVar[bool] = True

    runs: Names
    baseline: Name

    def title(self, store: Store, run_name: str) -> str:
        """Name the runs."""
        names = {run_id: store.find(run_id).name for run_id in (*self.runs, self.baseline)}
        others = [name for run_id, name in names.items() if run_id != self.baseline]
        return f"compare {', '.join(others)} with {names[self.baseline]}"

    def amount(self, run: RunFolder | None) -> Amount:
        """Count its runs."""
        return Amount(self.kind, len(self.runs))

    def run(self, task: Task) -> None:
        """Compare, and write the tables to ``CFA_HOME/comparisons/<job id>/``."""
        from cfa.evaluation import default_weights
        from cfa.tables.comparison import compare, save_comparison

        runs = [task.store.find(run_id) for run_id in self.runs]
        comparison = compare(runs, task.store.find(self.baseline), default_weights)
        folder = task.store.home / "comparisons" / checked_id(task.job_id, "job")
        refuse_link(folder.parent)
        require_own(folder)
        save_comparison(comparison, folder)
        task.observer.log(f"comparison of {len(runs)} runs written to {folder}")


KIND = CompareRuns
