"""Whose weights a safetensors file holds: a hash of their content, and the epoch that they are from.

Told without torch, so that tables can ask for every run. The hash that a file names beside its weights is
not believed, for anybody can write it there: other weights would pass for those that were evaluated.
"""

import errno
import hashlib
import json
import mmap
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

CONTENT, EPOCH = "content_sha256", "epoch"  # names in the file's metadata
CAME_AS, NO_GRADIENT = "came_as", "no_gradient"  # of someone else's model: what was seen when it came
LARGEST_HEADER = 100_000_000  # bytes; safetensors' own limit


@dataclass(frozen=True)
class WeightsIdentity:
    """What tells weights from others: their hash, and the epoch that they are from where the file says it."""

    hash: str
    epoch: int | None = None


def content_hash(serialized: bytes | mmap.mmap) -> str:
    """Return the SHA-256 of the tensors in the bytes of a safetensors file.

    Names, types, shapes and values count; metadata and the order in which tensors lie do not.

    Raises:
        ValueError: They are no safetensors file.
    """
    size = int.from_bytes(serialized[:8], "little")
    header = _header(serialized[8 : 8 + size], size)
    found, start = hashlib.sha256(), 8 + size
    try:
        for name in sorted(header.keys() - {"__metadata__"}):
            tensor = header[name]
            first, last = tensor["data_offsets"]
            found.update(json.dumps([name, tensor["dtype"], tensor["shape"]]).encode())
            with memoryview(serialized) as whole, whole[start + first : start + last] as part:
                found.update(part)
    except (KeyError, TypeError) as error:
        raise ValueError(f"the header does not say where tensor {name!r} lies") from error
    return found.hexdigest()


def epoch_of(metadata: Mapping[str, str]) -> int | None:
    """Return the epoch that a file's metadata names; ``None`` where they name none (foreign weights)."""
    text = metadata.get(EPOCH, "")
    return int(text) if text.isdecimal() else None


def read_identity(path: Path) -> WeightsIdentity:
    """Read whose weights a file holds; the hash of a file that has not changed is computed once a process.

    Raises:
        OSError: The file is not there, or cannot be read.
        ValueError: It is no safetensors file.
    """
    if not os.path.isfile(path):  # a pipe would keep us waiting
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
    found = path.stat()
    return _identity(path, (found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns))


@lru_cache(maxsize=4096)
def _identity(path: Path, _state: tuple[int, ...]) -> WeightsIdentity:
    with path.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        found = _header(file.read(min(size, LARGEST_HEADER)), size).get("__metadata__")
        metadata = {str(name): str(text) for name, text in found.items()} if isinstance(found, dict) else {}
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:  # of any size
            return WeightsIdentity(content_hash(content), epoch_of(metadata))


def _header(content: bytes, size: int) -> dict[str, Any]:
    if size > LARGEST_HEADER or len(content) < size:
        raise ValueError(f"a header of {size} bytes is none of safetensors'")
    try:
        header = json.loads(content)
    except RecursionError as error:
        raise ValueError("the header is tables in tables without end") from error
    if not isinstance(header, dict):
        raise ValueError("the header is no table of tensors")
    return header
