import os
import shutil
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.datasets import ImageFolder

from cfa.data import dataset_info, load_dataset, load_tiny_imagenet
from cfa.data import tiny_imagenet as module
from cfa.errors import DataError
from tests.support.published import WNIDS, jpeg, md5, tiny_imagenet_files, write_tree, zip_tree

ROOT = "tiny-imagenet-200"
FILES = tiny_imagenet_files()
ARCHIVE = "tiny-imagenet-200-subset.tar.xz"


@pytest.fixture
def unpacked(tmp_path: Path) -> Path:
    write_tree(tmp_path / ROOT, FILES)
    return tmp_path


def stored(folder: Path) -> list[Path]:
    return sorted((folder / "decoded" / "tiny-imagenet").glob("*"))


def test_the_training_part_is_what_torchvision_reads(unpacked: Path) -> None:
    data = load_dataset("tiny-imagenet", unpacked)
    theirs = ImageFolder(str(unpacked / ROOT / "train"))
    assert theirs.classes == sorted(WNIDS)
    assert list(data.class_names) == [f"name of {wnid}" for wnid in theirs.classes]
    assert data.train_labels.tolist() == theirs.targets
    for mine, (image, _) in zip(data.train_images, theirs, strict=True):
        assert np.array_equal(mine.permute(1, 2, 0).numpy(), np.asarray(image))


def test_the_validation_part_is_the_test_set_by_its_annotations(unpacked: Path) -> None:
    data = load_tiny_imagenet(unpacked)
    lines = (unpacked / ROOT / "val" / "val_annotations.txt").read_text().splitlines()
    assert len(data.test_images) == len(lines) == 9
    for image, label, line in zip(data.test_images, data.test_labels, lines, strict=True):
        file, wnid = line.split("\t")[:2]
        assert sorted(WNIDS)[label] == wnid
        pixels = np.asarray(Image.open(unpacked / ROOT / "val" / "images" / file))
        assert np.array_equal(image.permute(1, 2, 0).numpy(), pixels)


@pytest.mark.parametrize("place", ["val/{wnid}/{file}", "val/{wnid}/images/{file}"])
def test_sorted_validation_images_are_found(unpacked: Path, place: str) -> None:
    expected = load_tiny_imagenet(unpacked)
    for line in FILES["val/val_annotations.txt"].decode().splitlines():
        file, wnid = line.split("\t")[:2]
        target = unpacked / ROOT / place.format(file=file, wnid=wnid)
        target.parent.mkdir(parents=True, exist_ok=True)
        (unpacked / ROOT / "val" / "images" / file).rename(target)
    assert load_tiny_imagenet(unpacked).fingerprint == expected.fingerprint


def test_the_archive_is_the_same_data_set(unpacked: Path, tmp_path: Path) -> None:
    folder = tmp_path / "zipped"
    checksum = zip_tree(folder / f"{ROOT}.zip", ROOT, FILES)
    data, expected = load_tiny_imagenet(folder, checksum), load_tiny_imagenet(unpacked)
    assert data.fingerprint == expected.fingerprint
    assert data.class_names == expected.class_names
    assert [path.name for path in folder.iterdir() if path.is_dir()] == ["decoded"]
    (folder / f"{ROOT}.zip").unlink()
    assert load_tiny_imagenet(folder, checksum).fingerprint == data.fingerprint


