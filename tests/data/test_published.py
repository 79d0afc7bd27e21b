import dataclasses
import errno
import functools
import http.server
import os
import pickle
import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
import torchvision

from cfa.data import (
    Dataset,
    dataset_info,
    download_dataset,
    load_cifar10,
    load_cifar100,
    load_dataset,
    load_stl10,
    load_svhn,
)
from cfa.data.cifar import CIFAR10, CIFAR100, unpickle
from cfa.data.published import Published, download_published, load_published
from cfa.data.stl10 import STL10
from cfa.data.svhn import SVHN
from cfa.errors import DataError
from cfa.progress import Stopped
from tests.support.published import (
    checksums,
    cifar10_files,
    cifar100_files,
    md5,
    pack,
    stl10_files,
    svhn_files,
    unpack_into,
)


@dataclass(frozen=True)
class Case:
    """A data set, small files in its format, and torchvision's class with the checksums of these files."""

    published: Published
    load: Callable[..., Dataset]
    files: dict[str, bytes]
    theirs: type
    numbers: tuple[int, int, int]  # classes, images to train on, to test on

    @property
    def checksums(self) -> dict[str, str]:
        return checksums(self.files, leave_out=("unlabeled_X.bin",))

    def put(self, folder: Path) -> None:
        unpack_into(folder / self.published.place, self.files)


def _cifar(base: type, files: dict[str, bytes]) -> type:
    lists = {
        part: [[name, md5(files[name])] for name, _ in getattr(base, part)]
        for part in ("train_list", "test_list")
    }
    meta = base.meta | {"md5": md5(files[base.meta["filename"]])}
    return type("Small", (base,), {**lists, "meta": meta})


def _stl10(files: dict[str, bytes]) -> type:
    base = torchvision.datasets.STL10
    lists = {
        part: [[name, md5(files[name])] for name, _ in getattr(base, part)]
        for part in ("train_list", "test_list")
    }
    return type("Small", (base,), lists)


def _svhn(files: dict[str, bytes]) -> type:
    base = torchvision.datasets.SVHN
    split_list = {
        part: [url, name, md5(files[name])]
        for part, (url, name, _) in base.split_list.items()
        if name in files
    }
    return type("Small", (base,), {"split_list": split_list})


FILES = {
    "cifar10": cifar10_files(),
    "cifar100": cifar100_files(),
    "stl10": stl10_files(),
    "svhn": svhn_files(),
}
CASES = {
    "cifar10": Case(
        CIFAR10, load_cifar10, FILES["cifar10"],
        _cifar(torchvision.datasets.CIFAR10, FILES["cifar10"]), (10, 100, 20),
    ),
    "cifar100": Case(
        CIFAR100, load_cifar100, FILES["cifar100"],
        _cifar(torchvision.datasets.CIFAR100, FILES["cifar100"]), (100, 300, 100),
    ),
    "stl10": Case(STL10, load_stl10, FILES["stl10"], _stl10(FILES["stl10"]), (10, 20, 10)),
    "svhn": Case(SVHN, load_svhn, FILES["svhn"], _svhn(FILES["svhn"]), (10, 37, 21)),
}  # fmt: skip
ARCHIVED = ("cifar10", "cifar100", "stl10")


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> Case:
    return CASES[request.param]


def as_theirs_have_it(case: Case, folder: Path, part: str) -> tuple[list, list]:
    if case.published.name.startswith("cifar"):
        theirs = case.theirs(str(folder), train=part == "train")
    else:
        theirs = case.theirs(str(folder), split=part)
    images, labels = zip(*theirs, strict=True)
    return [np.asarray(image) for image in images], list(labels)


@pytest.mark.filterwarnings("ignore:dtype.*align")  # numpy's, of what torchvision unpickles
def test_images_and_labels_are_what_torchvision_reads(case: Case, tmp_path: Path) -> None:
    case.put(tmp_path)
    data = case.load(tmp_path, case.checksums)
    assert (data.num_classes, len(data.train_images), len(data.test_images)) == case.numbers
    for part, images, labels in (
        ("train", data.train_images, data.train_labels),
        ("test", data.test_images, data.test_labels),
    ):
        their_images, their_labels = as_theirs_have_it(case, tmp_path, part)
        assert labels.tolist() == their_labels
        assert np.array_equal(images.permute(0, 2, 3, 1).numpy(), np.stack(their_images))
    if case.published.name.startswith("cifar"):
        assert list(data.class_names) == case.theirs(str(tmp_path)).classes


