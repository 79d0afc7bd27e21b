"""Arithmetic over counts: intervals and metrics. A leaf: it imports no other room."""

from cfa.statistics.groups import GROUPS, Group, class_groups
from cfa.statistics.intervals import class_mean, class_mean_interval, wilson, worst_class_interval

__all__ = [
    "GROUPS",
    "Group",
    "class_groups",
    "class_mean",
    "class_mean_interval",
    "wilson",
    "worst_class_interval",
]
