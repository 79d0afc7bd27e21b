import gzip
import re
import struct
from pathlib import Path

import numpy as np
import pytest

from cfa.data import read_idx
from cfa.errors import DataError


def idx_bytes(array: np.ndarray, type_code: int = 0x08) -> bytes:
    header = struct.pack(">BBBB", 0, 0, type_code, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.tobytes()


IMAGES = np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 4)
CONTENT = idx_bytes(IMAGES)


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzipped"])
def test_reads_what_was_packed_by_hand(tmp_path: Path, pack) -> None:
    path = tmp_path / "images-idx3-ubyte"
    path.write_bytes(pack(CONTENT))
    assert np.array_equal(read_idx(path), IMAGES)
    assert read_idx(path).dtype == np.uint8


def test_big_endian_numbers_come_out_in_native_order(tmp_path: Path) -> None:
    path = tmp_path / "numbers"
    numbers = np.array([1, -2, 70_000], dtype=">i4")
    path.write_bytes(idx_bytes(numbers, type_code=0x0C))
    assert read_idx(path).tolist() == [1, -2, 70_000]
    assert read_idx(path).dtype == np.dtype("int32")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "not an idx file"),
        (b"<!DOCTYPE html>", "not an idx file"),
        (b"\0\0\x07\x01" + CONTENT[4:], "not an idx file"),
        (CONTENT[:10], "ends within its header"),
        (CONTENT[:-1], "announces 24 bytes of data but holds 23"),
        (CONTENT + b"\0", "announces 24 bytes of data but holds 25"),
        (gzip.compress(CONTENT)[:-9], "damaged gzip file"),
        (gzip.compress(CONTENT)[:12] + b"\xff" * 20, "damaged gzip file"),
    ],
)
def test_a_broken_file_is_named(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "broken-idx3-ubyte"
    path.write_bytes(content)
    with pytest.raises(DataError, match=rf"broken-idx3-ubyte.*{reason}"):
        read_idx(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=re.escape(str(tmp_path / "nothing"))):
        read_idx(tmp_path / "nothing")