@pytest.mark.parametrize("name", ARCHIVED)
def test_an_archive_is_read_without_unpacking_it(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    case.put(tmp_path / "one")
    pack(tmp_path / "two" / case.published.downloads[0].name, case.published.place, case.files)
    one, two = (case.load(tmp_path / place, case.checksums) for place in ("one", "two"))
    assert one.fingerprint == two.fingerprint
    assert one.class_names == two.class_names
    assert not (tmp_path / "two" / case.published.place).exists()


def test_it_is_decoded_once_and_mapped(case: Case, tmp_path: Path) -> None:
    case.put(tmp_path)
    first = case.load(tmp_path, case.checksums)
    for path in list(tmp_path.iterdir()):
        if path.name != "decoded":
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    again = case.load(tmp_path, case.checksums)
    assert again.fingerprint == first.fingerprint
    assert torch.equal(again.train_images, first.train_images)
    assert torch.equal(again.test_labels, first.test_labels)
    assert again.class_names == first.class_names
    (file,) = (tmp_path / "decoded" / case.published.name).iterdir()
    maps = Path("/proc/self/maps")
    if maps.exists():
        assert str(file) in maps.read_text()
    before = file.read_bytes()
    again.train_images.zero_()  # mapped for this process alone
    assert file.read_bytes() == before


@pytest.mark.parametrize("damage", [lambda b: b[:-9], lambda b: b"", lambda b: b[:-1] + bytes([b[-1] ^ 1])])
def test_a_damaged_cache_is_made_anew(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    case = CASES["cifar10"]
    case.put(tmp_path)
    first = case.load(tmp_path, case.checksums)
    (file,) = (tmp_path / "decoded" / "cifar10").iterdir()
    images = safetensors.torch.load_file(file)["images"].clone()
    file.write_bytes(damage(file.read_bytes()))
    assert case.load(tmp_path, case.checksums).fingerprint == first.fingerprint
    assert torch.equal(safetensors.torch.load_file(file)["images"], images)


def test_a_writer_that_dies_leaves_nothing_that_is_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = CASES["svhn"]
    case.put(tmp_path)

    def stopped(*arguments: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", stopped)
        with pytest.raises(KeyboardInterrupt):
            case.load(tmp_path, case.checksums)
    assert list((tmp_path / "decoded" / "svhn").iterdir()) == []
    assert len(case.load(tmp_path, case.checksums).train_images) == 37


def test_every_file_is_checked_before_it_is_parsed(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*arguments: object) -> None:
        pytest.fail("it was parsed")

    untouched = dataclasses.replace(case.published, parse=never)
    for name in case.checksums:
        case.put(tmp_path)
        file = tmp_path / case.published.place / name
        file.write_bytes(case.files[name][:-1])
        with pytest.raises(DataError, match=f"{name} has the checksum .* delete it and fetch it again"):
            load_published(untouched, tmp_path, case.checksums)
    assert not (tmp_path / "decoded").exists()


def test_the_published_checksums_are_torchvisions_and_are_the_default(case: Case, tmp_path: Path) -> None:
    case.put(tmp_path)
    with pytest.raises(DataError, match=r"has the checksum .* instead of"):
        case.load(tmp_path)
    theirs = case.theirs.__mro__[1]
    if case.published.name == "svhn":
        expected = {name: value for _, name, value in theirs.split_list.values()}
    else:
        expected = dict([*theirs.train_list, *theirs.test_list])
        expected |= {theirs.meta["filename"]: theirs.meta["md5"]} if hasattr(theirs, "meta") else {}
    assert case.published.checksums.items() <= expected.items()
    assert set(expected) - set(case.published.checksums) <= {"unlabeled_X.bin", "extra_32x32.mat"}


def test_what_is_fetched_is_what_torchvision_fetches(case: Case) -> None:
    theirs = case.theirs.__mro__[1]
    if case.published.name == "svhn":
        expected = [(name, url, value) for url, name, value in theirs.split_list.values()]
    else:
        expected = [(theirs.filename, theirs.url, theirs.tgz_md5)]
        assert case.published.place == theirs.base_folder
    assert {(item.name, item.url, item.md5) for item in case.published.downloads} <= set(expected)
    assert case.published.downloads


@pytest.mark.parametrize("name", ARCHIVED)
@pytest.mark.parametrize("share", [0.1, 0.5, 0.95])
def test_a_truncated_archive_is_never_taken_for_whole(name: str, share: float, tmp_path: Path) -> None:
    case = CASES[name]
    archive = pack(tmp_path / case.published.downloads[0].name, case.published.place, case.files)
    whole = archive.read_bytes()
    archive.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(DataError, match=r"is truncated or damaged .* delete it and fetch it again"):
        case.load(tmp_path, case.checksums)
    assert not (tmp_path / "decoded").exists()


@pytest.mark.parametrize("content", [b"", b"<html>quota exceeded</html>", b"\x1f\x8b\x08" + b"\0" * 50])
def test_what_is_no_archive_is_explained(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "cifar-10-python.tar.gz").write_bytes(content)
    with pytest.raises(DataError, match=r"cifar-10-python\.tar\.gz (is truncated or damaged|holds no )"):
        load_cifar10(tmp_path, CASES["cifar10"].checksums)


def test_an_archive_without_a_file_names_it(tmp_path: Path) -> None:
    case = CASES["cifar10"]
    files = {name: content for name, content in case.files.items() if name != "data_batch_4"}
    pack(tmp_path / "cifar-10-python.tar.gz", "cifar-10-batches-py", files)
    with pytest.raises(DataError, match="holds no data_batch_4"):
        case.load(tmp_path, case.checksums)


class Harmful:
    def __reduce__(self) -> tuple:
        return (os.mkdir, ("harm-was-done",))


class HarmfulInside:
    def __reduce__(self) -> tuple:
        return (eval, ("1",))


PICKLES = {
    "a call": {"data": Harmful(), "labels": []},
    "a builtin": {"data": HarmfulInside(), "labels": []},
    "a list": [1, 2],
    "other keys": {"images": 1},
    "another shape": {"data": np.zeros((2, 3000), np.uint8), "labels": [0, 1]},
    "another type": {"data": np.zeros((2, 3072), np.float32), "labels": [0, 1]},
    "objects": {"data": np.array([[{}]], dtype=object), "labels": [0]},
    "fewer labels": {"data": np.zeros((2, 3072), np.uint8), "labels": [0]},
    "labels that are none": {"data": np.zeros((2, 3072), np.uint8), "labels": ["a", "b"]},
}


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("kind", PICKLES)
def test_a_batch_is_never_unpickled_into_code(
    kind: str, protocol: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    files = FILES["cifar10"] | {"data_batch_1": pickle.dumps(PICKLES[kind], protocol=protocol)}
    unpack_into(tmp_path / "cifar-10-batches-py", files)
    with pytest.raises(DataError, match="are not in the format in which it is published") as caught:
        load_cifar10(tmp_path, checksums(files))
    assert ("could run code" in str(caught.value)) == (kind in ("a call", "a builtin"))
    assert not (tmp_path / "harm-was-done").exists()
    assert not (tmp_path / "decoded").exists()


def test_batches_that_python_3_pickled_are_read() -> None:
    images = np.random.default_rng(0).integers(256, size=(3, 3072), dtype=np.uint8)
    for protocol in (2, 3, 4):
        read = unpickle(pickle.dumps({"data": images, "labels": [1, 2, 3]}, protocol=protocol))
        assert np.array_equal(read["data"], images)
        assert read["labels"] == [1, 2, 3]


@pytest.mark.parametrize("length", range(0, 400, 7))
def test_a_pickle_cut_anywhere_is_a_value_error(length: int) -> None:
    content = pickle.dumps({"labels": list(range(200)), "data": np.zeros(9, np.uint8)}, protocol=2)
    assert len(content) > 400
    with pytest.raises(ValueError, match=r".+"):
        unpickle(content[:length])


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("stl10", {"train_X.bin": lambda b: b[:-5]}),
        ("svhn", {"train_32x32.mat": lambda b: b"no MATLAB file " * 20}),
        ("svhn", {"train_32x32.mat": lambda b: b[:-50]}),
        ("cifar100", {"meta": lambda b: pickle.dumps({})}),
    ],
)
def test_someones_own_files_in_another_format_are_explained(name: str, change: dict, tmp_path: Path) -> None:
    case = CASES[name]
    files = case.files | {file: damage(case.files[file]) for file, damage in change.items()}
    unpack_into(tmp_path / case.published.place, files)
    with pytest.raises(DataError, match=f"the files of {name} in .* fetch them again"):
        case.load(tmp_path, checksums(files, leave_out=("unlabeled_X.bin",)))


@pytest.mark.parametrize("name", ["cifar10", "stl10"])
def test_a_class_without_images_is_named(name: str, tmp_path: Path) -> None:
    files = cifar10_files(1) if name == "cifar10" else stl10_files(train=9)
    case = CASES[name]
    unpack_into(tmp_path / case.published.place, files)
    with pytest.raises(DataError, match="holds no image of class"):
        case.load(tmp_path, checksums(files, leave_out=("unlabeled_X.bin",)))
    assert not (tmp_path / "decoded").exists()


# Descriptions and downloads --------------------------------------------------------------------------------

SIZES = {"cifar10": 170, "cifar100": 169, "stl10": 2640, "svhn": 246}


def test_it_says_how_large_the_download_is_and_what_to_put_where(case: Case, tmp_path: Path) -> None:
    info = dataset_info(case.published.name, tmp_path)
    assert not info.available
    assert info.download_bytes // 10**6 == SIZES[info.name]
    assert f"({info.download_bytes / 1e6:,.0f} MB)" in info.how_to_get
    for item in case.published.downloads:
        assert f"{item.name}" in info.how_to_get
    assert str(tmp_path) in info.how_to_get
    case.put(tmp_path)
    assert dataset_info(case.published.name, tmp_path).available
    assert dataset_info(case.published.name, tmp_path).how_to_get == ""


@pytest.mark.parametrize("name", [*ARCHIVED, "svhn"])
def test_it_describes_the_published_numbers(name: str, tmp_path: Path) -> None:
    info = dataset_info(name, tmp_path)
    assert (info.classes, info.image_size, info.train_images, info.test_images) == {
        "cifar10": (10, 32, 50_000, 10_000),
        "cifar100": (100, 32, 50_000, 10_000),
        "stl10": (10, 96, 5_000, 8_000),
        "svhn": (10, 32, 73_257, 26_032),
    }[name]


@dataclass
class Mirror:
    """A local server in place of the true one, and the data set with its address and checksums."""

    folder: Path
    address: str
    cut_after: int | None = None

    def published(self, case: Case) -> Published:
        downloads = []
        for item in case.published.downloads:
            content = (self.folder / item.name).read_bytes()
            downloads.append(
                dataclasses.replace(item, url=self.address + item.name, md5=md5(content), size=len(content))
            )
        return dataclasses.replace(case.published, downloads=tuple(downloads), checksums=case.checksums)


@pytest.fixture
def mirror(tmp_path: Path) -> Iterator[Mirror]:
    folder = tmp_path / "mirror"
    for case in CASES.values():
        if case.published.name in ARCHIVED:
            pack(folder / case.published.downloads[0].name, case.published.place, case.files)
        else:
            unpack_into(folder, case.files)
    state = Mirror(folder, "")

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *arguments: object) -> None:
            pass

        def copyfile(self, source, outputfile) -> None:
            outputfile.write(source.read(state.cut_after if state.cut_after is not None else -1))

    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Handler, directory=str(folder))
    )
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    state.address = f"http://127.0.0.1:{server.server_address[1]}/"
    yield state
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_missing_data_set_is_downloaded_with_reports(case: Case, tmp_path: Path, mirror: Mirror) -> None:
    published, home = mirror.published(case), tmp_path / "data"
    reports: list[tuple[int, int]] = []
    download_published(published, home, lambda done, total: reports.append((done, total)))
    size = published.download_bytes
    assert reports[0] == (0, size)
    assert reports[-1] == (size, size)
    assert [done for done, _ in reports] == sorted(done for done, _ in reports)
    assert sorted(path.name for path in home.iterdir()) == sorted(item.name for item in published.downloads)
    data = load_published(published, home)
    assert (data.num_classes, len(data.train_images), len(data.test_images)) == case.numbers
    shutil.rmtree(mirror.folder)
    assert load_published(published, home).fingerprint == data.fingerprint
    download_published(published, home)  # nothing to do


