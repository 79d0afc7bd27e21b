"""What a network ends with: its own linear layer, or another that a training method asks for."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from cfa.errors import ConfigError

LINEAR, COSINE = "linear", "cosine"
HEADS = (LINEAR, COSINE)
DAMPING = 1 / 32  # RoBal's gamma
_OF_COSINES = "damping"


class CosineHead(nn.Module):
    """Cosines between features and one direction a class (RoBal, Wu et al. 2021): f w / (|f| (|w| + 1/32)).

    It has no bias. The constant is among its tensors, so that its weights fit no linear layer.
    """

    damping: Tensor

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight.detach().clone())
        self.register_buffer(_OF_COSINES, torch.tensor(DAMPING))

    def forward(self, x: Tensor) -> Tensor:
        """Return logits between -1 and 1, shape (batch, classes), of features of shape (batch, features)."""
        length = torch.linalg.vector_norm(x, dim=1, keepdim=True).clamp_min(1e-12)
        weight = self.weight / (torch.linalg.vector_norm(self.weight, dim=1, keepdim=True) + self.damping)
        logits: Tensor = (x / length) @ weight.T
        return logits


def head_of(names: Iterable[str]) -> str:
    """Tell from the names of a network's tensors which head it ends with."""
    return COSINE if any(name.rpartition(".")[2] == _OF_COSINES for name in names) else LINEAR


def with_head(network: nn.Module, head: str, name: str) -> nn.Module:
    """Return a network whose last linear layer is replaced by a head, which starts from its weights.

    Args:
        network: The network, which is changed.
        head: One of `HEADS`; ``linear`` leaves it as it is.
        name: What it is called, for the error.

    Raises:
        ConfigError: It ends with no linear layer.
    """
    if head == LINEAR:
        return network
    layers = [(path, module) for path, module in network.named_modules() if isinstance(module, nn.Linear)]
    if not layers or not layers[-1][0]:
        raise ConfigError(f"{name} has no linear layer at its end that a {head} head could replace")
    path, last = layers[-1]
    parent, _, child = path.rpartition(".")
    setattr(network.get_submodule(parent), child, CosineHead(last.weight))
    return network
