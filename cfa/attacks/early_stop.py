"""Attacks around PGD's step in which some samples stop before the others."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from cfa.attacks.geometry import per_sample
from cfa.attacks.losses import LOSSES, Model, SampleLoss
from cfa.attacks.pgd import PGD


@dataclass(frozen=True, kw_only=True)
class _Stopping(PGD):
    """Run the steps, leaving finished samples where they are.

    In eval mode samples do not influence each other, so finished ones leave the batch; in train mode they
    stay in it, since leaving would change BatchNorm's statistics, and their step is masked.
    """

    def _patience(self) -> int:
        """Return how many steps a sample still takes once it is misclassified."""
        raise NotImplementedError

    def _goes_on(self, wrong: Tensor, patience: Tensor) -> Tensor:
        """Tell who takes the step that was just computed, shape (batch,), boolean."""
        raise NotImplementedError

    def _leaves(self, x: Tensor) -> bool:
        """Tell whether finished samples leave the batch."""
        raise NotImplementedError

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
        now, x_adv = x_adv, x_adv.clone()
        patience = torch.full((len(x),), self._patience(), device=x.device)
        rows = torch.arange(len(x), device=x.device)  # whose samples x, y, eps, now and patience hold
        eps = eps.expand(len(x))
        leaves = self._leaves(x)
        for _ in range(self.steps):
            moved, logits = self.step(model, loss, x, now, eps, unit)
            wrong = logits.argmax(dim=1) != y
            goes_on = self._goes_on(wrong, patience)
            patience = patience - (wrong & goes_on).to(patience.dtype)
            if not leaves:
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
        x_adv[rows] = now
        return x_adv


@dataclass(frozen=True, kw_only=True)
class FirstBreak(_Stopping):
    """PGD that keeps a sample's first misclassified iterate (`pgd-n-best`): never weaker, and faster."""

    survivors_only = True  # what is wrong already need not be attacked

    def described(self) -> dict[str, Any]:
        """Return the settings under the names that results carry."""
        return {**super().described(), "stop_when_broken": True}

    def _patience(self) -> int:
        return 0

    def _goes_on(self, wrong: Tensor, patience: Tensor) -> Tensor:
        return ~wrong

    def _leaves(self, x: Tensor) -> bool:
        return self.bn_mode == "eval"


@dataclass(frozen=True, kw_only=True)
class FriendlyPGD(_Stopping):
    """FAT's training attack (Zhang et al. 2020, as in PKU-ML/CFA).

    Attributes:
        tau: How many more steps a sample takes once it is misclassified; with 0 it stays at its start.
    """

    tau: int

    def _patience(self) -> int:
        return self.tau

    def _goes_on(self, wrong: Tensor, patience: Tensor) -> Tensor:
        return patience > 0

    def _leaves(self, x: Tensor) -> bool:
        # On an accelerator to shrink a batch is to wait for the device every step.
        return self.bn_mode == "eval" and x.device.type == "cpu"


@dataclass(frozen=True, kw_only=True)
class OfficialFriendlyPGD(PGD):
    """FAT's loop as PKU-ML/CFA has it, for comparisons with it.

    It ends once no sample goes on, and else looks at the examples after the last step as well; both move
    BatchNorm statistics.

    Attributes:
        tau: As in :class:`FriendlyPGD`.
    """

    tau: int

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
        patience = torch.full((len(x),), self.tau, device=x.device)
        for _ in range(self.steps):
            moved, logits = self.step(model, loss, x, x_adv, eps, unit)
            goes_on = patience > 0
            patience = patience - ((logits.argmax(dim=1) != y) & goes_on).to(patience.dtype)
            if not goes_on.any():
                return x_adv
            x_adv = torch.where(per_sample(goes_on, moved) > 0, moved, x_adv)
        with torch.no_grad():
            model(x_adv)
        return x_adv
