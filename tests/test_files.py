"""Whole files are written in one way: beside their place, flushed, renamed; a test keeps it the only one."""

import ast
import errno
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from cfa.errors import StoreError
from cfa.files import make_folder, replacing, replacing_folder, write_bytes, write_text
from tests.test_architecture import modules


def refuse(code: int) -> Callable[..., None]:
    def refused(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    return refused


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# What a reader finds ---------------------------------------------------------------------------------------


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    write_text(tmp_path / "a.json", "old")
    write_text(tmp_path / "a.json", "né\n")
    assert (tmp_path / "a.json").read_bytes() == "né\n".encode()
    write_bytes(tmp_path / "b", b"\0\1")
    assert (tmp_path / "b").read_bytes() == b"\0\1"
    assert names(tmp_path) == ["a.json", "b"]


def test_a_reader_never_sees_half_of_it(tmp_path: Path) -> None:
    file, texts = tmp_path / "a", {letter * 200_000 for letter in "ab"}
    write_text(file, "a" * 200_000)

    def write() -> None:
        for turn in range(40):
            write_text(file, "ab"[turn % 2] * 200_000)

    writers = [threading.Thread(target=write) for _ in range(2)]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        assert file.read_text() in texts
    assert names(tmp_path) == ["a"]


def test_content_and_name_are_on_the_disk_before_it_returns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[tuple[str, int]] = []
    sync, replace = os.fsync, os.replace

    def note_sync(descriptor: int) -> None:
        steps.append(("flushed", os.fstat(descriptor).st_ino))
        sync(descriptor)

    def note_replace(source: Path, target: Path) -> None:
        assert (source.parent, source.name[0], source.suffix) == (target.parent, ".", ".tmp")
        assert source.read_text() == "new"
        steps.append(("renamed", source.stat().st_ino))
        replace(source, target)

    monkeypatch.setattr(os, "fsync", note_sync)
    monkeypatch.setattr(os, "replace", note_replace)
    write_text(tmp_path / "a", "new")
    file, folder = (tmp_path / "a").stat().st_ino, tmp_path.stat().st_ino
    assert steps == [("flushed", file), ("renamed", file), ("flushed", folder)]


def test_a_folder_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    def half_way() -> None:
        with replacing_folder(tmp_path / "run") as made:
            assert (made.parent, made.name[0], made.suffix) == (tmp_path, ".", ".tmp")
            (made / "half").write_text("x")
            raise KeyError

    with pytest.raises(KeyError):
        half_way()
    assert names(tmp_path) == []
    with replacing_folder(tmp_path / "run") as made:
        (made / "below").mkdir()
        (made / "below" / "file").write_text("x")
        assert not (tmp_path / "run").exists()
    assert (tmp_path / "run" / "below" / "file").read_text() == "x"
    with pytest.raises(StoreError, match="cannot write"), replacing_folder(tmp_path / "run"):
        pass
    assert names(tmp_path) == ["run"]


# What is refused -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", ["fsync", "replace"])
@pytest.mark.parametrize(
    ("code", "way_out"),
    [
        (errno.ENOSPC, "free disk space, then retry or resume"),
        (errno.EDQUOT, "free disk space"),
        (errno.EROFS, "choose a place that you may write to"),
        (errno.EACCES, "choose a place that you may write to"),
        (errno.EIO, "check the disk"),
    ],
    ids=lambda value: errno.errorcode[value] if isinstance(value, int) else "",
)
def test_a_refusal_is_a_sentence_and_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, code: int, way_out: str
) -> None:
    file = tmp_path / "status.json"
    write_text(file, "old")
    monkeypatch.setattr(os, step, refuse(code))
    with pytest.raises(StoreError, match=rf"cannot write .*status\.json \({os.strerror(code)}\); {way_out}"):
        write_text(file, "new")
    assert file.read_text() == "old"
    assert names(tmp_path) == ["status.json"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError, StoreError], ids=lambda e: e.__name__)
def test_what_stops_the_writer_is_passed_on(tmp_path: Path, error: type[BaseException]) -> None:
    write_text(tmp_path / "a", "old")

    def half_way() -> None:
        with replacing(tmp_path / "a") as temporary:
            temporary.write_text("half")
            raise error

    with pytest.raises(error):
        half_way()
    assert names(tmp_path) == ["a"]
    assert (tmp_path / "a").read_text() == "old"


def test_a_folder_that_is_gone_is_a_sentence_and_stays_gone(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"status\.json \(No such file.*its folder is not there any more"):
        write_text(tmp_path / "gone" / "status.json", "x")
    with pytest.raises(StoreError, match="its folder is not there any more"):
        make_folder(tmp_path / "gone" / "state")
    assert names(tmp_path) == []
    make_folder(tmp_path / "gone" / "state", parents=True)
    make_folder(tmp_path / "gone" / "state")
    assert names(tmp_path) == ["gone"]


@pytest.mark.parametrize("length", [255, 80], ids=["bytes", "letters"])
def test_the_longest_name_that_the_disk_takes_is_taken(tmp_path: Path, length: int) -> None:
    name = ("é" if length < 255 else "e") * length
    write_text(tmp_path / name, "x")
    assert names(tmp_path) == [name]


# No other way ----------------------------------------------------------------------------------------------

ASIDE = {"replacing", "replacing_folder", "TemporaryDirectory", "BytesIO"}
"""What gives a place where anything may be written: nobody reads there."""

