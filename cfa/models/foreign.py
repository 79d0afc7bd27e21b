"""Networks as other people hand them over, and what can be done so that they work like ours."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import chain

import torch
from torch import Tensor, nn


class OnCopies(nn.Module):
    """A network that is given copies: a layer that works in place would change the image under attack."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        """Return the network's answers for a batch in [0, 1]."""
        answer: Tensor = self.network(x.clone())
        return answer


def as_network(made: object) -> nn.Module | None:
    """Return the network in what someone made, or ``None`` where there is none.

    A program of torch.export has a module. What torch.compile and the parallel wrappers were put around has
    the same weights and computes the same, on every device and for every size of batch.
    """
    if isinstance(made, torch.export.ExportedProgram):
        return made.module()
    if isinstance(made, nn.DataParallel | nn.parallel.DistributedDataParallel):
        return as_network(made.module)
    if not isinstance(made, nn.Module):
        return None
    compiled_from = getattr(made, "_orig_mod", None)
    return as_network(compiled_from) if isinstance(compiled_from, nn.Module) else made


def in_eval_mode(network: nn.Module) -> nn.Module:
    """Put a network into eval mode, also one that refuses ``eval()`` as programs of torch.export do."""
    for module in network.modules():
        if getattr(module, "training", False):
            module.training = False
    return network


def weights_type(tensors: Iterable[Tensor]) -> str:
    """Return the floating-point types among tensors other than float32, ``""`` where there is none."""
    kinds = {str(tensor.dtype).removeprefix("torch.") for tensor in _other_floats(tensors)}
    return " and ".join(sorted(kinds))


def takes(network: nn.Module, x: Tensor) -> bool:
    """Tell whether a network takes a batch of images as it is."""
    try:
        with torch.no_grad():
            network(x)
    except torch.OutOfMemoryError:
        raise
    except Exception:  # whatever it is, it is not taken
        return False
    return True


@contextmanager
def weights_in_float32(network: nn.Module) -> Iterator[None]:
    """Let a network's weights be float32 for a while; afterwards they are, bit for bit, what they were."""
    both = chain(network.parameters(), network.buffers())
    changed = [(tensor, tensor.data) for tensor in _other_floats(both)]
    for tensor, data in changed:
        tensor.data = data.float()
    try:
        yield
    finally:
        for tensor, data in changed:
            tensor.data = data


def _other_floats(tensors: Iterable[Tensor]) -> list[Tensor]:
    return [tensor for tensor in tensors if tensor.is_floating_point() and tensor.dtype != torch.float32]
