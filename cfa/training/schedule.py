"""The learning rate of an epoch."""

from cfa.config import OptimizerSettings


def learning_rate(settings: OptimizerSettings, epoch: int, epochs: int) -> float:
    """Return the learning rate of ``epoch`` (from 1): multiplied by gamma after each milestone.

    Milestones are fractions of all epochs, as in the official code: 0.5 drops after half of them.
    """
    passed = sum((epoch - 1) / epochs >= milestone for milestone in settings.milestones)
    return settings.lr * settings.gamma**passed
