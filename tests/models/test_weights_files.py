"""What a file with weights is, and that nothing in it runs."""

import argparse
import io
import os
import pathlib
import pickle
import sys
import tarfile
import threading
import types
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import safetensors.torch
import torch
from torch import Tensor

from cfa.errors import CheckpointError
from cfa.models import WeightsFile, load_metadata, load_weights, save_weights

WEIGHTS = {"conv1.weight": torch.arange(6.0).reshape(2, 3), "bn1.running_var": torch.ones(2)}


def refusal(path: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        load_weights(path)
    sentence = str(caught.value)
    assert sentence.startswith(str(path))
    assert "\n" not in sentence
    return sentence


def same(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return list(first) == list(second) and all(torch.equal(first[name], second[name]) for name in first)


# Called by their names -------------------------------------------------------------------------------------


def zipped(*names: str) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name in names:
            archive.writestr(name, b"content")
    return content.getvalue()


def npz() -> bytes:
    content = io.BytesIO()
    np.savez(content, **{name: tensor.numpy() for name, tensor in WEIGHTS.items()})
    return content.getvalue()


def tarred() -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("weights.pt"))
    return content.getvalue()


def npy() -> bytes:
    content = io.BytesIO()
    np.save(content, np.ones(3))
    return content.getvalue()


LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935c943f9e0ff69d22\nsize 12345\n"
SAVE = "torch.save(model.state_dict(), 'weights.pt')"
KERAS, SCRIPT = ("config.json", "model.weights.h5"), ("m/data.pkl", "m/constants.pkl", "m/code/x.py")
FOREIGN: dict[str, tuple[Callable[[], bytes], str, str]] = {
    "npz": (npz, "is a NumPy archive (.npz)", SAVE),
    "npy": (npy, "is a NumPy array", "torch.save"),
    "TorchScript": (lambda: zipped(*SCRIPT), "is a TorchScript program", "torch.jit.load"),
    "torch.export": (lambda: zipped("m/archive_format"), "is a program of torch.export", SAVE),
    "Keras": (lambda: zipped(*KERAS), "is a Keras model", SAVE),
    "zip": (lambda: zipped("a/w.pt", "b.txt"), "is a zip archive that holds 'a/w.pt', 'b.txt'", "unpack it"),
    "Git LFS": (lambda: LFS, "is a Git LFS pointer", "git lfs pull"),
    "HDF5": (lambda: b"\x89HDF\r\n\x1a\n" + bytes(100), "is an HDF5 file", SAVE),
    "ONNX": (lambda: b"\x08\x08\x12\x07pytorch\x1a\x052.4.0" + bytes(100), "is an ONNX model", SAVE),
    "TensorFlow Lite": (lambda: b"\x1c\0\0\0TFL3" + bytes(100), "is a TensorFlow Lite model", SAVE),
    "GGUF": (lambda: b"GGUF" + bytes(100), "is a GGUF file", "give .safetensors"),
    "tar": (tarred, "is a tar archive", "unpack it"),
    "gzip": (lambda: b"\x1f\x8b\x08" + bytes(100), "is compressed with gzip", "unpack it"),
    "text": (lambda: b"epoch,loss\n1,0.5\n", "is a text file, not a weights file", "give .safetensors"),
    "pickle": (lambda: pickle.dumps([1.0]), "is a Python pickle, which could run code", SAVE),
    "bytes": (lambda: bytes(range(256)), "is not a weights file, or is truncated", "give .safetensors"),
}


@pytest.mark.parametrize("file", ["weights.pt", "weights.safetensors"])
@pytest.mark.parametrize("case", FOREIGN)
def test_what_is_no_weights_file_is_called_by_its_name_with_a_way_out(
    tmp_path: Path, case: str, file: str
) -> None:
    make, name, way_out = FOREIGN[case]
    path = tmp_path / file
    path.write_bytes(make())
    sentence = refusal(path)
    assert name in sentence
    assert way_out in sentence
    assert "damaged" not in sentence


@pytest.mark.parametrize("name", ["weights.pt", "weights.safetensors", ".safetensors", "weights"])
@pytest.mark.parametrize("kind", ["zip", "legacy", "deflated", "safetensors"])
def test_a_file_is_what_it_holds_whatever_it_is_called(tmp_path: Path, kind: str, name: str) -> None:
    path = tmp_path / name
    made = tmp_path / "made.pt"
    if kind == "safetensors":
        save_weights(made, WEIGHTS, {"epoch": "3"})
    else:
        torch.save(WEIGHTS, made, _use_new_zipfile_serialization=kind != "legacy")
    if kind == "deflated":
        deflated(made, path)
    else:
        made.rename(path)
    assert load_weights(path).keys() == WEIGHTS.keys()
    assert all(torch.equal(found, WEIGHTS[key]) for key, found in load_weights(path).items())
    assert load_metadata(path) == ({"epoch": "3"} if kind == "safetensors" else {})
    # Cut anywhere it is refused with a sentence.
    content = path.read_bytes()
    for share in range(1, 8):
        path.write_bytes(content[: share * len(content) // 8])
        refusal(path)


def test_a_list_of_parts_is_called_so(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors.index.json"
    path.write_text('{"weight_map": {}}')
    assert "is a list of parts, not a weights file" in refusal(path)


def test_a_folder_names_the_files_in_it(tmp_path: Path) -> None:
    assert "is a folder, not a weights file; name the file itself" in refusal(tmp_path)
    (tmp_path / "model.ckpt").write_bytes(b"")
    assert "name one in it, such as model.ckpt" in refusal(tmp_path)


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
def test_a_whole_network_is_called_so(tmp_path: Path, legacy: bool) -> None:
    path = tmp_path / "model.pth"
    torch.save(torch.nn.Linear(2, 2), path, _use_new_zipfile_serialization=not legacy)
    sentence = refusal(path)
    assert "a whole pickled network (torch.nn.modules.linear.Linear) instead of its weights" in sentence
    assert SAVE in sentence


def test_a_protocol_that_the_safe_reader_does_not_know_is_said(tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    torch.save(WEIGHTS, path, pickle_protocol=4)
    assert "written in a pickle protocol that the safe reader does not know" in refusal(path)


@pytest.mark.parametrize(
    ("text", "there", "path", "key"),
    [
        ("a.pt", (), "a.pt", ""),
        ("a.pt#ema", (), "a.pt", "ema"),
        ("a.pt#best/model", ("a.pt",), "a.pt", "best/model"),
        ("run#3.pt", ("run#3.pt",), "run#3.pt", ""),
        ("run#3.pt#ema", ("run#3.pt",), "run#3.pt", "ema"),
    ],
)
def test_a_reference_names_a_file_and_perhaps_a_branch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, there: tuple, path: str, key: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in there:
        Path(name).write_bytes(b"")
    assert WeightsFile.of(text) == WeightsFile(Path(path), key)
    assert str(WeightsFile.of(text)) == text


# What may lie beside weights -------------------------------------------------------------------------------

ARGUMENTS = argparse.Namespace(lr=0.1, out=pathlib.Path("runs"), best=np.float64(0.5), layers=[1, 2])
BESIDE: dict[str, Any] = {
    "numbers and texts": {"epoch": 3, "best": 0.5, "name": "wrn", "done": True, "none": None},
    "NumPy numbers": {"f64": np.float64(0.5), "f32": np.float32(1), "i64": np.int64(3), "bool": np.bool_(1)},
    "NumPy texts": {"name": np.str_("wrn")},
    "NumPy arrays": {"losses": np.arange(5.0), "names": np.array(["a", "b"]), "parts": np.zeros(2, "i4,f4")},
    "arguments": {"args": ARGUMENTS},
    "arguments in a list": {"args": [ARGUMENTS, (ARGUMENTS,)]},
    "paths": {"dir": pathlib.Path("runs/a")},
    "an optimiser": torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=0.1).state_dict(),
    "types and devices": {"dtype": torch.float16, "size": torch.Size([3]), "device": torch.device("cpu")},
}


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
@pytest.mark.parametrize("beside", BESIDE)
def test_what_people_keep_beside_weights_does_not_spoil_them(
    tmp_path: Path, beside: str, legacy: bool
) -> None:
    path = tmp_path / "checkpoint.pt"
    content = {"model": WEIGHTS, **BESIDE[beside]}
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    found = load_weights(path)
    assert all(torch.equal(found[f"model/{name}"], WEIGHTS[name]) for name in WEIGHTS)


def renamed_pickle(path: Path, old: bytes, new: bytes) -> None:
    """Write another name into the pickle of a file, as an older program would have."""
    with zipfile.ZipFile(path) as archive:
        entries = {entry.filename: archive.read(entry) for entry in archive.infolist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in entries.items():
            archive.writestr(name, content.replace(old, new) if name.endswith("data.pkl") else content)


def test_files_of_numpy_1_are_read_as_well(tmp_path: Path) -> None:
    path = tmp_path / "old.pt"
    arrays = {name: tensor.numpy() for name, tensor in WEIGHTS.items()}
    torch.save({"net": arrays, "best": np.float64(0.5)}, path)
    renamed_pickle(path, b"numpy._core.multiarray", b"numpy.core.multiarray")
    assert same(load_weights(path), {f"net/{name}": tensor for name, tensor in WEIGHTS.items()})


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "b1"])
def test_arrays_become_tensors(tmp_path: Path, dtype: str, order: Any) -> None:
    array = np.asarray(np.arange(24).reshape(2, 3, 4), dtype=dtype, order=order)
    torch.save({"w": array, "empty": np.zeros((0, 2), dtype), "none": np.array(3, dtype)}, tmp_path / "a.pt")
    found = load_weights(tmp_path / "a.pt")
    assert torch.equal(found["w"], torch.from_numpy(np.ascontiguousarray(array)))
    assert found["none"].shape == ()


def test_arrays_that_are_no_tensors_are_read_past(tmp_path: Path) -> None:
    swapped = np.arange(3, dtype=">f4" if sys.byteorder == "little" else "<f4")
    others = {"swapped": swapped, "text": np.array(["a"]), "time": np.array(["2020-01-01"], "M8[D]")}
    torch.save({**others, **WEIGHTS}, tmp_path / "a.pt")
    assert same(load_weights(tmp_path / "a.pt"), WEIGHTS)


def test_every_file_is_read_once_and_with_weights_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    real = torch.load

    def watched(*arguments: Any, **settings: Any) -> Any:
        asked.append(settings["weights_only"])
        return real(*arguments, **settings)

    monkeypatch.setattr(torch, "load", watched)
    torch.save({"model": WEIGHTS, "args": ARGUMENTS}, tmp_path / "good.pt")
    torch.save(torch.nn.Linear(2, 2), tmp_path / "bad.pt")
    load_weights(tmp_path / "good.pt")
    refusal(tmp_path / "bad.pt")
    assert asked == [True, True]


def test_what_is_admitted_is_admitted_for_that_call_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    torch.save({"model": WEIGHTS, "args": ARGUMENTS}, path)
    before = torch.serialization.get_safe_globals()
    failures: list[BaseException] = []

    def read() -> None:
        try:
            for _ in range(10):
                load_weights(path)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=read) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert torch.serialization.get_safe_globals() == before
    with pytest.raises(pickle.UnpicklingError):
        torch.load(path, weights_only=True)


# Nothing runs ----------------------------------------------------------------------------------------------


class Reduces:
    """Pickles as a call of something."""

    def __init__(self, *how: Any) -> None:
        self.how = how

    def __reduce__(self) -> tuple[Any, ...]:
        return self.how


class Builds(argparse.Namespace):
    """Pickles as a namespace with any state."""

    def __init__(self, state: Any) -> None:
        super().__init__()
        object.__setattr__(self, "kept", state)

    def __reduce__(self) -> tuple[Any, ...]:
        return argparse.Namespace, (), object.__getattribute__(self, "kept")


HARM = "harm-was-done"
RECONSTRUCT = np.array(0).__reduce__()[0]
HOSTILE: dict[str, Any] = {
    "a call": Reduces(os.mkdir, (HARM,)),
    "a call by eval": Reduces(eval, (f"__import__('os').mkdir({HARM!r})",)),
    "a call by getattr": Reduces(getattr, ("os", "mkdir")),
    "a call through numpy": Reduces(np.load, (HARM,)),
    "an array of a class": Reduces(RECONSTRUCT, (Reduces, (0,), b"b")),
    "a path that is made": Reduces(pathlib.Path.mkdir, (pathlib.Path(HARM),)),
    "a simple namespace": types.SimpleNamespace(a=Reduces(os.mkdir, (HARM,))),
    "a namespace with a call in it": argparse.Namespace(a=Reduces(os.mkdir, (HARM,))),
    "a namespace built of a call": Builds({"a": Reduces(os.mkdir, (HARM,))}),
    "an array built of a call": Reduces(RECONSTRUCT, (0,), Reduces(os.mkdir, (HARM,))),
    "a state dict built of a call": Reduces(OrderedDict, (), {"items": Reduces(os.mkdir, (HARM,))}),
}  # fmt: skip


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
@pytest.mark.parametrize("case", HOSTILE)
def test_a_call_in_a_file_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str, legacy: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "hostile.pt"
    torch.save({"model": WEIGHTS, "x": HOSTILE[case]}, path, _use_new_zipfile_serialization=not legacy)
    assert "could run code, and is not read" in refusal(path)
    assert not Path(HARM).exists()


NONSENSE: dict[str, Any] = {
    "another class": {"__class__": 3, "__dict__": 4},
    "methods": {"items": 1, "__setstate__": 2, "__iter__": 3},
    "no dictionary": [1, 2, 3],
    "a number": 7,
    "itself": None,
}


@pytest.mark.parametrize("state", NONSENSE)
def test_a_namespace_of_any_state_is_inert(tmp_path: Path, state: str) -> None:
    given = Builds(NONSENSE[state])
    torch.save({"model": WEIGHTS, "args": given}, tmp_path / "a.pt")
    assert same(load_weights(tmp_path / "a.pt"), {f"model/{name}": w for name, w in WEIGHTS.items()})


ANY_STATE: dict[str, Any] = {
    "too short": (1, (3,), np.dtype("f4"), False, b"xx"),
    "too large": (1, (10**12,), np.dtype("f4"), False, b"1234"),
    "one entry": (1,),
    "a number": 3,
    "nothing": None,
    "objects": (1, (2,), np.dtype("O"), False, [1, 2]),
    "negative": (1, (-1,), np.dtype("f4"), False, bytes(8)),
    "texts": (1, "a", "f4", 2, 3),
}


@pytest.mark.parametrize("state", ANY_STATE)
def test_an_array_of_any_state_is_inert(tmp_path: Path, state: str) -> None:
    array = Reduces(RECONSTRUCT, (np.ndarray, (0,), b"b"), ANY_STATE[state])
    torch.save({"model": WEIGHTS, "x": array}, tmp_path / "a.pt")
    found = load_weights(tmp_path / "a.pt")
    assert all(torch.equal(found[f"model/{name}"], WEIGHTS[name]) for name in WEIGHTS)


@pytest.mark.parametrize(
    "call",
    [
        Reduces(np.dtype, ("no such type", False, True)),
        Reduces(argparse.Namespace, (1, 2, 3)),
        Reduces(np.float64(1).__reduce__()[0], ("no", "such", "number")),
        Reduces(pathlib.PosixPath, (1, None)),
    ],
    ids=["numpy.dtype", "argparse.Namespace", "a NumPy number", "a path"],
)
def test_nothing_of_numpy_or_argparse_is_called(tmp_path: Path, call: Reduces) -> None:
    function, arguments = call.how
    with pytest.raises((TypeError, ValueError)):
        function(*arguments)
    torch.save({"model": WEIGHTS, "x": call}, tmp_path / "a.pt")
    assert same(load_weights(tmp_path / "a.pt"), {f"model/{name}": w for name, w in WEIGHTS.items()})


def deflated(stored: Path, path: Path) -> Path:
    """Compress the entries of a file, as a zip program would."""
    with zipfile.ZipFile(stored) as old, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
        for entry in old.infolist():
            new.writestr(entry.filename, old.read(entry))
    return path


# Bounds ----------------------------------------------------------------------------------------------------


def test_a_compressed_file_is_read_as_what_it_was(tmp_path: Path) -> None:
    weights = {"a": torch.zeros(20_000), "b": torch.rand(20_000)}
    torch.save(weights, tmp_path / "stored.pt")
    path = deflated(tmp_path / "stored.pt", tmp_path / "deflated.pt")
    assert path.stat().st_size < (tmp_path / "stored.pt").stat().st_size
    assert same(load_weights(path), weights)


def test_a_file_that_would_grow_out_of_all_proportion_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bomb.pt"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb/data.pkl", pickle.dumps({}, protocol=2))
        archive.writestr("bomb/version", "3\n")
        archive.writestr("bomb/data/0", bytes(8_000_000))
    assert "bytes, which no weights do, and is not read" in refusal(path)


@pytest.mark.parametrize("many", ["doubled", "deep", "circular"])
def test_entries_without_an_end_are_refused(tmp_path: Path, many: str) -> None:
    content: list[Any] = [torch.ones(1)]
    for _ in range(60):
        content = [content, content] if many == "doubled" else [content]
    if many == "circular":
        content.append(content)
    torch.save({"x": content}, tmp_path / "a.pt")
    assert "endless or too many entries" in refusal(tmp_path / "a.pt")


LONG = "n" * 1_000_000


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("name.pt", {LONG: torch.ones(2)}),
        ("key above.pt", {LONG: {"weight": torch.ones(2)}}),
        ("many parts.pt", {"state": {"a/" * 2_000: torch.ones(2)}}),
        ("name.safetensors", {LONG: torch.ones(2)}),
        ("many parts.safetensors", {"a." * 2_000: torch.ones(2)}),
    ],
)
def test_names_without_an_end_are_refused_before_anything_is_made_of_them(
    tmp_path: Path, file: str, content: dict[str, Any]
) -> None:
    path = tmp_path / file
    (torch.save if file.endswith(".pt") else safetensors.torch.save_file)(content, path)
    with pytest.raises(CheckpointError, match=r"has a name of [\d,]+ characters") as caught:
        load_weights(path)
    assert len(str(caught.value)) < 400 + len(str(path))


@pytest.mark.parametrize("kind", ["safetensors", "legacy", "deflated"])
def test_what_does_not_fit_into_the_memory_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    path = tmp_path / "large.pt"
    if kind == "safetensors":
        save_weights(path, WEIGHTS, {})
    elif kind == "legacy":
        torch.save(WEIGHTS, path, _use_new_zipfile_serialization=False)
    else:
        torch.save(WEIGHTS, tmp_path / "stored.pt")
        deflated(tmp_path / "stored.pt", path)
    small = psutil.virtual_memory()._replace(available=100)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: small)
    assert "of memory are free" in refusal(path)
