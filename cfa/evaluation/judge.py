"""The judge: whatever an attack claims, an image is broken when *this* says so.

The perturbed image has to lie inside the ball and inside [0, 1], and to be misclassified in a float32
forward pass of ours, in eval mode, with finite logits.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from cfa.attacks import Model, model_mode, per_sample, perturbation_norm
from cfa.errors import CfaError
from cfa.models import require_finite
from cfa.notation import Norm

# The packages overshoot by float32 rounding: a pixel of 1 has a spacing of 6e-8, a sum of squares a few more.
LINF_TOLERANCE = 1e-6  # absolute
RELATIVE_TOLERANCE = 1e-5  # of eps, for l2 and l1
BOX_TOLERANCE = 1e-6  # beyond [0, 1]; what is less is cut off before judging


@dataclass(frozen=True)
class Judgement:
    """What the judge says of a batch.

    Attributes:
        predicted: Classes, shape (batch,); that of the clean image where the perturbed one is not allowed.
        allowed: Whether the perturbed image lies inside the ball and [0, 1], shape (batch,).
        length: Norm of the perturbation, float64 where the device has it, shape (batch,).
    """

    predicted: Tensor
    allowed: Tensor
    length: Tensor


def largest_length(norm: Norm, eps: float) -> float:
    """Return the longest perturbation that passes for one of length ``eps``."""
    return eps + LINF_TOLERANCE if norm == "linf" else eps * (1 + RELATIVE_TOLERANCE)


def judge(model: Model, x: Tensor, x_adv: Tensor, norm: Norm, eps: float) -> Judgement:
    """Judge perturbed images.

    Args:
        model: Maps images in [0, 1] to logits.
        x: Clean images, shape (batch, ...).
        x_adv: What an attack made of them.
        norm: Threat model.
        eps: Budget; infinite where only [0, 1] counts.

    Raises:
        CfaError: The attack returned another shape.
        CheckpointError: The logits are not finite: they would count as broken images.
    """
    if x_adv.shape != x.shape:
        raise CfaError(
            f"the attack returned images of shape {tuple(x_adv.shape)} for images of shape {tuple(x.shape)}"
        )
    x_adv = x_adv.detach().to(x.dtype)
    boxed = x_adv.clamp(0, 1)
    beyond = (x_adv - boxed).abs().flatten(1).amax(dim=1)
    length = perturbation_norm(x, boxed, norm)
    # Written so that NaN is not allowed.
    allowed = (beyond <= BOX_TOLERANCE) & (length <= largest_length(norm, eps))
    judged_images = torch.where(per_sample(allowed, x) > 0, boxed, x)
    with torch.no_grad(), model_mode(model, training=False):
        logits = model(judged_images)
    require_finite(logits, model)
    return Judgement(logits.argmax(dim=1), allowed, length)


def judged(model: Model, x: Tensor, x_adv: Tensor, norm: Norm, eps: float) -> Tensor:
    """Return the predicted classes that count, shape (batch,); see :func:`judge`."""
    return judge(model, x, x_adv, norm, eps).predicted
