"""What is what in someone's folder of images: parts, classes, images, and what is none of these.

- ``train`` (or ``training``) and ``test`` (or ``testing``), in any case, hold a folder for each class. Where
  there is no such test part, ``val`` (``valid``, ``validation``) is it. A folder with a test part alone can
  be evaluated on only; with a training part alone a tenth of each class, drawn with a fixed seed, is the test
  part. Where there are no parts at all, the folders themselves are the classes, and are split likewise.
- Images lie at any depth below a class folder, also behind links; classes and images are in the order of
  their names, as in torchvision's ``ImageFolder``, so that labels fit weights made with it.
- What programs leave in folders is none of it: the names below, and hidden folders without an image.

Whatever is not read is counted and told; what could be meant in two ways is refused.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from cfa.data.images import EXTENSIONS
from cfa.data.storable_names import shown, unstorable
from cfa.errors import DataError
from cfa.typed_paths import exists, leads_to_folder, whole_path

if TYPE_CHECKING:
    from torch import Tensor

PARTS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("test", "testing"), "test"),
    **dict.fromkeys(("val", "valid", "validation"), "val"),
}
"""What folders of parts are called, in lower case."""

# fmt: off
JUNK_FOLDERS = frozenset({
    "__macosx", ".trashes", ".fseventsd", ".spotlight-v100", ".appledouble", ".temporaryitems",
    "$recycle.bin", "system volume information", "lost+found", ".trash", ".trash-1000", ".thumbnails",
    "@eadir", "#recycle", "__pycache__", ".ipynb_checkpoints", ".cache", ".git", ".svn", ".hg", ".dvc",
    ".idea", ".vscode", ".venv", ".huggingface",
})
# fmt: on
JUNK_FILES = frozenset({".ds_store", "thumbs.db", "desktop.ini", "picasa.ini", ".picasa.ini", ".directory"})
"""What systems, viewers and editors leave behind, in lower case; ``._NAME`` besides, which macOS writes."""

_SAID = 4  # names in one sentence

Files = tuple[tuple[int, Path], ...]
"""Class index and file, one pair after another."""


@dataclass(frozen=True)
class Listing:
    """The images of a folder, before any is opened.

    Attributes:
        path: The folder.
        class_names: In the order of their names.
        train: Training images, class by class.
        test: Empty where the test part is to be drawn from ``train``.
        notes: What was taken for what, and what is not read; a sentence each, without its full stop.
    """

    path: Path
    class_names: tuple[str, ...]
    train: Files
    test: Files
    notes: tuple[str, ...] = ()

    @property
    def test_only(self) -> bool:
        """Tell whether there is nothing to train on."""
        return not self.train

    def labels(self) -> tuple[Tensor, Tensor]:
        """Return the classes of both parts' files, int64."""
        import torch

        train, test = (torch.tensor([label for label, _ in part]) for part in (self.train, self.test))
        return train.long(), test.long()


def scan_folder(path: Path) -> Listing:
    """List the images of a folder by the rules above, without opening any.

    Raises:
        DataError: It is missing or unreadable, or its parts could be meant in two ways; it holds fewer than
            two classes, a class without images or with a name that cannot be stored, or parts with different
            classes; or a class is too small to be split.
    """
    return _Scan(require_folder(path)).listing()


def require_folder(path: Path) -> Path:
    """Return the whole path of a folder that is there.

    Raises:
        DataError: It is missing, is a file, or has a name that cannot be stored.
    """
    path = whole_path(path)
    if (problem := unstorable(str(path))) is not None:
        raise DataError(f"the name of the folder {str(path)!r} {problem}; rename it")
    if not leads_to_folder(path):
        what = "is a file" if exists(path) else "does not exist"
        raise DataError(f"{path} {what}; folder:PATH takes a folder with one folder of images per class")
    return path


def may_hold_images(path: Path, levels: int = 3) -> bool:
    """Tell by a short look whether images can be in a folder; what lies deeper than the look may be some.

    Args:
        path: A folder that is there.
        levels: How deep to look: a part, a class, its images.
    """
    try:
        inside = list(os.scandir(path))
    except OSError:
        return True  # reading it says why
    files = (entry for entry in inside if not entry.is_dir())
    if any(Path(entry.name).suffix.lower() in EXTENSIONS for entry in files):
        return True
    folders = [Path(entry.path) for entry in inside if entry.is_dir()]
    return bool(folders) and (levels == 1 or any(may_hold_images(one, levels - 1) for one in folders))


