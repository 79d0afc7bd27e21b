"""Projected gradient descent, the one attack loop: training attacks and `pgd-n` are settings of it.

``eps`` is one value per sample (a number is the constant case), which is all that class-wise margins need.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from cfa.attacks.geometry import NORMS, per_sample
from cfa.attacks.losses import LOSSES, Model, SampleLoss
from cfa.attacks.modes import model_mode
from cfa.attacks.starts import Source, normal
from cfa.config import BatchNormMode, Norm, StepSize

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
        tau: FAT's early stop (Zhang et al. 2020, as in PKU-ML/CFA): a sample takes ``tau`` more steps once
            it is misclassified, and then no more. ``None`` never stops.
        stop_when_broken: Keep a sample's first misclassified iterate (`pgd-n-best`).
        official_loop: FAT's loop as PKU-ML/CFA has it: it ends once no sample goes on, and else looks at the
            examples after the last step as well; both move BatchNorm statistics. For comparisons with it.
        shared_step: A relative step is relative to the largest ``eps`` of the batch (FRL), one for all.
    """

    norm: Norm = "linf"
    steps: int = 10
    step_size: StepSize = PAPER_STEP
    loss: str = "cross-entropy"
    start: Start = "uniform"
    bn_mode: BatchNormMode = "eval"
    tau: int | None = None
    stop_when_broken: bool = False
    official_loop: bool = False
    shared_step: bool = False

    starts_per_image = True
    follows_gradients = True

    @property
    def survivors_only(self) -> bool:
        """Tell an attack that stops at the first success: what is wrong already need not be attacked."""
        return self.stop_when_broken

    def passes(self, num_classes: int) -> int:
        """Count the forward passes that an image takes at most, the judge's included."""
        return self.steps + 1 + (self.loss == "kl")

    def __call__(
        self,
        model: Model,
        x: Tensor,
        y: Tensor,
        eps: float | Tensor,
        *,
        generator: Source = None,
        largest_eps: Tensor | None = None,
    ) -> Tensor:
        """Return adversarial examples of ``x``.

        Args:
            model: Maps images in [0, 1] to logits.
            x: Clean images, shape (batch, ...), values in [0, 1].
            y: True classes, shape (batch,).
            eps: Radius of the ball, a number or one per sample, shape (batch,).
            generator: Source of the random start, on the device of ``x``.
            largest_eps: With ``shared_step`` the largest ``eps`` of the batch that ``x`` is a part of; by
                default that of ``x``.
        """
        # Once, not every step: to hand a GPU a number is to wait for it.
        eps = torch.as_tensor(eps, dtype=x.dtype, device=x.device)
        largest = eps.max() if largest_eps is None else largest_eps
        with model_mode(model, training=self.bn_mode == "train"):
            loss = LOSSES[self.loss](model, x, y)
            x_adv = self._start(x, per_sample(eps, x), generator)
            if self.tau is None and not self.stop_when_broken:
                for _ in range(self.steps):
                    x_adv, _ = self._step(model, loss, x, x_adv, eps, largest)
                return x_adv
            return self._early_stopped(model, loss, x, y, x_adv, eps, largest)

    def _start(self, x: Tensor, eps: Tensor, source: Source) -> Tensor:
        if self.start == "none":
            return x.clone()
        if self.start == "normal":
            return x + NORMAL_START * normal(x, source)
        return (x + NORMS[self.norm].random_start(x, eps, source)).clamp(0, 1)

    def _step(
        self, model: Model, loss: SampleLoss, x: Tensor, x_adv: Tensor, eps: Tensor, largest: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Step, project, clip; also return the logits that the gradient came from."""
        geometry = NORMS[self.norm]
        radius = per_sample(eps, x)
        unit = (largest if self.shared_step else radius) if self.step_size.relative else 1
        step = self.step_size.value * unit
        x_adv = x_adv.detach().requires_grad_()
        with torch.enable_grad():
            logits = model(x_adv)
            (gradient,) = torch.autograd.grad(loss(logits).sum(), x_adv)
        with torch.no_grad():  # in place: fresh memory for each term is a twentieth of a small network's step
            moved = geometry.steepest(gradient).mul_(step).add_(x_adv)
            moved = geometry.project(moved.sub_(x), radius).add_(x)
            return moved.clamp_(0, 1), logits.detach()

    def _early_stopped(
        self,
        model: Model,
        loss: SampleLoss,
        x: Tensor,
        y: Tensor,
        start: Tensor,
        eps: Tensor,
        largest: Tensor,
    ) -> Tensor:
        """Run the steps, leaving finished samples where they are.

        In eval mode samples do not influence each other, so finished ones leave the batch; in train mode
        they stay in it, since leaving would change BatchNorm's statistics, and their step is masked. (FAT's
        training attack masks on accelerators too: to shrink a batch is to wait for the device every step.)
        """
        patience = torch.full((len(x),), self.tau or 0, device=x.device)
        rows = torch.arange(len(x), device=x.device)  # whose samples x, y, eps, now and patience hold
        eps = eps.expand(len(x))
        drop = self.bn_mode == "eval" and (self.stop_when_broken or x.device.type == "cpu")
        now, x_adv = start, start.clone()
        for _ in range(self.steps):
            moved, logits = self._step(model, loss, x, now, eps, largest)
            wrong = logits.argmax(dim=1) != y
            goes_on = ~wrong if self.stop_when_broken else patience > 0
            patience = patience - (wrong & goes_on).to(patience.dtype)
            if self.official_loop and not goes_on.any():
                break
            if not drop:
                now = torch.where(per_sample(goes_on, moved) > 0, moved, now)
                continue
            if not goes_on.all():
                x_adv[rows[~goes_on]] = now[~goes_on]
                rows, x, y, eps, moved, patience = (
                    kept[goes_on] for kept in (rows, x, y, eps, moved, patience)
                )
                if len(rows) == 0:
                    return x_adv
                loss = LOSSES[self.loss](model, x, y)
            now = moved
        else:
            if self.official_loop:
                with torch.no_grad():
                    model(now)
        x_adv[rows] = now
        return x_adv
