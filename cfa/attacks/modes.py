"""Model modes: an attack chooses one, and leaves every module's flag as it found it."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def model_mode(model: object, *, training: bool) -> Iterator[None]:
    """Put ``model`` into train or eval mode for a while; callables that are no modules pass through."""
    if not isinstance(model, nn.Module):
        yield
        return
    # A frozen TorchScript module has no mode at all.
    changed = [module for module in model.modules() if getattr(module, "training", training) != training]
    for module in changed:
        module.training = training
    try:
        yield
    finally:
        for module in changed:
            module.training = not training