ELSEWHERE = {
    "cfa.files": "it is the one way",
    "cfa.data.downloads": "fetches into a folder of its own and renames what matched its checksum",
    "cfa.data.fashion_mnist": "so does torchvision for it",
    "cfa.runs.regular_files": "copies into a folder that is aside",
    "app.report": "writes where cfa.tables.written tells it, which is aside",
}
METHODS = {"write_text", "write_bytes", "savez", "savez_compressed", "save_file", "write_table", "to_parquet"}
MOVES = {("os", "replace"), ("os", "rename"), ("torch", "save"), ("np", "save"), ("shutil", "move")}


def is_write(call: ast.Call) -> bool:
    """Tell whether a call writes a file, whole or at its end, or moves one into its place."""
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    receiver = getattr(getattr(call.func, "value", None), "id", "")
    texts = [node.value for node in [*call.args, *(k.value for k in call.keywords)] if is_text(node)]
    if name == "open" or (receiver, name) == ("zipfile", "ZipFile"):
        return any(set(text) <= set("rwxab+t") and set(text) & set("wxa") for text in texts if text)
    if name in ("to_csv", "to_json", "to_html"):
        return bool(call.args)
    if name in ("rename", "replace") and receiver not in ("os", "dataclasses"):
        return len(call.args) == 1 and not is_text(call.args[0]) and isinstance(call.func, ast.Attribute)
    return (isinstance(call.func, ast.Attribute) and name in METHODS) or (receiver, name) in MOVES


def is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def writes(source: str) -> list[int]:
    """Give the lines of a source that write whole files otherwise than aside."""
    found: list[int] = []

    def visit(node: ast.AST, aside: bool) -> None:
        if isinstance(node, ast.With):
            calls = [item.context_expr for item in node.items if isinstance(item.context_expr, ast.Call)]
            opened = {getattr(call.func, "attr", getattr(call.func, "id", "")) for call in calls}
            aside = aside or bool(opened & ASIDE)
        if isinstance(node, ast.Call) and not aside and is_write(node):
            found.append(node.lineno)
        for child in ast.iter_child_nodes(node):
            visit(child, aside)

    visit(ast.parse(source), False)
    return found


@pytest.mark.parametrize("top", ["cfa", "app"])
def test_no_other_code_writes_whole_files(top: str) -> None:
    found = [f"{name}:{line}" for name, _, source in modules(top) for line in writes(source)]
    assert [place for place in found if place.partition(":")[0] not in ELSEWHERE] == []


@pytest.mark.parametrize(
    "planted",
    [
        "file.write_text(text)",
        "file.write_bytes(b'')",
        "open(file, 'w').write(text)",
        "with file.open('wb') as stream: pass",
        "with file.open(mode='xb') as stream: pass",
        "with history.open('ab') as stream: pass",
        "os.replace(one, other)",
        "temporary.replace(file)",
        "temporary.rename(file)",
        "np.savez(file, a=a)",
        "torch.save(content, file)",
        "pq.write_table(table, file)",
        "safetensors.torch.save_file(tensors, file)",
        "frame.to_csv(file, index=False)",
        "zipfile.ZipFile(file, 'w')",
    ],
)
def test_another_way_of_writing_is_found(planted: str) -> None:
    assert writes(planted) == [1]


@pytest.mark.parametrize(
    "source",
    [
        "write_text(file, text)",
        "with replacing(file) as temporary:\n    torch.save(content, temporary)",
        "with replacing(file) as temporary, temporary.open('xb') as stream: pass",
        "with open_to_append(history) as stream: pass",
        "text.replace('a', 'b')",
        "frame.to_csv(index=False)",
        "file.read_text()",
        "open(file)",
    ],
)
def test_what_is_no_such_writing_is_not(source: str) -> None:
    assert writes(source) == []


WATCHED = """
import os, sys
from pathlib import Path
from typer.testing import CliRunner

home, out = Path(os.environ["CFA_HOME"]), Path(sys.argv[1])
out.mkdir()
flushed, renamed = set(), []
sync = os.fsync

def fsync(descriptor):
    flushed.add(os.fstat(descriptor).st_ino)
    sync(descriptor)

def audit(event, arguments):
    if event == "os.rename":
        renamed.append(tuple(map(str, arguments[:2])))

os.fsync = fsync
sys.addaudithook(audit)
from cfa.commands import app

def call(*words):
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output

settings = [word for pair in sys.argv[2].split() for word in ("--set", pair)]
for method in ("trades", "trades-cfa"):
    call("train", "--method", method, "--dataset", "tiny_data:load", "--model", "small-cnn",
         "--preset", "demo", "--name", method, *settings)
call("evaluate", "trades", "--attack", "pgd-2")
for ending in ("csv", "md", "tex", "html"):
    call("compare", "trades", "trades-cfa", "--out", f"{out}/compared.{ending}")
call("export", "trades", "--out", f"{out}/exported")

grows = {"history.jsonl", "log.txt", "queue.sqlite"}
placed = [Path(target) for source, target in renamed if Path(source).suffix == ".tmp"]
for file in (file for top in (home, out) for file in top.rglob("*") if file.is_file()):
    if file.suffix == ".lock" or (file.name in grows and file.is_relative_to(home)):
        continue
    if not any(file == place or file.is_relative_to(place) for place in placed):
        print("not renamed:", file)
    if file.stat().st_ino not in flushed:
        print("not flushed:", file)
print(len(placed) > 20)
"""


def test_every_file_of_real_commands_was_flushed_and_renamed(home: Path, tiny: str, tmp_path: Path) -> None:
    settings = (
        "train.epochs=2 train.batch_size=16 attack.steps=1 attack.eps=8/255 data.val_fraction=0.2 "
        "averaging.gate=mean averaging.start_epoch=1 averaging.threshold=0"
    )
    ended = subprocess.run(
        [sys.executable, "-c", WATCHED, str(tmp_path / "out"), settings],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
    )
    assert ended.stdout == "True\n", ended.stdout + ended.stderr
