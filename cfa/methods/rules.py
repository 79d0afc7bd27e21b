"""Rules: statistics of the classes in, knobs of the classes out.

A rule is a pure function ``(state, ClassStats) -> (state, Knobs)``. It knows no model, no optimiser and no
data set, so it is tested with a table of numbers and drawn in the dashboard for free. All its tensors are on
the CPU, in float64 or whole numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from cfa.methods.knobs import Knobs, constant, same_for_all

if TYPE_CHECKING:
    from torch import Tensor

State = Mapping[str, "Tensor"]

TRAINING = "training"
VALIDATION_CLEAN = "validation-clean"
VALIDATION_ROBUST = "validation-robust"


@dataclass(frozen=True, kw_only=True)
class Tally:
    """Sums over the images of each true class.

    Attributes:
        total: Images, shape (classes,).
        correct: Those that were classified correctly, shape (classes,).
        sums: By name what else was summed, shape (classes,), or (classes, values) where each image gave
            several (a probability for every class, say, or its features): row k sums the images of class k.
    """

    total: Tensor
    correct: Tensor
    sums: Mapping[str, Tensor] = field(default_factory=dict)

    @property
    def accuracy(self) -> Tensor:
        """Share that was right, shape (classes,), in [0, 1]; by true counts, so imbalance does no harm."""
        return self.correct.double() / self.total.double()

    def mean(self, name: str) -> Tensor:
        """Return the mean over the images of each class of what was summed as ``name``."""
        summed = self.sums[name].double()
        return summed / self.total.double().reshape(-1, *[1] * (summed.ndim - 1))


@dataclass(frozen=True, kw_only=True)
class ClassStats:
    """What a rule may look at after an epoch.

    Attributes:
        epoch: The epoch that has just ended, from 1; 0 for the weights that training starts from.
        class_counts: Training images of each class, shape (classes,).
        seen: By name what was seen: ``training`` (the step's own adversarial predictions over the epoch, each
            class at its own eps; the objective's sums), ``validation-clean``, ``validation-robust``, and the
            passes that the method asks for. Before epoch 1 nothing was trained.
    """

    epoch: int
    class_counts: Tensor
    seen: Mapping[str, Tally]


class Rule(Protocol):
    """A rule."""

    def initial(self, classes: int) -> tuple[State, Knobs]:
        """Return the state and the knobs of epoch 1."""
        ...

    def __call__(self, state: State, stats: ClassStats) -> tuple[State, Knobs]:
        """Return the state and the knobs of the next epoch."""
        ...


class Uniform:
    """The rule of methods that treat all classes alike, in all epochs."""

    def __init__(self, **values: float) -> None:
        """Take each knob's value."""
        self._values = values

    def initial(self, classes: int) -> tuple[State, Knobs]:
        """Return no state, and the values."""
        return {}, constant(classes, **self._values)

    def __call__(self, state: State, stats: ClassStats) -> tuple[State, Knobs]:
        """Return the values again."""
        return self.initial(len(stats.class_counts))


@dataclass(frozen=True)
class OverEpochs:
    """A rule, and besides what it sets a knob that changes over epochs and is the same for all classes.

    Attributes:
        rule: Sets the other knobs, and the state is its own.
        name: The knob.
        value: Its value in an epoch, from 1.
    """

    rule: Rule
    name: str
    value: Callable[[int], float]

    def initial(self, classes: int) -> tuple[State, Knobs]:
        """Return the rule's state, and its knobs with this one for epoch 1."""
        state, knobs = self.rule.initial(classes)
        return state, self._with(knobs, 1)

    def __call__(self, state: State, stats: ClassStats) -> tuple[State, Knobs]:
        """Ask the rule, and set the knob for the next epoch."""
        state, knobs = self.rule(state, stats)
        return state, self._with(knobs, stats.epoch + 1)

    def _with(self, knobs: Knobs, epoch: int) -> Knobs:
        own = same_for_all(len(knobs["eps"]), self.value(epoch))
        return knobs.changed(**{self.name: own})
