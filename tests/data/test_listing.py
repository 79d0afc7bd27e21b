"""What is what in a folder of images, and what is said of the rest."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from torchvision.datasets import ImageFolder

from cfa.data import Dataset, dataset_info, load_folder, scan_folder
from cfa.errors import DataError
from tests.data.test_datasets import parts as tiny_parts


def make(root: Path, *files: str) -> Path:
    """Write files below a folder: images where their names say so, folders where they end in a slash."""
    root.mkdir(exist_ok=True)
    for number, name in enumerate(files):
        file = root / name
        if name.endswith("/"):
            file.mkdir(parents=True)
            continue
        file.parent.mkdir(parents=True, exist_ok=True)
        if file.suffix in (".png", ".jpg"):
            Image.new("RGB", (4, 4), (number, 0, 0)).save(file)
        else:
            file.write_text("no image")
    return root


def part(name: str, *classes: str, images: int = 2) -> list[str]:
    return [f"{name}/{label}/{number}.png" for label in classes for number in range(images)]


def read(root: Path) -> tuple[tuple[str, ...], list[str], list[str]]:
    """List classes, training and test images as paths below the folder."""
    found = scan_folder(root)
    files = [[file.relative_to(root).as_posix() for _, file in side] for side in (found.train, found.test)]
    return found.class_names, *files


# Parts -----------------------------------------------------------------------------------------------------

TWO = ("ant", "bee")


@pytest.mark.parametrize("train", ["train", "Train", "TRAIN", "training", "Training"])
@pytest.mark.parametrize("test", ["test", "Test", "TESTING"])
def test_parts_are_known_whatever_their_case(tmp_path: Path, train: str, test: str) -> None:
    root = make(tmp_path / "set", *part(train, *TWO), *part(test, *TWO, images=1))
    assert read(root) == (TWO, part(train, *TWO), part(test, *TWO, images=1))
    assert scan_folder(root).notes == ()


@pytest.mark.parametrize("val", ["val", "valid", "validation", "Val", "VALIDATION"])
@pytest.mark.parametrize("train", ["train", "Training", None])
def test_without_a_test_part_the_validation_part_is_it(tmp_path: Path, val: str, train: str | None) -> None:
    files = [*(part(train, *TWO) if train else []), *part(val, *TWO)]
    root = make(tmp_path / "set", *files)
    assert read(root) == (TWO, part(train, *TWO) if train else [], part(val, *TWO))
    assert f"{val}/ is the test part, for there is no other" in scan_folder(root).notes


def test_a_validation_part_beside_a_test_part_is_said_not_to_be_used(tmp_path: Path) -> None:
    root = make(tmp_path / "set", *part("train", *TWO), *part("val", *TWO), *part("test", *TWO))
    assert read(root) == (TWO, part("train", *TWO), part("test", *TWO))
    said = "val/ is not used: images to validate on are drawn from the training part"
    assert scan_folder(root).notes == (said,)


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ([*part("train", *TWO), *part("Training", *TWO)], "has Training/ and train/, which are both a"),
        ([*part("test", *TWO), *part("TEST", *TWO)], "has TEST/ and test/, which are both a test part"),
        ([*part("train", *TWO), *part("val", *TWO), *part("valid", *TWO)], "which are both a val part"),
        (["train/1.png", "train/2.png", "test/1.png"], "has test/ and train/ without class folders in them"),
        ([*part("train", *TWO), "bus/1.png", "car/1.png"], "has bus, car beside train/: they may be classes"),
        ([*part("test", *TWO), "bus/a/1.png"], "has bus beside test/: they may be classes"),
    ],
    ids=["training", "test", "validation", "no classes", "classes beside", "deep beside"],
)  # fmt: skip
def test_what_could_be_meant_in_two_ways_is_refused(tmp_path: Path, files: list[str], reason: str) -> None:
    root = make(tmp_path / "set", *files)
    with pytest.raises(DataError, match=reason):
        scan_folder(root)


@pytest.mark.parametrize(
    ("files", "note"),
    [
        ([*part("train", *TWO), "test/1.png"], "test/ holds no class folders and is not used"),
        ([*part("train", *TWO), "val/"], "val/ holds no class folders and is not used"),
        ([*part("train", *TWO), *part("test", *TWO), "extra/1.png", "docs/x.txt"],
         "beside the parts, not read: docs, extra"),
        ([*part("train", *TWO), "docs/x.txt"], "beside the parts, not read: docs"),
        (part("train", *TWO), "without a test part, a tenth of each class (drawn with a fixed seed) is it"),
        (part(".", *TWO), "without a test part, a tenth of each class (drawn with a fixed seed) is it"),
        (part("test", *TWO), "without a training part it can be evaluated on only"),
    ],
    ids=["unlabelled", "empty", "others", "no images", "no test part", "no parts", "no training part"],
)  # fmt: skip
def test_what_is_not_read_or_drawn_is_said(tmp_path: Path, files: list[str], note: str) -> None:
    assert note in scan_folder(make(tmp_path / "set", *files)).notes


def test_a_class_may_be_called_as_a_part(tmp_path: Path) -> None:
    root = make(tmp_path / "set", *part(".", "bus", "train"))
    assert scan_folder(root).class_names == ("bus", "train")


# Classes and junk ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["__background__", "__init__", "_", ".hidden", "no entry", "naïve", "犬", "a,b"]
)
def test_a_class_may_have_any_name(tmp_path: Path, name: str) -> None:
    root = make(tmp_path / "set", *part("train", "ant", name), *part("test", "ant", name))
    found = scan_folder(root)
    assert found.class_names == tuple(ImageFolder(str(root / "train")).classes)
    assert name in found.class_names


JUNK = [
    "__MACOSX",
    ".ipynb_checkpoints",
    "@eaDir",
    "__pycache__",
    ".git",
    ".Trash-1000",
    ".cache",
    "Lost+Found",
]


@pytest.mark.parametrize("junk", JUNK)
def test_what_programs_leave_is_no_class_and_is_counted(tmp_path: Path, junk: str) -> None:
    files = [f"{junk}/x.png", f"train/{junk}/x.png", f"test/ant/{junk}/x.png"]
    root = make(tmp_path / "set", *part("train", *TWO), *part("test", *TWO), *files)
    assert read(root) == (TWO, part("train", *TWO), part("test", *TWO))
    assert scan_folder(root).notes == (f"3 entries of programs not read ({junk} 3)",)


def test_files_that_are_none_of_it_are_counted(tmp_path: Path) -> None:
    files = ["readme.md", "train/labels.csv", "train/ant/a.txt", "train/ant/b.TXT", "test/bee/none"]
    files += ["train/ant/._0.png", "test/bee/Thumbs.db", "train/.DS_Store", "1.png", "train/2.png"]
    root = make(tmp_path / "set", *part("train", *TWO), *part("test", *TWO), *files, "train/.empty/")
    assert read(root) == (TWO, part("train", *TWO), part("test", *TWO))
    assert scan_folder(root).notes == (
        "5 files of other types not read (.txt 2, .md 1, .csv 1, no ending 1)",
        "3 entries of programs not read (.DS_Store 1, ._* 1, Thumbs.db 1)",
        "hidden without an image, and not read: train/.empty",
        "2 images outside of class folders not used (1.png, train/2.png)",
    )


def test_a_class_without_images_says_what_is_there(tmp_path: Path) -> None:
    root = make(tmp_path / "set", *part("train", *TWO), "train/cow/1.heic", "train/cow/2.heic")
    with pytest.raises(DataError, match=r"train/cow holds no image \(.*\), but \.heic files; remove that"):
        scan_folder(root)


NAMES = {
    "not UTF-8": (os.fsdecode(b"caf\xe9"), "is not UTF-8"),
    "a line break": ("a\nb", "has a line break"),
    "an escape": ("a\x1b[31m", "has a line break or another control character"),
    "a line separator": ("a\u2028b", "has a line break"),
    "turned": ("a\u202eb", "has a sign in it that turns the direction of reading"),
}


@pytest.mark.parametrize("case", NAMES)
def test_a_class_name_that_cannot_be_stored_is_refused(tmp_path: Path, case: str) -> None:
    name, reason = NAMES[case]
    root = make(tmp_path / "set", *part("train", "ant", name), *part("test", "ant", name))
    with pytest.raises(DataError) as caught:
        scan_folder(root)
    assert f"the class folder {name!r} in {root / 'train'} {reason}" in str(caught.value)
    assert str(caught.value).isprintable()
    str(caught.value).encode()
    with pytest.raises(DataError, match=reason):
        Dataset(**tiny_parts(class_names=("ant", "bee", name)))


def test_a_folder_name_that_cannot_be_stored_is_refused(tmp_path: Path) -> None:
    root = make(tmp_path / os.fsdecode(b"caf\xe9"), *part("train", *TWO))
    with pytest.raises(DataError, match="is not UTF-8; rename it"):
        scan_folder(root)


def test_an_image_whose_name_is_not_utf_8_is_read_and_can_be_named(tmp_path: Path) -> None:
    root = make(tmp_path / "set", *part("test", *TWO))
    image = root / "test" / "ant" / os.fsdecode(b"caf\xe9.png")
    Image.new("RGB", (4, 4)).save(image)
    assert len(load_folder(root, tmp_path / "data").test_images) == 5
    image.write_bytes(b"broken")
    with pytest.raises(DataError, match=r"caf\\udce9\.png' cannot be read") as caught:
        load_folder(root, tmp_path / "data")
    str(caught.value).encode()


# Links -----------------------------------------------------------------------------------------------------


def link(place: Path, aim: Path | str) -> None:
    place.symlink_to(aim, target_is_directory=True)


def link_class(root: Path, elsewhere: Path) -> None:
    (root / "test").mkdir()
    for name in TWO:
        link(root / "test" / name, elsewhere / name)


def link_below_class(root: Path, elsewhere: Path) -> None:
    for name in TWO:
        (root / "test" / name).mkdir(parents=True)
        link(root / "test" / name / "more", elsewhere / name)


def link_images(root: Path, elsewhere: Path) -> None:
    for name in TWO:
        (root / "test" / name).mkdir(parents=True)
        for image in (elsewhere / name).iterdir():
            link(root / "test" / name / image.name, image)


LINKS: dict[str, Callable[[Path, Path], None]] = {
    "a part": lambda root, elsewhere: link(root / "test", elsewhere),
    "a class": link_class,
    "below a class": link_below_class,
    "images": link_images,
}


@pytest.mark.parametrize("case", LINKS)
def test_links_are_followed(tmp_path: Path, case: str) -> None:
    root = make(tmp_path / "set", *part("train", *TWO))
    elsewhere = make(tmp_path / "elsewhere", *part(".", *TWO))
    LINKS[case](root, elsewhere)
    found = scan_folder(root)
    assert [label for label, _ in found.test] == [0, 0, 1, 1]
    assert found.notes == ()
    theirs = ImageFolder(str(root / "test"))
    assert [str(file) for _, file in found.test] == [file for file, _ in theirs.samples]


@pytest.mark.parametrize("aim", [".", "..", "../..", "../../..", "/", "../deep"])
def test_links_in_a_circle_end(tmp_path: Path, aim: str) -> None:
    root = make(tmp_path / "set", *part("train", *TWO), *part("test", *TWO), "train/ant/deep/9.png")
    link(root / "train" / "ant" / "deep" / "again", aim)
    names, train, _ = read(root)
    assert names == TWO
    assert sorted(train) == sorted([*part("train", *TWO), "train/ant/deep/9.png"])
    (note,) = scan_folder(root).notes
    assert note == "links to folders that are read already, not followed again: train/ant/deep/again"


def test_doubling_links_are_read_once(tmp_path: Path) -> None:
    root = make(tmp_path / "set", *part("test", *TWO))
    place = root / "test" / "ant"
    for number in range(30):  # two ways on at each of thirty steps
        (place / "step").mkdir()
        link(place / "also", "step")
        place = place / "step"
        (place / f"{number}.png").write_bytes((root / "test/ant/0.png").read_bytes())
    assert len(scan_folder(root).test) == 4 + 30


def test_a_link_to_nothing_is_said(tmp_path: Path) -> None:
    root = make(tmp_path / "set", *part("train", *TWO), *part("test", *TWO))
    link(root / "train" / "cow", "gone")
    with pytest.raises(DataError, match="train/cow is a link to nothing"):
        scan_folder(root)
    (root / "train" / "cow").unlink()
    link(root / "train" / "ant" / "9.png", "gone.png")
    with pytest.raises(DataError, match=r"cannot read the image .*9\.png \(No such file"):
        load_folder(root, tmp_path / "data")


AS_NOBODY = """
import os, sys
from pathlib import Path
from cfa.data import scan_folder
from cfa.errors import DataError

