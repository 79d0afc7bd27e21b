"""Training: step, epoch, fit; exact checkpoints; what it will cost."""

from cfa.training.estimate import Estimate, estimate_seconds
from cfa.training.fit import fit, split_images

__all__ = ["Estimate", "estimate_seconds", "fit", "split_images"]
