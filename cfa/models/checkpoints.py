"""Weights of our own in files: safetensors, whole or not there."""

from collections.abc import Mapping
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor

from cfa.files import make_folder, write_bytes
from cfa.weights_identity import CONTENT, content_hash


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


def all_finite(state_dict: Mapping[str, Tensor]) -> bool:
    """Tell whether no weight is NaN or infinite."""
    return all(bool(torch.isfinite(tensor).all()) for tensor in state_dict.values())
