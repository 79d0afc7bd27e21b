"""Small files in the true formats of published data sets, with their checksums."""

import hashlib
import io
import pickle
import struct
import tarfile
import zipfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import scipy.io
from PIL import Image

CIFAR10_NAMES = [f"class {k}" for k in range(10)]
CIFAR100_NAMES = [f"class {k}" for k in range(100)]
WNIDS = ("n02124075", "n01443537", "n04067472")  # in the order of the file, which is not that of the names


def md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


def _batch(seed: int, count: int, classes: int, key: str) -> bytes:
    """Pickle a batch, as Python 2 did, in which the published ones are written."""
    rng = np.random.default_rng(seed)
    images = rng.integers(256, size=(count, 3072), dtype=np.uint8)
    labels = [int(k) for k in rng.permutation(np.arange(count) % classes)]
    return python2_batch(images, key, labels)


def python2_batch(images: np.ndarray, key: str, labels: list[int]) -> bytes:
    """Write a pickle of protocol 2 by hand: texts and the array's bytes are Python 2's strings."""

    def text(value: bytes) -> bytes:
        return b"U" + bytes([len(value)]) + value

    minus_one = b"J\xff\xff\xff\xff"
    array = b"".join(
        [
            b"cnumpy.core.multiarray\n_reconstruct\n",
            b"cnumpy\nndarray\nK\x00\x85" + text(b"b") + b"\x87R",
            b"(K\x01" + b"".join(b"J" + struct.pack("<i", n) for n in images.shape) + b"\x86",
            b"cnumpy\ndtype\n" + text(b"u1") + b"K\x00K\x01\x87R",
            b"(K\x03" + text(b"|") + b"NNN" + minus_one + minus_one + b"K\x00tb",
            b"\x89T" + struct.pack("<i", images.nbytes) + images.tobytes() + b"tb",
        ]
    )
    numbers = b"](" + b"".join(b"K" + bytes([label]) for label in labels) + b"e"
    label = text(b"batch_label") + text(b"training batch")
    return b"\x80\x02}(" + label + text(key.encode()) + numbers + text(b"data") + array + b"u."


def cifar10_files(each: int = 20) -> dict[str, bytes]:
    """Make five training batches of ``each`` images, a test batch and the names."""
    files = {f"data_batch_{n}": _batch(n, each, 10, "labels") for n in range(1, 6)}
    files["test_batch"] = _batch(6, 20, 10, "labels")
    files["batches.meta"] = pickle.dumps({"label_names": CIFAR10_NAMES, "num_vis": 3072}, protocol=2)
    return files


def cifar100_files(train: int = 300, test: int = 100) -> dict[str, bytes]:
    """Make the training and the test file of CIFAR-100 and the names."""
    return {
        "train": _batch(1, train, 100, "fine_labels"),
        "test": _batch(2, test, 100, "fine_labels"),
        "meta": pickle.dumps({"fine_label_names": CIFAR100_NAMES, "coarse_label_names": []}, protocol=2),
    }


def stl10_files(train: int = 20, test: int = 10) -> dict[str, bytes]:
    """Make images and labels of STL-10, and the unlabelled ones that nobody reads."""
    rng = np.random.default_rng(0)
    files = {}
    for part, count in (("train", train), ("test", test)):
        files[f"{part}_X.bin"] = rng.integers(256, size=(count, 3, 96, 96), dtype=np.uint8).tobytes()
        files[f"{part}_y.bin"] = (np.arange(count) % 10 + 1).astype(np.uint8).tobytes()
    files["unlabeled_X.bin"] = b"\0" * (3 * 96 * 96)
    return files


def svhn_files(train: int = 37, test: int = 21, each: int = 1) -> dict[str, bytes]:
    """Make the two MATLAB files of SVHN: ``each`` of a class, the rest ones; zero written as ten."""
    rng = np.random.default_rng(0)
    files = {}
    for part, count in (("train", train), ("test", test)):
        buffer = io.BytesIO()
        images = rng.integers(256, size=(32, 32, 3, count), dtype=np.uint8)
        some = np.tile(np.arange(1, 11), each)[:count]
        labels = np.concatenate([some, np.full(count - len(some), 1)]).astype(np.uint8)
        scipy.io.savemat(buffer, {"X": images, "y": rng.permutation(labels)[:, None]}, do_compression=True)
        files[f"{part}_32x32.mat"] = buffer.getvalue()
    return files


def checksums(files: dict[str, bytes], leave_out: Iterable[str] = ()) -> dict[str, str]:
    return {name: md5(content) for name, content in files.items() if name not in leave_out}


def unpack_into(folder: Path, files: dict[str, bytes]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


def pack(archive: Path, root: str, files: dict[str, bytes]) -> Path:
    archive.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(archive, "w:gz") as opened:
        for name, content in files.items():
            member = tarfile.TarInfo(f"{root}/{name}")
            member.size = len(content)
            opened.addfile(member, io.BytesIO(content))
    return archive


def jpeg(seed: int, mode: str = "RGB", side: int = 64) -> bytes:
    rng = np.random.default_rng(seed)
    coarse = rng.integers(256, size=(8, 8, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(coarse).resize((side, side)).convert(mode).save(buffer, "JPEG")
    return buffer.getvalue()


def tiny_imagenet_files(each: int = 4, val: int = 3, wnids: tuple[str, ...] = WNIDS) -> dict[str, bytes]:
    """Make the layout of Tiny-ImageNet: one grey image among coloured ones, an unlabelled test part."""
    files = {"wnids.txt": "".join(f"{wnid}\n" for wnid in wnids).encode()}
    words = [f"{wnid}\tname of {wnid}, another word\n" for wnid in reversed(wnids)]
    files["words.txt"] = "".join(["n00001740\tentity\n", *words]).encode()
    lines = []
    for k, wnid in enumerate(wnids):
        files[f"train/{wnid}/{wnid}_boxes.txt"] = b"boxes\n"
        for n in range(each):
            mode = "L" if (k, n) == (0, 0) else "RGB"
            files[f"train/{wnid}/images/{wnid}_{n}.JPEG"] = jpeg(100 * k + n, mode)
    for n in range(val * len(wnids)):
        files[f"val/images/val_{n}.JPEG"] = jpeg(10_000 + n)
        lines.append(f"val_{n}.JPEG\t{wnids[n % len(wnids)]}\t0\t0\t62\t62\n")
    files["val/val_annotations.txt"] = "".join(lines).encode()
    files["test/images/test_0.JPEG"] = jpeg(20_000)
    return files


def write_tree(root: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return root


def zip_tree(archive: Path, root: str, files: dict[str, bytes]) -> str:
    """Write a zip archive and return its checksum."""
    archive.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(archive, "w") as opened:
        opened.writestr(f"{root}/", b"")
        for name, content in files.items():
            opened.writestr(f"{root}/{name}", content)
    return md5(archive.read_bytes())
