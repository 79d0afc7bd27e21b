"""What a process does beside computing, seen by an audit hook: imports, programs, sockets, writes elsewhere.

A hook cannot be taken out again, so it is installed once in a process of its own (`tests.fuzz.campaign`) and
listens only while it is asked to. Native code that writes files itself (safetensors, Arrow) raises no events;
for that `tests.fuzz.doors` compares a folder that nobody may write to.
"""

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

PROJECT = Path(__file__).resolve().parents[2]
CANARY_EVENTS = ("canary.imported", "canary.called", "canary.unpickled")  # raised by the canary itself
PROGRAMS = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "os.forkpty")
SOCKETS = ("socket.__new__", "socket.connect", "socket.bind", "socket.sendto", "socket.getaddrinfo")
# Events that change the file system, and which of their arguments are paths. Below a descriptor of a folder
# `os.remove` and others say a name only: `shutil.rmtree` does that, and is heard itself.
CHANGES = {
    "os.remove": (0,),
    "os.rmdir": (0,),
    "os.mkdir": (0,),
    "os.rename": (0, 1),
    "os.link": (1,),
    "os.symlink": (1,),
    "os.truncate": (0,),
    "os.chmod": (0,),
    "os.chown": (0,),
    "os.utime": (0,),
    "shutil.rmtree": (0,),
    "shutil.move": (0, 1),
    "shutil.copyfile": (1,),
    "shutil.make_archive": (0,),
    "shutil.unpack_archive": (1,),
    "sqlite3.connect": (0,),
    "tempfile.mkstemp": (0,),
    "tempfile.mkdtemp": (0,),
}
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
HARMLESS = ("/dev/null",)


@dataclass
class Watch:
    """Remembers what was not allowed while it listened."""

    allowed: tuple[Path, ...] = ()
    private: str = ""
    listening: bool = False
    seen: list[str] = field(default_factory=list)

    def install(self) -> None:
        """Hear every event of this process from now on."""
        sys.addaudithook(self._hear)

    @contextmanager
    def over(self, *allowed: Path, private: Path | None = None) -> Iterator[list[str]]:
        """Listen for a while; give the list of what is not allowed, which grows.

        Args:
            allowed: Folders that may be written to.
            private: A folder in which nothing may be read, by way of links neither.
        """
        self.private = "" if private is None else f"{private}{os.sep}"
        self.allowed, self.seen, self.listening = allowed, [], True
        try:
            yield self.seen
        finally:
            self.listening = False

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.listening:
            return
        if event == "subprocess.Popen" and _asks_for_our_version(*arguments[:2]):
            return
        if event in CANARY_EVENTS or event in PROGRAMS or event in SOCKETS:
            self._remember(event, *arguments[:2])
        elif event == "open":
            self._opened(*arguments)
        elif event in CHANGES:
            below_a_descriptor = event in ("os.remove", "os.rmdir") and arguments[1] != -1
            for number in CHANGES[event]:
                if number < len(arguments) and not below_a_descriptor:
                    self._changed(event, arguments[number])

    def _opened(self, path: object, mode: object, flags: object) -> None:
        if isinstance(flags, int) and flags & WRITING:
            self._changed("open for writing", path)
        elif (
            self.private
            and isinstance(path, str)
            and isinstance(flags, int)
            and self._leads_there(path, flags)
        ):
            self._remember("open for reading", path)

    def _leads_there(self, path: str, flags: int) -> bool:
        """Tell whether opening leads to the private folder; a name below a descriptor is found nowhere."""
        return not flags & os.O_NOFOLLOW and os.path.realpath(path).startswith(self.private)

    def _changed(self, event: str, path: object) -> None:
        if not isinstance(
            path, str | bytes | os.PathLike
        ):  # a descriptor: it was heard of when it was opened
            return
        text = os.fsdecode(path)
        if text.startswith("file:") and text.endswith("?mode=ro"):  # a database that is only read
            text = url2pathname(urlsplit(text).path)
        if text in HARMLESS or text == ":memory:":
            return
        self.listening = False  # resolving would be heard
        try:
            place = Path(os.path.abspath(text))
            inside = any(place.is_relative_to(folder) for folder in self.allowed)
        finally:
            self.listening = True
        if not inside:
            self._remember(event, text)

    def _remember(self, event: str, *arguments: object) -> None:
        words = " ".join(str(argument)[:200] for argument in arguments)
        self.seen.append(f"{event} {words}".strip())


def _asks_for_our_version(program: object, arguments: Sequence[object]) -> bool:
    """Tell the one program that is started of itself: which version of this project it is."""
    return program == "git" and list(arguments[1:4]) == ["-C", str(PROJECT), "describe"]
