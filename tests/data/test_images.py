"""Pixels of images: 16 bits over a whole set, sizes that would fill the memory, and what is opened."""

import io
import struct
import subprocess
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cfa.data import dataset_info, load_folder
from cfa.errors import DataError


def save(file: Path, pixels: np.ndarray) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(file)
    return file


def png(width: int, height: int, bits: int, colour: int, rows: bytes) -> bytes:
    """Write a PNG by hand: Pillow writes no colours of 16 bits, and no image larger than its memory."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        )

    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        (chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b""))
    )


def deep_colour(value: int, size: int = 4) -> bytes:
    row = b"\0" + struct.pack(">H", value) * (3 * size)
    return png(size, size, 16, 2, row * size)


# Ranges of 16 bits -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("brightest", "other", "bits", "expected"),
    [
        (255, 100, 8, 100),
        (256, 100, 10, 100 >> 2),
        (1023, 512, 10, 128),
        (4095, 2048, 12, 128),
        (16383, 1 << 13, 14, 128),
        (16384, 1 << 13, 16, 32),
        (65535, 0x8000, 16, 128),
        (0, 0, 8, 0),
    ],
)
def test_the_range_of_16_bits_is_looked_at_over_the_whole_set(
    tmp_path: Path, brightest: int, other: int, bits: int, expected: int
) -> None:
    root = tmp_path / "set"
    for part, number in (("train", 0), ("test", 1), ("test", 2)):
        for name in ("a", "b"):
            save(root / part / name / f"{number}.png", np.full((4, 4), other, np.uint16))
    save(root / "test" / "b" / "9.png", np.full((4, 4), brightest, np.uint16))  # only one shows the range
    data = load_folder(root, tmp_path / "data")
    assert data.train_images.unique().tolist() == [expected]
    assert data.test_images.max() == max(expected, brightest >> (bits - 8))
    use = "all of these" if bits == 16 else f"{bits} of these, over the whole set"
    assert data.notes == (f"7 grey images of 16 bits use {use}: the upper eight are kept",)


def test_values_of_8_bits_come_out_as_they_are_in_files_of_8_and_16(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    for name in ("a", "b"):
        for number in range(3):
            pixels = generator.integers(0, 256, (8, 8)).astype(np.uint8)
            save(tmp_path / "deep" / "test" / name / f"{number}.png", pixels.astype(np.uint16))
            save(tmp_path / "plain" / "test" / name / f"{number}.png", pixels)
    deep, plain = (load_folder(tmp_path / kind, tmp_path / "data") for kind in ("deep", "plain"))
    assert deep.fingerprint == plain.fingerprint


def test_the_range_is_said_before_and_after_it_is_known(tmp_path: Path) -> None:
    root = tmp_path / "set"
    for name in ("a", "b"):
        save(root / "test" / name / "0.png", np.full((4, 4), 4000, np.uint16))
    unknown = "2 images of 16 bits: how many they use is looked at when they are read"
    only = "without a training part it can be evaluated on only"
    assert dataset_info(f"folder:{root}", tmp_path / "data").notes == (only, unknown)
    known = "2 grey images of 16 bits use 12 of these, over the whole set: the upper eight are kept"
    for _ in range(2):
        assert load_folder(root, tmp_path / "data").notes == (only, known)
    assert dataset_info(f"folder:{root}", tmp_path / "data").notes == (only, known)


def test_an_image_more_may_change_the_range(tmp_path: Path) -> None:
    root = tmp_path / "set"
    for name in ("a", "b"):
        save(root / "test" / name / "0.png", np.full((4, 4), 200, np.uint16))
    assert load_folder(root, tmp_path / "data").test_images.max() == 200
    save(root / "test" / "a" / "1.png", np.full((4, 4), 65535, np.uint16))
    assert load_folder(root, tmp_path / "data").test_images[:, 0, 0, 0].tolist() == [0, 255, 0]


@pytest.mark.parametrize(("value", "kept"), [(0xFFFF, 255), (0x8000, 128), (0x4000, 64)])
def test_colours_of_16_bits_keep_their_upper_eight(tmp_path: Path, value: int, kept: int) -> None:
    for name in ("a", "b"):
        file = tmp_path / "set" / "test" / name / "0.png"
        file.parent.mkdir(parents=True)
        file.write_bytes(deep_colour(value))
    data = load_folder(tmp_path / "set", tmp_path / "data")
    assert data.test_images.unique().tolist() == [kept]
    assert "2 coloured images of 16 bits: the upper eight are kept" in data.notes


@pytest.mark.parametrize("value", [200, 4095, 16383])
def test_colours_of_16_bits_that_would_come_out_dark_are_refused(tmp_path: Path, value: int) -> None:
    for name in ("a", "b"):
        file = tmp_path / "set" / "test" / name / "0.png"
        file.parent.mkdir(parents=True)
        file.write_bytes(deep_colour(value))
    with pytest.raises(DataError, match=r"a/0\.png, have no value above .* and would come out dark; save"):
        load_folder(tmp_path / "set", tmp_path / "data")


@pytest.mark.parametrize(("lowest", "highest"), [(-5, 100), (0, 70_000)])
def test_numbers_that_are_no_brightness_are_refused(tmp_path: Path, lowest: int, highest: int) -> None:
    for name in ("a", "b"):
        save(tmp_path / "set" / "test" / name / "0.tif", np.array([[lowest, highest]] * 4, np.int32))
    with pytest.raises(DataError, match=f"has values from {lowest} to {highest}, which no rule takes"):
        load_folder(tmp_path / "set", tmp_path / "data")


# Sizes -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(1, 60_000), (60_000, 1), (2, 9_000), (3_000, 5)])
def test_a_thin_image_does_not_fill_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: tuple[int, int]
) -> None:
    root = tmp_path / "set"
    for name in ("a", "b"):
        for number in range(2):
            save(root / "test" / name / f"{number}.png", np.full((240, 240), 50, np.uint8))
    width, height = size
    pixels = np.full((height, width), 200, np.uint8)
    middle = (
        np.s_[height // 2 - 20 : height // 2 + 20]
        if height > width
        else np.s_[:, width // 2 - 20 : width // 2 + 20]
    )
    pixels[middle] = 90
    save(root / "test" / "b" / "9.png", pixels)
    made, real = [], Image.Image.resize

    def watched(image: Image.Image, size: tuple[int, int], *arguments: object) -> Image.Image:
        made.append(size)
        return real(image, size, *arguments)

    monkeypatch.setattr(Image.Image, "resize", watched)
    data = load_folder(root, tmp_path / "data")
    assert max(width * height for width, height in made) <= 8 * 224 * 224
    assert data.test_images[-1].unique().tolist() == [90]  # what is in its middle


def test_an_image_of_too_many_pixels_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    root = tmp_path / "set"
    for name in ("a", "b"):
        save(root / "test" / name / "0.png", np.zeros((4, 4), np.uint8))
    (root / "test" / "b" / "1.png").write_bytes(png(30_000, 30_000, 1, 0, b""))
    with pytest.raises(DataError, match=r"b/1\.png cannot be read \(.*pixels.*\); replace or delete it"):
        load_folder(root, tmp_path / "data")
    (root / "test" / "b" / "1.png").write_bytes(png(9_420, 9_450, 1, 0, b""))  # Pillow would not mind
    with pytest.raises(DataError, match="9420 × 9450 are more than 89 million pixels"):
        load_folder(root, tmp_path / "data")


# What is opened --------------------------------------------------------------------------------------------


def test_a_file_that_a_program_would_have_to_open_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[object] = []
    for call in ("Popen", "check_call", "run"):
        monkeypatch.setattr(subprocess, call, lambda *arguments, **settings: started.append(arguments))
    root = tmp_path / "set"
    for name in ("a", "b"):
        save(root / "test" / name / "0.png", np.zeros((4, 4), np.uint8))
    (root / "test" / "a" / "1.png").write_bytes(
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 100 100\n%%EndComments\nshowpage\n%%EOF\n"
    )
    with pytest.raises(DataError, match=r"a/1\.png cannot be read"):
        load_folder(root, tmp_path / "data")
    assert started == []


@pytest.mark.parametrize("kind", ["GIF", "BMP", "TIFF", "WEBP", "JPEG", "PPM"])
def test_an_image_is_what_its_content_says(tmp_path: Path, kind: str) -> None:
    for name in ("a", "b"):
        file = tmp_path / "set" / "test" / name / "0.jpg"
        file.parent.mkdir(parents=True)
        Image.new("RGB", (8, 8), (255, 255, 255)).save(file, kind)
    assert load_folder(tmp_path / "set", tmp_path / "data").test_images.min() == 255


def tiff_of_other_types(kind: int) -> bytes:
    """Write a TIFF that says where its pixels are in numbers of another type (5: fractions, 2: text)."""
    content = io.BytesIO()
    Image.new("CMYK", (9, 9), 1).save(content, "TIFF")
    written = bytearray(content.getvalue())
    (directory,) = struct.unpack_from("<I", written, 4)
    (entries,) = struct.unpack_from("<H", written, directory)
    places = [directory + 2 + 12 * number for number in range(entries)]
    (offsets,) = [place for place in places if struct.unpack_from("<H", written, place) == (273,)]
    struct.pack_into("<H", written, offsets + 2, kind)
    return bytes(written)


@pytest.mark.parametrize("kind", [2, 5, 7, 11], ids=["text", "fractions", "bytes", "floats"])
def test_whatever_a_header_says_is_a_sentence(tmp_path: Path, kind: int) -> None:
    for name in ("a", "b"):
        file = tmp_path / "set" / "test" / name / "0.tif"
        file.parent.mkdir(parents=True)
        file.write_bytes(tiff_of_other_types(kind))
    with pytest.raises(DataError, match=r"a/0\.tif cannot be read \(.*\); replace or delete it"):
        load_folder(tmp_path / "set", tmp_path / "data")
