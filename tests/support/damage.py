"""What may stand in the place of a small stored file: made by crashes, other versions, other programs."""

import json
import os
import socket
from collections.abc import Callable
from pathlib import Path

Damage = Callable[[Path], None]


def content(content: bytes) -> Damage:
    """Put other bytes there."""

    def put(file: Path) -> None:
        file.unlink(missing_ok=True)
        file.write_bytes(content)

    return put


def changed(**fields: object) -> Damage:
    """Change fields of the object that is there, or add them; ``...`` takes one away."""

    def put(file: Path) -> None:
        found = json.loads(file.read_text()) | fields
        file.write_text(json.dumps({name: value for name, value in found.items() if value is not ...}))

    return put


def _folder(file: Path) -> None:
    file.unlink(missing_ok=True)
    file.mkdir()


def _pipe(file: Path) -> None:
    file.unlink(missing_ok=True)
    os.mkfifo(file)


def _link(file: Path) -> None:
    elsewhere = file.with_name(f"elsewhere-{file.name}")
    elsewhere.write_bytes(file.read_bytes() if file.exists() else b"{}")
    file.unlink(missing_ok=True)
    file.symlink_to(elsewhere)


def _link_to_itself(file: Path) -> None:
    file.unlink(missing_ok=True)
    file.symlink_to(file.name)


def _socket(file: Path) -> None:
    file.unlink(missing_ok=True)
    bound = socket.socket(socket.AF_UNIX)
    here = os.open(".", os.O_RDONLY)
    try:  # the address of a socket is shorter than many paths
        os.chdir(file.parent)
        bound.bind(file.name)
    finally:
        os.fchdir(here)
        os.close(here)
        bound.close()


OF_ANY_FILE: dict[str, Damage] = {
    "bytes that are no text": content(b"\xff\xfe\x00\x80"),
    "half a file": content(b'{"state": "fin'),
    "nothing": content(b""),
    "a list": content(b"[1, 2]"),
    "a number": content(b"3"),
    "no object but null": content(b"null"),
    "ten million characters": content(json.dumps({"name": "x" * 10**7, "state": "x" * 10**7}).encode()),
    "depth without end": content(b'{"a":' * 100_000),
    "depth that ends": content(b'{"a":' * 900 + b"1" + b"}" * 900),
    "half a character": content(b'{"name": "\\ud800", "state": "\\ud800"}'),
    "a folder": _folder,
    "a pipe": _pipe,
    "a socket": _socket,
    "a link": _link,
    "a link to itself": _link_to_itself,
    "a field of another version": changed(new_field=1),
}
"""For any JSON file, whatever it holds."""