root = Path(sys.argv[1])
if os.getuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
try:
    os.listdir(root / "test/ant/deep")
    sys.exit("it may be read")
except PermissionError:
    pass
try:
    scan_folder(root)
except DataError as error:
    print(error)
"""


def test_a_folder_that_may_not_be_read_is_said() -> None:
    with tempfile.TemporaryDirectory() as scratch:  # of pytest's own folders nobody else may read any
        Path(scratch).chmod(0o755)
        root = make(Path(scratch, "set"), *part("test", *TWO), "test/ant/deep/1.png")
        denied = root / "test" / "ant" / "deep"
        denied.chmod(0)
        command = [sys.executable, "-c", AS_NOBODY, str(root)]
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
        denied.chmod(0o755)
    assert ended.stdout == f"cannot read the folder {denied} (Permission denied)\n", ended.stderr


# Where it is said ------------------------------------------------------------------------------------------


def test_notes_are_told_before_and_after_a_folder_is_read(tmp_path: Path) -> None:
    root = make(tmp_path / "set", *part("train", *TWO), *part("val", *TWO), "train/ant/x.txt")
    notes = ("val/ is the test part, for there is no other", "1 file of other types not read (.txt 1)")
    before = dataset_info(f"folder:{root}", tmp_path / "data")
    first, again = (load_folder(root, tmp_path / "data") for _ in range(2))
    after = dataset_info(f"folder:{root}", tmp_path / "data")
    assert before.notes == first.notes == again.notes == after.notes == notes
