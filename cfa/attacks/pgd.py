"""Projected gradient descent, the one attack step: training attacks and `pgd-n` are settings of it.

``eps`` is one value per sample (a number is the constant case), which is all that class-wise margins need.
Attacks that leave some samples earlier than others are built around the same step (`cfa.attacks.early_stop`).
"""

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from cfa.attacks.geometry import NORMS, per_sample
from cfa.attacks.losses import LOSSES, Model, SampleLoss
from cfa.attacks.modes import model_mode
from cfa.attacks.starts import Source, normal
from cfa.config import BatchNormMode
from cfa.notation import Norm, StepSize
from cfa.registry import unknown

Start = Literal["uniform", "normal", "none"]
NORMAL_START = 0.001  # TRADES: x + 0.001 N(0, 1)
PAPER_STEP = StepSize(value=2 / 255)


@dataclass(frozen=True, kw_only=True)
class PGD:
    """Steepest ascent on ``loss`` inside the eps-ball and [0, 1] (Madry et al. 2018).

    Attributes:
        norm: ``linf`` or ``l2``.
        steps: Gradient steps.
        step_size: Absolute, or relative to each sample's ``eps``.
        loss: ``cross-entropy``, ``kl`` (to the clean prediction) or ``margin``.
        start: Uniform in the ball, x + 0.001 N(0, 1) as TRADES does, or x itself.
        bn_mode: The model's mode during the attack; afterwards every module is as it was.
        start_eps: Radius of the ball that a uniform start is drawn from; by default each sample's ``eps``.
    """

    norm: Norm = "linf"
    steps: int = 10
    step_size: StepSize = PAPER_STEP
    loss: str = "cross-entropy"
    start: Start = "uniform"
    bn_mode: BatchNormMode = "eval"
    start_eps: float | None = None

    starts_per_image = True
    follows_gradients = True
    one_gradient_a_pass = True

    def __post_init__(self) -> None:
        """Refuse a loss that is none."""
        if self.loss not in LOSSES:
            raise unknown("loss of an attack", self.loss, list(LOSSES))

    def passes(self, num_classes: int) -> int:
        """Count the forward passes that an image takes at most, the judge's included."""
        return self.steps + 1 + (self.loss == "kl")

    def described(self) -> dict[str, Any]:
        """Return the settings under the names that results carry, so that equal ones stay equal."""
        early = {"tau": None, "stop_when_broken": False, "official_loop": False, "shared_step": False}
        own = {name: value for name, value in vars(self).items() if name != "start_eps"}
        start = {} if self.start_eps is None else {"start_eps": self.start_eps}
        return {"attack": "PGD", **own, **start, **early}

    def __call__(
        self,
        model: Model,
        x: Tensor,
        y: Tensor,
        eps: float | Tensor,
        *,
        generator: Source = None,
        unit: Tensor | None = None,
    ) -> Tensor:
        """Return adversarial examples of ``x``.

        Args:
            model: Maps images in [0, 1] to logits.
            x: Clean images, shape (batch, ...), values in [0, 1].
            y: True classes, shape (batch,).
            eps: Radius of the ball, a number or one per sample, shape (batch,).
            generator: Source of the random start, on the device of ``x``.
            unit: What a relative step is relative to, one number for all; by default each sample's ``eps``.
        """
        # Once, not every step: to hand a GPU a number is to wait for it.
        eps = torch.as_tensor(eps, dtype=x.dtype, device=x.device)
        with model_mode(model, training=self.bn_mode == "train"):
            loss = LOSSES[self.loss](model, x, y)
            start = self.started(x, per_sample(eps, x), generator)
            return self._ascended(model, loss, x, y, start, eps, unit)

    def started(self, x: Tensor, eps: Tensor, source: Source) -> Tensor:
        """Return where the attack starts; ``eps`` is shaped by `per_sample`."""
        if self.start == "none":
            return x.clone()
        if self.start == "normal":
            return x + NORMAL_START * normal(x, source)
        radius = eps if self.start_eps is None else per_sample(self.start_eps, x)
        return (x + NORMS[self.norm].random_start(x, radius, source)).clamp(0, 1)

    def _ascended(
        self,
        model: Model,
        loss: SampleLoss,
        x: Tensor,
        y: Tensor,
        x_adv: Tensor,
        eps: Tensor,
        unit: Tensor | None,
    ) -> Tensor:
        """Take all steps from a start, for every sample alike."""
        for _ in range(self.steps):
            x_adv, _ = self.step(model, loss, x, x_adv, eps, unit)
        return x_adv

    def step(
        self, model: Model, loss: SampleLoss, x: Tensor, x_adv: Tensor, eps: Tensor, unit: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Step, project, clip; also return the logits that the gradient came from.

        Args:
            model: What is attacked.
            loss: What is raised, of the logits of these samples.
            x: The clean images, which the ball is around.
            x_adv: Where the samples are.
            eps: Radius of the ball, shape () or (batch,).
            unit: As in a call of the whole attack.
        """
        radius = per_sample(eps, x)
        whole = radius if unit is None else unit
        length = self.step_size.value * (whole if self.step_size.relative else 1)
        direction, logits = self.direction(model, loss, x_adv)
        return self.moved(x, x_adv, direction.mul_(length), radius), logits

    def direction(self, model: Model, loss: SampleLoss, x_adv: Tensor) -> tuple[Tensor, Tensor]:
        """Return the unit step that raises the loss fastest, and the logits that its gradient came from.

        Args:
            model: What is attacked.
            loss: What is raised, of the logits of these samples.
            x_adv: Where the samples are, shape (batch, ...).
        """
        x_adv = x_adv.detach().requires_grad_()
        with torch.enable_grad():
            logits = model(x_adv)
            (gradient,) = torch.autograd.grad(loss(logits).sum(), x_adv)
        with torch.no_grad():
            return NORMS[self.norm].steepest(gradient), logits.detach()

    def moved(self, x: Tensor, x_adv: Tensor, move: Tensor, radius: Tensor) -> Tensor:
        """Return samples after a move, back in the ball and in [0, 1]; the move's memory is taken for it.

        Args:
            x: The clean images, which the ball is around.
            x_adv: Where the samples are.
            move: By how much each pixel changes, shape of ``x``.
            radius: Of the ball, shaped by `per_sample`.
        """
        with torch.no_grad():  # in place: fresh memory for each term is a twentieth of a small network's step
            moved = move.add_(x_adv)
            moved = NORMS[self.norm].project(moved.sub_(x), radius).add_(x)
            return moved.clamp_(0, 1)
