"""Objectives: adversarial examples in, a clean and a robust loss per sample out.

The training step joins them as ``clean_weight[y] * clean + robust_weight[y] * robust``; AT and FAT have no
clean term, and then no clean forward pass is made.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

from cfa.attacks import kl_divergence

Model = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Terms:
    """Loss terms per sample, shape (batch,), and the logits that they were computed from."""

    clean: Tensor | None
    robust: Tensor
    logits_adv: Tensor


Objective = Callable[[Model, Tensor, Tensor, Tensor], Terms]  # (model, x, x_adv, y) -> Terms


def adversarial_cross_entropy(model: Model, x: Tensor, x_adv: Tensor, y: Tensor) -> Terms:
    """Cross-entropy on adversarial examples: PGD-AT (Madry et al. 2018) and FAT (Zhang et al. 2020)."""
    logits_adv = model(x_adv)
    return Terms(None, F.cross_entropy(logits_adv, y, reduction="none"), logits_adv)


def trades(model: Model, x: Tensor, x_adv: Tensor, y: Tensor) -> Terms:
    """CE(f(x), y) and KL(f(x) || f(x_adv)) (TRADES, Zhang et al. 2019, eq. 5).

    The target f(x) keeps its gradient, as in the authors' code, and comes from the same forward pass.
    """
    logits = model(x)
    logits_adv = model(x_adv)
    clean = F.cross_entropy(logits, y, reduction="none")
    return Terms(clean, kl_divergence(F.log_softmax(logits, dim=1), logits_adv), logits_adv)
