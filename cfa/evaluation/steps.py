"""Single steps of an evaluation: one attack on some images, batch by batch, remembered after every batch."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch

from cfa.attacks import Member
from cfa.errors import CfaError
from cfa.evaluation import findings as said
from cfa.evaluation.keeper import Keeper
from cfa.evaluation.meter import Meter
from cfa.evaluation.one_batch import Batches
from cfa.evaluation.outcomes import NOT_RUN, AdversarialImages
from cfa.evaluation.plan import EvaluationPlan
from cfa.evaluation.scratch import Part, Partition, Scratch
from cfa.evaluation.trials import Trial, TrialStep

Expect = Callable[[TrialStep, Trial | None, int, int], None]
"""Told before each batch: the step, its trial, how many images of it are left, and how many it has."""


@dataclass
class Table:
    """The outcomes as they grow, a row for each image; -1 where nothing was run on it."""

    images: int
    predictions: dict[str, np.ndarray] = field(default_factory=dict)
    broken_by: dict[str, np.ndarray] = field(default_factory=dict)
    lengths: dict[str, np.ndarray] = field(default_factory=dict)
    batches: dict[str, np.ndarray] = field(default_factory=dict)
    kept: list[AdversarialImages] = field(default_factory=list)
    findings: list[str] = field(default_factory=list)

    def classes(self, column: str) -> np.ndarray:
        """Return the predicted classes of a column, which is begun where there is none."""
        return self.predictions.setdefault(column, np.full(self.images, NOT_RUN))


class Steps:
    """Carries out steps of trials and writes their columns."""

    def __init__(
        self,
        table: Table,
        label: np.ndarray,
        positions: np.ndarray,
        plan: EvaluationPlan,
        num_classes: int,
        meter: Meter,
        batches: Batches,
        scratch: Scratch,
        expect: Expect,
    ) -> None:
        """Take what is computed with, and where it is written.

        Args:
            table: Where outcomes are written.
            label: True classes of the images.
            positions: Where the images are in the test part.
            plan: What is done.
            num_classes: Number of classes.
            meter: Counts forward passes.
            batches: Computes a batch.
            scratch: Remembers finished ones.
            expect: Told before each batch.
        """
        self._table, self._label, self._positions = table, label, positions
        self._plan, self._classes = plan, num_classes
        self._meter, self._batches, self._scratch, self._expect = meter, batches, scratch, expect
        self._number = 0  # of all steps, counted through
        self._made: Counter[str] = Counter()  # batches of each column
        self._not_allowed: Counter[str] = Counter()
        self._zero_gradients: Counter[str] = Counter()
        self._halved: set[str] = set()

    def carry_out(self, step: TrialStep, trial: Trial | None, attacked: np.ndarray) -> None:
        """Run one step on some images, batch by batch, and write its column."""
        number, name = self._number, step.column.name
        self._number += 1
        cut = _cut(attacked, self._plan.batch_size)
        batches = self._remembered(number, attacked, cut)
        keeper = Keeper(self._classes, self._plan.keep_megabytes)
        self._table.classes(name)
        self._table.batches.setdefault(name, np.full(len(self._label), NOT_RUN))
        if step.norms is not None:
            self._table.lengths.setdefault(step.norms.name, np.zeros(len(self._label)))
        done, before = 0, self._made[name]
        while done < len(batches):
            self._expect(step, trial, sum(map(len, batches[done:])), sum(map(len, batches)))
            part = self._part(step, trial, number, done, before + done, batches[done], keeper)
            if part is None:
                batches[done:] = _halved(batches[done:])
                self._scratch.keep_partition(number, batches)
                continue
            self._write_down(step, trial, np.array(batches[done], np.int64), before + done, part)
            self._not_allowed[name] += part.not_allowed
            self._zero_gradients[name] += part.zero_gradients
            done += 1
        self._made[name] += len(batches)
        if batches != cut:
            self._halved.add(name)

    def _remembered(self, number: int, attacked: np.ndarray, cut: Partition) -> Partition:
        """Return the batches of a step: those of before it was stopped, else those of now, remembered."""
        batches = self._scratch.partition(number)
        if batches is None:
            self._scratch.keep_partition(number, cut)
            return list(cut)
        if [i for members in batches for i in members] != attacked.tolist():
            raise CfaError(
                "the batches stored of this evaluation are of other images; start a new evaluation"
            )
        return batches

    def _part(
        self,
        step: TrialStep,
        trial: Trial | None,
        number: int,
        place: int,
        batch: int,
        members: list[int],
        keeper: Keeper,
    ) -> Part | None:
        """Remember or compute one batch; ``None`` where it did not fit into the device's memory.

        Args:
            step: What is done.
            trial: What it belongs to.
            number: The step's number.
            place: The batch's place in the step, by which it is remembered.
            batch: Its number among all of the column.
            members: Its images.
            keeper: Chooses among adversarial images.
        """
        indices = torch.tensor(members)
        label = self._label[indices.numpy()]
        part = self._scratch.part(number, place)
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
        self._scratch.keep_part(number, place, part)
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

    def remark(self, step: TrialStep, trial: Trial | None) -> None:
        """Say what is remarkable about a step, once all images are attacked."""
        name = step.column.name
        if self._not_allowed[name]:
            self._table.findings.append(said.not_allowed_finding(name, self._not_allowed[name]))
        if self._zero_gradients[name]:
            self._table.findings.append(said.zero_gradient_finding(name, self._zero_gradients[name]))
        if name in self._halved:
            reference = trial is not None and isinstance(step.attack, Member)
            self._table.findings.append(
                f"{name}: batches were halved, since the device was out of memory"
                + ("; this is no longer the reference mode" if reference else "")
            )


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