def test_it_is_decoded_once(unpacked: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = load_tiny_imagenet(unpacked)
    monkeypatch.setattr(Image, "open", lambda *a: pytest.fail("it was decoded again"))
    assert load_tiny_imagenet(unpacked).fingerprint == first.fingerprint
    assert len(stored(unpacked)) == 1


CHANGES: dict[str, Callable[[Path], object]] = {
    "another content": lambda root: (root / "train" / WNIDS[0] / "images" / f"{WNIDS[0]}_1.JPEG").write_bytes(
        jpeg(999)
    ),
    "another class": lambda root: (root / "val" / "val_annotations.txt").write_text(
        FILES["val/val_annotations.txt"]
        .decode()
        .replace(f"val_0.JPEG\t{WNIDS[0]}", f"val_0.JPEG\t{WNIDS[1]}")
    ),
    "another name": lambda root: (root / "words.txt").write_text(f"{WNIDS[0]}\tcat\n"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_folder_is_decoded_anew(unpacked: Path, change: str) -> None:
    first = load_tiny_imagenet(unpacked)
    (before,) = stored(unpacked)
    CHANGES[change](unpacked / ROOT)
    second = load_tiny_imagenet(unpacked)
    (after,) = stored(unpacked)
    assert before != after
    assert (second.fingerprint, second.class_names) != (first.fingerprint, first.class_names)


def without(*paths: str) -> Callable[[Path], None]:
    def remove(root: Path) -> None:
        for path in paths:
            shutil.rmtree(root / path) if (root / path).is_dir() else (root / path).unlink()

    return remove


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (without("wnids.txt"), r"holds no wnids\.txt"),
        (without("words.txt"), r"holds no words\.txt"),
        (without("val/val_annotations.txt"), r"holds no val/val_annotations\.txt"),
        (without("val/images/val_4.JPEG"), r"is not whole: it holds no val/images/val_4\.JPEG"),
        (without("train"), f"the class {sorted(WNIDS)[0]} has 0 training images and others have 0"),
        (without(f"train/{WNIDS[2]}"), f"the class {WNIDS[2]} has 0 training images and others have 4"),
        (
            without(f"train/{WNIDS[1]}/images/{WNIDS[1]}_3.JPEG"),
            f"the class {WNIDS[1]} has 3 training images and others have 4",
        ),
        (lambda root: (root / "wnids.txt").write_text(""), r"the class wnids\.txt has 0 training images"),
        (
            lambda root: (root / "wnids.txt").write_text("\n".join(WNIDS[:2])),
            f"the class '{WNIDS[2]}', which wnids.txt does not have",
        ),
    ],
)
def test_a_half_unpacked_folder_is_never_taken_for_whole(
    unpacked: Path, damage: Callable[[Path], object], reason: str
) -> None:
    damage(unpacked / ROOT)
    with pytest.raises(DataError, match=rf"{reason}.* or unpack it again"):
        load_tiny_imagenet(unpacked)
    module._counted.cache_clear()
    info = dataset_info("tiny-imagenet", unpacked)
    assert not info.available
    assert "unpack it again" in info.how_to_get
    assert stored(unpacked) == []


@pytest.mark.parametrize("zipped", [False, True], ids=["folder", "archive"])
@pytest.mark.parametrize("content", [b"", b"no image", jpeg(3)[:300]], ids=["empty", "text", "cut short"])
def test_a_broken_image_is_named(tmp_path: Path, content: bytes, zipped: bool) -> None:
    path = f"train/{WNIDS[1]}/images/{WNIDS[1]}_2.JPEG"
    files = FILES | {path: content}
    if zipped:
        checksum = zip_tree(tmp_path / f"{ROOT}.zip", ROOT, files)
    else:
        write_tree(tmp_path / ROOT, files)
    with pytest.raises(DataError, match=rf"{WNIDS[1]}_2\.JPEG cannot be read .* replace or delete it"):
        load_tiny_imagenet(tmp_path, checksum if zipped else None)
    assert stored(tmp_path) == []


def test_an_archive_with_another_checksum_is_refused(tmp_path: Path) -> None:
    archive = tmp_path / f"{ROOT}.zip"
    checksum = zip_tree(archive, ROOT, FILES)
    whole = archive.read_bytes()
    archive.write_bytes(whole[:-100])
    with pytest.raises(DataError, match=r"has the checksum .* it is truncated, or another version"):
        load_tiny_imagenet(tmp_path, checksum)
    with pytest.raises(DataError, match=r"unpack it to tiny-imagenet-200/ and remove it to use it as it is"):
        load_tiny_imagenet(tmp_path)  # nor is it the published one
    with pytest.raises(DataError, match="is truncated or damaged"):
        load_tiny_imagenet(tmp_path, md5(archive.read_bytes()))  # whoever says so is not believed either
    assert stored(tmp_path) == []


def test_a_member_that_was_changed_is_found(tmp_path: Path) -> None:
    archive = tmp_path / f"{ROOT}.zip"
    zip_tree(archive, ROOT, FILES)
    with zipfile.ZipFile(archive) as opened:
        offset = opened.getinfo(f"{ROOT}/train/{WNIDS[0]}/images/{WNIDS[0]}_1.JPEG").header_offset
    content = bytearray(archive.read_bytes())
    content[offset + 600] ^= 0xFF
    archive.write_bytes(content)
    with pytest.raises(DataError, match=rf"{WNIDS[0]}_1\.JPEG cannot be read \(Bad CRC-32"):
        load_tiny_imagenet(tmp_path, md5(bytes(content)))


def test_classes_that_share_a_word_are_told_apart(tmp_path: Path) -> None:
    words = f"{WNIDS[0]}\tcrane, bird\n{WNIDS[1]}\tcrane, machine\n".encode()
    write_tree(tmp_path / ROOT, FILES | {"words.txt": words})
    data = load_tiny_imagenet(tmp_path)
    assert data.class_names == (f"crane ({WNIDS[1]})", f"crane ({WNIDS[0]})", WNIDS[2])


def test_it_describes_what_is_there(tmp_path: Path) -> None:
    module._counted.cache_clear()
    info = dataset_info("tiny-imagenet", tmp_path)
    assert (info.classes, info.train_images, info.test_images) == (200, 100_000, 10_000)
    assert (info.available, info.download_bytes) == (False, 248_100_043)
    assert "(248 MB)" in info.how_to_get
    assert f"{ROOT}.zip" in info.how_to_get
    write_tree(tmp_path / ROOT, FILES)
    info = dataset_info("tiny-imagenet", tmp_path)
    assert (info.classes, info.train_images, info.test_images) == (3, 12, 9)
    assert (info.available, info.how_to_get) == (True, "")


def test_real_images(tmp_path: Path) -> None:
    shared = os.environ.get("CFA_SHARED_DATA")
    if not shared or not (Path(shared) / ARCHIVE).is_file():
        pytest.skip(f"needs images of Tiny-ImageNet: set CFA_SHARED_DATA to the folder with {ARCHIVE}")
    with tarfile.open(Path(shared) / ARCHIVE) as opened:
        opened.extractall(tmp_path, filter="data")
    module._counted.cache_clear()
    info, data = (call("tiny-imagenet", tmp_path) for call in (dataset_info, load_dataset))
    assert (info.classes, info.train_images, info.test_images) == (200, 4000, 2000)
    assert tuple(data.train_images.shape) == (4000, 3, 64, 64)
    assert torch.bincount(data.train_labels).tolist() == [20] * 200
    assert torch.bincount(data.test_labels).tolist() == [10] * 200
    assert data.class_names[:3] == ("goldfish", "European fire salamander", "bullfrog")
    assert len(set(data.class_names)) == 200
    theirs = ImageFolder(str(tmp_path / ROOT / "train"))
    assert data.train_labels.tolist() == theirs.targets
    for n in range(0, 4000, 371):
        assert np.array_equal(data.train_images[n].permute(1, 2, 0).numpy(), np.asarray(theirs[n][0]))
    # Statistics of the whole training part, as RobustLT's code has them: 0.4802, 0.4481, 0.3975.
    means = data.train_images.double().mean(dim=(0, 2, 3)) / 255
    assert means.tolist() == pytest.approx([0.4802, 0.4481, 0.3975], abs=0.01)
