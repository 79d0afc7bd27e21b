import os
import threading
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from PIL import Image
from torchvision.datasets import ImageFolder

from cfa.config import RunConfig
from cfa.data import (
    DATASETS,
    FOLDER,
    Dataset,
    dataset_info,
    download_dataset,
    full_name,
    load_dataset,
    load_folder,
    scan_folder,
)
from cfa.errors import DataError
from cfa.methods import configure
from cfa.training import fit
from cfa.training.estimate import estimate_seconds
from tests.support.tiny import CPU, Stopper, tiny_store


def draw(file: Path, colour: object = 0, size: tuple[int, int] = (9, 9), mode: str = "RGB") -> Path:
    """Write an image of one colour."""
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, colour).save(file)
    return file


def noise(file: Path, seed: int, size: tuple[int, int] = (9, 9)) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(file)
    return file


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    """Two parts, three classes; images at several depths, among other files."""
    root = tmp_path / "pets"
    seeds = iter(range(1000))
    for part, count in (("train", 5), ("test", 3)):
        for name in ("cat", "ant", "bee"):
            for number in range(count):
                deep = Path("b", "c") if number == 1 else Path()
                noise(root / part / name / deep / f"{number}.png", next(seeds))
        (root / part / "cat" / "notes.txt").write_text("no image")
        (root / part / "cat" / "._0.png").write_bytes(b"what macOS leaves behind")
        (root / part / ".cache").mkdir()
        (root / part / "__MACOSX").mkdir()
    (root / "val").mkdir()
    return root


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "data"


def stored(cache: Path) -> list[Path]:
    return sorted(file for file in cache.rglob("*") if file.is_file())


def test_a_folder_is_what_torchvision_reads(pets: Path, cache: Path) -> None:
    data = load_dataset(f"folder:{pets}", cache)
    assert data.class_names == ("ant", "bee", "cat")
    assert data.name == f"folder:{pets}"
    for part, images, labels in (
        ("train", data.train_images, data.train_labels),
        ("test", data.test_images, data.test_labels),
    ):
        for junk in (pets / part / ".cache", pets / part / "__MACOSX", pets / part / "cat" / "._0.png"):
            junk.unlink() if junk.is_file() else junk.rmdir()  # torchvision stumbles over them
        theirs = ImageFolder(str(pets / part))
        assert theirs.classes == list(data.class_names)
        assert labels.tolist() == theirs.targets
        for mine, (image, _) in zip(images, theirs, strict=True):
            assert np.array_equal(mine.permute(1, 2, 0).numpy(), np.asarray(image))


def test_it_describes_itself_before_and_after_it_was_decoded(pets: Path, cache: Path) -> None:
    before = dataset_info(f"folder:{pets}", cache)
    assert (before.classes, before.channels, before.image_size) == (3, 3, 9)
    assert (before.train_images, before.test_images, before.available) == (15, 9, True)
    assert before.title == "pets (image folder)"
    assert stored(cache) == []
    data = load_dataset(f"folder:{pets}", cache)
    assert dataset_info(f"folder:{pets}", cache) == before
    assert before.name == data.name
    download_dataset(f"folder:{pets}", cache)


