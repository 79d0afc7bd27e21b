"""Two measurements image by image: who is right about each image that both have."""

from dataclasses import dataclass

import numpy as np

from cfa.errors import StoreError
from cfa.runs.choice import Measured
from cfa.runs.contradictions import counts_of
from cfa.runs.evaluations import columns_of, read_outcomes
from cfa.statistics import PairedCounts


@dataclass(frozen=True, eq=False)
class _Outcomes:
    """Position in the test part and label of every image, and whether it was right; by ascending position."""

    image: np.ndarray
    label: np.ndarray
    right: np.ndarray

    @classmethod
    def of(cls, one: Measured) -> "_Outcomes | None":
        """Read them; ``None`` where they were not kept, are damaged, or are not what was counted."""
        try:
            column = columns_of(one.run, one.evaluation).of_scores(one.scores)
            if column is None:
                return None
            table = read_outcomes(one.run, one.evaluation.id, ("image", "label", column.name))
        except StoreError:
            return None
        if not {"image", "label", column.name} <= table.keys():
            return None
        predicted = table[column.name]
        order = np.argsort(table["image"], kind="stable")
        image, label = table["image"][order], table["label"][order]
        found = cls(image, label, predicted[order] == label)
        return found if found.adds_up_to(one) else None

    def adds_up_to(self, one: Measured) -> bool:
        """Tell whether the counts are those of these images: in a folder of others they may be anything."""
        classes = len(one.scores.total)
        if len(self.label) and not 0 <= int(self.label.min()) <= int(self.label.max()) < classes:
            return False
        return counts_of(self.label, self.right, classes) == (one.scores.correct, one.scores.total)


def paired_counts(baseline: Measured, run: Measured) -> PairedCounts | None:
    """Count who is right about each image that both were measured on, class by class.

    Returns:
        ``None`` where that is not known: other data, outcomes that were not kept, or a class without an image
        in common.
    """
    if not _same_images(baseline, run):
        return None
    one, other = _Outcomes.of(baseline), _Outcomes.of(run)
    if one is None or other is None:
        return None
    _, mine, theirs = np.intersect1d(one.image, other.image, return_indices=True)
    labels = one.label[mine]
    if not np.array_equal(labels, other.label[theirs]):
        return None  # other images under the same numbers
    counts = PairedCounts.of(labels, one.right[mine], other.right[theirs], len(run.scores.total))
    return counts if bool((counts.total > 0).all()) else None


def _same_images(one: Measured, other: Measured) -> bool:
    """Tell whether both are about one test part; older evaluations know their run's data set only."""
    tested = [measured.evaluation.test_fingerprint for measured in (one, other)]
    if all(tested):
        return tested[0] == tested[1]
    trained = [m.run.manifest.data_fingerprint if m.run.manifest else "" for m in (one, other)]
    return trained[0] == trained[1]


def one_network(baseline: Measured, run: Measured) -> int | None:
    """Return the epoch of the weights where two evaluations are of the same ones, under whatever names."""
    new, old = run.evaluation, baseline.evaluation
    return new.epoch if new.weights_hash and new.weights_hash == old.weights_hash else None
