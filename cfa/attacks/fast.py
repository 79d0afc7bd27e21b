"""AutoAttack's members without the work that cannot change whether an image is broken.

Left out are iterations on images that are broken inside the ball already, FAB's second forward pass where an
image did not move since the last one, its sorting of every pixel row, and what Square computes and does not
use. Every rule by which an image is moved is the package's; since batches shrink and sums are taken in
another order, results differ by rounding, and with it a few outcomes.
"""

import math
from dataclasses import dataclass
from typing import Any

import torch
from pyautoattack.autopgd_base import APGDAttack, APGDAttack_targeted
from pyautoattack.fab_projections import projection_l1
from pyautoattack.square import SquareAttack
from torch import Tensor

from cfa.attacks.geometry import per_sample
from cfa.attacks.losses import Model
from cfa.notation import Norm

NEWTON_STEPS = 30  # it takes three to six


class _AllBroken(Exception):
    """Nothing is left to attack."""


class _Watched:
    """A model that leaves broken images out: for them it answers with fixed logits that are right.

    So the package keeps them as they are; the image that broke is remembered here.
    """

    def __init__(self, model: Model, x: Tensor, y: Tensor) -> None:
        self.model, self.y = model, y
        self.found = x.clone()
        self.holds = torch.ones(len(y), dtype=torch.bool, device=y.device)
        self._right: Tensor | None = None

    def __call__(self, x: Tensor) -> Tensor:
        rows = self.holds.nonzero().squeeze(1)
        if len(rows) == 0:
            raise _AllBroken
        everyone = len(rows) == len(x)
        real = self.model(x if everyone else x[rows])
        broken = rows[real.detach().argmax(dim=1) != self.y[rows]]
        self.found[broken] = x.detach()[broken]
        self.holds[broken] = False
        if everyone:
            return real
        if self._right is None:
            self._right = torch.zeros(len(x), real.shape[1], dtype=real.dtype, device=real.device)
            self._right.scatter_(1, self.y[:, None], 1)
        return self._right.index_put((rows,), real)


class _Shrinking:
    """Mixed into the package's APGD: one restart that ends for each image when it is broken."""

    def attack_single_run(self, x: Tensor, y: Tensor, x_init: Tensor | None = None) -> Any:
        attack: Any = self
        if attack.eot_iter > 1 or attack.eps != attack.eps_orig:  # L1 begins outside of the ball
            return super().attack_single_run(x, y, x_init=x_init)  # type: ignore[misc]
        model, attack.model = attack.model, _Watched(attack.model, x, y)
        try:
            best, _, loss, _ = super().attack_single_run(x, y, x_init=x_init)  # type: ignore[misc]
        except _AllBroken:
            best, loss = attack.model.found, torch.zeros(len(x), device=x.device)
        finally:
            watched, attack.model = attack.model, model
        return best, watched.holds, loss, watched.found


class ShrinkingAPGD(_Shrinking, APGDAttack):  # type: ignore[misc]
    """APGD-CE and APGD-DLR."""


class ShrinkingAPGDTargeted(_Shrinking, APGDAttack_targeted):  # type: ignore[misc]
    """APGD-T."""