def test_names_mean_the_same_from_everywhere(pets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(pets.parent)
    monkeypatch.setenv("HOME", str(pets.parent))
    for name in ("folder:pets", "folder:./pets/../pets", "folder:~/pets", f"folder:{pets}"):
        assert full_name(name) == f"folder:{pets}"
    for name in ("fashion-mnist", "my_sets:tiny", "folder"):
        assert full_name(name) == name


@pytest.mark.parametrize("inside", ["train", "."], ids=["train alone", "class folders alone"])
def test_without_a_test_folder_a_tenth_of_each_class_is_drawn(tmp_path: Path, inside: str) -> None:
    root = tmp_path / "set"
    for name, count in (("few", 2), ("some", 20), ("many", 34)):
        for number in range(count):
            draw(root / inside / name / f"{number:03}.png", (number, count, 0))
    data, again = (load_folder(root, tmp_path / place) for place in ("one", "two"))
    assert torch.bincount(data.train_labels).tolist() == [1, 31, 18]  # few, many, some
    assert torch.bincount(data.test_labels).tolist() == [1, 3, 2]
    assert again.fingerprint == data.fingerprint
    seen = torch.cat([data.train_images, data.test_images])[:, :2, 0, 0]
    assert len({tuple(pair) for pair in seen.tolist()}) == 2 + 20 + 34  # each image is in one part
    info = dataset_info(f"folder:{root}", tmp_path / "one")
    assert (info.train_images, info.test_images) == (50, 6)


def test_a_test_folder_alone_can_be_evaluated_on_and_not_trained_on(tmp_path: Path, cache: Path) -> None:
    for name in ("ant", "bee"):
        for number in range(25):
            noise(tmp_path / "set" / "test" / name / f"{number}.png", number)
    data = load_folder(tmp_path / "set", cache)
    assert data.test_only
    assert data.train_images.shape == (0, 3, 9, 9)
    assert (data.channels, data.image_size, data.num_classes, len(data.test_images)) == (3, 9, 2, 50)
    info = dataset_info(data.name, cache)
    assert (info.train_images, info.test_images, info.available) == (0, 50, True)
    with pytest.raises(DataError, match="test part only"):
        data.require_training_images()
    config = configure("pgd-at", data.name, model="small-cnn", preset="demo")
    run = tiny_store(tmp_path / "home").create(config)
    with pytest.raises(DataError, match=r"has a test part only.*add a train/ folder"):
        fit(run, data, CPU, Stopper())
    with pytest.raises(DataError, match="no training images"):
        estimate_seconds(config, info, CPU)


def test_only_on_purpose_is_a_data_set_without_training_images() -> None:
    images, labels = torch.zeros(2, 1, 8, 8, dtype=torch.uint8), torch.tensor([0, 1])
    empty = (images[:0], labels[:0])
    with pytest.raises(DataError, match=r"train part .* no image of class 'ant'"):
        Dataset("t", ("ant", "bee"), *empty, images, labels)
    assert Dataset("t", ("ant", "bee"), *empty, images, labels, test_only=True).fingerprint
    with pytest.raises(DataError, match="holds 2 images, but it is said to be for tests only"):
        Dataset("t", ("ant", "bee"), images, labels, images, labels, test_only=True)


GREY, COLOUR, MARKED = ("L", 100), ("RGB", (200, 10, 30)), ("RGBA", (9, 8, 7, 0))


@pytest.mark.parametrize(
    ("images", "expected"),
    [
        ((GREY, ("1", 1)), [[100], [255]]),
        ((GREY, ("LA", (50, 0))), [[100], [50]]),
        ((GREY, COLOUR), [[100, 100, 100], [200, 10, 30]]),
        ((MARKED, COLOUR), [[9, 8, 7], [200, 10, 30]]),
        ((GREY, ("P", 0)), [[100] * 3, [0] * 3]),
        ((GREY, ("I;16", 0x9234)), [[100], [0x92]]),
        ((COLOUR, ("I;16", 0xFFFF)), [[200, 10, 30], [255] * 3]),
    ],
)
def test_colours_follow_one_rule(tmp_path: Path, cache: Path, images: tuple, expected: list) -> None:
    for name, (mode, colour) in zip(("a", "b"), images, strict=True):
        draw(tmp_path / "set" / "test" / name / "x.png", colour, mode=mode)
    data = load_folder(tmp_path / "set", cache)
    assert data.test_images[:, :, 4, 4].tolist() == expected


@pytest.mark.parametrize(
    ("sizes", "side"),
    [
        (((10, 10), (10, 10), (10, 10)), 10),
        (((10, 14), (14, 10), (10, 11)), 10),
        (((12, 40), (40, 20), (90, 100)), 20),
        (((300, 300), (400, 500), (600, 230)), 224),
    ],
)
def test_sizes_follow_one_rule(tmp_path: Path, cache: Path, sizes: tuple, side: int) -> None:
    for number, size in enumerate(sizes):
        for name in "ab":
            noise(tmp_path / "set" / "test" / name / f"{number}.png", number, size)
    data = load_folder(tmp_path / "set", cache)
    assert data.image_size == side
    for number, (width, height) in enumerate(sizes):
        image = Image.open(tmp_path / "set" / "test" / "a" / f"{number}.png")
        if min(width, height) != side:
            scale = side / min(width, height)
            image = image.resize((round(width * scale), round(height * scale)), Image.Resampling.BILINEAR)
        pixels = np.asarray(image)
        top, left = (pixels.shape[0] - side) // 2, (pixels.shape[1] - side) // 2
        expected = pixels[top : top + side, left : left + side]
        assert np.array_equal(data.test_images[number].permute(1, 2, 0).numpy(), expected)


@pytest.mark.parametrize(
    "content",
    [b"", b"no image at all", "cut", "float"],
    ids=["empty", "text", "cut short", "without a range"],
)
def test_a_broken_image_is_named(pets: Path, cache: Path, content: bytes | str) -> None:
    broken = pets / "train" / "bee" / "b" / "c" / "1.png"
    if content == "cut":
        broken.write_bytes(broken.read_bytes()[:-60])
    elif content == "float":
        broken = broken.with_suffix(".tif")
        Image.new("F", (9, 9), 0.5).save(broken)
    else:
        broken.write_bytes(content)
    with pytest.raises(DataError) as caught:
        load_folder(pets, cache)
    assert str(broken) in str(caught.value)
    assert "replace or delete it" in str(caught.value)
    assert stored(cache) == []


def make(root: Path, *files: str) -> Path:
    for file in files:
        draw(root / file)
    root.mkdir(exist_ok=True)
    return root


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ((), r"holds 0 class folders where two are needed; it should look like train/<class>/image\.png"),
        (("a/1.png",), "holds 1 class folders"),
        (("1.png", "2.png"), "holds 0 class folders"),
        (("a/1.png", "a/2.png", "b/1.txt.png/x.png", "b/2.png", "c/note.svg.png"), "class 'c' has one image"),
        (("a/1.png", "b/1.png", "b/2.png"), r"no test/ folder.*'a' has one image only"),
        (("train/a/1.png", "train/b/1.png", "test/a/1.png"), "holds 1 class folders"),
        (("train/a/1.png", "train/b/1.png", "train/c/1.png", "test/a/1.png", "test/c/1.png"),
         "has the class 'b' in train/ but not in test/"),
        (("train/a/1.png", "train/b/1.png", "test/a/1.png", "test/b/1.png", "test/d/1.png"),
         "has the class 'd' in test/ but not in train/"),
    ],
)  # fmt: skip
def test_what_is_no_data_set_is_explained(tmp_path: Path, files: tuple, reason: str) -> None:
    root = make(tmp_path / "set", *files)
    with pytest.raises(DataError, match=reason):
        scan_folder(root)
    info = dataset_info(f"folder:{root}", tmp_path / "data")
    assert not info.available
    assert str(root) in info.how_to_get or "class" in info.how_to_get


