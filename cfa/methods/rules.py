"""Calibration rules: per-class statistics in, per-class knobs out.

A rule is a pure function ``(state, ClassStats) -> (state, ClassKnobs)``. It knows no model, no optimiser and
no data set, so it is tested with a table of numbers and drawn in the dashboard for free. All tensors have
shape (classes,), dtype float64, and live on the CPU.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

State = Mapping[str, Tensor]


@dataclass(frozen=True, kw_only=True)
class ClassStats:
    """What a rule may look at after an epoch: counts per class.

    ``train_correct`` counts the training step's own adversarial predictions over the epoch, each class at
    its own eps_k; ``train_total`` are the class's true counts.
    """

    epoch: int  # the epoch that has just ended, from 1
    train_correct: Tensor
    train_total: Tensor
    val_clean_correct: Tensor | None = None
    val_robust_correct: Tensor | None = None
    val_total: Tensor | None = None

    @property
    def train_robust_accuracy(self) -> Tensor:
        """t_k, shape (classes,), in [0, 1]: divided by true counts, so that imbalance does no harm."""
        return self.train_correct.double() / self.train_total.double()


@dataclass(frozen=True, kw_only=True)
class ClassKnobs:
    """What training uses for the samples of each class in the coming epoch."""

    eps: Tensor
    clean_weight: Tensor
    robust_weight: Tensor


class Rule(Protocol):
    """A calibration rule."""

    def initial(self, num_classes: int) -> tuple[State, ClassKnobs]:
        """Return the state and the knobs of epoch 1."""
        ...

    def __call__(self, state: State, stats: ClassStats) -> tuple[State, ClassKnobs]:
        """Return the state and the knobs of the next epoch."""
        ...


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """CFA's rule (eq. 6 and 7), and with both lambdas ``None`` the uniform one that all baselines use.

    CCM: eps_k = (lambda_eps + t_k) eps. CCR: beta_k = (lambda_beta + t_k) beta, loss
    [CE + beta_k KL] / (1 + beta_k). Epochs 1 ... ``warmup_epochs`` are uniform. It has no state.

    Attributes:
        eps: The nominal budget.
        beta: TRADES' beta; ``None`` for a loss without a clean term.
        lambda_eps: Turns CCM on.
        lambda_beta: Turns CCR on; needs ``beta``.
        warmup_epochs: Epochs before calibration starts.
        eps_min: Lower bound of eps_k (the paper has none).
        eps_max: Upper bound of eps_k (the paper has none).
    """

    eps: float
    beta: float | None = None
    lambda_eps: float | None = None
    lambda_beta: float | None = None
    warmup_epochs: int = 10
    eps_min: float | None = None
    eps_max: float | None = None

    def initial(self, num_classes: int) -> tuple[State, ClassKnobs]:
        """Return no state and uniform knobs."""
        uniform = torch.ones(num_classes, dtype=torch.float64)
        return {}, self._knobs(uniform * self.eps, uniform * (self.beta or 0))

    def __call__(self, state: State, stats: ClassStats) -> tuple[State, ClassKnobs]:
        """Calibrate once the warm-up is over."""
        if stats.epoch < self.warmup_epochs:
            return self.initial(len(stats.train_total))
        t = stats.train_robust_accuracy
        eps, beta = torch.full_like(t, self.eps), torch.full_like(t, self.beta or 0)
        if self.lambda_eps is not None:
            eps = (self.lambda_eps + t) * self.eps
            eps = eps.clamp(self.eps_min or 0, self.eps_max or torch.inf)
        if self.lambda_beta is not None:
            beta = (self.lambda_beta + t) * (self.beta or 0)
        return state, self._knobs(eps, beta)

    def _knobs(self, eps: Tensor, beta: Tensor) -> ClassKnobs:
        """Turn beta into the weights 1/(1+beta) and beta/(1+beta); without one the loss is all robust."""
        if self.beta is None:
            return ClassKnobs(eps=eps, clean_weight=torch.zeros_like(eps), robust_weight=torch.ones_like(eps))
        return ClassKnobs(eps=eps, clean_weight=1 / (1 + beta), robust_weight=beta / (1 + beta))
