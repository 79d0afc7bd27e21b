"""Files with weights: what a file is, said by its content and not by its name, and the tensors in it."""

import pickle
import re
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import psutil
import safetensors
from torch import Tensor

from cfa.errors import CheckpointError
from cfa.models.pickled import may_be_mapped, pickled_tensors, readable_name
from cfa.typed_paths import exists, leads_to_folder, typed_path
from cfa.weights_identity import CONTENT


@dataclass(frozen=True)
class WeightsFile:
    """A file with weights as someone names it: ``FILE``, or ``FILE#key`` for a branch of it."""

    path: Path
    key: str = ""

    @classmethod
    def of(cls, reference: str) -> "WeightsFile":
        """Read a reference; a # may also belong to the name of a file that is there."""
        path = typed_path(reference)
        name, mark, key = reference.rpartition("#")
        return cls(path) if not mark or exists(path) else cls(typed_path(name), key)

    def __str__(self) -> str:
        """Write it as it is named."""
        return f"{self.path}#{self.key}" if self.key else str(self.path)


@dataclass(frozen=True)
class _Readable:
    """A file that can be read: in which way, and how much memory that takes."""

    kind: Literal["safetensors", "torch zip", "torch zip, not mapped", "torch legacy"]
    needs: int


LARGEST_GROWTH = 20  # weights are noise, which hardly shrinks; those of a pruned network shrink a few times
LONGEST_SAID = 120  # characters of a name that an error repeats
LARGEST_HEADER = 100_000_000  # of safetensors, as its own reader has it
_STATE_DICT = "save its weights where it was made: torch.save(model.state_dict(), 'weights.pt')"

