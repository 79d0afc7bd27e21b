import errno
import os
import pickle
from pathlib import Path

import pytest
import safetensors.torch
import torch

from cfa.errors import CheckpointError, StoreError
from cfa.models import (
    ModelSpec,
    all_finite,
    build_model,
    load_into,
    load_metadata,
    load_weights,
    save_weights,
)

SPEC = ModelSpec(channels=1, num_classes=4, image_size=8, mean=(0.4,), std=(0.3,))


def small(seed: int = 0) -> torch.nn.Module:
    return build_model("small-cnn", SPEC, seed)


def same(first: dict, second: dict) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def test_weights_and_metadata_come_back(tmp_path: Path) -> None:
    path = tmp_path / "weights" / "best.safetensors"
    save_weights(path, small().state_dict(), {"epoch": "7", "weights": "fawa"})
    assert same(load_weights(path), small().state_dict())
    assert load_metadata(path) == {"epoch": "7", "weights": "fawa"}
    assert [entry.name for entry in path.parent.iterdir()] == ["best.safetensors"]
    assert same(safetensors.torch.load_file(path), small().state_dict())


def test_any_layout_and_shared_memory_are_written_apart(tmp_path: Path) -> None:
    base = torch.arange(48.0).reshape(2, 3, 4, 2)
    weights = {
        "channels_last": base.to(memory_format=torch.channels_last),
        "transposed": base.transpose(0, 1),
        "view": base[1:],
        "same": base,
        "again": base,
        "scalar": torch.tensor(3),
        "parameter": torch.nn.Parameter(torch.ones(2)),
        "expanded": torch.ones(1).expand(5),
        "half": torch.ones(2, dtype=torch.bfloat16),
    }
    save_weights(tmp_path / "w.safetensors", weights, {})
    read = load_weights(tmp_path / "w.safetensors")
    assert same(read, weights)
    assert all(tensor.is_contiguous() for tensor in read.values())
    assert read["half"].dtype == torch.bfloat16


@pytest.mark.parametrize("fails", ["replace", "fsync"])
def test_a_full_disk_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: str
) -> None:
    path = tmp_path / "last.safetensors"
    save_weights(path, small(0).state_dict(), {})

    def full(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, fails, full)
    with pytest.raises(StoreError, match=r"cannot write .*last\.safetensors \(No space left on device\)"):
        save_weights(path, small(1).state_dict(), {})
    assert same(load_weights(path), small(0).state_dict())
    assert [entry.name for entry in tmp_path.iterdir()] == ["last.safetensors"]


def test_a_path_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot write"):
        save_weights(tmp_path / "file" / "w.safetensors", small().state_dict(), {})


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
@pytest.mark.parametrize("key", [None, "state_dict", "model_state_dict", "model", "net", "rmodel", "last"])
def test_foreign_files_are_read_without_pickle(tmp_path: Path, key: str | None, legacy: bool) -> None:
    weights = small().state_dict()
    path = tmp_path / "foreign.pth"
    content = weights if key is None else {"epoch": 3, key: weights, "optimizer": {"lr": 0.1}}
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    model = small(1)
    load_into(model, load_weights(path), str(path))
    assert same(model.state_dict(), weights)
    assert load_metadata(path) == {}


class Harmful:
    def __reduce__(self) -> tuple:
        return (os.mkdir, ("harm-was-done",))


def valid(tmp_path: Path) -> bytes:
    save_weights(tmp_path / "valid.safetensors", small().state_dict(), {})
    return (tmp_path / "valid.safetensors").read_bytes()


def valid_torch(tmp_path: Path, content: object = None, legacy: bool = False) -> bytes:
    content = small().state_dict() if content is None else content
    torch.save(content, tmp_path / "valid.pt", _use_new_zipfile_serialization=not legacy)
    return (tmp_path / "valid.pt").read_bytes()


