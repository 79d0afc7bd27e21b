"""Any network of timm by its name, ``timm:NAME``; timm is no dependency and may be absent."""

import difflib
from collections.abc import Callable
from typing import Any

from torch import nn

from cfa.errors import ConfigError, UnknownName
from cfa.models.model_spec import ModelSpec

SCHEME = "timm"


def timm_builder(name: str) -> Callable[[ModelSpec], nn.Module]:
    """Return what builds timm's network of that name, with weights drawn anew: none are downloaded.

    Raises:
        ConfigError: timm cannot be imported.
        UnknownName: It has no such network.
    """
    try:
        import timm
    except ImportError as error:
        raise ConfigError(
            f"the model timm:{name} needs timm, which cannot be imported here ({error}); "
            "install it with `pip install timm`, or choose another model"
        ) from error
    if not timm.is_model(name):
        near = difflib.get_close_matches(name, timm.list_models(), n=3, cutoff=0.4)
        hint = f"did you mean {' or '.join(near)}?" if near else "see timm.list_models()"
        raise UnknownName(f"timm {timm.__version__} has no model {name!r}; {hint}")

    def build(spec: ModelSpec) -> nn.Module:
        return _build(timm, name, spec)

    return build


def _build(timm: Any, name: str, spec: ModelSpec) -> nn.Module:
    settings = {"num_classes": spec.num_classes, "in_chans": spec.channels}
    pretrained = timm.models.get_pretrained_cfg(name)
    if getattr(pretrained, "fixed_input_size", False):  # ViT and others, whose weights depend on the size
        settings["img_size"] = spec.image_size
    try:
        network: nn.Module = timm.create_model(name, pretrained=False, **settings)
    # Whatever each of a thousand constructors says to sizes that it was not made for.
    except (TypeError, ValueError, RuntimeError, AssertionError) as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise ConfigError(
            f"timm cannot build {name} for {spec.channels} channels and images of {spec.image_size} pixels "
            f"({reason}); choose another model"
        ) from error
    return network
