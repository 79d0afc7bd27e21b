"""Training a run, and testing its best weights."""

from typing import TYPE_CHECKING, ClassVar

from cfa.jobs.amount import Amount
from cfa.jobs.kinds.evaluate_run import evaluate_each
from cfa.jobs.made_from import initial_weights, teacher_of
from cfa.jobs.task import Task
from cfa.jobs.work import Work
from cfa.locks import hold
from cfa.runs.folder import RunFolder
from cfa.runs.rows import Epoch
from cfa.runs.store import Store

if TYPE_CHECKING:
    from cfa.data import Dataset

CLOSING_ATTACKS = ("clean", "pgd-20")


class TrainRun(Work):
    """Train the job's run; ``test`` says whether its best weights are evaluated then."""

    kind: ClassVar[str] = "train"
    trains: ClassVar[bool] = True

    test: bool = True

    def title(self, store: Store, run_name: str) -> str:
        """Name the run."""
        return f"train {run_name}"

    def amount(self, run: RunFolder | None) -> Amount | None:
        """Count epochs: one takes as long for a method as for its plain version, whatever the budgets."""
        if run is None:
            return None
        from cfa.methods import METHODS

        config = run.config
        method = METHODS[config.method].compared_with if config.method in METHODS else config.method
        what = (
            *(self.kind, self.test, method, config.dataset, config.model, config.attack.steps),
            *(config.train.batch_size, config.train.batch_parts, config.train.precision),
            *(config.train.test_probe, config.train.select_on, config.data.val_fraction),
        )
        ended = run.status.state == "finished"
        took = [row.seconds or 0.0 for row in run.rows() if isinstance(row, Epoch)] if ended else []
        return Amount(what, config.train.epochs, sum(took))

    def run(self, task: Task) -> None:
        """Train, then test the best weights of every kind."""
        import torch

        from cfa.training import fit

        run = task.run()
        task.log_into(run.log_file)
        busy = f"run {run.name!r} is being trained by another process; wait for it"
        with hold(run.lock_file, busy, timeout=5):
            dataset = task.dataset(run.config.dataset)
            if run.status.state != "finished":
                device = torch.device(task.device)
                initial, start = initial_weights(task.store, run)
                teacher = teacher_of(task.store, run, dataset, device)
                fit(run, dataset, device, task.observer, initial=initial, start=start, teacher=teacher)
            run.prune()
            if self.test:
                _closing_test(task, run, dataset)


def _closing_test(task: Task, run: RunFolder, dataset: "Dataset") -> None:
    """Evaluate the best checkpoint of every kind of weights kept."""
    from cfa.evaluation import EvaluationPlan

    attack = run.config.attack
    plan = EvaluationPlan(attacks=CLOSING_ATTACKS, norm=attack.norm, eps=attack.eps, seed=run.config.seed)
    best = [(weights, checkpoint) for weights, checkpoint in run.kept_weights() if checkpoint == "best"]
    evaluate_each(task, run, dataset, run.config.dataset, plan, best)


KIND = TrainRun
