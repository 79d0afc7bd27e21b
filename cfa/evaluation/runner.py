"""The loop: attack by attack, batch by batch, on the images that still hold; remembered after every batch."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from cfa.attacks import CLEAN
from cfa.data import Images, to_float
from cfa.errors import CheckpointError, UnknownName
from cfa.evaluation import findings as said
from cfa.evaluation.admission import LOOKED_AT, require_gradient
from cfa.evaluation.conditions import ARITHMETIC, reported
from cfa.evaluation.draws import AllAtOnce, Draws
from cfa.evaluation.keeper import joined, within_budget
from cfa.evaluation.meter import Meter
from cfa.evaluation.one_batch import Batches
from cfa.evaluation.outcomes import NOT_RUN, Outcomes
from cfa.evaluation.plan import EvaluationPlan
from cfa.evaluation.probe import PROBED, Probe, close, probe
from cfa.evaluation.scratch import Scratch
from cfa.evaluation.steps import Steps, Table
from cfa.evaluation.trials import CLEAN_STEP, Trial, TrialStep, columns_of, trials
from cfa.models import admit
from cfa.models.replayed_network import ReplayedNetwork
from cfa.progress import Observer


class Runner:
    """Carries out one plan on one model."""

    def __init__(
        self,
        model: nn.Module,
        images: Images,
        positions: np.ndarray,
        plan: EvaluationPlan,
        num_classes: int,
        observer: Observer,
        *,
        scratch: Path | None = None,
        identity: str = "",
        transfer: nn.Module | None = None,
        replayed: ReplayedNetwork | None = None,
        draws: Draws | None = None,
    ) -> None:
        """Unfold the plan.

        Args:
            model: Maps images in [0, 1] to logits.
            images: What is attacked, on the model's device.
            positions: Where the images are in the test part.
            plan: What to do.
            num_classes: Number of classes.
            observer: Told of forward passes; asked before each whether to stop.
            scratch: Where finished batches are remembered.
            identity: What else has to be the same for batches to be taken up again.
            transfer: The model that makes the images of ``transfer``.
            replayed: The model as attacks may call it where its passes can be replayed.
            draws: Whom to attack next; by default all images at once.
        """
        self._raw, self._images, self._positions = model, images, positions
        self._plan, self._classes, self._observer = plan, num_classes, observer
        self._transfer = transfer
        self._trials = trials(plan, num_classes, transfer)
        self._columns = columns_of(self._trials)
        self._meter = Meter(replayed or model, observer)
        self._batches = Batches(model, self._meter, images, positions, plan)
        self._scratch = Scratch(scratch, _identity(plan, identity))
        self._label = images.labels.cpu().numpy()
        self._draws = draws or AllAtOnce(len(self._label))
        self._drawn = np.zeros(0, np.int64)  # whom the trials attack now
        self._table = Table(len(self._label))
        self._steps = Steps(
            self._table,
            self._label,
            positions,
            plan,
            num_classes,
            self._meter,
            self._batches,
            self._scratch,
            self._expect,
        )

    def run(self) -> Outcomes:
        """Carry out the plan.

        Raises:
            Stopped: The observer asked for it; finished batches are remembered.
            CheckpointError: The model does not answer with finite logits, has no gradient for the plan's
                attacks, or gets no image right so that nothing can be attacked.
        """
        with self._ready():
            no_gradient = self._admit()
            while len(drawn := self._draws.next(self._columns, self._table.predictions)):
                first, self._drawn = len(self._drawn) == 0, drawn
                self._clean()
                if first:
                    self._look(no_gradient)
                for trial in self._trials:
                    self._try(trial)
            self._remark()
            if self._trials:
                self._look_again()
        self._meter.finish()
        return self._outcomes()

    def repeat(self, column: str, batch: int, members: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Attack one batch again, and return its adversarial images (float32) and the predicted classes.

        Args:
            column: A step's column in the outcomes.
            batch: The batch's number, which seeds what is random.
            members: Positions of its images among those evaluated, ascending.
        """
        everything = [(trial, step) for trial in self._trials for step in trial.steps]
        found = [(trial, step) for trial, step in everything if step.column.name == column]
        if not found:
            raise UnknownName(f"the plan has no attack {column!r}; it has: {', '.join(self._plan.attacks)}")
        trial, step = found[0]
        assert step.attack is not None
        with self._ready():
            return self._batches.attack_again(step.attack, trial.column.eps, batch, members)

    def _ready(self) -> AbstractContextManager[None]:
        return reported(self._images.images.device, self._raw, self._transfer)

    def _clean(self) -> None:
        self._steps.carry_out(CLEAN_STEP, None, self._drawn)
        if self._trials and not self._right(CLEAN).any():
            raise CheckpointError(
                f"the model gets none of the {len(self._drawn)} images right, so there is nothing to attack; "
                "check the data set, the classes and the normalisation"
            )

    def _admit(self) -> str:
        """Refuse a model that this plan cannot be carried out on; return why it has no gradient, if so."""
        few = self._images.subset(torch.arange(min(LOOKED_AT, len(self._label))))
        no_gradient = admit(self._raw, to_float(few.images), self._classes)
        require_gradient(self._plan, no_gradient)
        if self._transfer is not None and (
            reason := admit(self._transfer, to_float(few.images), self._classes)
        ):
            raise CheckpointError(
                f"transfer cannot be carried out: the other model has no gradient ({reason}); choose another"
            )
        return no_gradient if self._trials else ""

    def _look(self, no_gradient: str) -> None:
        """Probe the model, or remember what was found."""
        remembered = self._scratch.findings()
        if remembered is not None:
            found, passes = remembered
            self._meter.done += passes
        else:
            before = self._meter.done
            seen = self._probed(with_gradients=bool(self._trials) and not no_gradient)
            randomised_ok = bool(self._trials) and all(
                trial.column.attack == "autoattack-rand" for trial in self._trials
            )
            found = said.probe_findings(seen, no_gradient, randomised_ok=randomised_ok)
            self._scratch.keep_findings(found, self._meter.done - before)
        self._table.findings += found

    def _look_again(self) -> None:
        """Pass the first batch once more, beside the meter: the answers must be what they were."""
        members = torch.from_numpy(np.flatnonzero(self._table.batches[CLEAN] == 0))
        x = to_float(self._images.subset(members).images)
        before = torch.from_numpy(self._table.predictions[CLEAN][members.numpy()])
        self._table.findings += said.closing_findings(close(self._raw, x, before), self._table.findings)

    def _probed(self, *, with_gradients: bool) -> Probe:
        count = len(self._label)
        few = self._images.subset(torch.linspace(0, count - 1, min(PROBED, count)).long())
        x, size = to_float(few.images), min(PROBED, self._plan.batch_size)
        while True:
            try:
                return probe(
                    self._meter, x, few.labels, self._plan.norm, with_gradients=with_gradients, size=size
                )
            except torch.OutOfMemoryError:
                if size == 1:
                    raise
            size = (size + 1) // 2
            torch.cuda.empty_cache()

    def _try(self, trial: Trial) -> None:
        """Run the steps of a trial, each on what the ones before left of the images drawn."""
        table, column, drawn = self._table, trial.column, self._drawn
        before = table.classes(column.after or CLEAN)
        # Begun before its members, so that the columns stand in this order.
        predicted = table.classes(column.name)
        predicted[drawn] = before[drawn]
        everyone = trial.everyone and not column.after
        alive = drawn if everyone else drawn[before[drawn] == self._label[drawn]]
        if trial.by is None:
            (step,) = trial.steps
            self._steps.carry_out(step, trial, alive)
            return
        by = table.broken_by.setdefault(trial.by.name, np.full(len(self._label), "", dtype=object))
        if (smaller := self._columns.broken_by(column.after)) is not None:
            by[drawn] = table.broken_by[smaller.name][drawn]
        for step in trial.steps:
            self._steps.carry_out(step, trial, alive)
            found = table.classes(step.column.name)
            holds = found[alive] == self._label[alive]
            broken, alive = alive[~holds], alive[holds]
            predicted[broken], by[broken] = found[broken], step.column.member

    def _remark(self) -> None:
        """Say what is remarkable, step by step."""
        self._steps.remark(CLEAN_STEP, None)
        for trial in self._trials:
            for step in trial.steps:
                self._steps.remark(step, trial)
            self._table.findings += [f"{trial.column.name}: {sentence}" for sentence in trial.changed]

    def _right(self, column: str) -> np.ndarray:
        right: np.ndarray = self._table.predictions[column] == self._label
        return right

    def _expect(self, step: TrialStep, trial: Trial | None, images: int, of: int) -> None:
        """Set what the meter tells: how many images are done, and what the others may take at most.

        Args:
            step: What is done.
            trial: What it belongs to; ``None`` for the clean images.
            images: How many are left of the step's.
            of: How many the step has.
        """
        told = f"{self._draws.told}; " if self._draws.told else ""
        self._meter.phase = f"{told}{step.column.name}, {of - images} of {of} images"
        ahead = float(images * step.passes)
        everyone = len(self._drawn)
        holding = everyone if trial is None else int(self._right(CLEAN)[self._drawn].sum())
        for other in self._trials if trial is None else self._trials[self._trials.index(trial) :]:
            steps = other.steps
            if other is trial:
                steps = steps[steps.index(step) + 1 :]
                count = images
            else:
                count = everyone if other.everyone else holding
            ahead += sum(count * later.passes for later in steps)
        to_come = np.count_nonzero(self._table.classes(CLEAN) == NOT_RUN) - (images if trial is None else 0)
        each = 1 + sum(later.passes for other in self._trials for later in other.steps)
        self._meter.total = self._meter.done + ahead + to_come * each

    def _outcomes(self) -> Outcomes:
        table, plan = self._table, self._plan
        shape = tuple(self._images.images.shape[1:])
        kept, left_out = within_budget(joined(table.kept, shape), plan.keep_megabytes)
        if left_out and plan.keep_megabytes > 0:
            table.findings.append(
                f"{left_out} or more adversarial images were not kept: keep_megabytes="
                f"{plan.keep_megabytes:g} is full; they can be made again"
            )
        for length in table.lengths.values():
            length[~self._right(CLEAN)] = 0
        rows = np.flatnonzero(table.classes(CLEAN) != NOT_RUN)

        def drawn(columns: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
            return {name: values[rows] for name, values in columns.items()}

        outcomes = Outcomes(
            self._positions[rows],
            self._label[rows],
            drawn(table.predictions),
            drawn(table.broken_by),
            drawn(table.lengths),
            drawn(table.batches),
            kept,
            (),
            self._meter.done,
            self._meter.made,
            self._columns,
        )
        for trial in self._trials:
            remarks = said.square_finding(trial, outcomes), said.more_right_finding(trial, outcomes)
            table.findings += [sentence for sentence in remarks if sentence is not None]
        return Outcomes(**{**vars(outcomes), "findings": tuple(dict.fromkeys(table.findings))})


def _identity(plan: EvaluationPlan, identity: str) -> dict[str, Any]:
    settings = {name: value for name, value in vars(plan).items() if name != "keep_megabytes"}
    return {**settings, "identity": identity, "arithmetic": ARITHMETIC}
