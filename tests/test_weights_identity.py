"""Whose weights a file holds: equal content has one hash, whatever wrote it, and other content another."""

import json
from pathlib import Path

import pytest
import safetensors.torch
import torch

from cfa.models import load_metadata, read_weights, save_weights, weights_hash
from cfa.weights_identity import WeightsIdentity, read_identity

WEIGHTS = {"conv": torch.arange(6.0).reshape(2, 3), "bn.count": torch.tensor(7)}


def written(folder: Path, weights: dict[str, torch.Tensor], **metadata: str) -> Path:
    """Write a file as older versions and other programs do: without a hash of its content."""
    file = folder / "other.safetensors"
    file.write_bytes(safetensors.torch.save(weights, metadata or None))
    return file


def test_the_hash_is_stored_beside_the_weights_and_found_in_a_file_without_it(tmp_path: Path) -> None:
    ours = tmp_path / "best-online.safetensors"
    save_weights(ours, WEIGHTS, {"epoch": "12", "weights": "online"})
    expected = WeightsIdentity(weights_hash(WEIGHTS), 12)
    assert read_identity(ours) == expected
    assert read_identity(written(tmp_path, dict(reversed(WEIGHTS.items())), epoch="12")) == expected
    assert len(expected.hash) == 64
    # What was given comes back as it was given, in one reading with the weights as well.
    assert load_metadata(ours) == read_weights(ours)[1] == {"epoch": "12", "weights": "online"}


def test_other_weights_do_not_pass_for_those_whose_hash_they_name(tmp_path: Path) -> None:
    file = tmp_path / "best-online.safetensors"
    save_weights(file, WEIGHTS, {"epoch": "12"})
    claimed = read_identity(file)
    with safetensors.safe_open(file, framework="pt") as stored:
        metadata = stored.metadata()
    assert claimed.hash in metadata.values()
    other = {name: torch.zeros_like(tensor) for name, tensor in WEIGHTS.items()}
    file.write_bytes(safetensors.torch.save(other, metadata))
    assert read_identity(file) == WeightsIdentity(weights_hash(other), 12)
    assert weights_hash(other) != claimed.hash


def test_a_file_that_has_not_changed_is_hashed_once(tmp_path: Path, monkeypatch) -> None:
    file = tmp_path / "best-online.safetensors"
    save_weights(file, WEIGHTS, {})
    known = read_identity(file)
    monkeypatch.setattr("cfa.weights_identity.content_hash", lambda content: "computed again")
    assert read_identity(file) == known
    save_weights(file, WEIGHTS, {"epoch": "3"})
    assert read_identity(file) == WeightsIdentity("computed again", 3)


@pytest.mark.parametrize(
    "other",
    [
        pytest.param({**WEIGHTS, "conv": WEIGHTS["conv"] + torch.eye(2, 3) * 1e-7}, id="one value"),
        pytest.param({**WEIGHTS, "conv": WEIGHTS["conv"].T.contiguous()}, id="shape"),
        pytest.param({**WEIGHTS, "conv": WEIGHTS["conv"].view(torch.int32)}, id="type, the same bytes"),
        pytest.param({"conv2": WEIGHTS["conv"], "bn.count": WEIGHTS["bn.count"]}, id="name"),
        pytest.param({"conv": WEIGHTS["conv"]}, id="one tensor less"),
    ],
)
def test_other_content_is_other_weights(other: dict[str, torch.Tensor]) -> None:
    assert weights_hash(other) != weights_hash(WEIGHTS)


@pytest.mark.parametrize(
    "same",
    [
        pytest.param({**WEIGHTS, "conv": WEIGHTS["conv"].T.contiguous().T}, id="memory layout"),
        pytest.param({**WEIGHTS, "sparse": torch.eye(2).to_sparse()}, id="what safetensors cannot hold"),
        pytest.param({**WEIGHTS, "state": "a text"}, id="what is no tensor"),
    ],
)
def test_what_does_not_count(same: dict[str, torch.Tensor]) -> None:
    assert weights_hash(same) == weights_hash(WEIGHTS)


@pytest.mark.parametrize(("text", "epoch"), [("3", 3), ("", None), ("three", None), ("-1", None)])
def test_an_epoch_that_is_no_number_is_none(tmp_path: Path, text: str, epoch: int | None) -> None:
    assert read_identity(written(tmp_path, WEIGHTS, epoch=text)).epoch == epoch


def with_header(header: object) -> bytes:
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"garbage", id="garbage"),
        pytest.param((2**62).to_bytes(8, "little") + b"{}", id="a header larger than the file"),
        pytest.param(with_header([1, 2]), id="a list"),
        pytest.param(with_header({"conv": 3}), id="a tensor that is a number"),
        pytest.param(with_header({"conv": {"dtype": "F32", "shape": [1]}}), id="a tensor without a place"),
    ],
)
def test_what_is_no_weights_file_is_a_value_error(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "best-online.safetensors"
    file.write_bytes(content)
    with pytest.raises(ValueError, match=r"header|Expecting|JSON"):
        read_identity(file)
