"""What of a suite exists already: its runs and evaluations, each beside what the store has of it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from cfa.config import RunConfig
from cfa.jobs.submit import check_names
from cfa.runs.folder import RunFolder
from cfa.runs.listed import readable_runs
from cfa.runs.store import Store
from cfa.suites.suite import Suite
from cfa.suites.suite_runs import runs_of

if TYPE_CHECKING:
    from cfa.evaluation import EvaluationPlan
    from cfa.runs.choice import Measured


@dataclass(frozen=True)
class PlannedRun:
    """A run of a suite, and the run folder if one with its configuration exists already.

    Attributes:
        config: Its configuration.
        existing: The run, unless it is still to be made.
        variant: Those of its settings that are a grid in the suite.
        starts_from: The planned run that it starts from.
        learns_from: The planned run that is its teacher.
        control_of: The method that it is the control of; empty where it is none.
    """

    config: RunConfig
    existing: RunFolder | None
    variant: Mapping[str, Any] = field(default_factory=dict)
    starts_from: "PlannedRun | None" = None
    learns_from: "PlannedRun | None" = None
    control_of: str = ""

    @property
    def stands_for(self) -> str:
        """The method by which a suite asks for evaluations: a control has those of what it controls."""
        return self.control_of or self.config.method

    @property
    def sources(self) -> "dict[str, PlannedRun]":
        """The planned runs that it is made from, by the setting that names them."""
        found = {"init": self.starts_from, "teacher": self.learns_from}
        return {name: source for name, source in found.items() if source is not None}


def plan_suite(store: Store, suite: Suite) -> list[PlannedRun]:
    """Pair the runs of a suite with those that exist; failed and cancelled ones do not count."""
    usable = [run for run in readable_runs(store) if run.status.state not in ("failed", "cancelled")]
    finished_last = sorted(usable, key=lambda run: run.status.state == "finished")
    done = {run.config.key(): run.folder for run in finished_last}
    planned: dict[int, PlannedRun] = {}
    wanted = runs_of(suite)
    for one in wanted:
        start, teacher = (
            planned[id(source)] if source else None for source in (one.starts_from, one.learns_from)
        )
        run = PlannedRun(check_names(store, one.config), None, one.variant, start, teacher, one.control_of)
        there = {name: source.existing.id for name, source in run.sources.items() if source.existing}
        config = run.config.model_copy(update=there)
        existing = done.get(config.key()) if len(there) == len(run.sources) else None
        planned[id(one)] = replace(run, config=config, existing=existing)
    return list(planned.values())


@dataclass(frozen=True)
class PlannedEvaluation:
    """An evaluation that a suite asks for, of a run that need not exist yet."""

    run: PlannedRun
    weights: str
    checkpoint: str
    plan: "EvaluationPlan"

    @property
    def is_made(self) -> bool:
        """Tell whether the run was evaluated so already (or can never be: it kept no such weights)."""
        run = self.run.existing
        if run is None or run.status.state != "finished":
            return False
        kind = self.kind
        if (kind, self.checkpoint) not in run.kept_weights():
            return True
        return set(self.plan.attacks) <= {one.attack for one in self.scores}

    @property
    def scores(self) -> list["Measured"]:
        """List what counts of the run as far as this evaluation asked for it: its images, its budget."""
        from cfa.runs.choice import chosen

        run = self.run.existing
        if run is None:
            return []
        wanted, kind = (run.config.dataset, self.plan.limit), (self.kind, self.checkpoint)
        found = chosen(run, lambda e: (e.dataset_to_load, e.limit) == wanted)
        return [
            one
            for one in found
            if (one.evaluation.weights, one.evaluation.checkpoint) == kind
            and one.scores.eps in (0.0, self.plan.eps)
        ]

    @property
    def kind(self) -> str:
        """The kind of weights that is meant, which for ``auto`` depends on the run."""
        from cfa.evaluation import default_weights
        from cfa.methods import METHODS

        if self.weights != "auto":
            return self.weights
        run = self.run.existing
        if run is not None and run.status.state == "finished":
            return default_weights(run)
        return METHODS[self.run.config.method].reported_with


def plan_evaluations(suite: Suite, planned: Iterable[PlannedRun]) -> list[PlannedEvaluation]:
    """List the evaluations of a suite, run by run."""
    return [
        PlannedEvaluation(run, weights, checkpoint, wanted.plan(run.config))
        for run in planned
        for wanted in suite.evaluations
        if wanted.methods is None or run.stands_for in wanted.methods
        for weights in wanted.weights
        for checkpoint in wanted.checkpoints
    ]
