"""Whether somebody's own network can be trained: told before the first epoch, not by a traceback in it."""

import torch
from torch import nn

from cfa.attacks import model_mode, own_randomness
from cfa.errors import CheckpointError
from cfa.models import ModelSpec, admit


def require_trainable(model: nn.Module, spec: ModelSpec, device: torch.device) -> None:
    """Refuse a network that answers with something else than logits, or that no optimiser can train.

    Args:
        model: On ``device``.
        spec: What the data ask of it.
        device: Where it is trained.

    Raises:
        CheckpointError: The message says what is in the way.
    """
    x = torch.full((1, spec.channels, spec.image_size, spec.image_size), 0.5, device=device)
    with model_mode(model, training=False), own_randomness(device):
        reason = admit(model, x, spec.num_classes)
    if reason:
        raise CheckpointError(
            f"the model has no gradient ({reason}), so it cannot be trained; let it have one"
        )
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise CheckpointError(
            "the model has no weights that could be trained; return a network with parameters"
        )
    try:
        model.train()
    except NotImplementedError as error:
        raise CheckpointError(
            f"the model has one mode ({error}), as programs of torch.export have, so it cannot be trained; "
            "return the network that it was made from"
        ) from error
