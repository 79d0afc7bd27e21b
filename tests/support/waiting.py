"""Operators that need a value, or a number of elements, from the device, and so wait for a GPU."""

from typing import Any

import torch
from torch import Tensor

WAITING = {
    "aten::_local_scalar_dense",
    "aten::nonzero",
    "aten::masked_select",
    "aten::equal",
    "aten::is_nonzero",
}
INDEXING = {"aten::index", "aten::index_put", "aten::index_put_", "aten::_index_put_impl_"}


def waits(func: Any, args: Any) -> bool:
    """Tell whether an operator would have to wait on a GPU."""
    name = func._schema.name
    masks = name in INDEXING and any(isinstance(i, Tensor) and i.dtype == torch.bool for i in args[1])
    return name in WAITING or masks
