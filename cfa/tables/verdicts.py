"""Which classes gain and which pay: a method against another over seeds, or two networks on the same images.

Words, strips, charts and reports all read this, so that "certain" means one thing wherever it stands.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal

import numpy as np
import pandas as pd

from cfa.runs.choice import Measured
from cfa.runs.pairs import one_network, paired_counts
from cfa.statistics import (
    CONFIDENCE,
    SHARED_SEEDS,
    ClassChanges,
    Interval,
    SeedFigures,
    changes_in_pairs,
    changes_of_counts,
    detectable_difference,
    mean_difference,
    paired_mean_difference,
    paired_worst_difference,
    same_direction,
    seeds_needed,
    worst_difference,
)

Basis = Literal["seeds", "paired seeds", "paired images", "counts"]
Direction = Literal["up", "down", "mixed"]
_DIRECTIONS: dict[int, Direction] = {1: "up", -1: "down", 0: "mixed"}
_MOST_SEEDS = 1000  # more than that nobody trains


@dataclass(frozen=True, kw_only=True)
class Change:
    """A figure of both sides, fractions, and the 95 % interval of its change where there is one."""

    baseline: float
    run: float
    interval: Interval | None

    @property
    def difference(self) -> float:
        """The run's figure minus the baseline's."""
        return self.run - self.baseline


@dataclass(frozen=True, kw_only=True)
class ClassChange(Change):
    """How one class changed.

    Attributes:
        index: Which class.
        name: What it is called.
        interval: At the level at which Holm's procedure decided the class: it leaves out 0 exactly where the
            class is certain. ``None`` where nothing is known of the spread.
        certain: Holm's procedure over the classes rejects that it stayed, at 5 %.
        direction: In which it went in every seed of both; of single runs which way it went.
    """

    index: int
    name: str
    certain: bool
    direction: Direction


@dataclass(frozen=True, kw_only=True)
class PairVerdict:
    """What a comparison carries.

    Attributes:
        basis: What it rests on: independent seeds (Welch), seeds in pairs, images in pairs, or counts.
        seeds: Distinct seeds of run and baseline; (1, 1) of two networks.
        images: Test images of run and baseline, each.
        weights: The kind of weights of run and baseline.
        mean: Of the accuracy over classes.
        worst: Of the worst class, whichever it is on either side.
        worst_classes: Names of the worst classes of run and baseline: one, or one per seed where they differ.
        classes: Of every class.
        by_chance: How many classes would go one way in every seed by chance alone; 0 of single runs.
        detectable: The change of a class that half of such comparisons would have found, of the median class;
            ``None`` of single runs.
        takes_seeds: Seeds of each method with which the largest change seen, if it is one, is found in 8 of
            10 comparisons; ``None`` of single runs, and above 1,000.
        one_network: The epoch in which both single runs kept one and the same weights; ``None`` otherwise.
    """

    basis: Basis
    seeds: tuple[int, int]
    images: tuple[int, int]
    weights: tuple[str, str]
    mean: Change
    worst: Change
    worst_classes: tuple[str, str]
    classes: tuple[ClassChange, ...]
    by_chance: float = 0.0
    detectable: float | None = None
    takes_seeds: int | None = None
    one_network: int | None = None

    @property
    def of_methods(self) -> bool:
        """Whether it is about two methods, and not about two networks."""
        return self.basis in ("seeds", "paired seeds")

    @property
    def certain(self) -> list[ClassChange]:
        """List the classes that changed for certain."""
        return [one for one in self.classes if one.certain]


def verdict_over_seeds(
    run: pd.DataFrame, baseline: pd.DataFrame, weights: tuple[str, str]
) -> PairVerdict | None:
    """Compare two methods over their seeds.

    Args:
        run: Per-class scores, columns `frames.PER_CLASS_COLUMNS`, of one attack, each seed once
            (`cfa.tables.seeds.distinct_seeds`).
        baseline: The same of the method that it is compared with.
        weights: The kinds of weights that are compared, of run and baseline.

    Returns:
        ``None`` where a side has fewer than two seeds, or the sides have other classes or numbers of images.
    """
    sides = [_table(run, weights[0]), _table(baseline, weights[1])]
    if any(len(table.seeds) < 2 for table in sides) or not _alike(*sides):
        return None
    shared = sorted(set(sides[0].seeds) & set(sides[1].seeds))
    new, old = (table.of(shared) for table in sides) if len(shared) >= SHARED_SEEDS else sides
    found = SeedFigures.of(new.accuracy, new.seeds, old.accuracy, old.seeds)
    changes = found.changes()
    whole = SeedFigures.of(new.mean_and_worst, new.seeds, old.mean_and_worst, old.seeds)
    intervals = whole.interval()
    ways, chance = same_direction(new.accuracy, new.seeds, old.accuracy, old.seeds)
    levels = (new.mean_and_worst.mean(axis=0), old.mean_and_worst.mean(axis=0))
    means = (new.accuracy.mean(axis=0), old.accuracy.mean(axis=0))
    return PairVerdict(
        basis="paired seeds" if found.pairs else "seeds",
        seeds=(len(new.seeds), len(old.seeds)),
        images=(new.images, old.images),
        weights=weights,
        mean=_change(levels[0][0], levels[1][0], intervals[0]),
        worst=_change(levels[0][1], levels[1][1], intervals[1]),
        worst_classes=(new.worst_classes, old.worst_classes),
        classes=_class_changes(new.names, means, changes, ways),
        by_chance=chance * len(new.names),
        detectable=_detectable(found),
        takes_seeds=_takes_seeds(found),
    )


def verdict_of_runs(run: Measured, baseline: Measured) -> PairVerdict | None:
    """Compare two networks, on the images that both were measured on where they are known one by one.

    Returns:
        ``None`` where they are about other classes.
    """
    if run.class_names != baseline.class_names:
        return None
    counts = paired_counts(baseline, run)
    if counts is not None:
        new, old = (counts.run, counts.total), (counts.baseline, counts.total)
        changes = changes_in_pairs(counts)
        mean, worst = paired_mean_difference(counts), paired_worst_difference(counts)
    else:
        new, old = (
            (np.array(one.scores.correct, float), np.array(one.scores.total, float))
            for one in (run, baseline)
        )
        changes = changes_of_counts(new, old)
        mean, worst = mean_difference(new, old), worst_difference(new, old)
    ours, theirs = (correct / total for correct, total in (new, old))
    names = run.class_names
    return PairVerdict(
        basis="counts" if counts is None else "paired images",
        seeds=(1, 1),
        images=(int(new[1].sum()), int(old[1].sum())),
        weights=(run.evaluation.weights, baseline.evaluation.weights),
        mean=_change(ours.mean(), theirs.mean(), mean[1]),
        worst=_change(ours.min(), theirs.min(), worst[1]),
        worst_classes=(names[int(ours.argmin())], names[int(theirs.argmin())]),
        classes=_class_changes(
            names, (ours, theirs), changes, np.sign(np.round(ours - theirs, 12)).astype(int)
        ),
        one_network=one_network(baseline, run),
    )


def _change(run: float, baseline: float, interval: Interval | None) -> Change:
    return Change(baseline=float(baseline), run=float(run), interval=interval)


def _class_changes(
    names: Sequence[str], sides: tuple[np.ndarray, np.ndarray], changes: ClassChanges, ways: np.ndarray
) -> tuple[ClassChange, ...]:
    ends = zip(changes.low.tolist(), changes.high.tolist(), strict=True)
    return tuple(
        ClassChange(
            index=k,
            name=name,
            baseline=float(sides[1][k]),
            run=float(sides[0][k]),
            interval=None if np.isnan(low) else (low, high),
            certain=bool(changes.certain[k]),
            direction=_DIRECTIONS[int(ways[k])],
        )
        for k, (name, (low, high)) in enumerate(zip(names, ends, strict=True))
    )


def _detectable(found: SeedFigures) -> float | None:
    """Return the change that half of such comparisons find, of the median class, where Holm is strictest."""
    known = np.flatnonzero(found.known)
    if not len(known):
        return None
    level = (1 - CONFIDENCE) / len(found.difference)
    return median(
        detectable_difference(float(found.error[k]), float(found.freedom[k]), level=level, power=0.5)
        for k in known
    )


def _takes_seeds(found: SeedFigures) -> int | None:
    """Return the seeds that the class with the largest change takes, if its change is what was seen."""
    known = np.where(found.known, np.abs(found.difference), 0.0)
    k = int(known.argmax())
    size, deviation = float(known[k]), float(found.deviation[k])
    # Student's t takes about 2 (4 s / d)² seeds at the levels of Holm's procedure: past this no search.
    if size <= 0 or 2 * (3 * deviation / size) ** 2 > _MOST_SEEDS:
        return None
    seeds = seeds_needed(size, deviation, level=(1 - CONFIDENCE) / len(found.difference))
    return seeds if seeds <= _MOST_SEEDS else None


@dataclass(frozen=True, eq=False)
class _Table:
    """Accuracies of a side: shape (seeds, classes), with seeds and names."""

    seeds: list[int]
    names: list[str]
    accuracy: np.ndarray
    totals: np.ndarray

    def of(self, seeds: Sequence[int]) -> "_Table":
        """Keep some of the seeds."""
        kept = [self.seeds.index(seed) for seed in seeds]
        return _Table(list(seeds), self.names, self.accuracy[kept], self.totals[kept])

    @property
    def mean_and_worst(self) -> np.ndarray:
        """Mean and worst class of each seed, shape (seeds, 2)."""
        return np.stack([self.accuracy.mean(axis=1), self.accuracy.min(axis=1)], axis=1)

    @property
    def images(self) -> int:
        """Images that each seed was measured on."""
        return int(self.totals[0].sum())

    @property
    def worst_classes(self) -> str:
        """Name the worst class, or those of the seeds where they differ."""
        return ", ".join(dict.fromkeys(self.names[k] for k in self.accuracy.argmin(axis=1)))


def _table(scores: pd.DataFrame, weights: str) -> _Table:
    chosen = scores[scores["weights"] == weights].sort_values(["seed", "class_index"])
    seeds = sorted(int(seed) for seed in chosen["seed"].unique())
    rows = [chosen[chosen["seed"] == seed] for seed in seeds]
    return _Table(
        seeds,
        rows[0]["class_name"].tolist() if rows else [],
        np.array([block["accuracy"].to_numpy(float) for block in rows]),
        np.array([block["total"].to_numpy(int) for block in rows]),
    )


def _alike(one: _Table, other: _Table) -> bool:
    """Tell whether all seeds of both were measured on as many images of the same classes."""
    totals = np.concatenate([one.totals, other.totals]) if one.names == other.names else np.zeros((0, 0))
    return bool(len(totals)) and bool((totals == totals[0]).all())
