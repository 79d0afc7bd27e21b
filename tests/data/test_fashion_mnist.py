import functools
import gzip
import hashlib
import http.server
import os
import runpy
import shutil
import socket
import struct
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision

from cfa.data import dataset_info, download_dataset, fashion_mnist, load_dataset, read_idx
from cfa.data.fashion_mnist import CLASS_NAMES, EMBEDDED, PARTS
from cfa.errors import DataError

SCRIPT = Path(__file__).parents[2] / "scripts" / "make-fashion-mnist-mini"
MINI_FINGERPRINT = "952c3b644b224b564fe7f54770ea250d7a015bcbced7a2ba3d58af77c4886288"


def test_mini_is_what_it_says() -> None:
    data = load_dataset("fashion-mnist-mini", Path("unused"))
    assert torch.bincount(data.train_labels).tolist() == [1000] * 10
    assert torch.bincount(data.test_labels).tolist() == [1000] * 10
    assert tuple(data.train_images.shape) == tuple(data.test_images.shape) == (10_000, 1, 28, 28)
    assert data.fingerprint == MINI_FINGERPRINT
    # Published statistics of the whole training part are 0.2860 and 0.3530.
    pixels = data.train_images.double() / 255
    assert pixels.mean().item() == pytest.approx(0.2860, abs=0.002)
    assert pixels.std().item() == pytest.approx(0.3530, abs=0.002)


def test_mini_agrees_with_its_description() -> None:
    data, info = (f("fashion-mnist-mini", Path("unused")) for f in (load_dataset, dataset_info))
    assert (info.classes, info.channels, info.image_size) == (
        data.num_classes,
        data.channels,
        data.image_size,
    )
    assert (info.train_images, info.test_images) == (len(data.train_images), len(data.test_images))


def test_mini_carries_its_licence() -> None:
    licence = (EMBEDDED.parent / "LICENSE-fashion-mnist.txt").read_text()
    assert "Zalando SE" in licence
    assert "Permission is hereby granted, free of charge" in licence


def test_class_names_are_torchvisions() -> None:
    assert list(CLASS_NAMES) == torchvision.datasets.FashionMNIST.classes


@pytest.mark.parametrize("damage", ["missing", "truncated", "empty", "not an archive", "flipped bytes"])
def test_a_damaged_embedded_file_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    whole = EMBEDDED.read_bytes()
    contents = {
        "truncated": whole[:100_000],
        "empty": b"",
        "not an archive": b"hello",
        "flipped bytes": whole[:1000] + b"\xff" * 1000 + whole[2000:],
    }
    path = tmp_path / EMBEDDED.name
    if damage in contents:
        path.write_bytes(contents[damage])
    monkeypatch.setattr(fashion_mnist, "EMBEDDED", path)
    with pytest.raises(DataError, match=r"embedded fashion-mnist-mini\.npz is damaged"):
        fashion_mnist._embedded.__wrapped__()


def test_the_script_makes_the_embedded_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = os.environ.get("CFA_FASHION_MNIST")
    if not folder or not (Path(folder) / f"{PARTS[0]}.gz").is_file():
        pytest.skip("set CFA_FASHION_MNIST to a folder with the four original idx .gz files")
    made = [tmp_path / "first.npz", tmp_path / "second.npz"]
    for path in made:
        monkeypatch.setattr("sys.argv", [str(SCRIPT), folder, str(path)])
        runpy.run_path(str(SCRIPT), run_name="__main__")
    assert made[0].read_bytes() == made[1].read_bytes()
    with np.load(made[0], allow_pickle=False) as ours, np.load(EMBEDDED, allow_pickle=False) as embedded:
        assert sorted(ours) == sorted(embedded)
        assert all(np.array_equal(ours[key], embedded[key]) for key in ours)


