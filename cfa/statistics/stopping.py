"""When an evaluation is certain enough to stop, and which images it attacks next until then.

Every class has its images in an order that does not look at outcomes. What is known after some of them is a
function of the outcomes so far and of nothing else, so that an evaluation which is stopped and goes on draws
the same images and ends at the same one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from cfa.statistics.without_replacement import Ends, class_ends, mean_ends

Right = Sequence[NDArray[np.bool_]]
"""For each class whether its images drawn so far are right, in the order in which they were drawn."""


@dataclass(frozen=True, kw_only=True)
class Targets:
    """What has to be certain before an evaluation stops.

    Attributes:
        worst: The worst class's accuracy, to this much to both sides; ``None`` where nobody asked.
        mean: The mean over classes, likewise.
        which: Which class is the worst, or that several tie.
        alpha: The chance, at most, that any of what was asked for is ever wrong.
    """

    # It is stored.
    __pydantic_config__: ClassVar = {"extra": "forbid", "strict": True, "allow_inf_nan": False}

    worst: float | None = None
    mean: float | None = None
    which: bool = False
    alpha: float = 0.05

    def __post_init__(self) -> None:
        """Refuse targets that nothing or everything meets."""
        if self.worst is None and self.mean is None and not self.which:
            raise ValueError("nothing is to be certain; name worst, mean or which")
        for half in (self.worst, self.mean):
            if half is not None and not 0 < half < 0.5:
                raise ValueError(f"{half} is no half-width of an interval; take 0.03, for example")
        if not 0 < self.alpha < 1:
            raise ValueError(f"alpha={self.alpha} is no chance of an error; take 0.05, for example")

    def __str__(self) -> str:
        """Write the targets as they are asked for: ``worst=0.03,which``."""
        halves = [(name, value) for name, value in (("worst", self.worst), ("mean", self.mean)) if value]
        which = ["which"] if self.which else []
        return ",".join([*(f"{name}={value:g}" for name, value in halves), *which])

    @property
    def about_classes(self) -> bool:
        """Tell whether a target rests on the intervals of the classes."""
        return self.worst is not None or self.which

    @property
    def share(self) -> float:
        """The part of alpha that each family of intervals has: the classes' is one, the mean is another."""
        return self.alpha / 2 if self.about_classes and self.mean is not None else self.alpha


@dataclass(frozen=True)
class Known:
    """What is known of the accuracies of all classes, from some of their images.

    Attributes:
        right: The outcomes so far.
        sizes: How many images each class has.
        targets: What has to be certain.
    """

    right: Right
    sizes: tuple[int, ...]
    targets: Targets

    @cached_property
    def drawn(self) -> tuple[int, ...]:
        """Count the images drawn of each class."""
        return tuple(len(one) for one in self.right)

    @cached_property
    def correct(self) -> tuple[int, ...]:
        """Count those that are right."""
        return tuple(int(one.sum()) for one in self.right)

    @cached_property
    def classes(self) -> tuple[Ends, ...]:
        """The ends of every class's accuracy; all of them hold at once (Bonferroni)."""
        alpha = self.targets.share / len(self.sizes)
        rows = zip(self.correct, self.drawn, self.sizes, strict=True)
        return tuple(class_ends(correct, drawn, size, alpha) for correct, drawn, size in rows)

    @property
    def worst(self) -> Ends:
        """The ends of the smallest accuracy; they hold whenever those of the classes do."""
        return min(low for low, _ in self.classes), min(high for _, high in self.classes)

    @property
    def candidates(self) -> tuple[int, ...]:
        """The classes that can still be the worst one."""
        return tuple(k for k, (low, _) in enumerate(self.classes) if low <= self.worst[1])

    @property
    def tied(self) -> bool:
        """Tell whether several classes are the worst one, of which all images are drawn."""
        return len(self.candidates) > 1 and not self._open(self.candidates)

    @cached_property
    def mean(self) -> Ends | None:
        """The ends of the mean over classes; ``None`` where nobody asked.

        Classes of one size are drawn in rounds, and the images that a class got beyond them are not looked
        at. Where sizes differ a round is no sample without replacement: there the mean lies between those of
        the lower and of the upper ends of the classes.
        """
        if self.targets.mean is None:
            return None
        if len(set(self.sizes)) > 1:
            low, high = np.mean(self.classes, axis=0).tolist()
            return low, high
        rounds = np.array([one[: self.rounds] for one in self.right], dtype=np.int64).sum(axis=0)
        classes, size = len(self.sizes), self.sizes[0]
        return mean_ends(tuple(rounds.tolist()), classes, size, self.targets.share, self.targets.mean)

    @property
    def rounds(self) -> int:
        """Count the rounds: the images that every class has had."""
        return min(self.drawn)

    @property
    def undecided(self) -> tuple[str, ...]:
        """Name the targets that are not met yet: mean, worst, which."""
        wanted, found = self.targets, []
        if wanted.mean is not None and self.mean is not None and _half(self.mean) > wanted.mean:
            found.append("mean")
        if wanted.worst is not None and _half(self.worst) > wanted.worst:
            found.append("worst")
        if wanted.which and len(self.candidates) > 1 and not self.tied:
            found.append("which")
        return tuple(found)

    def next_draws(self, size: int) -> tuple[int, ...]:
        """Say how many more images of each class are attacked next; all 0 where everything is certain.

        First come ``size`` images of every class, then rounds for the mean; then the worst class's images:
        of the class with the smallest lower end among those that can still be it, or, for which of them it
        is, of the one in front or the one behind it, whose interval is wider.
        """
        if not self.rounds:
            return self._up_to([size] * len(self.sizes))
        undecided = self.undecided
        if "mean" in undecided:
            even = len(set(self.sizes)) == 1
            return self._up_to([self.rounds + size if even else drawn + size for drawn in self.drawn])
        if not undecided:
            return (0,) * len(self.sizes)
        chosen = self._lowest() if "worst" in undecided else self._between_two()
        return self._up_to([drawn + size * (k == chosen) for k, drawn in enumerate(self.drawn)])

    def _up_to(self, wanted: Sequence[int]) -> tuple[int, ...]:
        rows = zip(wanted, self.sizes, self.drawn, strict=True)
        return tuple(max(0, min(number, size) - drawn) for number, size, drawn in rows)

    def _open(self, classes: Sequence[int]) -> list[int]:
        return [k for k in classes if self.drawn[k] < self.sizes[k]]

    def _lowest(self) -> int:
        return min(self._open(self.candidates), key=lambda k: (self.classes[k][0], self.drawn[k], k))

    def _between_two(self) -> int:
        """Choose between the class that is in front and the one that could still be worse than it."""
        first = min(self.candidates, key=lambda k: (self.classes[k][1], self.classes[k][0], k))
        others = [k for k in self.candidates if k != first]
        second = min(others, key=lambda k: (self.classes[k][0], k))
        pair = self._open([first, second]) or self._open(self.candidates)
        return max(pair, key=lambda k: (_half(self.classes[k]), -k))


def _half(ends: Ends) -> float:
    return (ends[1] - ends[0]) / 2
