"""Random noise: not an attack, but what a model should shrug off."""

from dataclasses import dataclass

from torch import Tensor

from cfa.attacks.geometry import NORMS, per_sample
from cfa.attacks.losses import Model
from cfa.attacks.starts import Source
from cfa.notation import Norm


@dataclass(frozen=True)
class Noise:
    """Draw one point of the eps-ball uniformly, and clip it to [0, 1]."""

    norm: Norm

    starts_per_image = True

    def __call__(
        self,
        model: Model,
        x: Tensor,
        y: Tensor,
        eps: float | Tensor,
        *,
        generator: Source = None,
    ) -> Tensor:
        """Return noisy images; the model is not asked."""
        return (x + NORMS[self.norm].random_start(x, per_sample(eps, x), generator)).clamp(0, 1)

    def passes(self, num_classes: int) -> int:
        """Count the judge's forward pass."""
        return 1
