"""Arithmetic over counts: intervals, comparisons, fairness metrics. A leaf: it imports no other room."""

from cfa.statistics.class_changes import (
    SHARED_SEEDS,
    ClassChanges,
    SeedFigures,
    changes_in_pairs,
    changes_of_counts,
    same_direction,
)
from cfa.statistics.differences import (
    CONFIDENCE,
    Interval,
    holm,
    mean_difference,
    worst_difference,
)
from cfa.statistics.fairness import (
    boundary_error,
    frl_gap,
    gini,
    group_means,
    nrr,
    nsd,
    rho,
    rho_of,
    spread,
    standard_deviation,
    worst_class,
    worst_share,
)
from cfa.statistics.groups import GROUPS, Group, class_groups
from cfa.statistics.intervals import (
    SeedsInterval,
    class_mean,
    class_mean_interval,
    over_seeds,
    wilson,
    worst_class_interval,
)
from cfa.statistics.paired import (
    PairedCounts,
    mcnemar,
    paired_class_differences,
    paired_mean_difference,
    paired_worst_difference,
)
from cfa.statistics.planning import detectable_difference, images_needed, paired_images_needed, seeds_needed
from cfa.statistics.stopping import Known, Targets
from cfa.statistics.without_replacement import class_ends, mean_ends

__all__ = [
    "CONFIDENCE",
    "GROUPS",
    "SHARED_SEEDS",
    "ClassChanges",
    "Group",
    "Interval",
    "Known",
    "PairedCounts",
    "SeedFigures",
    "SeedsInterval",
    "Targets",
    "boundary_error",
    "changes_in_pairs",
    "changes_of_counts",
    "class_ends",
    "class_groups",
    "class_mean",
    "class_mean_interval",
    "detectable_difference",
    "frl_gap",
    "gini",
    "group_means",
    "holm",
    "images_needed",
    "mcnemar",
    "mean_difference",
    "mean_ends",
    "nrr",
    "nsd",
    "over_seeds",
    "paired_class_differences",
    "paired_images_needed",
    "paired_mean_difference",
    "paired_worst_difference",
    "rho",
    "rho_of",
    "same_direction",
    "seeds_needed",
    "spread",
    "standard_deviation",
    "wilson",
    "worst_class",
    "worst_class_interval",
    "worst_difference",
    "worst_share",
]
