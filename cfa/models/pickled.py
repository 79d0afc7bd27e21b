"""Tensors out of files that ``torch.save`` wrote, without ever running code from them.

torch's reader with ``weights_only=True`` admits tensors, numbers, texts and plain containers. Beside weights
people also keep NumPy numbers and arrays, and the arguments of their script. The names of those few classes
are admitted as well, but never the classes: what is called for each is a stand-in that keeps what it is given
and does nothing. Nothing of numpy or argparse is reached from a file.
"""

import sys
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from cfa.errors import CheckpointError

MOST_ENTRIES = 200_000  # dictionaries, lists and tensors: a few hundred bytes can name one that often
DEEPEST = 32
LONGEST_NAME = 2_000  # characters, all keys above a tensor included

_ONE_AT_A_TIME = threading.Lock()  # what torch admits is one list for the whole process


class _Stored:
    """Stands in for a class that a file names: keeps what it is given, and has no behaviour."""

    arguments: tuple[object, ...] = ()
    state: object = None

    def __init__(self, *arguments: object) -> None:
        self.arguments = arguments

    def __setstate__(self, state: object) -> None:
        self.state = state


class _Array(_Stored):
    """Stands in for numpy.ndarray; its state is (version, shape, type, whether in Fortran's order, bytes)."""


class _DType(_Stored):
    """Stands in for numpy.dtype; its arguments begin with a code such as f4."""


class _Namespace(_Stored):
    """Stands in for argparse.Namespace; its state is the dictionary of its attributes."""


class _Value(_Stored):
    """Stands in for what is read past: a NumPy number, a path."""


_ADMITTED = [
    (_Array, "numpy.ndarray"),
    (_DType, "numpy.dtype"),
    *((_Array, f"numpy.{core}.multiarray._reconstruct") for core in ("core", "_core")),
    *((_Value, f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")),
    (_Value, "builtins.bytes"),  # how an empty array writes its content
    (_Namespace, "argparse.Namespace"),
    *((_Value, f"{module}.PosixPath") for module in ("pathlib", "pathlib._local")),
    *((_Value, f"{module}.WindowsPath") for module in ("pathlib", "pathlib._local")),
]
"""All that is admitted beside what torch admits, by the names in files of NumPy 1 and 2."""


def pickled_tensors(path: Path, *, mmap: bool) -> dict[str, Tensor] | str:
    """Read every tensor of a file, by its path in the file; without any, a word on what it holds instead.

    Keys of the file are separated by ``/``, so that dots are those of module names: ``ema/conv1.weight``.

    Args:
        path: What ``torch.save`` wrote, whatever it is called.
        mmap: Map tensors from the file instead of reading them; needs a name that ``may_be_mapped``.

    Raises:
        CheckpointError: Endless or too many entries.
        Exception: Whatever torch raises for a file that is damaged or holds other objects.
    """
    with (
        path.open("rb") as file,
        _ONE_AT_A_TIME,
        warnings.catch_warnings(),
        torch.serialization.safe_globals(_ADMITTED),  # type: ignore[arg-type]
    ):
        # About pickle protocols: whatever cannot be read raises as well.
        warnings.simplefilter("ignore", UserWarning)
        # Only a path can be mapped, but of a path torch believes the ending.
        source = path if mmap else file
        loaded: object = torch.load(source, map_location="cpu", weights_only=True, mmap=mmap)
    if isinstance(loaded, Tensor) or not isinstance(loaded, dict | list | tuple | _Namespace):
        return f"an object of type {type(loaded).__name__.strip('_')}"
    return _tensors(loaded, path) or _summary(loaded)


def may_be_mapped(path: Path) -> bool:
    """Tell whether torch looks into a file that it is to map: it takes a name for the format."""
    return not path.name.endswith(".safetensors")


def readable_name(name: str, path: Path) -> str:
    """Return the name of a tensor of a file; what follows may take the square of its length.

    Raises:
        CheckpointError: It is longer than :data:`LONGEST_NAME`.
    """
    if len(name) > LONGEST_NAME:
        raise CheckpointError(
            f"{path} has a name of {len(name):,} characters, {name[:60]!r} and so on; names of a network's "
            f"tensors have at most {LONGEST_NAME:,}"
        )
    return name


def _tensors(loaded: object, path: Path) -> dict[str, Tensor]:
    """Collect tensors in the order of the file; numbers, texts and everything else are left behind here."""
    found: dict[str, Tensor] = {}
    pending: list[tuple[str, int, object]] = [("", 0, loaded)]
    entries = 0
    while pending:
        place, depth, value = pending.pop()
        entries += 1
        if entries > MOST_ENTRIES or depth > DEEPEST:
            raise CheckpointError(f"{path} holds endless or too many entries; save model.state_dict() alone")
        if isinstance(value, _Array):
            value = _as_tensor(value)
        if isinstance(value, Tensor):
            # Of the class itself: a file may set attributes of its tensors.
            found[place] = torch.Tensor.detach(value)
            continue
        inside = [
            (readable_name(f"{place}/{key}" if place else str(key), path), depth + 1, part)
            for key, part in _parts(value)
            if isinstance(part, dict | list | tuple | _Array | _Namespace | Tensor)
        ]
        pending += reversed(inside)
    return found


def _parts(value: object) -> Iterator[tuple[object, object]]:
    if isinstance(value, _Namespace):
        value = value.state
    if isinstance(value, dict):
        yield from dict.items(value)
    elif isinstance(value, list | tuple):
        yield from enumerate(value)


def _as_tensor(array: _Array) -> Tensor | None:
    """Make a tensor of an array of plain numbers; ``None`` of any other."""
    kinds = {
        **{f"f{size}": getattr(torch, f"float{8 * size}") for size in (2, 4, 8)},
        **{f"i{size}": getattr(torch, f"int{8 * size}") for size in (1, 2, 4, 8)},
        "u1": torch.uint8,
        "b1": torch.bool,
    }
    try:
        _, shape, dtype, in_fortran_order, content = cast(tuple[Any, ...], array.state)
        kind = kinds[dtype.arguments[0]]
        if dtype.state[1] == {"little": ">", "big": "<"}[sys.byteorder]:
            return None
        flat = torch.frombuffer(bytearray(content), dtype=kind)
        if in_fortran_order:
            return flat.reshape(tuple(reversed(shape))).permute(*reversed(range(len(shape))))
        return flat.reshape(shape)
    # Whatever a file says in place of these.
    except (TypeError, ValueError, KeyError, IndexError, AttributeError, RuntimeError, OverflowError):
        return None


def _summary(loaded: object) -> str:
    if not isinstance(loaded, dict):
        return f"an object of type {type(loaded).__name__.strip('_')}"
    keys = [repr(key)[:60] for key in list(loaded)[:3]]
    return f"a {type(loaded).__name__} with the keys {', '.join(keys)}{' …' if len(loaded) > 3 else ''}"
