"""A worker carries out one job: in a process of its own, or in someone's terminal."""

import errno
import shutil
import sys
import traceback
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cfa import trust
from cfa.errors import CfaError, StoreError
from cfa.files import refuse_link, require_own
from cfa.jobs.devices import choose_device, device_use, occupied
from cfa.jobs.job_folder import JobFolder, JobResult, write_json
from cfa.jobs.observer import JobObserver, Listener, StopSignal, stop_on_signals
from cfa.jobs.queue import EndState, Job, Queue
from cfa.jobs.specs import CompareSpec, EvaluateSpec, FetchSpec, ReproduceSpec, TrainSpec, spec_of
from cfa.locks import hold
from cfa.progress import Progress, Stopped
from cfa.runs.folder import RunFolder
from cfa.runs.store import Store
from cfa.runs.trusted import Trusted
from cfa.stored import checked_id

if TYPE_CHECKING:
    from torch import Tensor

    from cfa.data import Dataset

CLOSING_ATTACKS = ("clean", "pgd-20")


@dataclass(frozen=True)
class Task:
    """A job being carried out: everything that its kind needs."""

    store: Store
    queue: Queue
    job: Job
    folder: JobFolder
    device: str
    observer: JobObserver
    listener: Listener

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
        """Find the run that the job is about."""
        if self.job.run_id is None:
            raise StoreError(f"job {self.job.id} names no run; submit it again")
        run = self.store.find(self.job.run_id)
        run.require_writable()
        return run

    def evaluation_id(self, weights: str, checkpoint: str) -> str:
        """Give the evaluation's id: the same one again when the job is resumed, so that it goes on."""
        from cfa.runs.evaluations import new_id

        ids = self.folder.result().evaluations
        if (key := f"{weights} {checkpoint}") not in ids:
            ids = {**ids, key: new_id()}
            write_json(self.folder.result_file, asdict(JobResult(ids)))
        return ids[key]


def run_job(home: Path, job_id: str, listener: Listener | None = None) -> int:
    """Carry out a job that is marked running, and write down what became of it.

    Args:
        home: ``CFA_HOME``.
        job_id: The job's id.
        listener: Hears log lines and progress; by default lines are printed (into the job's log).

    Returns:
        0 when the job is done, 1 when it failed or was stopped.
    """
    listener = listener or Listener()
    queue = Queue(home)
    folder = JobFolder.of(home, job_id)
    job = queue.get(job_id)
    try:
        require_own(folder.path)
        device = choose_device(home, job.ran_on or job.device)
    except StoreError as error:  # nothing of it is begun
        if queue.finish(job_id, "failed", str(error)):
            _tell_run(queue, job, "failed", str(error))
        listener.failed(str(error))
        return 1
    with stop_on_signals() as stop, hold(folder.lock_file, f"job {job_id} already has a worker; wait for it"):
        job = queue.register_worker(job_id, device)
        observer = JobObserver(queue, job_id, listener, stop, use=lambda: device_use(device))
        state, message = _outcome(
            Task(Store.open(home), queue, job, folder, device, observer, listener), stop
        )
        queue.finish(job_id, state, message)
        _tell_run(queue, job, state, message)
    return 0 if state == "done" else 1


def _outcome(task: Task, stop: StopSignal) -> tuple[EndState, str]:
    """Carry out the job and say how it ended."""
    observer = task.observer
    try:
        with (
            occupied(task.store.home, task.device, observer, lambda message: _announce(task, message)),
            Trusted.of(task.store).allowing(*_owners(task.job)),
        ):
            _KINDS[task.job.kind](task)
    except Stopped as stopped:
        state: EndState = "paused" if stopped.reason == "pause" else "cancelled"
        message = f"stopped by {stop.received}" if stop.received else ""
        observer.log(f"{state} {message}".strip())
        return state, message
    # The worker's outermost frame: whatever happened, the queue has to hear of it and go on.
    except Exception as error:
        message = _sentence(error)
        if not isinstance(error, CfaError):
            observer.log(traceback.format_exc())
        task.listener.failed(message)
        return "failed", message
    return "done", ""


def _announce(task: Task, message: str) -> None:
    task.queue.announce(task.job.id, message)
    if message:
        task.observer.log(message)


def _tell_run(queue: Queue, job: Job, state: EndState, message: str) -> None:
    """Correct the run's status where training did not get to write it (an error outside of `fit`)."""
    if state != "done":
        queue.tell_run(job, state, message)


def _sentence(error: Exception) -> str:
    """Say in one sentence what happened and what to do."""
    if isinstance(error, CfaError):
        return str(error)
    torch = sys.modules.get("torch")
    out_of_memory = isinstance(error, MemoryError) or (
        torch is not None and isinstance(error, torch.OutOfMemoryError)
    )
    if out_of_memory or "can't allocate memory" in str(error):
        return "out of memory; lower train.batch_size (or free memory on the device), then retry"
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "the disk is full; free space (`cfa prune` deletes what is not needed), then resume"
    return f"unexpected {type(error).__name__}: {error}; the log has the details"


