"""Weights in files: our own as safetensors, foreign ones without ever running code from them."""

import pickle
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from cfa.errors import CheckpointError
from cfa.files import make_folder, write_bytes
from cfa.weights_identity import CONTENT, content_hash

WRAPPER_KEYS = ("state_dict", "model_state_dict", "model", "net", "rmodel", "last")
"""Where foreign checkpoints keep their weights, the first that is there wins.

``rmodel`` is MAIR's; ``last`` is what RobustBench takes where a file has the best and the last weights.
"""

PREFIXES = ("module.", "_orig_mod.", "model.", "network.", "net.", "backbone.", "1.")
"""What DataParallel, torch.compile, wrapper classes and ``Sequential(normalise, net)`` put before a name."""

NORMALISATION_PREFIXES = ("0.", "normalise.", "normalize.", "normalizer.", "normalization.", "norm.", "")
NORMALISATION_NAMES = (("mean", "std"), ("mu", "sigma"))
"""How wrappers call the normalisation that they keep beside the network."""

IDLE_PARTS = ("sub_block1", "n_classes")
"""Parts of names that no forward pass uses: a stage that TRADES' WideResNet has by mistake and never calls
(with it come random weights), and a number that MAIR keeps among the weights."""


def save_weights(path: Path, state_dict: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write weights as safetensors: the file at ``path`` is the old one or the new one, never half.

    Tensors are written contiguous (safetensors knows no other layout) and apart from each other, also
    where they share memory. The hash of their content is added to the metadata.

    Raises:
        StoreError: the file system refuses, for want of space for example.
    """
    tensors = _apart(state_dict)
    content = content_hash(safetensors.torch.save(tensors))
    make_folder(path.parent)
    write_bytes(path, safetensors.torch.save(tensors, {**metadata, CONTENT: content}))


def weights_hash(state_dict: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 of weights' content, as :func:`save_weights` writes it beside them.

    What safetensors cannot hold (sparse and quantised tensors, and what is no tensor) does not count.
    """
    dense = {
        name: tensor
        for name, tensor in state_dict.items()
        if isinstance(tensor, Tensor) and tensor.layout == torch.strided and not tensor.is_quantized
    }
    return content_hash(safetensors.torch.save(_apart(dense)))


def _apart(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {
        name: tensor.detach().to("cpu").clone(memory_format=torch.contiguous_format)
        for name, tensor in state_dict.items()
    }


def read_weights(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read weights and their metadata from one and the same file.

    A run in training replaces its files: ``load_weights`` and ``load_metadata`` may see two of them.

    Raises:
        CheckpointError: as for ``load_weights``.
    """
    if _kind_of_file(path) != "safetensors":
        return load_weights(path), {}
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, _given(file.metadata())  # noqa: SIM118
    except (safetensors.SafetensorError, OSError, ValueError) as error:
        raise _damaged(path, error) from error


def load_weights(path: Path) -> dict[str, Tensor]:
    """Read weights from safetensors, or from a ``.pt`` or ``.pth`` file with ``weights_only=True``.

    What the file is shows in its content, not in its name. Tensors are on the CPU.

    Raises:
        CheckpointError: missing, truncated, no weights file at all, or one that would run code.
    """
    kind = _kind_of_file(path)
    if kind == "torch zip":
        return _load_torch(path, mmap=True)
    if kind == "torch legacy":
        return _load_torch(path, mmap=False)
    try:
        return safetensors.torch.load_file(path)
    except (safetensors.SafetensorError, OSError, ValueError) as error:
        raise _damaged(path, error) from error


def load_metadata(path: Path) -> dict[str, str]:
    """Read the metadata that ``save_weights`` was given; a ``.pt`` or ``.pth`` file has none.

    Raises:
        CheckpointError: as for ``load_weights``.
    """
    if _kind_of_file(path) != "safetensors":
        return {}
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            return _given(file.metadata())
    except (safetensors.SafetensorError, OSError, ValueError) as error:
        raise _damaged(path, error) from error


def _given(metadata: Mapping[str, str] | None) -> dict[str, str]:
    return {name: text for name, text in (metadata or {}).items() if name != CONTENT}


def load_into(
    model: nn.Module, state_dict: Mapping[str, Tensor], source: str, normalise_missing_ok: bool = False
) -> None:
    """Copy weights into ``model``, or change nothing and say what does not fit.

    Prefixes such as ``module.`` are stripped, and the ``network.`` of our own wrapper added, where
    that makes the names fit. A mean and standard deviation that a foreign wrapper kept beside its network
    (``0.mean`` and ``1.conv1.weight``, for example) become those of ``model``. What TRADES, RobustBench and
    MAIR keep among the weights without using it is left out, and the classifier of a WideResNet that was
    made without a bias gets one of zeros, which is the same network.

    Args:
        model: receives the weights; device, type and memory layout of its tensors stay.
        state_dict: names to tensors.
        source: the file or run that they come from, for the error.
        normalise_missing_ok: accept foreign weights that know no normalisation; the model keeps its own.

    Raises:
        CheckpointError: the first weight that is missing, unexpected, or of another shape.
    """
    expected = model.state_dict()
    optional = {
        name for name in expected if name.endswith(".num_batches_tracked")
    }  # absent before torch 0.4.1
    if normalise_missing_ok:
        optional |= {name for name in expected if name.startswith("normalise.")}
    required = set(expected) - optional
    state_dict = _without_idle(state_dict, expected)
    # Most names in common first, then fewest that are too many; of equals, the one that was renamed least.
    renamed = max(
        _renamings(state_dict),
        key=lambda weights: (len(weights.keys() & required), -len(weights.keys() - expected.keys())),
    )
    renamed = _with_zero_bias(renamed, expected)
    problem = _first_mismatch(expected, renamed, required)
    if problem is not None:
        raise CheckpointError(f"{source} does not fit this network: {problem}; {_way_out(state_dict)}")
    model.load_state_dict(renamed, strict=False)


def all_finite(state_dict: Mapping[str, Tensor]) -> bool:
    """Tell whether no weight is NaN or infinite."""
    return all(bool(torch.isfinite(tensor).all()) for tensor in state_dict.values())


def _kind_of_file(path: Path) -> str:
    try:
        with path.open("rb") as file:
            start = file.read(512)
    except OSError as error:
        reason = error.strerror or str(error)
        raise CheckpointError(f"cannot read weights from {path} ({reason}); check the path") from error
    text = start.lstrip().lower()
    if text.startswith((b"<!doctype", b"<html", b"<?xml", b"<head")):
        raise CheckpointError(
            f"{path} is a web page, not weights: the download returned an error page; fetch the file itself"
        )
    if start.startswith(b"PK\x03\x04"):
        return "torch zip"
    if start.startswith(b"\x80"):
        return "torch legacy"
    if start[8:9] == b"{":
        return "safetensors"
    raise CheckpointError(
        f"{path} is not a weights file, or is truncated; give .safetensors, .pt or .pth with a state dict"
    )


def _load_torch(path: Path, mmap: bool) -> dict[str, Tensor]:
    try:
        with warnings.catch_warnings():
            # About pickle protocols and TorchScript: whatever cannot be read raises below as well.
            warnings.simplefilter("ignore", UserWarning)
            loaded: object = torch.load(path, map_location="cpu", weights_only=True, mmap=mmap)
    except pickle.UnpicklingError as error:
        if "Unsupported" not in str(error) and "GLOBAL" not in str(error):
            raise _damaged(path, error) from error
        raise CheckpointError(
            f"{path} holds pickled objects besides tensors, which could run code, and is not read; "
            "save model.state_dict() alone where it was made"
        ) from error
    # What a damaged pickle makes torch's reader stumble over.
    except (RuntimeError, OSError, EOFError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise _damaged(path, error) from error
    weights = _find_state_dict(loaded)
    if weights is None:
        raise CheckpointError(
            f"{path} holds {_summary(loaded)}, not a state dict (names to tensors), nor one under "
            f"{', '.join(WRAPPER_KEYS)}; save model.state_dict() where it was made"
        )
    return weights


def _find_state_dict(loaded: object) -> dict[str, Tensor] | None:
    if not isinstance(loaded, Mapping) or not loaded:
        return None
    for key in WRAPPER_KEYS:
        if isinstance(loaded.get(key), Mapping):
            return _find_state_dict(loaded[key])
    if all(isinstance(name, str) and isinstance(value, Tensor) for name, value in loaded.items()):
        return dict(loaded)
    return None


def _summary(loaded: object) -> str:
    if isinstance(loaded, Mapping):
        keys = ", ".join(repr(key) for key in list(loaded)[:3])
        return f"a {type(loaded).__name__} with the keys {keys}{' …' if len(loaded) > 3 else ''}"
    return f"an object of type {type(loaded).__name__}"


def _damaged(path: Path, error: Exception) -> CheckpointError:
    reason = " ".join(str(error).split())[:160] or type(error).__name__
    return CheckpointError(f"{path} is damaged or truncated ({reason}); copy or download it again")


def _renamings(state_dict: Mapping[str, Tensor]) -> Iterator[dict[str, Tensor]]:
    weights, normalisation = dict(state_dict), dict[str, Tensor]()
    while True:
        if not normalisation:
            yield weights
        yield normalisation | {f"network.{name}": tensor for name, tensor in weights.items()}
        if not normalisation:
            weights, normalisation = _without_normalisation(weights)
            if normalisation:
                continue
        prefix = next((p for p in PREFIXES if weights and all(name.startswith(p) for name in weights)), None)
        if prefix is None:
            return
        weights = {name.removeprefix(prefix): tensor for name, tensor in weights.items()}


def _without_normalisation(
    weights: dict[str, Tensor],
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Part the two vectors that foreign wrappers normalise with from the network's weights."""
    for prefix in NORMALISATION_PREFIXES:
        for names in NORMALISATION_NAMES:
            mean, std = (weights.get(prefix + name) for name in names)
            if mean is None or std is None or mean.numel() != std.numel():
                continue
            rest = {k: v for k, v in weights.items() if k not in {prefix + name for name in names}}
            ours = {"normalise.mean": mean, "normalise.std": std}
            return rest, {name: vector.float().reshape(1, -1, 1, 1) for name, vector in ours.items()}
    return weights, {}


def _is_idle(name: str) -> bool:
    return any(part in IDLE_PARTS for part in name.split("."))


def _without_idle(given: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    if any(_is_idle(name) for name in expected):  # someone's own network, to which these names mean something
        return given
    return {name: tensor for name, tensor in given.items() if not _is_idle(name)}


def _with_zero_bias(given: dict[str, Tensor], expected: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Complete a WideResNet whose classifier has no bias, as some of RobustBench's."""
    bias = next((name for name in expected if name.endswith("fc.bias")), None)
    wide = any(".convShortcut." in name for name in expected)
    if bias is None or not wide or bias in given or bias.replace("bias", "weight") not in given:
        return given
    return {**given, bias: torch.zeros_like(expected[bias])}


def _way_out(given: Mapping[str, Tensor]) -> str:
    """Say which network weights are of that look like one of ours and are not."""
    parts = {part for name in given for part in name.split(".")}
    if {"init_conv", "batchnorm_0"} <= parts:
        return (
            "these are weights of DeepMind's WideResNet, which pads images at one side and mostly uses "
            "Swish, so that no model here computes the same; name a function that builds it, "
            "package.module:name"
        )
    projects = any(name.endswith("layer4.0.shortcut.0.weight") for name in given)
    if projects and not any(name.endswith(("bn.weight", "layer4.0.shortcut.1.weight")) for name in given):
        return (
            "if it is a PreActResNet-18 without a last BatchNorm, choose preact-resnet18-mair, or "
            "preact-resnet18-wong2020 where the shortcut sees the raw input"
        )
    return "choose the model and data set it was made with"


def _first_mismatch(
    expected: Mapping[str, Tensor], given: Mapping[str, Tensor], required: set[str]
) -> str | None:
    for name, tensor in expected.items():
        if name not in given:
            if name in required:
                return f"it has no {name!r}"
        elif given[name].shape != tensor.shape:
            return f"{name!r} has shape {tuple(given[name].shape)} there and {tuple(tensor.shape)} here"
    unexpected = next((name for name in given if name not in expected), None)
    return None if unexpected is None else f"it has {unexpected!r}, which this network has not"
