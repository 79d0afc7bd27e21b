"""The loop: attack by attack, batch by batch, on the images that still hold; remembered after every batch."""

from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from cfa.attacks import CLEAN, Member
from cfa.data import Images, to_float
from cfa.errors import CheckpointError, UnknownName
from cfa.evaluation import findings as said
from cfa.evaluation.admission import LOOKED_AT, require_gradient
from cfa.evaluation.conditions import ARITHMETIC, reported
from cfa.evaluation.keeper import Keeper, joined, within_budget
from cfa.evaluation.meter import Meter
from cfa.evaluation.one_batch import Batches
from cfa.evaluation.outcomes import NOT_RUN, AdversarialImages, Outcomes
from cfa.evaluation.plan import EvaluationPlan
from cfa.evaluation.probe import PROBED, Probe, close, probe
from cfa.evaluation.scratch import Part, Partition, Scratch
from cfa.evaluation.trials import CLEAN_COLUMN, Trial, TrialStep, columns_of, trials
from cfa.models import admit
from cfa.models.replayed_network import ReplayedNetwork
from cfa.progress import Observer
from cfa.runs.columns import Column


@dataclass
class _Table:
    """The outcomes as they grow."""

    predictions: dict[str, np.ndarray] = field(default_factory=dict)
    broken_by: dict[str, np.ndarray] = field(default_factory=dict)
    lengths: dict[str, np.ndarray] = field(default_factory=dict)
    batches: dict[str, np.ndarray] = field(default_factory=dict)
    kept: list[AdversarialImages] = field(default_factory=list)
    findings: list[str] = field(default_factory=list)


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
        self._table = _Table()
        self._step = 0  # of all trials, counted through

    def run(self) -> Outcomes:
        """Carry out the plan.

        Raises:
            Stopped: The observer asked for it; finished batches are remembered.
            CheckpointError: The model does not answer with finite logits, has no gradient for the plan's
                attacks, or gets no image right so that nothing can be attacked.
        """
        with self._ready():
            no_gradient = self._admit()
            self._clean()
            self._look(no_gradient)
            for trial in self._trials:
                self._try(trial)
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
        everyone = np.arange(len(self._label))
        self._table.predictions[CLEAN] = np.full(len(self._label), NOT_RUN)
        self._carry_out(TrialStep(CLEAN_COLUMN, None, 1), None, everyone)
        if self._trials and not self._right(CLEAN).any():
            raise CheckpointError(
                f"the model gets none of the {len(self._label)} images right, so there is nothing to attack; "
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
        """Run the steps of a trial, each on what the ones before left."""
        clean, column = self._table.predictions[CLEAN], trial.column
        alive = np.ones(len(clean), bool) if trial.everyone else self._right(CLEAN)
        predicted = clean.copy()
        if column.after:
            predicted = self._table.predictions[column.after].copy()
            alive = predicted == self._label
        # Filled in before its members, so that the columns stand in this order.
        self._table.predictions[column.name] = predicted
        if trial.by is None:
            (step,) = trial.steps
            self._carry_out(step, trial, np.flatnonzero(alive))
        else:
            by = self._table.broken_by[trial.by.name] = self._broken_before(column)
            for step in trial.steps:
                self._table.predictions[step.column.name] = np.full(len(clean), NOT_RUN)
                attacked = np.flatnonzero(alive)
                self._carry_out(step, trial, attacked)
                found = self._table.predictions[step.column.name]
                broken = attacked[found[attacked] != self._label[attacked]]
                predicted[broken] = found[broken]
                by[broken] = step.column.member
                alive[broken] = False
        self._table.findings += [f"{column.name}: {sentence}" for sentence in trial.changed]

    def _broken_before(self, column: Column) -> np.ndarray:
        """Say which member broke each image at the smaller budget of a sweep, "" where none did."""
        before = self._columns.broken_by(column.after)
        if before is None:
            return np.full(len(self._label), "", dtype=object)
        return self._table.broken_by[before.name].copy()

    def _right(self, column: str) -> np.ndarray:
        right: np.ndarray = self._table.predictions[column] == self._label
        return right

    def _carry_out(self, step: TrialStep, trial: Trial | None, attacked: np.ndarray) -> None:
        """Run one step on some images, batch by batch, and write its column."""
        number, self._step = self._step, self._step + 1
        batches = self._scratch.partition(number)
        if batches is None:
            batches = _cut(attacked, self._plan.batch_size)
            self._scratch.keep_partition(number, batches)
        keeper = Keeper(self._classes, self._plan.keep_megabytes)
        self._table.batches[step.column.name] = np.full(len(self._label), NOT_RUN)
        totals = np.zeros(2, np.int64)
        if step.norms is not None:
            self._table.lengths[step.norms.name] = np.zeros(len(self._label))
        batch = 0
        while batch < len(batches):
            self._expect(step, trial, sum(map(len, batches[batch:])), sum(map(len, batches)))
            part = self._part(step, trial, number, batch, batches[batch], keeper)
            if part is None:
                batches[batch:] = _halved(batches[batch:])
                self._scratch.keep_partition(number, batches)
                continue
            self._write_down(step, trial, np.array(batches[batch], np.int64), batch, part)
            totals += (part.not_allowed, part.zero_gradients)
            batch += 1
        self._remark(step, trial, batches, totals)

    def _part(
        self,
        step: TrialStep,
        trial: Trial | None,
        number: int,
        batch: int,
        members: list[int],
        keeper: Keeper,
    ) -> Part | None:
        """Remember or compute one batch; ``None`` where it did not fit into the device's memory."""
        indices = torch.tensor(members)
        label = self._label[indices.numpy()]
        part = self._scratch.part(number, batch)
        if part is not None:
            self._meter.done += part.passes
            keeper.count(label[part.kept], part.predicted[part.kept], self._batches.image_bytes)
            return part
        try:
            if trial is None or step.attack is None:
                part = self._batches.predict(np.array(members))
            else:
                part = self._batches.attack(step.attack, trial.column.eps, batch, np.array(members), keeper)
        except torch.OutOfMemoryError:
            if len(members) == 1:
                raise
        if part is None:
            # Out of the except block, whose traceback would keep the batch's tensors alive.
            torch.cuda.empty_cache()
            return None
        self._scratch.keep_part(number, batch, part)
        return part

    def _write_down(
        self, step: TrialStep, trial: Trial | None, members: np.ndarray, batch: int, part: Part
    ) -> None:
        table = self._table
        table.predictions[step.column.name][members] = part.predicted
        table.batches[step.column.name][members] = batch
        if step.norms is not None:
            table.lengths[step.norms.name][members] = part.length
        if trial is None or len(part.kept) == 0:
            return
        label, predicted = self._label[members[part.kept]], part.predicted[part.kept]
        # Of a composite attack only what a member broke: the others come back as they were.
        shown = (predicted != label) if trial.by is not None else np.ones(len(label), bool)
        table.kept.append(
            AdversarialImages(
                np.full(int(shown.sum()), trial.column.name),
                self._positions[members[part.kept]][shown].astype(np.int32),
                label[shown].astype(np.int16),
                predicted[shown].astype(np.int16),
                part.adversarial[shown],
            )
        )

    def _remark(self, step: TrialStep, trial: Trial | None, batches: Partition, totals: np.ndarray) -> None:
        """Say what is remarkable about a step."""
        not_allowed, zero_gradients = totals.tolist()
        if not_allowed:
            self._table.findings.append(said.not_allowed_finding(step.column.name, not_allowed))
        if zero_gradients:
            self._table.findings.append(said.zero_gradient_finding(step.column.name, zero_gradients))
        cut = _cut(np.array([i for members in batches for i in members]), self._plan.batch_size)
        if batches != cut:
            reference = trial is not None and isinstance(step.attack, Member)
            self._table.findings.append(
                f"{step.column.name}: batches were halved, since the device was out of memory"
                + ("; this is no longer the reference mode" if reference else "")
            )

    def _expect(self, step: TrialStep, trial: Trial | None, images: int, of: int) -> None:
        """Set what the meter tells: how many images are done, and what the others may take at most.

        Args:
            step: What is done.
            trial: What it belongs to; ``None`` for the clean images.
            images: How many are left of the step's.
            of: How many the step has.
        """
        self._meter.phase = f"{step.column.name}, {of - images} of {of} images"
        ahead = float(images * step.passes)
        everyone = len(self._label)
        holding = everyone if trial is None else int(self._right(CLEAN).sum())
        for other in self._trials if trial is None else self._trials[self._trials.index(trial) :]:
            steps = other.steps
            if other is trial:
                steps = steps[steps.index(step) + 1 :]
                count = images
            else:
                count = everyone if other.everyone else holding
            ahead += sum(count * later.passes for later in steps)
        self._meter.total = self._meter.done + ahead

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
        outcomes = Outcomes(
            self._positions,
            self._label,
            table.predictions,
            table.broken_by,
            table.lengths,
            table.batches,
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


def _cut(attacked: np.ndarray, batch_size: int) -> Partition:
    """Cut positions into batches; a smaller last one is kept."""
    return [attacked[i : i + batch_size].tolist() for i in range(0, len(attacked), batch_size)]


def _halved(batches: Partition) -> Partition:
    """Halve every batch that has more than one image."""
    halves = []
    for members in batches:
        middle = (len(members) + 1) // 2
        halves += [half for half in (members[:middle], members[middle:]) if half]
    return halves


def _identity(plan: EvaluationPlan, identity: str) -> dict[str, Any]:
    settings = {name: value for name, value in vars(plan).items() if name != "keep_megabytes"}
    return {**settings, "identity": identity, "arithmetic": ARITHMETIC}