def test_loading_downloads_what_is_missing(tmp_path: Path, mirror: Mirror) -> None:
    data = load_published(mirror.published(CASES["cifar10"]), tmp_path / "data")
    assert len(data.train_images) == 100


def test_a_part_that_is_whole_is_not_fetched_again(tmp_path: Path, mirror: Mirror) -> None:
    case, home = CASES["svhn"], tmp_path / "data"
    unpack_into(home, {"train_32x32.mat": case.files["train_32x32.mat"], "test_32x32.mat.part": b"half"})
    published = mirror.published(case)
    (mirror.folder / "train_32x32.mat").unlink()
    download_published(published, home)
    assert len(load_published(published, home).test_images) == 21


@pytest.mark.parametrize("failure", ["cut", "changed", "absent", "nobody answers"])
def test_a_failed_download_leaves_nothing(case: Case, tmp_path: Path, mirror: Mirror, failure: str) -> None:
    published, home = mirror.published(case), tmp_path / "data"
    name = published.downloads[-1].name
    if failure == "cut":
        mirror.cut_after = 100
    elif failure == "changed":
        content = (mirror.folder / name).read_bytes()
        (mirror.folder / name).write_bytes(content[:-1] + b"?")
    elif failure == "absent":
        (mirror.folder / name).unlink()
    else:
        broken = [dataclasses.replace(item, url="http://127.0.0.1:9/x") for item in published.downloads]
        published = dataclasses.replace(published, downloads=tuple(broken))
    with pytest.raises(DataError, match=f"{published.name} could not be downloaded") as caught:
        load_published(published, home)
    assert name in str(caught.value)
    assert str(home) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert list(home.iterdir()) == []
    assert not published.is_here(home)


