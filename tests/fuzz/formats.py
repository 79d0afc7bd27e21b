"""Files as documents whose fields can be changed one by one: JSON, rows, TOML, headers of tensors, tables."""

import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tests.fuzz.mutations import BURIED, DEEP

DOCUMENTS = (".json", ".jsonl", ".safetensors", ".parquet")
NAMED_BY_KEYS = (".safetensors", ".parquet", ".pth")  # whose keys are names that somebody chose


def read(path: Path) -> Any:
    """Read a file as a document: of tensors the header, of a table its columns as lists."""
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.read_text().splitlines()]
    if path.suffix == ".safetensors":
        return json.loads(_split(path.read_bytes())[0])
    if path.suffix == ".parquet":
        return pq.read_table(path).to_pydict()
    return json.loads(path.read_text())


def write(path: Path, document: Any) -> bool:
    """Write a document in the place of a file; false where the format does not take it."""
    if path.suffix == ".parquet":
        table = _table(pq.read_table(path), document)
        path.unlink()  # it may be a link to the original
        if table is not None:
            pq.write_table(table, path)
        return table is not None
    content = _bytes(path, document)
    path.unlink()
    path.write_bytes(content)
    return True


def _bytes(path: Path, document: Any) -> bytes:
    if path.suffix == ".toml":
        return to_toml(document)
    if path.suffix == ".jsonl" and isinstance(document, list):
        return b"\n".join(map(to_json, document)) + b"\n"
    if path.suffix == ".safetensors":
        header = to_json(document)
        return struct.pack("<Q", len(header)) + header + _split(path.read_bytes())[1]
    return to_json(document)


def _split(content: bytes) -> tuple[bytes, bytes]:
    """Divide a file of safetensors into its header and the tensors' bytes."""
    end = 8 + int.from_bytes(content[:8], "little")
    return content[8:end], content[end:]


def _table(old: pa.Table, document: Any) -> pa.Table | None:
    """Make a table; a column that did not change keeps its type, another one where it can."""
    if not isinstance(document, dict):
        return None
    columns = {}
    try:
        for name, values in document.items():
            column = old.column(name) if name in old.column_names else None
            if column is None or column.to_pylist() != values:
                column = pa.array(values)
            columns[name] = column
        return pa.table(columns)
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        return None


def to_json(document: Any) -> bytes:
    """Write a document as JSON, with what was buried in brackets."""
    text = json.dumps(document)
    return text.replace(json.dumps(BURIED), "[" * DEEP + "]" * DEEP).encode()


def to_toml(document: Mapping[str, Any]) -> bytes:
    """Write a document of scalars, lists and tables as TOML."""

    def scalar(value: Any) -> str:
        if value == BURIED:
            return "[" * DEEP + "]" * DEEP
        if isinstance(value, bool):
            return str(value).lower()
        if isinstance(value, dict):
            return "{" + ", ".join(f"{key(k)} = {scalar(v)}" for k, v in value.items()) + "}"
        if isinstance(value, list | tuple):
            return "[" + ", ".join(map(scalar, value)) + "]"
        if isinstance(value, str):
            return key(value)
        return "'null'" if value is None else repr(value)

    def key(text: str) -> str:
        plain = "".join(
            c
            if c.isprintable() and c not in '"\\'
            else f"\\U{ord(c):08x}"
            if ord(c) > 0xFFFF
            else f"\\u{ord(c):04x}"
            for c in text
        )
        return f'"{plain}"'

    if not isinstance(document, Mapping):
        return scalar(document).encode()
    return "\n".join(f"{key(str(k))} = {scalar(v)}" for k, v in document.items()).encode(
        errors="surrogatepass"
    )
