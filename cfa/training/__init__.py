"""Training: step, epoch, fit; exact checkpoints; what it will cost."""

from cfa.training.estimate import Estimate, estimate_seconds
from cfa.training.fit import fit
from cfa.training.preparing import method_card, split_images

__all__ = ["Estimate", "estimate_seconds", "fit", "method_card", "split_images"]
