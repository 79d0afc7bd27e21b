"""Training: step, epoch, fit; exact checkpoints; what it will cost."""

from cfa.training.fit import fit, split_images

__all__ = ["fit", "split_images"]
