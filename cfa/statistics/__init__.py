"""Arithmetic over counts: intervals and metrics. A leaf: it imports no other room."""

from cfa.statistics.intervals import class_mean, class_mean_interval, wilson, worst_class_interval

__all__ = ["class_mean", "class_mean_interval", "wilson", "worst_class_interval"]
