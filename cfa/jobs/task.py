"""What a job gets while a worker carries it out: the store, its run, its device, its observer, its data."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cfa import trust
from cfa.errors import StoreError
from cfa.jobs.job_folder import JobFolder, JobResult, write_json
from cfa.progress import Observer, Progress, Stopped
from cfa.runs.folder import RunFolder
from cfa.runs.store import Store

if TYPE_CHECKING:
    from cfa.data import Dataset


@dataclass(frozen=True, kw_only=True)
class Task:
    """A job being carried out: everything that its kind needs.

    Attributes:
        store: Where runs and data sets are.
        job_id: The job's id.
        run_id: The run that it is about, if it is about one.
        device: Where to compute.
        observer: Hears how far it is, and says whether to stop.
        log_into: Has every line of the log written into a file as well.
    """

    store: Store
    job_id: str
    run_id: str | None
    device: str
    observer: Observer
    log_into: Callable[[Path], None]

    def dataset(self, name: str) -> "Dataset":
        """Load a data set, fetching it first where it is not there."""
        from cfa.data import load_dataset

        trust.require_allowed("data set", name)
        self.fetch(name)
        dataset = load_dataset(name, self.store.data_folder)
        for note in dataset.notes:
            self.observer.log(f"{name}: {note}")
        return dataset

    def fetch(self, name: str) -> None:
        """Download a data set that is not here."""
        from cfa.data import dataset_info, download_dataset

        info = dataset_info(name, self.store.data_folder)
        if not info.available:
            size = f" ({info.download_bytes / 1e6:,.0f} MB)" if info.download_bytes else ""
            self.observer.log(f"fetching {name}{size}")
            download_dataset(name, self.store.data_folder, self._fetched)

    def _fetched(self, done: int, total: int) -> None:
        """Tell how far a download is; the button that stops a job stops it."""
        if (reason := self.observer.stop_requested()) is not None:
            raise Stopped(reason)
        self.observer.progress(Progress(phase="download", done=done / 1e6, total=total / 1e6, unit="MB"))

    def run(self) -> RunFolder:
        """Find the run that the job trains."""
        run = self.evaluated_run()
        run.require_writable()
        return run

    def evaluated_run(self) -> RunFolder:
        """Find the run that the job evaluates, which may be one that ships."""
        if self.run_id is None:
            raise StoreError(f"job {self.job_id} names no run; submit it again")
        run = self.store.find(self.run_id)
        run.open_for_evaluations()
        return run

    def evaluation_id(self, weights: str, checkpoint: str) -> str:
        """Give the evaluation's id: the same one again when the job is resumed, so that it goes on."""
        from cfa.runs.evaluations import new_id

        folder = JobFolder.of(self.store.home, self.job_id)
        ids = folder.result().evaluations
        if (key := f"{weights} {checkpoint}") not in ids:
            ids = {**ids, key: new_id()}
            write_json(folder.result_file, asdict(JobResult(ids)))
        return ids[key]