def pack(array: np.ndarray) -> bytes:
    header = struct.pack(">BBBB", 0, 0, 0x08, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.tobytes()


@functools.cache
def originals() -> dict[str, bytes]:
    """Two images a class to train on and one to test on, in the true format."""
    rng = np.random.default_rng(0)
    train_labels, test_labels = np.tile(np.arange(10, dtype=np.uint8), 2), np.arange(10, dtype=np.uint8)
    arrays = (
        rng.integers(256, size=(20, 28, 28), dtype=np.uint8),
        train_labels,
        rng.integers(256, size=(10, 28, 28), dtype=np.uint8),
        test_labels,
    )
    return {part: pack(array) for part, array in zip(PARTS, arrays, strict=True)}


def put(folder: Path, suffix: str = "", leave_out: str = "") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for part, content in originals().items():
        if part != leave_out:
            (folder / f"{part}{suffix}").write_bytes(gzip.compress(content) if suffix else content)


@pytest.mark.parametrize("place", ["FashionMNIST/raw", "fashion-mnist"])
@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_whole_is_read_from_a_folder(tmp_path: Path, place: str, suffix: str) -> None:
    assert not dataset_info("fashion-mnist", tmp_path).available
    put(tmp_path / place, suffix)
    assert dataset_info("fashion-mnist", tmp_path).available
    data = load_dataset("fashion-mnist", tmp_path)
    assert data.train_images[:, 0].numpy().tobytes() == originals()[PARTS[0]][16:]
    assert data.test_labels.tolist() == list(range(10))


def test_a_truncated_file_is_named_and_not_downloaded_over(tmp_path: Path, no_network: None) -> None:
    put(tmp_path / "fashion-mnist")
    broken = tmp_path / "fashion-mnist" / PARTS[2]
    broken.write_bytes(broken.read_bytes()[:-100])
    with pytest.raises(DataError, match=f"{PARTS[2]} announces 7840 bytes of data but holds 7740"):
        load_dataset("fashion-mnist", tmp_path)


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setattr(torchvision.datasets.FashionMNIST, "mirrors", [f"http://127.0.0.1:{port}/"])


@pytest.mark.parametrize("leave_out", [PARTS[1], None], ids=["one file missing", "all missing"])
@pytest.mark.usefixtures("no_network")
def test_offline_the_error_says_which_file_goes_where(tmp_path: Path, leave_out: str | None) -> None:
    if leave_out:
        put(tmp_path / "fashion-mnist", ".gz", leave_out)
    with pytest.raises(DataError) as caught:
        load_dataset("fashion-mnist", tmp_path)
    message = str(caught.value)
    assert "\n" not in message
    assert f"{PARTS[1]}.gz" in message
    assert str(tmp_path / "fashion-mnist") in message
    assert not list(tmp_path.rglob(".downloading-*"))


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that a local server shows to torchvision in place of the true mirror."""
    folder = tmp_path / "mirror"
    put(folder, ".gz")

    class Silent(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *arguments: object) -> None:
            pass

    handler = functools.partial(Silent, directory=str(folder))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    checksums = [
        (f"{part}.gz", hashlib.md5((folder / f"{part}.gz").read_bytes()).hexdigest()) for part in PARTS
    ]
    address = f"http://127.0.0.1:{server.server_address[1]}/"
    monkeypatch.setattr(torchvision.datasets.FashionMNIST, "mirrors", [address])
    monkeypatch.setattr(torchvision.datasets.FashionMNIST, "resources", checksums)
    yield folder
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_missing_data_set_is_downloaded_whole(tmp_path: Path, mirror: Path) -> None:
    home = tmp_path / "data"
    data = load_dataset("fashion-mnist", home)
    assert len(data.train_images) == 20
    assert sorted(path.name for path in (home / "FashionMNIST/raw").iterdir()) == sorted(PARTS)
    assert [path.name for path in home.iterdir()] == ["FashionMNIST"]
    shutil.rmtree(mirror)
    assert load_dataset("fashion-mnist", home).fingerprint == data.fingerprint
    # torchvision itself reads what lies there.
    theirs = torchvision.datasets.FashionMNIST(str(home), train=False)
    assert torch.equal(theirs.data, data.test_images[:, 0])


@pytest.mark.parametrize("part", PARTS)
def test_a_download_with_a_wrong_checksum_leaves_nothing(tmp_path: Path, mirror: Path, part: str) -> None:
    path = mirror / f"{part}.gz"
    path.write_bytes(path.read_bytes()[:-5])
    home = tmp_path / "data"
    with pytest.raises(DataError, match="could not be downloaded"):
        download_dataset("fashion-mnist", home)
    assert list(home.iterdir()) == []
    assert not dataset_info("fashion-mnist", home).available


def test_an_existing_file_survives_and_gaps_are_filled(tmp_path: Path, mirror: Path) -> None:
    home = tmp_path / "data"
    put(home / "FashionMNIST/raw", leave_out=PARTS[3])
    assert load_dataset("fashion-mnist", home).test_labels.tolist() == list(range(10))


def test_the_timeout_of_sockets_is_as_before(tmp_path: Path, mirror: Path) -> None:
    before = socket.getdefaulttimeout()
    download_dataset("fashion-mnist", tmp_path / "data")
    assert socket.getdefaulttimeout() == before


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path, mirror: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="could not be downloaded"):
        download_dataset("fashion-mnist", tmp_path / "file" / "data")


def test_the_script_picks_the_first_of_each_class(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, ".gz")
    script = runpy.run_path(str(SCRIPT), run_name="script")
    script["mini"].__globals__["IMAGES_PER_CLASS"] = 1
    arrays = script["mini"](tmp_path)
    assert arrays["train_labels"].tolist() == list(range(10))
    assert np.array_equal(arrays["train_images"], read_idx(tmp_path / f"{PARTS[0]}.gz")[:10])
    made = [tmp_path / "first.npz", tmp_path / "second.npz"]
    for path in made:
        script["write"](path, arrays)
    assert made[0].read_bytes() == made[1].read_bytes()


@pytest.mark.parametrize("arguments", [[], ["nowhere"]], ids=["none", "no such folder"])
def test_the_script_refuses_bad_arguments(monkeypatch: pytest.MonkeyPatch, arguments: list[str]) -> None:
    monkeypatch.setattr("sys.argv", [str(SCRIPT), *arguments])
    with pytest.raises(SystemExit, match=r"usage|error: cannot read"):
        runpy.run_path(str(SCRIPT), run_name="__main__")
