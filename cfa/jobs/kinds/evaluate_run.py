"""Evaluating weights of a run."""

import dataclasses
import json
import shutil
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from cfa.errors import StoreError
from cfa.jobs.amount import Amount
from cfa.jobs.task import Task
from cfa.jobs.work import Work
from cfa.progress import Observer, Progress, StopReason
from cfa.runs.folder import RunFolder
from cfa.runs.store import Store
from cfa.statistics import Targets
from cfa.stored import Name, Text, decode

if TYPE_CHECKING:
    from cfa.data import Dataset
    from cfa.evaluation import EvaluationPlan

_OF_A_RESULT = ("attacks", "norm", "eps", "limit", "seed")
"""What of a plan decides what is measured."""


class EvaluateRun(Work):
    """Evaluate the job's run as ``plan`` says, on its own data set where ``dataset`` names no other.

    With ``until`` it stops once these targets are met (:class:`cfa.statistics.Targets`).
    """

    kind: ClassVar[str] = "evaluate"
    evaluates: ClassVar[bool] = True

    plan: Mapping[str, Any]
    weights: Name
    checkpoint: Name
    dataset: Text | None = None
    until: Mapping[str, Any] | None = None

    @classmethod
    def of(
        cls,
        plan: "EvaluationPlan",
        *,
        weights: str,
        checkpoint: str,
        dataset: str | None = None,
        until: Targets | None = None,
    ) -> "EvaluateRun":
        """Ask for a plan to be carried out.

        Raises:
            ConfigError: A name is longer than names are.
        """
        return cls.asked(
            {
                "plan": dataclasses.asdict(plan),
                "weights": weights,
                "checkpoint": checkpoint,
                "dataset": dataset,
                "until": None if until is None else dataclasses.asdict(until),
            }
        )

    def title(self, store: Store, run_name: str) -> str:
        """Name the run and the attacks."""
        from cfa.evaluation import EvaluationPlan

        until = f", until {self.targets}" if self.until is not None else ""
        return f"evaluate {run_name} ({', '.join(EvaluationPlan.of(self.plan).attacks)}{until})"

    @property
    def targets(self) -> Targets | None:
        """What has to be certain before it stops; ``None`` where all images are attacked.

        Raises:
            StoreError: What is stored of it is none.
        """
        if self.until is None:
            return None
        try:
            targets: Targets = decode(json.dumps(dict(self.until)).encode(), Targets)
        except StoreError as error:
            raise StoreError(f"what the job stops at cannot be read ({error}); submit it again") from error
        return targets

    def amount(self, run: RunFolder | None) -> Amount | None:
        """Count images, where the plan limits them: of the same network, under the same attacks."""
        if run is None:
            return None
        plan, limit = self.spec["plan"], self.plan.get("limit")
        attacks = (*map(str, plan.get("attacks", ())), *map(str, plan.get("eps_sweep", ())))
        setting = (plan.get("norm"), plan.get("mode"), limit is None, str(self.until or ""))
        what = (self.kind, run.config.model, self.dataset or run.config.dataset, *attacks, *setting)
        return Amount(what, float(limit or 1))

    def run(self, task: Task) -> None:
        """Evaluate, going on from what an earlier start has measured."""
        from cfa.evaluation import EvaluationPlan, default_weights

        run = task.evaluated_run()
        plan = EvaluationPlan.of(self.plan)
        weights = default_weights(run) if self.weights == "auto" else self.weights
        name = self.dataset or run.config.dataset
        checkpoint = "file" if weights == "file" else self.checkpoint
        evaluate_each(task, run, task.dataset(name), name, plan, [(weights, checkpoint)], self.targets)

    def same_as(self, other: Work) -> bool:
        """Tell whether another measures the same, however large its batches are."""
        return isinstance(other, EvaluateRun) and self._measured() == other._measured()

    def _measured(self) -> tuple[object, ...]:
        plan = self.spec["plan"]
        what = (self.weights, self.checkpoint, self.dataset, self.spec["until"])
        return *what, *(plan.get(name) for name in _OF_A_RESULT)

    def runs_read(self) -> tuple[str, ...]:
        """Return the run whose images are transferred."""
        source = self.plan.get("transfer_from")
        return (source,) if source is not None else ()


def evaluate_each(
    task: Task,
    run: RunFolder,
    dataset: "Dataset",
    name: str,
    plan: "EvaluationPlan",
    wanted: Sequence[tuple[str, str]],
    until: Targets | None = None,
) -> None:
    """Evaluate kinds of weights of a run, each with a checkpoint; those that are made already are left out.

    Args:
        task: The job.
        run: The run.
        dataset: Whose test part is attacked.
        name: What the data set is loaded as.
        plan: What is done.
        wanted: Kinds of weights and checkpoints.
        until: What has to be certain before each stops; by default all images are attacked.
    """
    import torch

    from cfa.evaluation import evaluate_until, evaluate_weights
    from cfa.runs.evaluations import is_whole, parts_folder

    for weights, checkpoint in wanted:
        evaluation_id = task.evaluation_id(weights, checkpoint)
        if is_whole(run, evaluation_id):
            # It may have been killed after its last write, before these went.
            shutil.rmtree(parts_folder(run, evaluation_id), ignore_errors=True)
            continue
        device, observer = torch.device(task.device), _OfWeights(task.observer, weights, checkpoint)
        common = {"evaluation_id": evaluation_id, "loaded_as": name}
        if until is None:
            evaluate_weights(run, weights, checkpoint, plan, dataset, device, observer, **common)
        else:
            evaluate_until(run, weights, checkpoint, plan, until, dataset, device, observer, **common)


class _OfWeights(Observer):
    """Says of which weights it is that somebody hears how far they are."""

    def __init__(self, observer: Observer, weights: str, checkpoint: str) -> None:
        """Pass on to ``observer``."""
        self._observer = observer
        self._which = f"{weights} weights" + ("" if checkpoint == "file" else f", {checkpoint}")

    def progress(self, progress: Progress) -> None:
        """Name the weights before what is done to them."""
        phase = f"{self._which}: {progress.phase}"
        self._observer.progress(dataclasses.replace(progress, phase=phase[:300]))

    def log(self, message: str) -> None:
        """Pass a line on."""
        self._observer.log(message)

    def stop_requested(self) -> StopReason | None:
        """Ask whether to stop."""
        return self._observer.stop_requested()


KIND = EvaluateRun
