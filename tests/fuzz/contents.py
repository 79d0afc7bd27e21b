"""Changes of files as a whole: other bytes or content in them, or another kind of thing in their place."""

import io
import os
import pickle
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from tests.fuzz.mutations import DEEP


class _Pickled:
    """Unpickled it would call the canary."""

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return __import__, ("canary",)


def _zip_of_pickle() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(_Pickled(), protocol=2))
        archive.writestr("archive/version", "3\n")
        archive.writestr("../../outside/escaped.txt", "x")
    return file.getvalue()


CONTENTS: Mapping[str, Callable[[], bytes]] = {
    "nothing": lambda: b"",
    "noughts": lambda: b"\0" * 1000,
    "noise": lambda: bytes(range(256)) * 8,
    "bytes that are no text": lambda: b"\xff\xfe\x80{}",
    "a mark of the order of bytes": lambda: b"\xef\xbb\xbf{}",
    "a pickle that runs the canary": lambda: pickle.dumps(_Pickled()),
    "an archive of torch that runs the canary": _zip_of_pickle,
    "a pointer of Git LFS": lambda: b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n",
    "a page": lambda: b"<!doctype html><html><body>404</body></html>",
    "a header of 2^60 bytes": lambda: (2**60).to_bytes(8, "little") + b"{}",
    "a header of an odd shape": lambda: (
        (44).to_bytes(8, "little") + b'{"a":{"dtype":"F32","shape":[-1],"x":[0,4]}}'
    ),
    "brackets": lambda: b"[" * DEEP,
    "braces": lambda: b'{"a":' * DEEP,
    "a number of 5,000 digits": lambda: b"9" * 5000,
    "20 MB of a line": lambda: b"x" * 20_000_000,
    "lines": lambda: b"\n" * 100_000,
}
KINDS = ("nothing there", "a folder", "a link to a secret", "a link to itself", "a link to a folder")
PIPE = "a pipe"  # blocks who opens it, which is right only where somebody typed that very file


@dataclass(frozen=True)
class Bytes:
    """A file's content becomes another.

    Attributes:
        file: Below the place.
        how: ``cut`` (to a share), ``flip`` (a bit), ``put`` (bytes in between), ``become`` (a content by
            name), ``be`` (another kind of thing by name).
        share: Where, as a share of the content.
        name: Of the content or kind.
        noise: What is put in between.
    """

    file: str
    how: str
    share: float = 0.0
    name: str = ""
    noise: bytes = b""

    def apply(self, path: Path, place: Path) -> None:
        """Change the file at ``path``."""
        if self.how == "be":
            _become(path, self.name, place)
            return
        old = path.read_bytes()
        at = int(self.share * len(old))
        if self.how == "become":
            new = CONTENTS[self.name]()
        elif self.how == "cut":
            new = old[:at]
        elif self.how == "flip" and old:
            at = min(at, len(old) - 1)
            new = old[:at] + bytes([old[at] ^ (1 << (len(self.noise) % 8))]) + old[at + 1 :]
        else:
            new = old[:at] + self.noise + old[at:]
        path.unlink()  # it may be a link to the original
        path.write_bytes(new)


def byte_changes(files: list[str], *, typed: bool = False) -> st.SearchStrategy[Bytes]:
    """Draw a change of the content or kind of one of the files, which are found or typed."""
    kinds = KINDS if typed else (*KINDS, PIPE)
    file, share = st.sampled_from(files), st.floats(0, 1)
    return st.one_of(
        st.builds(Bytes, file, st.just("become"), name=st.sampled_from(list(CONTENTS))),
        st.builds(Bytes, file, st.just("be"), name=st.sampled_from(kinds)),
        st.builds(Bytes, file, st.just("cut"), share),
        st.builds(Bytes, file, st.just("flip"), share, noise=st.binary(max_size=7)),
        st.builds(Bytes, file, st.just("put"), share, noise=st.binary(min_size=1, max_size=40)),
    )


def _become(path: Path, kind: str, place: Path) -> None:
    path.unlink()
    if kind == "a folder":
        path.mkdir()
        (path / "inside").write_text("x")
    elif kind == "a link to a secret":
        path.symlink_to(place / "outside" / "secret.txt")
    elif kind == "a link to itself":
        path.symlink_to(path.name)
    elif kind == "a link to a folder":
        path.symlink_to(place / "outside")
    elif kind == PIPE:
        os.mkfifo(path)