BROKEN = {
    "empty": (lambda t: b"", "is empty, not a weights file"),
    "text": (lambda t: b"hello, this is not a weights file", "not a weights file"),
    "web page": (lambda t: b"\n<!DOCTYPE html><html>Quota exceeded</html>", "is a web page, not weights"),
    "web page, old": (lambda t: b"<HTML><HEAD>Virus scan warning</HEAD></HTML>", "is a web page"),
    "safetensors cut in its data": (lambda t: valid(t)[:-100], "damaged or truncated"),
    "safetensors cut in its header": (lambda t: valid(t)[:100], "damaged or truncated"),
    "zip cut": (lambda t: valid_torch(t)[:-1000], "damaged or truncated"),
    "zip cut early": (lambda t: valid_torch(t)[:1000], "damaged or truncated"),
    "legacy cut": (lambda t: valid_torch(t, legacy=True)[:-500], "damaged or truncated"),
    "legacy cut early": (lambda t: valid_torch(t, legacy=True)[:50], "damaged or truncated"),
    "plain pickle": (lambda t: pickle.dumps(Harmful()), "could run code"),
    "pickled code, zip": (lambda t: valid_torch(t, {"state_dict": Harmful()}), "could run code"),
    "pickled code, legacy": (lambda t: valid_torch(t, Harmful(), legacy=True), "could run code"),
    "whole module": (lambda t: valid_torch(t, torch.nn.Linear(2, 2)), "could run code"),
    "a tensor": (lambda t: valid_torch(t, torch.ones(3)), "holds an object of type Tensor, not a state dict"),
    "a list": (lambda t: valid_torch(t, [1, 2]), "holds an object of type list"),
    "other keys": (
        lambda t: valid_torch(t, {"epoch": 3, "lr": 0.1, "best": 0.5, "x": 1}),
        "a dict with the keys 'epoch', 'lr', 'best' …, not a state dict",
    ),
    "an empty dict": (lambda t: valid_torch(t, {"state_dict": {}}), "not a state dict"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_file_is_explained_and_nothing_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    make, reason = BROKEN[case]
    path = tmp_path / "weights.pt"
    path.write_bytes(make(tmp_path))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CheckpointError, match=reason) as caught:
        load_weights(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "harm-was-done").exists()


@pytest.mark.parametrize("kind", ["safetensors", "zip", "legacy"])
def test_a_file_cut_anywhere_is_a_checkpoint_error(tmp_path: Path, kind: str) -> None:
    content = valid(tmp_path) if kind == "safetensors" else valid_torch(tmp_path, legacy=kind == "legacy")
    path = tmp_path / "cut"
    for length in range(0, len(content), len(content) // 60):
        path.write_bytes(content[:length])
        with pytest.raises(CheckpointError):
            load_weights(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    for read in (load_weights, load_metadata):
        with pytest.raises(CheckpointError, match=r"nothing\.pt \(No such file"):
            read(tmp_path / "nothing.pt")
        with pytest.raises(CheckpointError, match="is a folder, not a weights file"):
            read(tmp_path)


def test_metadata_of_a_truncated_file_is_a_checkpoint_error(tmp_path: Path) -> None:
    path = tmp_path / "cut.safetensors"
    path.write_bytes(valid(tmp_path)[:100])
    with pytest.raises(CheckpointError, match="damaged or truncated"):
        load_metadata(path)


def prefixed(prefix: str) -> dict[str, torch.Tensor]:
    return {f"{prefix}{name}": tensor for name, tensor in small(1).state_dict().items()}


@pytest.mark.parametrize(
    "prefix",
    ["", "module.", "model.", "network.", "_orig_mod.", "module._orig_mod.", "_orig_mod.module.model."],
)
def test_prefixes_of_wrappers_are_stripped(prefix: str) -> None:
    model = small(0)
    load_into(model, prefixed(prefix), "weights.pt")
    assert same(model.state_dict(), small(1).state_dict())


@pytest.mark.parametrize("prefix", ["", "module.", "model.", "network.", "module.model."])
def test_weights_of_a_bare_network_fit_where_the_caller_says_so(prefix: str) -> None:
    bare = {f"{prefix}{name}": tensor for name, tensor in small(1).network.state_dict().items()}
    model = build_model("small-cnn", ModelSpec(1, 4, 8, mean=(0.0,), std=(1.0,)), seed=0)
    with pytest.raises(CheckpointError, match=r"it has no 'normalise\.mean'"):
        load_into(model, bare, "weights.pt")
    load_into(model, bare, "weights.pt", normalise_missing_ok=True)
    assert same(model.network.state_dict(), small(1).network.state_dict())
    assert model.normalise.std.item() == 1.0


def test_a_bare_network_takes_its_own_weights() -> None:
    network = small(0).network
    load_into(network, {f"module.{k}": v for k, v in small(1).network.state_dict().items()}, "weights.pt")
    assert same(network.state_dict(), small(1).network.state_dict())


def without(name: str) -> dict[str, torch.Tensor]:
    return {key: tensor for key, tensor in small(1).state_dict().items() if key != name}


@pytest.mark.parametrize(
    ("weights", "reason"),
    [
        (without("network.conv2.weight"), r"it has no 'network\.conv2\.weight'"),
        (
            small(1).state_dict() | {"network.extra": torch.ones(1)},
            r"it has 'network\.extra', which this network",
        ),
        (
            small(1).state_dict() | {"network.linear.bias": torch.ones(10)},
            r"'network\.linear\.bias' has shape \(10,\) there and \(4,\) here",
        ),
        ({}, r"it has no 'normalise\.mean'"),
        ({"conv1.weight": torch.ones(1)}, "it has no"),
    ],
)
def test_the_first_mismatch_is_named_and_nothing_changes(weights: dict, reason: str) -> None:
    model = small(0)
    with pytest.raises(CheckpointError, match=rf"run 12ab does not fit this network: {reason}"):
        load_into(model, weights, "run 12ab")
    assert same(model.state_dict(), small(0).state_dict())


def test_old_checkpoints_without_batch_counters_are_accepted() -> None:
    weights = {name: value for name, value in small(1).state_dict().items() if "num_batches" not in name}
    model = small(0)
    load_into(model, weights, "old.pt")
    assert torch.equal(model.network.linear.weight, small(1).network.linear.weight)


def test_layout_and_type_of_the_model_stay() -> None:
    model = small(0).to(memory_format=torch.channels_last)
    halves = {
        name: value.half() if value.is_floating_point() else value for name, value in prefixed("").items()
    }
    load_into(model, halves, "half.pt")
    weight = model.network.conv2.weight
    assert weight.dtype == torch.float32
    assert weight.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize(("value", "finite"), [(1.0, True), (float("nan"), False), (float("inf"), False)])
def test_nan_and_infinity_are_reported_and_kept(tmp_path: Path, value: float, finite: bool) -> None:
    weights = {"a": torch.ones(3), "b": torch.tensor([0.0, value]), "steps": torch.tensor(5)}
    assert all_finite(weights) is finite
    save_weights(tmp_path / "w.safetensors", weights, {})
    assert all_finite(load_weights(tmp_path / "w.safetensors")) is finite


def wrapped(style: str) -> dict[str, torch.Tensor]:
    """A foreign wrapper's names for our network's weights, with a normalisation of mean 0.3 and std 0.7."""
    bare = {name.removeprefix("network."): value for name, value in small(3).state_dict().items()}
    bare = {name: value for name, value in bare.items() if not name.startswith("normalise.")}
    mean, std = torch.tensor([0.3]), torch.tensor([0.7])
    prefix, vectors = {
        "sequential, with buffers": ("1.", {"0.mean": mean, "0.std": std}),
        "sequential, shaped": ("1.", {"0.mean": mean.view(1, 1, 1, 1), "0.std": std.view(1, 1, 1, 1)}),
        "parallel": ("module.1.", {"module.0.mean": mean, "module.0.std": std}),
        "robustbench": ("model.", {"mu": mean.double(), "sigma": std.double()}),
        "inside": ("", {"mean": mean, "std": std}),
        "named": ("model.module.", {"normalize.mean": mean, "normalize.std": std}),
        "ours": (
            "network.",
            {"normalise.mean": mean.view(1, 1, 1, 1), "normalise.std": std.view(1, 1, 1, 1)},
        ),
    }[style]
    return {**vectors, **{prefix + name: value for name, value in bare.items()}}


@pytest.mark.parametrize(
    "style",
    ["sequential, with buffers", "sequential, shaped", "parallel", "robustbench", "inside", "named", "ours"],
)
def test_a_foreign_normalisation_becomes_ours(style: str) -> None:
    model = small(0)
    load_into(model, wrapped(style), "theirs.pt", normalise_missing_ok=True)
    expected = {**small(3).state_dict()}
    expected["normalise.mean"], expected["normalise.std"] = (
        torch.full((1, 1, 1, 1), value) for value in (0.3, 0.7)
    )
    assert same(dict(model.state_dict()), expected)


@pytest.mark.parametrize(
    "prefix", ["1.", "module.", "model.", "module.model.", "_orig_mod.module.", "backbone.1."]
)
def test_prefixes_are_stripped_and_the_normalisation_stays(prefix: str) -> None:
    bare = {
        name.removeprefix("network."): v
        for name, v in small(3).state_dict().items()
        if "normalise" not in name
    }
    model = small(0)
    load_into(model, {prefix + name: value for name, value in bare.items()}, "x", normalise_missing_ok=True)
    assert same(dict(model.state_dict()), dict(small(3).state_dict()))


def test_a_normalisation_of_other_channels_is_the_first_mismatch() -> None:
    weights = wrapped("sequential, with buffers") | {"0.mean": torch.rand(3), "0.std": torch.rand(3)}
    model, before = small(0), dict(small(0).state_dict())
    with pytest.raises(CheckpointError, match=r"its normalisation '0\.mean' has 3 values for 1 channels"):
        load_into(model, weights, "theirs.pt", normalise_missing_ok=True)
    assert same(dict(model.state_dict()), before)


def test_other_classes_are_named_with_both_shapes() -> None:
    other = ModelSpec(channels=1, num_classes=7, image_size=8, mean=(0.4,), std=(0.3,))
    weights = build_model("small-cnn", other, 0).state_dict()
    with pytest.raises(
        CheckpointError, match=r"theirs\.pt does not fit.*linear\.weight' has shape \(7, 128\)"
    ):
        load_into(small(), weights, "theirs.pt")