@dataclass
class _Skipped:
    """What is not read, counted while folders are walked."""

    other_types: Counter[str] = field(default_factory=Counter)
    junk: Counter[str] = field(default_factory=Counter)
    hidden: list[str] = field(default_factory=list)
    loops: list[str] = field(default_factory=list)
    outside: list[str] = field(default_factory=list)

    def notes(self) -> Iterator[str]:
        """Say it, a sentence for each kind."""
        if self.other_types:
            kinds = [f"{ending or 'no ending'} {count}" for ending, count in self.other_types.most_common()]
            yield f"{_counted(self.other_types.total(), 'file')} of other types not read ({_some(kinds)})"
        if self.junk:
            names = [f"{name} {count}" for name, count in self.junk.most_common()]
            yield f"{_counted(self.junk.total(), 'entry', 'entries')} of programs not read ({_some(names)})"
        if self.hidden:
            yield f"hidden without an image, and not read: {_some(self.hidden)}"
        if self.loops:
            yield f"links to folders that are read already, not followed again: {_some(self.loops)}"
        if self.outside:
            count = _counted(len(self.outside), "image")
            yield f"{count} outside of class folders not used ({_some(self.outside)})"


def _counted(count: int, one: str, many: str = "") -> str:
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SAID:,} more" if len(names) > _SAID else ""
    return ", ".join(shown(name) for name in names[:_SAID]) + more


