"""Several starts of one attack: an image that any of them breaks is broken."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from cfa.attacks.losses import Model
from cfa.attacks.modes import model_mode
from cfa.attacks.pgd import PGD
from cfa.attacks.starts import Source, of_rows


@dataclass(frozen=True)
class Restarts:
    """Run a PGD several times from new random starts, each on the images that still hold.

    Attributes:
        attack: What is run.
        restarts: How often at most.
    """

    attack: PGD
    restarts: int

    survivors_only = True
    starts_per_image = True
    follows_gradients = True
    one_gradient_a_pass = True

    def __call__(
        self,
        model: Model,
        x: Tensor,
        y: Tensor,
        eps: float | Tensor,
        *,
        generator: Source = None,
    ) -> Tensor:
        """Return, per image, the first start's result that broke it, else the last start's."""
        eps = torch.as_tensor(eps, dtype=x.dtype, device=x.device).expand(len(x))
        x_adv, holds = x.clone(), torch.arange(len(x), device=x.device)
        for _ in range(self.restarts):
            if len(holds) == 0:
                break
            noise = of_rows(generator, holds)
            found = self.attack(model, x[holds], y[holds], eps[holds], generator=noise)
            x_adv[holds] = found
            with torch.no_grad(), model_mode(model, training=False):
                holds = holds[model(found).argmax(dim=1) == y[holds]]
        return x_adv

    def passes(self, num_classes: int) -> int:
        """Count the forward passes that an image takes at most, the judge's included."""
        return self.restarts * self.attack.passes(num_classes) + 1

    def described(self) -> dict[str, Any]:
        """Return the settings of the PGD, and the number of restarts."""
        return {**self.attack.described(), "attack": "Restarts", "restarts": self.restarts}
