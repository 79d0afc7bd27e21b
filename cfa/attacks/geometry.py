"""What a norm means to an attack: a random start, a steepest step, a projection. All per sample."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from cfa.attacks.starts import Source, normal, uniform
from cfa.registry import Registry


def per_sample(value: float | Tensor, like: Tensor) -> Tensor:
    """Shape a number, or one number per sample, so that it broadcasts over a batch of images.

    Args:
        value: A scalar or a tensor of shape (batch,).
        like: The batch, whose dtype and device the result takes.

    Returns:
        Shape (batch or 1, 1, 1, ...), as many dimensions as ``like``.
    """
    tensor = torch.as_tensor(value, dtype=like.dtype, device=like.device)
    return tensor.reshape(-1, *[1] * (like.ndim - 1))


@dataclass(frozen=True)
class Geometry:
    """The three operations that carry a norm; ``eps`` is shaped by :func:`per_sample`."""

    random_start: Callable[[Tensor, Tensor, Source], Tensor]  # (x, eps, random numbers) -> delta
    steepest: Callable[[Tensor], Tensor]  # gradient -> unit step that raises the loss fastest
    project: Callable[[Tensor, Tensor], Tensor]  # (delta, eps) -> delta inside the ball


def _linf_start(x: Tensor, eps: Tensor, source: Source) -> Tensor:
    return (2 * uniform(x, source) - 1) * eps


def _linf_project(delta: Tensor, eps: Tensor) -> Tensor:
    # The same as torch.clamp with these bounds, which takes three times as long with tensors for bounds.
    return torch.minimum(torch.maximum(delta, -eps), eps)


def l2_norm(delta: Tensor) -> Tensor:
    """Return the Euclidean norm of each sample, shaped to broadcast over the batch."""
    norms: Tensor = torch.linalg.vector_norm(delta.flatten(1), dim=1)
    return norms.reshape(-1, *[1] * (delta.ndim - 1))


_TINY = 1e-12  # keeps a zero gradient a zero step instead of NaN


def _l2_start(x: Tensor, eps: Tensor, source: Source) -> Tensor:
    # Uniform in the ball: a normal direction, and a radius whose d-th power is uniform.
    direction = normal(x, source)
    radius = uniform(x.new_empty(len(x)), source) ** (1 / x[0].numel())
    return direction / l2_norm(direction).clamp_min(_TINY) * per_sample(radius, x) * eps


def _l2_steepest(gradient: Tensor) -> Tensor:
    return gradient / l2_norm(gradient).clamp_min(_TINY)


def _l2_project(delta: Tensor, eps: Tensor) -> Tensor:
    return delta * (eps / l2_norm(delta).clamp_min(_TINY)).clamp_max(1)


NORMS: Registry[Geometry] = Registry("norm")
NORMS.register("linf", Geometry(_linf_start, torch.sign, _linf_project))
NORMS.register("l2", Geometry(_l2_start, _l2_steepest, _l2_project))