@dataclass
class _Scan:
    """One look at a folder."""

    path: Path
    skipped: _Skipped = field(default_factory=_Skipped)

    def listing(self) -> Listing:
        folders = self._class_folders(self.path)
        parts, notes = self._parts(folders)
        if not parts:
            self._refuse_parts_without_classes(folders)
            roots = {"train": self.path}
            classes = {"train": folders}
        else:
            roots = parts
            classes = {part: self._class_folders(root) for part, root in parts.items()}
        names = {part: tuple(folder.name for folder in found) for part, found in classes.items()}
        self._check_classes(names, roots)
        files = {part: self._files(found) for part, found in classes.items()}
        train, test = files.get("train", ()), files.get("test", ())
        if not test:
            self._check_splittable(names["train"], train)
            notes.append("without a test part, a tenth of each class (drawn with a fixed seed) is it")
        if not train:
            notes.append("without a training part it can be evaluated on only")
        class_names = names.get("train") or names["test"]
        return Listing(self.path, class_names, train, test, (*notes, *self.skipped.notes()))

    def _parts(self, folders: Sequence[Path]) -> tuple[dict[str, Path], list[str]]:
        """Find the folders that are parts, and say what of their neighbours is not read."""
        found: dict[str, list[Path]] = {}
        idle, others = [], []
        for folder in folders:
            part = PARTS.get(folder.name.lower())
            if part is None:
                others.append(folder)
            elif self._has_folders(folder):
                found.setdefault(part, []).append(folder)
            else:
                idle.append(folder)
        for part, several in found.items():
            if len(several) > 1:
                both = " and ".join(f"{folder.name}/" for folder in several)
                raise DataError(f"{self.path} has {both}, which are both a {part} part; keep one of them")
        if not found:
            return {}, []
        notes = [f"{shown(folder.name)}/ holds no class folders and is not used" for folder in idle]
        parts: dict[str, Path] = {part: found[part][0] for part in ("train", "test") if part in found}
        val = found.get("val", [None])[0]
        if val is not None and "test" in parts:
            notes.append(f"{val.name}/ is not used: images to validate on are drawn from the training part")
        elif val is not None:
            parts["test"] = val
            notes.append(f"{val.name}/ is the test part, for there is no other")
        self._tell_others(others, parts, notes)
        return parts, notes

    def _tell_others(self, others: Sequence[Path], parts: dict[str, Path], notes: list[str]) -> None:
        """Say which folders beside the parts are not read; refuse them where they may be classes."""
        with_images = [folder for folder in others if self._has_image(folder)]
        if with_images and len(parts) == 1:
            (root,) = parts.values()
            raise DataError(
                f"{self.path} has {_some([folder.name for folder in with_images])} beside {root.name}/: they "
                f"may be classes, or meant to be left out; move them away, or rename {root.name}/"
            )
        if others:
            notes.append(f"beside the parts, not read: {_some([folder.name for folder in others])}")

    def _has_image(self, folder: Path) -> bool:
        return next(self._images(folder, _Skipped()), None) is not None

    def _has_folders(self, folder: Path) -> bool:
        return any(_is_folder(entry) and not _is_junk(entry.name, JUNK_FOLDERS) for entry in _entries(folder))

    def _class_folders(self, root: Path) -> list[Path]:
        """Return the folders in a folder that may be classes, by name; files beside them are counted."""
        found = []
        for entry in _entries(root):
            place = Path(entry.path)
            if not _is_folder(entry):
                if entry.is_symlink() and not place.suffix and not place.exists():  # a class, perhaps
                    raise DataError(
                        f"{shown(place)} is a link to nothing; remove it or bring back its folder"
                    )
                if entry.name.lower().endswith(EXTENSIONS) and not _is_junk(entry.name, JUNK_FILES):
                    self.skipped.outside.append(str(place.relative_to(self.path)))
                else:
                    _is_image(entry, self.skipped)
            elif _is_junk(entry.name, JUNK_FOLDERS):
                self.skipped.junk[entry.name] += 1
            elif entry.name.startswith(".") and not self._has_image(place):
                self.skipped.hidden.append(str(place.relative_to(self.path)))
            else:
                found.append(place)
        return sorted(found, key=lambda folder: folder.name)

    def _files(self, classes: Sequence[Path]) -> Files:
        found: list[tuple[int, Path]] = []
        for label, folder in enumerate(classes):
            beside = _Skipped()
            images = sorted(self._images(folder, beside))
            if not images:
                there = f", but {_some(list(beside.other_types))} files" if beside.other_types else ""
                kinds = ", ".join(EXTENSIONS)
                raise DataError(
                    f"{shown(folder)} holds no image ({kinds}){there}; remove that folder or add images"
                )
            self.skipped.other_types += beside.other_types
            self.skipped.junk += beside.junk
            self.skipped.loops += beside.loops
            found += [(label, file) for file in images]
        return tuple(found)

    def _images(self, folder: Path, skipped: _Skipped) -> Iterator[Path]:
        """Walk a folder, behind links as well, into every real folder once and into none around it."""
        read = {_identity(place) for place in (folder.parent, self.path, *self.path.parents)}
        pending = [folder]
        while pending:
            place = pending.pop()
            identity = _identity(place)
            if identity in read:
                skipped.loops.append(str(place.relative_to(self.path)))
                continue
            read.add(identity)
            for entry in _entries(place):
                if _is_folder(entry):
                    if _is_junk(entry.name, JUNK_FOLDERS):
                        skipped.junk[entry.name] += 1
                    else:
                        pending.append(Path(entry.path))
                elif _is_image(entry, skipped):
                    yield Path(entry.path)

    def _refuse_parts_without_classes(self, folders: Sequence[Path]) -> None:
        if len(folders) > 1 and all(folder.name.lower() in PARTS for folder in folders):
            names = " and ".join(f"{folder.name}/" for folder in folders)
            raise DataError(
                f"{self.path} has {names} without class folders in them; each needs one folder of images per "
                "class, such as train/<class>/image.png"
            )

    def _check_classes(self, names: dict[str, tuple[str, ...]], roots: dict[str, Path]) -> None:
        smallest = min(len(classes) for classes in names.values())
        if smallest < 2:
            raise DataError(
                f"{self.path} holds {smallest} class folders where two are needed; it should look like "
                "train/<class>/image.png and test/<class>/image.png, or <class>/image.png"
            )
        for part, classes in names.items():
            for name in classes:
                if (problem := unstorable(name)) is not None:
                    raise DataError(f"the class folder {name!r} in {roots[part]} {problem}; rename it")
        train, test = (set(names.get(part, names.get("test", ()))) for part in ("train", "test"))
        if "test" in names and train != test:
            part, other = ("train", "test") if train - test else ("test", "train")
            absent = min((train - test) or (test - train))
            raise DataError(
                f"{self.path} has the class {absent!r} in {roots[part].name}/ but not in "
                f"{roots[other].name}/; both need the same classes"
            )

    def _check_splittable(self, class_names: Sequence[str], train: Files) -> None:
        counts = Counter(label for label, _ in train)
        smallest = min(range(len(class_names)), key=lambda label: counts[label])
        if counts[smallest] < 2:
            raise DataError(
                f"{self.path} has no test/ folder, so that a tenth of each class is the test part, and the "
                f"class {class_names[smallest]!r} has one image only; add images or a test/ folder"
            )


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        raise DataError(f"cannot read the folder {shown(folder)} ({error.strerror})") from error


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # links in a circle
        return False


def _identity(folder: Path) -> tuple[int, int]:
    try:
        state = folder.stat()
    except OSError as error:
        raise DataError(f"cannot read the folder {shown(folder)} ({error.strerror})") from error
    return state.st_dev, state.st_ino


def _is_junk(name: str, names: Iterable[str]) -> bool:
    return name.lower() in names or name.startswith("._")


def _is_image(entry: os.DirEntry[str], skipped: _Skipped) -> bool:
    """Tell whether a file is an image by its name; count it where it is none."""
    if _is_junk(entry.name, JUNK_FILES):
        skipped.junk["._*" if entry.name.startswith("._") else entry.name] += 1
        return False
    try:
        regular = entry.is_file() or not os.path.exists(entry.path)
    except OSError:
        regular = True
    # A link to nothing is left in: it is a missing image, and refused when its state is asked for.
    if regular and entry.name.lower().endswith(EXTENSIONS):
        return True
    skipped.other_types[os.path.splitext(entry.name)[1].lower()] += 1
    return False
