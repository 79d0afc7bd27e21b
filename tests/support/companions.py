"""Networks beside the model, for steps that are put together without a whole training."""

from collections.abc import Callable

from torch import nn

from cfa.methods import Parts


def companions_for(parts: Parts, network: Callable[[], nn.Module]) -> dict[str, nn.Module]:
    """Build what a method trains beside its model, whatever network it names."""
    return dict(parts.method.companions(parts.settings, parts.config, lambda name: network()))