def test_a_class_without_images_is_named(pets: Path) -> None:
    (pets / "train" / "dog").mkdir()
    (pets / "test" / "dog").mkdir()
    (pets / "train" / "dog" / "readme.md").write_text("")
    with pytest.raises(DataError, match=r"train/dog holds no image \(\.jpg, .*; remove that folder"):
        scan_folder(pets)


def test_a_path_that_is_no_folder_is_explained(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere does not exist; folder:PATH takes a folder"):
        load_dataset(f"folder:{tmp_path}/nowhere", tmp_path)
    file = draw(tmp_path / "x.png")
    with pytest.raises(DataError, match="is a file"):
        load_dataset(f"folder:{file}", tmp_path)
    for name in ("folder", "folder:", "folder: "):
        with pytest.raises(DataError, match="folder needs a path: write folder:PATH"):
            load_dataset(name, tmp_path)
    listed = dataset_info(FOLDER, tmp_path)
    assert (listed.name, listed.available) == ("folder", False)
    assert "folder:PATH" in listed.how_to_get
    assert FOLDER in DATASETS


class Opened:
    """Counts images that Pillow opens."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count, real, lock = 0, Image.open, threading.Lock()

        def counted(*arguments, **settings):
            with lock:
                self.count += 1
            return real(*arguments, **settings)

        monkeypatch.setattr(Image, "open", counted)


def test_images_are_decoded_once(pets: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = load_folder(pets, cache)
    assert [file.suffix for file in stored(cache)] == [".safetensors"]
    opened = Opened(monkeypatch)
    second = load_folder(pets, cache)
    assert opened.count == 0
    assert second.fingerprint == first.fingerprint
    assert torch.equal(second.train_images, first.train_images)
    assert torch.equal(second.test_labels, first.test_labels)


CHANGES = {
    "another content": lambda root: noise(root / "test" / "ant" / "0.png", 999),
    "another time": lambda root: os.utime(root / "test" / "ant" / "0.png", ns=(1, 1)),
    "one more": lambda root: noise(root / "train" / "ant" / "new.jpg", 5),
    "one less": lambda root: (root / "train" / "ant" / "0.png").unlink(),
    "another name": lambda root: (root / "train" / "ant" / "0.png").rename(root / "train" / "ant" / "z.png"),
    "another class": lambda root: [
        (root / part / "ant").rename(root / part / "emu") for part in ("train", "test")
    ],
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_folder_is_decoded_anew(pets: Path, cache: Path, change: str) -> None:
    first = load_folder(pets, cache)
    (before,) = stored(cache)
    CHANGES[change](pets)
    second = load_folder(pets, cache)
    (after,) = stored(cache)  # the old one is dropped
    assert after != before
    assert second.fingerprint == load_folder(pets, cache.with_name("fresh")).fingerprint
    if change in ("another content", "one more", "one less", "another name"):
        assert second.fingerprint != first.fingerprint


DAMAGES = {
    "cut": lambda file: file.write_bytes(file.read_bytes()[: file.stat().st_size // 2]),
    "empty": lambda file: file.write_bytes(b""),
    "no cache": lambda file: file.write_bytes(b"x" * 5000),
    "another pixel": lambda file: file.write_bytes(
        file.read_bytes()[:-1] + bytes([file.read_bytes()[-1] ^ 1])
    ),
    "another folder's": lambda file: safetensors.torch.save_file({"images": torch.zeros(3, 3, 9, 9)}, file),
    "another type": lambda file: safetensors.torch.save_file({"images": torch.zeros(24, 3, 9, 9)}, file),
    "other names": lambda file: safetensors.torch.save_file({"pictures": torch.zeros(3)}, file),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_cache_is_never_believed(pets: Path, cache: Path, damage: str) -> None:
    first = load_folder(pets, cache)
    (file,) = stored(cache)
    images = safetensors.torch.load_file(file)["images"].clone()
    DAMAGES[damage](file)
    assert dataset_info(f"folder:{pets}", cache).available
    assert load_folder(pets, cache).fingerprint == first.fingerprint
    assert torch.equal(safetensors.torch.load_file(file)["images"], images)


def test_a_writer_that_dies_leaves_nothing_that_is_believed(
    pets: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*arguments: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", stopped)
        with pytest.raises(KeyboardInterrupt):
            load_folder(pets, cache)
    assert stored(cache) == []
    (folder,) = {path for path in cache.rglob("*") if path.is_dir() and not list(path.iterdir())}
    half = folder / ".images.safetensors.0.tmp"  # what a kill leaves
    half.write_bytes(b"half")
    opened = Opened(monkeypatch)
    load_folder(pets, cache)
    assert opened.count >= 24
    assert len(stored(cache)) == 2  # a young one may belong to another process
    os.utime(half, (1, 1))
    noise(pets / "test" / "ant" / "0.png", 77)
    load_folder(pets, cache)
    assert len(stored(cache)) == 1


def test_a_cache_that_cannot_be_written_is_explained(pets: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(
        DataError, match=r"cannot be kept in .* \(.*\); free .* MB or choose another CFA_HOME"
    ):
        load_folder(pets, tmp_path / "file")


def test_what_does_not_fit_into_the_memory_is_refused(
    pets: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import psutil

    small = psutil.virtual_memory()._replace(available=1000)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: small)
    with pytest.raises(DataError, match=r"24 images of 9 × 9.*of memory are free"):
        load_folder(pets, cache)


def test_a_run_keeps_the_whole_path(pets: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from cfa.jobs.submit import check_names

    monkeypatch.chdir(pets.parent)
    config = configure("pgd-at", "folder:pets", model="small-cnn", preset="demo")
    assert isinstance(config, RunConfig)
    assert check_names(tiny_store(tmp_path / "home"), config).dataset == f"folder:{pets}"
