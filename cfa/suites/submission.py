"""From a suite to jobs: what it still lacks is queued, and carried out by whoever has a terminal for it."""

import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from cfa.jobs.job import jobs_like
from cfa.jobs.kinds.evaluate_run import EvaluateRun
from cfa.jobs.queue import RESUMABLE, Job, Queue
from cfa.jobs.submit import submit_evaluation, submit_training
from cfa.jobs.unfinished import submit_unfinished
from cfa.runs.folder import RunFolder
from cfa.runs.store import Store
from cfa.suites.planned import PlannedRun, plan_evaluations, plan_suite
from cfa.suites.suite import Suite


def submit_suite(
    store: Store, queue: Queue, suite: Suite, *, tag: str, device: str | None = None
) -> list[Job]:
    """Queue what a suite still lacks: trainings, then the evaluations of each.

    Jobs of an earlier call that wait or run already are left as they are; those that were paused,
    interrupted or (evaluations) failed are queued again.

    Args:
        store: Where runs are.
        queue: Where the jobs go.
        suite: What to run.
        tag: Given to the new runs, so that they are found together.
        device: Where to run; ``None`` takes any.

    Returns:
        All jobs that the suite still needs, in an order in which they can be carried out.
    """
    known = defaultdict[str | None, list[Job]](list)
    for job in queue.jobs():
        known[job.run_id].append(job)
    submission = _Submission(store, queue, suite, tag, device, known)
    jobs: list[Job] = []
    for planned in plan_suite(store, suite):
        run, training = submission.training(planned)
        jobs += [training] if training else []
        if not run.read_only:
            jobs += submission.evaluations(planned, run, [training.id] if training else [])
    return jobs


@dataclass
class _Submission:
    """One call of :func:`submit_suite`: jobs that were there, by their runs, and what became of each run."""

    store: Store
    queue: Queue
    suite: Suite
    tag: str
    device: str | None
    known: Mapping[str | None, list[Job]]
    made: dict[int, tuple[RunFolder, Job | None]] = field(default_factory=dict)

    def training(self, planned: PlannedRun) -> tuple[RunFolder, Job | None]:
        """Make sure that a run is trained, or will be; ``None`` where nothing is left to do."""
        run = planned.existing
        result: tuple[RunFolder, Job | None] = (
            self._new_training(planned) if run is None else (run, self._unfinished_training(run))
        )
        self.made[id(planned)] = result
        return result

    def _new_training(self, planned: PlannedRun) -> tuple[RunFolder, Job]:
        made_from = {name: self.made[id(source)] for name, source in planned.sources.items()}
        config = planned.config.model_copy(update={name: run.id for name, (run, _) in made_from.items()})
        after = [job.id for _, job in made_from.values() if job]
        run, (made,) = submit_training(
            self.store,
            self.queue,
            config,
            name=_name(self.store, self.suite, planned),
            tags=(self.tag,),
            after=after,
            device=self.device,
        )
        return run, made

    def _unfinished_training(self, run: RunFolder) -> Job | None:
        if run.read_only:
            return None
        jobs = [job for job in self.known.get(run.id, []) if job.trains]
        if jobs:
            return self._going_on(jobs[-1])
        if run.status.state == "finished":
            return None
        return submit_unfinished(self.store, self.queue, run, device=self.device)

    def evaluations(self, planned: PlannedRun, run: RunFolder, after: Sequence[str]) -> list[Job]:
        """Make sure that a run is evaluated as the suite asks."""
        jobs = []
        for wanted in plan_evaluations(self.suite, [planned]):
            if wanted.is_made:
                continue
            work = EvaluateRun.of(wanted.plan, weights=wanted.weights, checkpoint=wanted.checkpoint)
            same = jobs_like(self.known.get(run.id, []), work)
            going_on = self._going_on(same[-1]) if same else None
            jobs.append(
                going_on
                or submit_evaluation(
                    self.store,
                    self.queue,
                    run,
                    weights=wanted.weights,
                    checkpoint=wanted.checkpoint,
                    plan=wanted.plan,
                    after=after,
                    device=self.device,
                )
            )
        return jobs

    def _going_on(self, job: Job) -> Job | None:
        """Queue a job again that stopped; ``None`` where it is done."""
        if job.state == "done":
            return None
        return self.queue.resume(job.id) if job.state in RESUMABLE else job


def _name(store: Store, suite: Suite, planned: PlannedRun) -> str | None:
    """Name a run after its suite; without a prefix the store finds a name."""
    if suite.prefix is None:
        return None
    config = planned.config
    parts = [suite.prefix, config.method.rpartition(":")[2], f"s{config.seed}"]
    if planned.control_of:
        parts.insert(2, f"beside-{planned.control_of.rpartition(':')[2]}")
    if len(suite.datasets) > 1:
        parts.insert(1, config.dataset)
    return store.free_name("-".join(parts))


def carry_out_suite(
    queue: Queue, jobs: Sequence[Job], carry_out: Callable[[Queue, Job], int], tell: Callable[[str], None]
) -> bool:
    """Carry out jobs here, one after the other, and tell whether all were done.

    Those that another process took are waited for, those without hope left out; where one is paused or
    cancelled, the rest stays.

    Args:
        queue: Where the jobs stand.
        jobs: In the order of :func:`submit_suite`.
        carry_out: Runs a job here, and returns 0 when it was done.
        tell: Says a sentence to whoever waits.
    """
    all_done = True
    for job in jobs:
        if (now := queue.get(job.id)).state == "running":
            tell(f"{now.title} runs elsewhere; waiting for it")
        while (now := queue.get(job.id)).state == "running":
            time.sleep(1.0)
        if now.state == "queued" and not now.blocked_by:
            all_done &= carry_out(queue, queue.resume(job.id, foreground=True)) == 0
        ended = queue.get(job.id).state
        all_done &= ended == "done"
        if ended in ("paused", "cancelled"):
            break
    return all_done
