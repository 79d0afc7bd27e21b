"""What a network hands to its last layer: features, for methods whose loss or rule looks at them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from cfa.methods.interface import Model

if TYPE_CHECKING:
    from torch import Tensor, nn


def predictions(logits: Tensor) -> Tensor:
    """Return 1 for the predicted class and else 0, shape (images, classes); a GPU is not waited for."""
    import torch

    classes = torch.arange(logits.shape[1], device=logits.device)
    return (logits.argmax(dim=1, keepdim=True) == classes).to(logits.dtype)


def features_and_logits(model: Model, x: Tensor) -> tuple[Tensor, Tensor]:
    """Return the input of a network's last layer, shape (images, features), and its logits, in one pass.

    The last layer is the last one whose weight is a matrix. What is no module, or has no such layer, has its
    logits for features.

    Args:
        model: The network; a compiled one is called as it was before.
        x: Images, shape (images, ...).
    """
    from torch import nn

    original = getattr(model, "_orig_mod", model)  # hooks do not reach into what torch.compile made
    head = last_layer(original) if isinstance(original, nn.Module) else None
    if head is None:
        logits = model(x)
        return logits, logits
    seen: list[Tensor] = []
    hook = head.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    try:
        logits = original(x)
    finally:
        hook.remove()
    return seen[-1].flatten(1), logits


def last_layer(network: nn.Module) -> nn.Module | None:
    """Return the last module of a network whose own weight is a matrix, ``None`` where there is none."""
    found = None
    for module in network.modules():
        weight: Mapping[str, Tensor] = dict(module.named_parameters(recurse=False))
        if "weight" in weight and weight["weight"].ndim == 2:
            found = module
    return found