class LeanSquare(SquareAttack):  # type: ignore[misc]
    """Square without the cross-entropy, which it computes at every query and does not use.

    For linf the images that still hold stay in tensors of their own, rather than being copied out of the
    batch and back at every query. The squares are drawn as the package draws them.
    """

    def margin_and_loss(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Return the margin, as both of what the package asks for."""
        logits = self.predict(x)
        right = logits.gather(1, y[:, None]).squeeze(1)
        margin = right - logits.scatter(1, y[:, None], -torch.inf).amax(dim=1)
        return margin, margin

    def attack_single_run(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Return the queries made (here always nought, nobody reads them) and the best images."""
        if self.norm != "linf" and self.norm != "Linf":
            found: tuple[Tensor, Tensor] = super().attack_single_run(x, y)
            return found
        channels, height, width = x.shape[1:]
        lower, upper = (x - self.eps).clamp_min(0), (x + self.eps).clamp_max(1)
        best = (x + self.eps * self.random_choice([len(x), channels, 1, width])).clamp(0, 1)
        margin, _ = self.margin_and_loss(best, y)
        result, rows = best.clone(), torch.arange(len(x), device=x.device)
        for query in range(self.n_queries):
            holds = margin > 0
            if not bool(holds.all()):
                result[rows] = best
                rows, lower, upper = rows[holds], lower[holds], upper[holds]
                best, margin, y = best[holds], margin[holds], y[holds]
                if len(rows) == 0:
                    break
            side = math.sqrt(self.p_selection(query) * height * width)
            side = min(max(round(side), 1), height, width)
            top, left = self.random_int(0, height - side), self.random_int(0, width - side)
            square = 2.0 * self.eps * self.random_choice([channels, 1, 1])
            here = (..., slice(int(top), int(top) + side), slice(int(left), int(left) + side))
            moved = best.clone()
            moved[here] = torch.minimum(torch.maximum(best[here] + square, lower[here]), upper[here])
            new, _ = self.margin_and_loss(moved, y)
            improved = (new < margin) | (new <= 0)
            margin = torch.where(improved, new, margin)
            best = torch.where(per_sample(improved, best) > 0, moved, best)
        result[rows] = best
        return torch.zeros(len(x)), result


@dataclass(frozen=True)
class LeanFAB:
    """FAB (Croce and Hein 2020) that lets an image go once it is broken inside the ball.

    Attributes:
        predict: The model.
        norm: Threat model.
        eps: Budget.
        seed: Of random starts.
        iterations: Steps of a restart.
        restarts: Starts, per target where there are targets.
        targets: Runners-up that are tried; 0 for the untargeted form.
        alpha_max: Largest pull towards the clean image.
        eta: Step beyond the boundary.
        beta: Step back towards the clean image from an adversarial one.
    """

    predict: Model
    norm: Norm
    eps: float
    seed: int
    iterations: int
    restarts: int
    targets: int
    alpha_max: float = 0.1
    eta: float = 1.05
    beta: float = 0.9

    def perturb(self, x: Tensor, y: Tensor) -> Tensor:
        """Return an adversarial image inside the ball, or the image itself."""
        torch.random.manual_seed(self.seed)
        adv, logits = x.clone(), self.predict(x)
        holds = (logits.argmax(dim=1) == y).nonzero().squeeze(1)
        ranked = logits.argsort(dim=1)
        for target in range(2, self.targets + 2) if self.targets else (None,):
            for restart in range(self.restarts):
                if len(holds) == 0:
                    return adv
                towards = None if target is None else ranked[holds, -target]
                found, broken = self._run(x[holds], y[holds], towards, restart > 0)
                adv[holds[broken]] = found[broken]
                holds = holds[~broken]
        return adv

    def _run(self, x: Tensor, y: Tensor, towards: Tensor | None, random_start: bool) -> tuple[Tensor, Tensor]:
        """Run one restart; return the images found, and for which of them one was."""
        adv, broken = x.clone(), torch.zeros(len(x), dtype=torch.bool, device=x.device)
        rows = torch.arange(len(x), device=x.device)  # of the images that still move
        at = self._start(x) if random_start else x.clone()
        seen: _Seen | None = None
        for _ in range(self.iterations):
            clean, label = x[rows], y[rows]
            seen = _Seen.of(self.predict, at) if seen is None else seen.renewed(self.predict, at)
            margin, gradient = seen.nearest(label, None if towards is None else towards[rows], self.norm)
            at = self._step(clean, at, margin, gradient)
            seen = _Seen.of(self.predict, at)
            wrong = seen.logits.detach().argmax(dim=1) != label
            inside = wrong & (_length(at - clean, self.norm) <= self.eps)
            adv[rows[inside]], broken[rows[inside]] = at[inside], True
            at = torch.where(per_sample(wrong, at) > 0, clean + (at - clean) * self.beta, at)
            if bool(inside.any()):
                rows, at, seen = rows[~inside], at[~inside], None
                if len(rows) == 0:
                    break
        return adv, broken

    def _start(self, x: Tensor) -> Tensor:
        """Start within half the ball, as the package does for all restarts but the first."""
        noise = 2 * torch.rand(x.shape).to(x) - 1 if self.norm == "linf" else torch.randn(x.shape).to(x)
        return (x + self.eps / 2 * noise / per_sample(_length(noise, self.norm), x)).clamp(0, 1)

    def _step(self, clean: Tensor, at: Tensor, margin: Tensor, gradient: Tensor) -> Tensor:
        """Move to the linearised boundary, pulled towards the clean image's own projection on it."""
        number, w = len(at), gradient.flatten(1)
        b = (w * at.flatten(1)).sum(dim=1) - margin
        points = torch.cat((at.flatten(1), clean.flatten(1)))
        moves = _project(points, torch.cat((w, w)), torch.cat((b, b)), self.norm)
        lengths = _length(moves, self.norm).clamp_min(1e-8)
        share = lengths[:number] / (lengths[:number] + lengths[number:])
        alpha = per_sample(share.clamp(0, self.alpha_max), at)
        forward = at + self.eta * moves[:number].reshape(at.shape)
        anchored = clean + self.eta * moves[number:].reshape(at.shape)
        return (forward * (1 - alpha) + anchored * alpha).clamp(0, 1)


@dataclass(frozen=True)
class _Seen:
    """A forward pass whose graph is kept, so that its gradient can be taken when it is known of what."""

    images: Tensor
    logits: Tensor

    @classmethod
    def of(cls, predict: Model, at: Tensor) -> "_Seen":
        with torch.enable_grad():
            images = at.detach().clone().requires_grad_()
            return cls(images, predict(images))

    def renewed(self, predict: Model, at: Tensor) -> "_Seen":
        """Return the pass at other points: for those that did not move, this one."""
        moved = (at != self.images.detach()).flatten(1).any(dim=1)
        if not bool(moved.any()):
            return self
        if 2 * int(moved.sum()) > len(moved):  # two passes, one of them over everything, would cost more
            return _Seen.of(predict, at)
        return _Pair(self.images, self.logits, moved, _Seen.of(predict, at[moved]))

    def gradient(self, output: Tensor) -> Tensor:
        found: Tensor = torch.autograd.grad(output.sum(), self.images, retain_graph=True)[0]
        return found

    def nearest(self, y: Tensor, towards: Tensor | None, norm: Norm) -> tuple[Tensor, Tensor]:
        """Return z_other - z_y and its gradient, for the target or the class whose boundary is nearest."""
        with torch.enable_grad():
            right = self.logits.gather(1, y[:, None])
            if towards is not None:
                margin = (self.logits.gather(1, towards[:, None]) - right).squeeze(1)
                return margin.detach(), self.gradient(margin)
            margins = self.logits - right
            gradients = torch.stack([self.gradient(margins[:, k]) for k in range(margins.shape[1])], dim=1)
        dual = {"linf": 1.0, "l2": 2.0, "l1": torch.inf}[norm]
        distance = margins.detach().abs() / (1e-12 + torch.linalg.vector_norm(gradients.flatten(2), dual, 2))
        nearest = distance.scatter(1, y[:, None], torch.inf).argmin(dim=1)
        rows = torch.arange(len(y), device=y.device)
        return margins.detach()[rows, nearest], gradients[rows, nearest]


@dataclass(frozen=True)
class _Pair(_Seen):
    """The pass of before for images that did not move, another one for those that did."""

    moved: Tensor
    again: _Seen

    def nearest(self, y: Tensor, towards: Tensor | None, norm: Norm) -> tuple[Tensor, Tensor]:
        there = self.moved
        margin, gradient = _Seen(self.images, self.logits).nearest(y, towards, norm)
        new = self.again.nearest(y[there], None if towards is None else towards[there], norm)
        margin, gradient = margin.clone(), gradient.clone()
        margin[there], gradient[there] = new
        return margin, gradient


def _project(points: Tensor, w: Tensor, b: Tensor, norm: Norm) -> Tensor:
    """Return the shortest move onto the hyperplane w x = b that stays in [0, 1]; rows are points.

    The package sorts every row to find where pixels hit their bounds. The equation to solve, sum |w_i|
    min(step * s_i, room_i) = distance, is concave in ``step``, so that Newton's method climbs to its solution
    from 0 and meets it after a few steps.
    """
    if norm == "l1":  # goes pixel by pixel in the order of |w|: a sort it is
        moves: Tensor = projection_l1(points, w.clone(), b.clone())
        return moves
    distance = (w * points).sum(dim=1) - b
    downhill = -torch.where(distance >= 0, 1.0, -1.0)[:, None] * w
    room = torch.where(downhill > 0, 1 - points, points)
    weight = w.abs()
    speed = (weight > 0).to(w.dtype) if norm == "linf" else weight
    goal, step = distance.abs(), torch.zeros_like(distance)
    for _ in range(NEWTON_STEPS):
        free = speed * step[:, None] < room
        covered = (weight * room * ~free).sum(dim=1)
        slope = (weight * speed * free).sum(dim=1)
        new = ((goal - covered).clamp_min(0) / slope.clamp_min(1e-30)).clamp(max=1e12)
        new = torch.maximum(new, step)
        if torch.equal(new, step):
            break
        step = new
    return downhill.sign() * torch.minimum(speed * step[:, None], room)


def _length(change: Tensor, norm: Norm) -> Tensor:
    order = {"linf": torch.inf, "l2": 2.0, "l1": 1.0}[norm]
    found: Tensor = torch.linalg.vector_norm(change.flatten(1), order, dim=1)
    return found
