"""The idx format, in which MNIST and its relatives are published.

Two zero bytes, one byte for the element type, one for the number of axes, then one big-endian
32-bit length per axis, then the elements; the whole may be gzipped.
"""

import gzip
import math
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from cfa.errors import DataError

ELEMENT_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
GZIP_MAGIC = b"\x1f\x8b"


def read_idx(path: Path) -> np.ndarray[Any, Any]:
    """Read the array that an idx file holds, gzipped or plain (told apart by content, not by name).

    Raises:
        DataError: the file is missing, truncated, too long, or no idx file.
    """
    content = _read(path)
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] not in ELEMENT_TYPES or content[3] == 0:
        raise DataError(f"{path} is not an idx file (it starts with {content[:4]!r}); fetch it again")
    element_type, axes = np.dtype(ELEMENT_TYPES[content[2]]), content[3]
    header = 4 + 4 * axes
    if len(content) < header:
        raise DataError(f"{path} ends within its header; it is truncated, fetch it again")
    shape = tuple(int(length) for length in np.frombuffer(content, ">u4", count=axes, offset=4))
    announced, found = math.prod(shape) * element_type.itemsize, len(content) - header
    if announced != found:
        raise DataError(f"{path} announces {announced} bytes of data but holds {found}; fetch it again")
    array = np.frombuffer(content, element_type, offset=header).reshape(shape)
    return array.astype(element_type.newbyteorder("="))


def _read(path: Path) -> bytes:
    try:
        content = path.read_bytes()
        return gzip.decompress(content) if content.startswith(GZIP_MAGIC) else content
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path} is a damaged gzip file ({error}); delete it and fetch it again") from error
    except OSError as error:
        raise DataError(f"cannot read {path} ({error.strerror or error})") from error