def _owners(job: Job) -> tuple[str | None, ...]:
    """Name whose code the job may run: its own, its run's, and that of the run that makes its images."""
    plan = job.spec.get("plan")
    return job.id, job.run_id, plan.get("transfer_from") if isinstance(plan, Mapping) else None


def _train(task: Task) -> None:
    """Train a run, then test its best weights of every kind."""
    import torch

    from cfa.training import fit

    spec, run = spec_of(task.job, TrainSpec), task.run()
    task.observer.run_log = run.log_file
    with hold(run.lock_file, f"run {run.name!r} is being trained by another process; wait for it", timeout=5):
        dataset = task.dataset(run.config.dataset)
        if run.status.state != "finished":
            fit(run, dataset, torch.device(task.device), task.observer, initial=_initial_weights(task, run))
        run.prune()
        if spec.test:
            _closing_test(task, run, dataset)


def _initial_weights(task: Task, run: RunFolder) -> "Mapping[str, Tensor] | None":
    """Read the weights that the run starts from; none where it goes on from its own state."""
    if run.config.init is None or run.state_file.exists():
        return None
    from cfa.evaluation import default_weights
    from cfa.models import WeightsFile, load_weights
    from cfa.runs.folder import require_weights

    file = WeightsFile.of(run.config.init).path
    if not file.is_file():
        source = task.store.find(run.config.init)
        file = require_weights(source, default_weights(source), "best")
    return load_weights(file)


def _closing_test(task: Task, run: RunFolder, dataset: "Dataset") -> None:
    """Evaluate the best checkpoint of every kind of weights kept."""
    from cfa.evaluation import EvaluationPlan

    attack = run.config.attack
    plan = EvaluationPlan(attacks=CLOSING_ATTACKS, norm=attack.norm, eps=attack.eps, seed=run.config.seed)
    kinds = [weights for weights, checkpoint in run.kept_weights() if checkpoint == "best"]
    _evaluate_kinds(task, run, dataset, run.config.dataset, plan, [(weights, "best") for weights in kinds])


def _evaluate(task: Task) -> None:
    """Evaluate a run's weights as a plan says."""
    from cfa.evaluation import EvaluationPlan, default_weights

    spec, run = spec_of(task.job, EvaluateSpec), task.run()
    plan = EvaluationPlan.of(spec.plan)
    weights = default_weights(run) if spec.weights == "auto" else spec.weights
    name = spec.dataset or run.config.dataset
    checkpoint = "file" if weights == "file" else spec.checkpoint
    _evaluate_kinds(task, run, task.dataset(name), name, plan, [(weights, checkpoint)])


def _evaluate_kinds(
    task: Task, run: RunFolder, dataset: "Dataset", name: str, plan: Any, wanted: list[tuple[str, str]]
) -> None:
    import torch

    from cfa.evaluation import evaluate_weights
    from cfa.runs.evaluations import is_whole, parts_folder

    for weights, checkpoint in wanted:
        evaluation_id = task.evaluation_id(weights, checkpoint)
        if is_whole(run, evaluation_id):
            # It may have been killed after its last write, before these went.
            shutil.rmtree(parts_folder(run, evaluation_id), ignore_errors=True)
            continue
        evaluate_weights(
            run,
            weights,
            checkpoint,
            plan,
            dataset,
            torch.device(task.device),
            task.observer,
            evaluation_id=evaluation_id,
            loaded_as=name,
        )


def _reproduce(task: Task) -> None:
    """Make adversarial images of an evaluation again, by repeating their batches."""
    import numpy as np
    import torch

    from cfa.evaluation import remake
    from cfa.runs.evaluations import read_evaluation

    spec, run = spec_of(task.job, ReproduceSpec), task.run()
    evaluation = read_evaluation(run, spec.evaluation)
    made = remake(
        run,
        evaluation,
        spec.column,
        np.array(spec.images, np.int64),
        task.dataset(evaluation.dataset_to_load),
        torch.device(task.device),
        task.observer,
    )
    different = int(made.differs.sum())
    task.observer.log(
        f"{len(made.image)} images made again, {different} of them with another outcome than before"
    )


def _compare(task: Task) -> None:
    """Compare runs and write the tables to CFA_HOME/comparisons/<job id>/."""
    from cfa.evaluation import default_weights
    from cfa.tables.comparison import compare, save_comparison

    spec = spec_of(task.job, CompareSpec)
    runs = [task.store.find(run_id) for run_id in spec.runs]
    comparison = compare(runs, task.store.find(spec.baseline), default_weights)
    folder = task.store.home / "comparisons" / checked_id(task.job.id, "job")
    refuse_link(folder.parent)
    require_own(folder)
    save_comparison(comparison, folder)
    task.observer.log(f"comparison of {len(runs)} runs written to {folder}")


def _fetch(task: Task) -> None:
    """Fetch a data set, so that it is here before anyone wants it."""
    task.fetch(spec_of(task.job, FetchSpec).dataset)


_KINDS = {
    "train": _train,
    "evaluate": _evaluate,
    "compare": _compare,
    "reproduce": _reproduce,
    "fetch": _fetch,
}