_FORMATS = (
    (0, b"version https://git-lfs", "a Git LFS pointer and not the file itself; fetch it with git lfs pull"),
    (
        0,
        b"\x89HDF\r\n\x1a\n",
        f"an HDF5 file (Keras, h5py), whose networks are not known here; {_STATE_DICT}",
    ),
    (0, b"\x93NUMPY", "a NumPy array; save a dictionary of names to tensors with torch.save"),
    (0, b"GGUF", "a GGUF file of a language model; give .safetensors, .pt or .pth with a state dict"),
    (4, b"TFL3", f"a TensorFlow Lite model, whose networks are not known here; {_STATE_DICT}"),
    (257, b"ustar", "a tar archive; unpack it and name the weights file in it"),
    (0, b"\x1f\x8b", "compressed with gzip; unpack it first (gunzip, or tar -xzf)"),
    (0, b"BZh", "compressed with bzip2; unpack it first"),
    (0, b"\xfd7zXZ\x00", "compressed with xz; unpack it first"),
    (0, b"\x28\xb5\x2f\xfd", "compressed with zstd; unpack it first"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive; unpack it and name the weights file in it"),
    (0, b"Rar!", "a RAR archive; unpack it and name the weights file in it"),
)
"""Where a format shows, by what bytes, and what is said of it."""

_ONNX = f"an ONNX model, whose graph is not read; {_STATE_DICT}"
_WEB_PAGE = "a web page, not weights: the download returned an error page; fetch the file itself"
_TORCH_MAGIC = b"l\xfc\x9cF\xf9 j\xa8P\x19"  # a number that torch.save wrote first, before it wrote zip files


def load_weights(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a safetensors file, or of a ``.pt`` or ``.pth`` file with ``weights_only=True``.

    Tensors are on the CPU. Their names are as in the file; what stood in a dictionary below a key has the key
    and ``/`` before it (``ema/conv1.weight``), at any depth.

    Raises:
        CheckpointError: missing, truncated, no weights file at all, or one that would run code.
    """
    return read_weights(path)[0]


def read_weights(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read weights and their metadata from one and the same file.

    A run in training replaces its files: ``load_weights`` and ``load_metadata`` may see two of them.

    Raises:
        CheckpointError: as for ``load_weights``.
    """
    readable = _inspected(path)
    if readable.needs > (free := psutil.virtual_memory().available):
        raise CheckpointError(
            f"{path} takes {readable.needs / 1e9:.1f} GB and {free / 1e9:.1f} GB of memory are free; "
            "save model.state_dict() alone where it was made"
        )
    if readable.kind != "safetensors":
        return _unpickled(path, readable.kind), {}
    with _open_safetensors(path) as file:
        names = [readable_name(name, path) for name in file.keys()]  # noqa: SIM118 (it is no dictionary)
        return {name: file.get_tensor(name) for name in names}, _given(file.metadata())


def load_metadata(path: Path) -> dict[str, str]:
    """Read the metadata that ``save_weights`` was given; a ``.pt`` or ``.pth`` file has none.

    Raises:
        CheckpointError: as for ``load_weights``.
    """
    if _inspected(path).kind != "safetensors":
        return {}
    with _open_safetensors(path) as file:
        return _given(file.metadata())


def _given(metadata: Mapping[str, str] | None) -> dict[str, str]:
    return {name: text for name, text in (metadata or {}).items() if name != CONTENT}


@contextmanager
def _open_safetensors(path: Path) -> Iterator[Any]:
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            yield file
    except (safetensors.SafetensorError, OSError, ValueError) as error:
        raise _damaged(path, error) from error


def _unpickled(path: Path, kind: str) -> dict[str, Tensor]:
    try:
        # Of a compressed archive the mapped bytes would not be the tensor's.
        found = pickled_tensors(path, mmap=kind == "torch zip")
    except pickle.UnpicklingError as error:
        raise _not_unpickled(path, kind, error) from error
    except MemoryError as error:
        raise CheckpointError(
            f"{path} asks for more memory than there is; copy or download it again"
        ) from error
    # What a damaged pickle makes torch's reader stumble over.
    except (RuntimeError, OSError, EOFError, ValueError, ArithmeticError, LookupError, TypeError,
            AttributeError, AssertionError) as error:  # fmt: skip
        raise _damaged(path, error) from error
    if isinstance(found, str):
        raise CheckpointError(
            f"{path} holds {found}, not a state dict (names to tensors) at any depth; "
            "save model.state_dict() where it was made"
        )
    return found


def outline(weights: Mapping[str, Tensor], most: int = 4) -> str:
    """Say what the names in a file begin with, the most frequent first."""
    names = [re.split(r"(?<=[/.])", name[:LONGEST_SAID]) for name in weights]
    depth = 0
    while names and all(len(parts) > depth + 1 and parts[depth] == names[0][depth] for parts in names):
        depth += 1
    often = Counter("".join(parts[: depth + 1]) for parts in names).most_common()
    said = ", ".join(f"{start!r} ({count})" for start, count in often[:most])
    more = f" and {len(often) - most} more" if len(often) > most else ""
    return f"its names begin with {said}{more}" if said else "it holds no tensors"


# What a file is --------------------------------------------------------------------------------------------


def _inspected(path: Path) -> _Readable:
    if leads_to_folder(path):
        raise CheckpointError(f"{path} is a folder, not a weights file; {_weights_in(path)}")
    try:
        with path.open("rb") as file:
            start = file.read(1024)
            size = path.stat().st_size
    except (OSError, ValueError) as error:  # a NUL in its name
        reason = getattr(error, "strerror", None) or str(error)
        raise CheckpointError(f"cannot read weights from {path} ({reason}); check the path") from error
    if start.startswith(b"PK\x03\x04"):
        return _inspected_zip(path, size)
    if start.startswith(b"\x80") and _TORCH_MAGIC in start[:32]:
        return _Readable("torch legacy", size)
    if start[8:9] == b"{" and int.from_bytes(start[:8], "little") <= LARGEST_HEADER:
        return _Readable("safetensors", size)
    raise CheckpointError(f"{path} is {_foreign(path, start)}")


def _foreign(path: Path, start: bytes) -> str:
    """Call a file by its name that is no weights file, and say the way out."""
    if not start:
        return "empty, not a weights file; copy or download it again"
    for at, magic, what in _FORMATS:
        if start[at:].startswith(magic):
            return what
    if start.lstrip().lower().startswith((b"<!doctype", b"<html", b"<?xml", b"<head")):
        return _WEB_PAGE
    if start.startswith(b"\x80"):
        return f"a Python pickle, which could run code, and is not read; {_STATE_DICT}"
    if path.suffix.lower() == ".onnx" or (start[:1] == b"\x08" and start[2:3] == b"\x12"):
        return _ONNX
    text = all(byte >= 32 or byte in b"\t\n\r\f" for byte in start)
    if text and path.name.endswith(".index.json"):
        return "a list of parts, not a weights file; load the parts together and save them as one state dict"
    what = "a text file, not a weights file" if text else "not a weights file, or is truncated"
    return f"{what}; give .safetensors, .pt or .pth with a state dict"


def _weights_in(folder: Path) -> str:
    endings = (".safetensors", ".pt", ".pth", ".ckpt", ".bin")
    try:
        names = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(endings))
    except OSError:
        names = []
    return f"name one in it, such as {names[0]}" if names else "name the file itself"


def _inspected_zip(path: Path, size: int) -> _Readable:
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, EOFError) as error:
        raise _damaged(path, error) from error
    names = [entry.filename for entry in entries]
    if names and all(name.endswith(".npy") for name in names):
        what = f"a NumPy archive (.npz); {_STATE_DICT}"
    elif any(name.endswith("constants.pkl") for name in names):
        what = (
            "a TorchScript program, which is code; save its weights where it was made: "
            "torch.save(torch.jit.load(FILE).state_dict(), 'weights.pt')"
        )
    elif any(name.endswith("archive_format") for name in names):
        what = f"a program of torch.export, which is code; {_STATE_DICT}"
    elif any(name.endswith(".weights.h5") for name in names):
        what = f"a Keras model, whose networks are not known here; {_STATE_DICT}"
    elif not any(name.rpartition("/")[2] == "data.pkl" for name in names):
        inside = ", ".join(repr(name[:60]) for name in names[:3]) or "nothing"
        what = f"a zip archive that holds {inside}; unpack it and name the weights file in it"
    else:
        expanded = sum(entry.file_size for entry in entries)
        if expanded > LARGEST_GROWTH * size:
            raise CheckpointError(
                f"{path} would grow from {size:,} to {expanded:,} bytes, which no weights do, and is not "
                "read; copy or download it again"
            )
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries) or not may_be_mapped(path):
            return _Readable("torch zip, not mapped", expanded)
        return _Readable("torch zip", 0)  # it is mapped
    raise CheckpointError(f"{path} is {what}")


