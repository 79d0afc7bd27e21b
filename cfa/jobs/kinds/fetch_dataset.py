"""Downloading a data set."""

from typing import ClassVar

from cfa.jobs.amount import Amount
from cfa.jobs.task import Task
from cfa.jobs.work import Work
from cfa.runs.folder import RunFolder
from cfa.runs.store import Store
from cfa.stored import Text


class FetchDataset(Work):
    """Fetch a data set, so that it is here before anyone wants it."""

    kind: ClassVar[str] = "fetch"

    dataset: Text

    def title(self, store: Store, run_name: str) -> str:
        """Name the data set, with its size."""
        from cfa.data import dataset_info

        size = dataset_info(self.dataset, store.data_folder).download_bytes
        return f"fetch {self.dataset} ({size / 1e6:,.0f} MB)"

    def amount(self, run: RunFolder | None) -> Amount:
        """Name the data set: another one has another size, and lies elsewhere."""
        return Amount((self.kind, self.dataset))

    def run(self, task: Task) -> None:
        """Fetch it, unless it is here."""
        task.fetch(self.dataset)


KIND = FetchDataset
