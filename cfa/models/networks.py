"""The networks that can be named, and how one is built."""

import inspect
from collections.abc import Callable

import torch
from torch import nn

from cfa.errors import CfaError, ConfigError
from cfa.models.foreign import as_network
from cfa.models.heads import with_head
from cfa.models.model_spec import ModelSpec
from cfa.models.normalise import Normalise, NormalisedModel
from cfa.models.preact_resnet import PreActResNet18
from cfa.models.resnet import ResNet18
from cfa.models.small_cnn import SmallCNN
from cfa.models.timm_models import SCHEME, timm_builder
from cfa.models.wide_resnet import WideResNet
from cfa.registry import Registry

SMALLEST_IMAGE = 8  # three halvings leave one pixel


ModelBuilder = Callable[[ModelSpec], nn.Module]
"""Builds the network behind the normalisation: it sees normalised images and returns logits."""


def own_factory(name: str, module: str, item: object) -> ModelBuilder:
    """Take somebody's own network class, or a function that stands in the very module that was named.

    Raises:
        ConfigError: It is something else, which nobody knows what calling it would do.
    """
    if isinstance(item, type) and issubclass(item, nn.Module):
        return item
    if not inspect.isfunction(item):
        raise ConfigError(
            f"{name!r} is {type(item).__name__}, not a function that returns a model; "
            "write `def factory(): return model` and name that"
        )
    if item.__module__ != module:
        raise ConfigError(
            f"{name!r} is defined in {item.__module__}, not in {module}; name it there: "
            f"{item.__module__}:{item.__qualname__}"
        )
    return item


MODELS: Registry[ModelBuilder] = Registry("model", own_factory)


def build_model(name: str, spec: ModelSpec, seed: int) -> NormalisedModel:
    """Build the network called ``name`` on the CPU, weights drawn from ``seed``, behind its normalisation.

    A user's ``package.module:factory`` is given the specification, or nothing where it asks for nothing:
    then it returns a model that is whole, weights included. The global random state is left as found.

    Raises:
        UnknownName: nothing is registered or importable under this name.
        ConfigError: the images are too small for it, a user's factory cannot be called so or returned no
            network, or it cannot end with the head that is asked for.
    """
    builder = MODELS[name]
    _check_parameters(name, builder)
    made = _called(name, builder, spec, seed)
    network = as_network(made)
    if network is None:
        raise ConfigError(f"the model builder {name!r} returned {type(made).__name__}; return an nn.Module")
    return NormalisedModel(Normalise(spec.mean, spec.std), with_head(network, spec.head, name))


def _called(name: str, builder: ModelBuilder, spec: ModelSpec, seed: int) -> object:
    try:
        # Devices are left alone: `torch.manual_seed` would reseed every GPU, which fork_rng then has to save.
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            return builder(spec) if wants_spec(builder) else builder()  # type: ignore[call-arg]
    except CfaError:
        raise
    except Exception as error:  # anything can go wrong in code that is not ours
        if ":" not in name:
            raise
        raise ConfigError(
            f"the model factory {name!r} failed ({type(error).__name__}: {error}); call it in Python first"
        ) from error


def wants_spec(builder: Callable[..., object]) -> bool:
    """Tell whether a factory asks for the specification: it has a parameter that must be given."""
    return bool(_required_parameters(builder))


def _required_parameters(builder: Callable[..., object]) -> list[inspect.Parameter]:
    passed = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    try:
        parameters = inspect.signature(builder).parameters.values()
    except ValueError:  # something of C that tells nothing about itself
        return []
    return [p for p in parameters if p.default is inspect.Parameter.empty and p.kind not in passed]


def _check_parameters(name: str, builder: ModelBuilder) -> None:
    """Refuse a factory that asks for more than it is given, before Python gets to complain about it."""
    required = _required_parameters(builder)
    if len(required) > 1 or any(p.kind is inspect.Parameter.KEYWORD_ONLY for p in required):
        wanted = ", ".join(parameter.name for parameter in required)
        raise ConfigError(
            f"the model factory {name!r} asks for {wanted}; it may ask for a cfa.models.ModelSpec, or nothing"
        )


def small_cnn(spec: ModelSpec) -> nn.Module:
    """Build ``small-cnn``, for CPU and tests."""
    _require_size("small-cnn", spec)
    return SmallCNN(spec.channels, spec.num_classes, spec.image_size)


def preact_resnet18(spec: ModelSpec) -> nn.Module:
    """Build ``preact-resnet18``, the network of the CFA paper."""
    _require_size("preact-resnet18", spec)
    return PreActResNet18(spec.channels, spec.num_classes)


def preact_resnet18_mair(spec: ModelSpec) -> nn.Module:
    """Build ``preact-resnet18-mair``, without the last BatchNorm: for weights of MAIR's PRN18."""
    _require_size("preact-resnet18-mair", spec)
    return PreActResNet18(spec.channels, spec.num_classes, last_norm=False)


def preact_resnet18_wong2020(spec: ModelSpec) -> nn.Module:
    """Build ``preact-resnet18-wong2020``: for RobustBench's Wong2020Fast, Andriushchenko2020Understanding."""
    _require_size("preact-resnet18-wong2020", spec)
    return PreActResNet18(spec.channels, spec.num_classes, last_norm=False, raw_shortcut=True)


def resnet18(spec: ModelSpec) -> nn.Module:
    """Build ``resnet18``, the network of many published CIFAR weights."""
    _require_size("resnet18", spec)
    return ResNet18(spec.channels, spec.num_classes)


def wrn_28_10(spec: ModelSpec) -> nn.Module:
    """Build ``wrn-28-10``, a WideResNet of 36 million weights."""
    _require_size("wrn-28-10", spec)
    return WideResNet(spec.channels, spec.num_classes, depth=28, widen=10)


def wrn_34_10(spec: ModelSpec) -> nn.Module:
    """Build ``wrn-34-10``, a WideResNet of 46 million weights."""
    _require_size("wrn-34-10", spec)
    return WideResNet(spec.channels, spec.num_classes, depth=34, widen=10)


def _require_size(name: str, spec: ModelSpec) -> None:
    if spec.image_size < SMALLEST_IMAGE:
        raise ConfigError(
            f"{name} needs images of at least {SMALLEST_IMAGE} pixels a side, these have {spec.image_size}; "
            "choose a data set with larger images or a model of your own"
        )


MODELS.register("small-cnn", small_cnn)
MODELS.register("preact-resnet18", preact_resnet18)
MODELS.register("resnet18", resnet18)
MODELS.register("wrn-28-10", wrn_28_10)
MODELS.register("wrn-34-10", wrn_34_10)
MODELS.register("preact-resnet18-mair", preact_resnet18_mair)
MODELS.register("preact-resnet18-wong2020", preact_resnet18_wong2020)
MODELS.register_scheme(SCHEME, timm_builder)


def for_training(model: nn.Module, device: torch.device) -> nn.Module:
    """Move a network to its device, channels last: tensor cores want it, and CPUs gain a tenth by it."""
    if device.type == "mps":
        return model.to(device)
    return model.to(device).to(memory_format=torch.channels_last)