def test_a_report_may_stop_the_download(tmp_path: Path, mirror: Mirror) -> None:
    published, home = mirror.published(CASES["stl10"]), tmp_path / "data"

    def stop(done: int, total: int) -> None:
        if done > total / 3:
            raise Stopped("cancel")

    with pytest.raises(Stopped):
        download_published(published, home, stop)
    assert list(home.iterdir()) == []


def test_a_download_that_does_not_fit_on_the_disk_is_refused_before(
    tmp_path: Path, mirror: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    published = mirror.published(CASES["cifar10"])
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1000))
    with pytest.raises(DataError, match=r"it takes \d+ MB and 0 MB of disk are free"):
        download_published(published, tmp_path / "data")
    assert list((tmp_path / "data").iterdir()) == []


def test_a_full_disk_is_one_sentence(tmp_path: Path, mirror: Mirror, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DataError, match=r"could not be downloaded .*No space left"):
        download_published(mirror.published(CASES["svhn"]), tmp_path / "data")
    assert list((tmp_path / "data").iterdir()) == []


def test_downloads_by_name_know_the_long_tail(tmp_path: Path) -> None:
    CASES["cifar10"].put(tmp_path)
    told: list[int] = []
    for name in ("cifar10", "cifar10-lt", "fashion-mnist-mini"):
        download_dataset(name, tmp_path, lambda done, total: told.append(done))
    assert told == []  # it is here
    with pytest.raises(DataError, match="has the checksum"):
        load_dataset("cifar10-lt", tmp_path)


def test_someones_own_files_are_not_looked_for_on_the_net(case: Case, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=rf"{case.published.name} is not in .*; put "):
        case.load(tmp_path, case.checksums)
