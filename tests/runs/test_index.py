"""The index says what the files say: whatever happens to them, and whatever happened to its own file."""

import os
import random
import shutil
import sqlite3
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from cfa.runs.evaluations import outcomes_file
from cfa.runs.folder import RunFolder
from cfa.runs.index import Derived, Index, Made
from cfa.runs.index_file import IndexFile, Row
from cfa.runs.standing import Standing, history_standing, list_standing, results_standing
from cfa.runs.store import Store

STANDINGS = {
    "list": (list_standing, ("config.json", "manifest.json", "label.json", "status.json"), False),
    "results": (results_standing, ("label.json",), True),
    "history": (history_standing, ("manifest.json", "history.jsonl"), True),
}


@dataclass(frozen=True)
class Content:
    """Everything that a run's files hold, as text."""

    text: str


def read(path: Path) -> str:
    if path.is_symlink():
        return f"link to {os.readlink(path)}"
    return path.read_text(errors="replace") if path.is_file() else "nothing"


def kind_of(name: str) -> Derived[Content]:
    standing, files, evaluations = STANDINGS[name]

    def content(run: RunFolder) -> Made[Content]:
        said = [str(run.path.is_symlink()), *(read(run.path / file) for file in files)]
        said += [str(run.kept_weights())]
        if evaluations:
            said += [read(file) for file in sorted((run.path / "weights").glob("*"))]
            found = sorted((run.path / "evaluations").glob("*/evaluation.json"))
            said += [f"{file.parent.name} {read(file)}" for file in found]
        return Made(Content("\n".join(said)))

    return Derived(name, Content, standing, content)


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let entries be kept at once, as if every file had been written long ago."""
    monkeypatch.setattr("cfa.runs.index.LONG_AGO", -1.0)


@pytest.fixture
def run(store: Store, make_run, evaluated) -> RunFolder:
    made = make_run("trades")
    evaluated(made, {"clean": (9, 8, 7), "pgd-20": (5, 4, 1)})
    (made.path / "history.jsonl").write_text('{"row": "none"}\n')
    made.weights_file("online", "best").write_bytes(b"weights")
    return made


def same_size(path: Path) -> bytes:
    content = path.read_bytes()
    return content[:-3] + bytes([content[-3] ^ 1]) + content[-2:]


def edit(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(same_size(path))


def rsync_over(path: Path) -> None:
    """Replace a file as rsync does: a new file, renamed, whose time is that of the original elsewhere."""
    before, fresh = path.stat(), path.with_name(".copied")
    fresh.write_bytes(same_size(path))
    os.utime(fresh, ns=(before.st_atime_ns, before.st_mtime_ns - 10**12))
    fresh.replace(path)


def rename_to_the_same_size_and_time(path: Path) -> None:
    before, fresh = path.stat(), path.with_name(".other")
    fresh.write_bytes(same_size(path))
    os.utime(fresh, ns=(before.st_atime_ns, before.st_mtime_ns))
    fresh.replace(path)


def edit_and_turn_the_time_back(path: Path) -> None:
    before = path.stat()
    edit(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def link_in_its_place(path: Path) -> None:
    path.rename(path.with_name(".moved"))
    path.symlink_to(".moved")


CHANGES: dict[str, Callable[[Path], None]] = {
    "edited": edit,
    "edited, time turned back": edit_and_turn_the_time_back,
    "longer": lambda path: path.write_bytes(path.read_bytes() + b" "),
    "deleted": lambda path: path.unlink(),
    "rsync over, older": rsync_over,
    "renamed to the same size and time": rename_to_the_same_size_and_time,
    "a link in its place": link_in_its_place,
}
PLACES = (
    "config.json",
    "manifest.json",
    "label.json",
    "status.json",
    "history.jsonl",
    "weights",
    "evaluation",
)


def place(run: RunFolder, name: str) -> Path:
    if name == "weights":
        return run.weights_file("online", "best")
    if name == "evaluation":
        return next((run.path / "evaluations").glob("*/evaluation.json"))
    return run.path / name


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
@pytest.mark.parametrize("where", PLACES)
def test_whatever_changes_is_seen(run: RunFolder, tmp_path: Path, where: str, change) -> None:
    path = place(run, where)
    if not path.exists():
        path.write_text('{"made": "for this test"}')
    index = Index(tmp_path / "cache" / "index.sqlite")
    kinds = [kind_of(name) for name in STANDINGS]
    before = [index.values(kind, [run]) for kind in kinds]
    assert (
        before == [index.values(kind, [run]) for kind in kinds] == [Index().values(k, [run]) for k in kinds]
    )
    change(path)
    truth = [Index().values(kind, [run]) for kind in kinds]
    assert truth != before  # else this test sees nothing
    assert [index.values(kind, [run]) for kind in kinds] == truth
    assert [Index(index_file(tmp_path)).values(kind, [run]) for kind in kinds] == truth


def index_file(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "index.sqlite"


@pytest.mark.usefixtures("at_once")
def test_an_evaluation_is_seen_when_it_ends(run: RunFolder, evaluated) -> None:
    index, kind = Index(), kind_of("results")
    (before,) = index.values(kind, [run])
    folder = outcomes_file(run, "20260101T000000-0badcafe").parent
    (folder / "parts").mkdir(parents=True)
    assert index.values(kind, [run]) == [before]
    (folder / "evaluation.json").write_text("{}")
    assert index.values(kind, [run]) == Index().values(kind, [run]) != [before]
    shutil.rmtree(folder)
    assert index.values(kind, [run]) == [before]


class Counted:
    """A kind that counts how often it is made, of a run whose files never seem to change."""

    def __init__(self, standing: Standing | None = None) -> None:
        self.made, self.content, self.whole = 0, "first", True
        self.kind = Derived("counted", Content, lambda run: standing or list_standing(run), self.make)

    def make(self, run: RunFolder) -> Made[Content]:
        self.made += 1
        return Made(Content(f"{run.id} {self.content}"), self.whole)


JUST_NOW, LONG_AGO = 4 * 10**18, 10**18  # ctime in ns: of the year 2096, of 2001


@pytest.mark.parametrize(
    ("changed", "still", "made"), [(JUST_NOW, 1e9, 3), (JUST_NOW, 0.0, 2), (LONG_AGO, 1e9, 1)]
)
def test_what_changed_just_now_is_kept_once_it_has_stood_still(
    run: RunFolder, monkeypatch, changed: int, still: float, made: int
) -> None:
    """Two writes within one step of a clock look the same: until that has passed, nothing is believed."""
    monkeypatch.setattr("cfa.runs.index.STILL", still)
    counted, index = Counted(Standing((("file", (0, 0, 0, 0, changed, changed)),))), Index()
    for _ in range(3):
        index.values(counted.kind, [run])
    assert counted.made == made
    counted.content = "second"
    (value,) = index.values(counted.kind, [run])
    assert value.text.endswith("second") == (made == 3)


def test_what_could_not_be_read_is_looked_at_each_time(run: RunFolder, tmp_path: Path) -> None:
    counted, index = Counted(Standing(())), Index(index_file(tmp_path))
    counted.whole = False
    index.values(counted.kind, [run])
    counted.whole, counted.content = True, "second"
    assert index.values(counted.kind, [run]) == [Content(f"{run.id} second")]
    assert Index(index_file(tmp_path)).values(counted.kind, [run]) == [Content(f"{run.id} second")]


@pytest.mark.usefixtures("at_once")
def test_a_run_that_changes_while_it_is_read_is_read_again(run: RunFolder) -> None:
    kind, index = kind_of("list"), Index()

    def and_then_renamed(folder: RunFolder) -> Made[Content]:
        made = kind.make(folder)
        (folder.path / "label.json").write_text('{"name": "other"}')
        return made

    index.values(Derived("list", Content, kind.standing, and_then_renamed), [run])
    assert index.values(kind, [run]) == Index().values(kind, [run])


@pytest.mark.usefixtures("at_once")
def test_another_process_reads_what_was_kept(run: RunFolder, tmp_path: Path) -> None:
    counted = Counted()
    for _ in range(3):
        Index(index_file(tmp_path)).values(counted.kind, [run])
    assert counted.made == 1
    assert index_file(tmp_path).parent.stat().st_mode & 0o077 == 0


@pytest.mark.usefixtures("at_once")
def test_what_other_code_made_is_not_read(run: RunFolder, tmp_path: Path, monkeypatch) -> None:
    counted = Counted()
    Index(index_file(tmp_path)).values(counted.kind, [run])
    monkeypatch.setattr("cfa.runs.index_file.code_identity", lambda: b"other")
    Index(index_file(tmp_path)).values(counted.kind, [run])
    assert counted.made == 2


def garbage(path: Path) -> None:
    path.write_bytes(b"garbage " * 1000)


def another_table(path: Path) -> None:
    path.unlink()
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE entries (kind, path)")


def a_view_in_its_place(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("ALTER TABLE entries RENAME TO hidden")
        connection.execute(
            "CREATE VIEW entries AS SELECT kind, path, standing, '{}' content, digest FROM hidden"
        )


def other_content(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE entries SET content = ?", ('{"text": "false"}',))


def other_run(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        rows = connection.execute("SELECT path, content FROM entries ORDER BY path").fetchall()
        for (to, _), (_, content) in zip(rows, reversed(rows), strict=True):
            connection.execute("UPDATE entries SET content = ? WHERE path = ?", (content, to))


DAMAGE: dict[str, Callable[[Path], object]] = {
    "garbage": garbage,
    "empty": lambda path: path.write_bytes(b""),
    "cut": lambda path: os.truncate(path, path.stat().st_size // 2),
    "deleted": lambda path: path.unlink(),
    "another table": another_table,
    "a view": a_view_in_its_place,
    "other content": other_content,
    "content of another run": other_run,
    "a folder": lambda path: (path.unlink(), path.mkdir()),
    "a pipe": lambda path: (path.unlink(), os.mkfifo(path)),
    "somebody else's journal": lambda path: path.with_name(f"{path.name}-journal").write_bytes(b"x" * 999),
}


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
def test_a_damaged_index_is_made_anew(store: Store, make_run, tmp_path: Path, damage) -> None:
    runs, kind = [make_run(f"run-{seed}", seed=seed) for seed in range(4)], kind_of("list")
    truth = Index().values(kind, runs)
    open_all_the_time = Index(index_file(tmp_path))
    assert open_all_the_time.values(kind, runs) == truth
    damage(index_file(tmp_path))
    for _ in range(3):
        assert Index(index_file(tmp_path)).values(kind, runs) == truth
        assert open_all_the_time.values(kind, runs) == truth


@pytest.mark.usefixtures("at_once")
def test_no_flipped_byte_is_believed(store: Store, make_run, tmp_path: Path) -> None:
    runs, kind, rng = (
        [make_run(f"run-{seed}", seed=seed) for seed in range(3)],
        kind_of("list"),
        random.Random(16),
    )
    truth = Index().values(kind, runs)
    Index(index_file(tmp_path)).values(kind, runs)
    whole = index_file(tmp_path).read_bytes()
    for _ in range(150):
        flipped = bytearray(whole)
        for _ in range(rng.randint(1, 4)):
            flipped[rng.randrange(len(flipped))] ^= 1 << rng.randrange(8)
        index_file(tmp_path).write_bytes(flipped)
        assert Index(index_file(tmp_path)).values(kind, runs) == truth


@pytest.mark.usefixtures("at_once")
def test_nothing_is_written_through_a_link(run: RunFolder, tmp_path: Path) -> None:
    mine = tmp_path / "mine.txt"
    mine.write_text("mine")
    index_file(tmp_path).parent.mkdir()
    index_file(tmp_path).symlink_to(mine)
    kind = kind_of("list")
    assert Index(index_file(tmp_path)).values(kind, [run]) == Index().values(kind, [run])
    assert mine.read_text() == "mine"


@pytest.mark.usefixtures("at_once")
def test_two_use_one_file_while_runs_change(store: Store, make_run, tmp_path: Path) -> None:
    runs, kind = [make_run(f"run-{seed}", seed=seed) for seed in range(5)], kind_of("list")
    stop, problems = threading.Event(), list[str]()

    def look() -> None:
        while not stop.is_set():
            for run, value in zip(runs, Index(index_file(tmp_path)).values(kind, runs), strict=True):
                if f'"{run.id}' not in value.text and run.id not in value.text:
                    problems.append(f"{run.id}: {value.text}")

    for run in runs:
        (run.path / "label.json").write_text(f'{{"name": "{run.id}"}}')
    threads = [threading.Thread(target=look) for _ in range(2)]
    for thread in threads:
        thread.start()
    for number in range(60):
        run = runs[number % len(runs)]
        (run.path / ".next").write_text(f'{{"name": "{run.id}", "notes": "{number}"}}')
        (run.path / ".next").replace(run.path / "label.json")
    stop.set()
    for thread in threads:
        thread.join()
    assert problems == []
    assert Index(index_file(tmp_path)).values(kind, runs) == Index().values(kind, runs)


def test_what_is_kept_of_runs_that_are_gone_goes(run: RunFolder, tmp_path: Path) -> None:
    gone = Row("kind", str(tmp_path / "gone"), "()", "{}")
    IndexFile(index_file(tmp_path)).write([gone])
    IndexFile(index_file(tmp_path)).write([Row("kind", str(run.path), "()", "{}")])
    kept = IndexFile(index_file(tmp_path)).read("kind", [str(run.path), gone.path])
    assert [*kept] == [str(run.path)]