def _not_unpickled(path: Path, kind: str, error: pickle.UnpicklingError) -> CheckpointError:
    """Say what was not unpickled, and that it was not."""
    text = str(error)
    named = re.search(r"GLOBAL ([\w.]+)", text)
    if named is not None:
        what = f"pickled objects besides tensors ({named[1]})"
        if _holds_network(path, kind):
            what = f"a whole pickled network ({named[1]}) instead of its weights"
        return CheckpointError(f"{path} holds {what}, which could run code, and is not read; {_STATE_DICT}")
    if "Unsupported operand" in text:
        return CheckpointError(
            f"{path} was written in a pickle protocol that the safe reader does not know, and is not read; "
            "save it again with torch.save and its own protocol"
        )
    if "Can only" in text or "Trying to call" in text:
        return CheckpointError(
            f"{path} holds pickled objects besides tensors, which could run code, and is not read; "
            f"{_STATE_DICT}"
        )
    return _damaged(path, error)


def _holds_network(path: Path, kind: str) -> bool:
    """Tell whether a pickle speaks of what every pickled network has."""
    most = 4_000_000
    try:
        if kind == "torch legacy":
            with path.open("rb") as file:
                content = file.read(most)
        else:
            with zipfile.ZipFile(path) as archive:
                name = next(n for n in archive.namelist() if n.rpartition("/")[2] == "data.pkl")
                with archive.open(name) as member:
                    content = member.read(most)
    except (OSError, zipfile.BadZipFile, StopIteration, NotImplementedError, ValueError):
        return False
    return b"_modules" in content and b"_parameters" in content


def _damaged(path: Path, error: Exception) -> CheckpointError:
    reason = " ".join(str(error).split())[:160] or type(error).__name__
    return CheckpointError(f"{path} is damaged or truncated ({reason}); copy or download it again")
