"""The smallest perturbation that breaks an image, as FAB finds it."""

from dataclasses import dataclass

import torch
from torch import Tensor

from cfa.attacks.autoattack import PACKAGE_NORMS, TARGETS, Member
from cfa.attacks.fence import own_randomness
from cfa.attacks.losses import Model
from cfa.attacks.modes import model_mode
from cfa.notation import Norm


def perturbation_norm(x: Tensor, x_adv: Tensor, norm: Norm) -> Tensor:
    """Measure each image's perturbation, shape (batch,), in float64 where the device has it."""
    kind = torch.float32 if x.device.type == "mps" else torch.float64
    change = x_adv.to(kind) - x.to(kind)
    if norm == "l0":  # a pixel counts once, whatever its colours
        return change.flatten(2).abs().amax(dim=1).count_nonzero(dim=1).to(kind)
    change = change.flatten(1)
    if norm == "linf":
        return change.abs().amax(dim=1)
    length: Tensor = torch.linalg.vector_norm(change, ord=1 if norm == "l1" else 2, dim=1)
    return length


@dataclass(frozen=True)
class SmallestPerturbation:
    """FAB towards each of the runners-up, without a budget: the nearest adversarial image of all.

    FAB is an attack, so what it finds bounds the true distance from above. The images returned may lie
    outside of the eps-ball; whoever asks for them judges by the norm that they needed.
    """

    norm: Norm
    targets: int = TARGETS
    iterations: int = 100

    survivors_only = True
    minimum_norm = True
    follows_gradients = True

    def __call__(
        self,
        model: Model,
        x: Tensor,
        y: Tensor,
        eps: float | Tensor,
        *,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Return the nearest adversarial image found; images without one come back as they were."""
        from pyautoattack.fab_pt import FABAttack_PT

        best, least = x.clone(), torch.full((len(x),), torch.inf, dtype=x.dtype, device=x.device)
        with torch.no_grad(), model_mode(model, training=False), own_randomness(x.device):
            fab = FABAttack_PT(
                model,
                norm=PACKAGE_NORMS[self.norm],
                n_iter=self.iterations,
                eps=float(eps),
                targeted=True,
                device=x.device,
            )
            for target in range(2, self._targets(model(x[:1]).shape[1]) + 2):
                fab.target_class = target
                found = fab.attack_single_run(x, y, is_targeted=True)
                needed = perturbation_norm(x, found, self.norm).to(least.dtype)
                better = (needed > 0) & (needed < least)
                best[better], least[better] = found[better], needed[better]
        return best

    def passes(self, num_classes: int) -> int:
        """Count the forward passes that an image takes at most, the judge's included."""
        member = Member(name="fab-t", norm=self.norm, iterations=self.iterations)
        return self._targets(num_classes) * member.passes(num_classes)

    def _targets(self, num_classes: int) -> int:
        return min(self.targets, num_classes - 1)
