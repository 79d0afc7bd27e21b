"""A suite's plan with its price: each run and evaluation, whether it is done, and what it takes here."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from cfa.runs.listed import look_at
from cfa.suites.costs import SuiteCosts
from cfa.suites.planned import PlannedEvaluation, PlannedRun


@dataclass(frozen=True)
class PricedRun:
    """One run of a suite: what it is, how far it is, what is left of it.

    Attributes:
        method: Its method.
        seed: Its seed.
        settings: The run in words, with its settings of the grid.
        run: The name of the run that it is; ``None`` while there is none.
        state: That of the run, or ``to do``.
        starts_from: A run's id, a weights file, or in words the run of the suite.
        learns_from: Its teacher, likewise.
        seconds: Of the training with its closing test, 0 where it is finished.
        disk_bytes: Likewise.
    """

    method: str
    seed: int
    settings: str
    run: str | None
    state: str
    starts_from: str | None
    learns_from: str | None
    seconds: float
    disk_bytes: int

    @classmethod
    def of(cls, planned: PlannedRun, costs: SuiteCosts) -> "PricedRun":
        """Look at a planned run, and estimate it unless it is finished."""
        config, run = planned.config, planned.existing
        start, teacher = planned.starts_from, planned.learns_from
        finished = run is not None and run.status.state == "finished"
        beside = teacher.config.model if teacher else ""
        cost = None if finished else costs.training(config, beside)
        variant = "".join(f", {key}={value}" for key, value in planned.variant.items())
        variant += f" (control of {planned.control_of})" if planned.control_of else ""
        return cls(
            method=config.method,
            seed=config.seed,
            settings=config.in_words() + variant,
            run=run.name if run else None,
            state=look_at(run).state if run else "to do",
            starts_from=config.init or (start.config.in_words() if start else None),
            learns_from=config.teacher or (teacher.config.in_words() if teacher else None),
            seconds=cost.seconds if cost else 0.0,
            disk_bytes=cost.disk_bytes if cost else 0,
        )


@dataclass(frozen=True)
class PricedEvaluation:
    """One evaluation of a suite, and what it takes at most: 0 where it is made already."""

    method: str
    seed: int
    dataset: str
    attacks: tuple[str, ...]
    eps: float
    weights: str
    checkpoint: str
    done: bool
    seconds: float
    disk_bytes: int

    @classmethod
    def of(cls, planned: PlannedEvaluation, costs: SuiteCosts) -> "PricedEvaluation":
        """Look whether a planned evaluation is made, and estimate it if not."""
        done, config = planned.is_made, planned.run.config
        seconds, disk_bytes = (0.0, 0) if done else costs.evaluation(planned)
        return cls(
            method=config.method,
            seed=config.seed,
            dataset=config.dataset,
            attacks=planned.plan.attacks,
            eps=planned.plan.eps,
            weights=planned.weights,
            checkpoint=planned.checkpoint,
            done=done,
            seconds=seconds,
            disk_bytes=disk_bytes,
        )


@dataclass(frozen=True)
class PricedPlan:
    """What a suite consists of, and what the rest of it takes on one device."""

    runs: tuple[PricedRun, ...]
    evaluations: tuple[PricedEvaluation, ...]
    device: str

    @property
    def _parts(self) -> tuple[PricedRun | PricedEvaluation, ...]:
        return (*self.runs, *self.evaluations)

    @property
    def seconds(self) -> float:
        """Give the time of all that is left."""
        return sum(part.seconds for part in self._parts)

    @property
    def disk_bytes(self) -> int:
        """Give the disk that all that is left fills."""
        return sum(part.disk_bytes for part in self._parts)

    def document(self) -> dict[str, Any]:
        """Return the plan as plain values for JSON."""
        return {
            "runs": [asdict(run) for run in self.runs],
            "evaluations": [asdict(evaluation) for evaluation in self.evaluations],
            "seconds": self.seconds,
            "disk_bytes": self.disk_bytes,
            "device": self.device,
        }


def price(
    runs: Iterable[PlannedRun], evaluations: Iterable[PlannedEvaluation], costs: SuiteCosts
) -> PricedPlan:
    """Measure what a plan takes on the device of ``costs``.

    Raises:
        DataError: A data set cannot be described, or has no training images.
    """
    return PricedPlan(
        tuple(PricedRun.of(run, costs) for run in runs),
        tuple(PricedEvaluation.of(evaluation, costs) for evaluation in evaluations),
        str(costs.device),
    )
