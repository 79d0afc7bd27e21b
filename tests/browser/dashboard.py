"""The dashboard as a process of its own, and the workers of a home."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

import psutil

from tests.support import unmeasured

MAIN = Path(__file__).parents[2] / "app" / "main.py"
PATIENCE = 60.0  # seconds; everything here takes a fraction of it on an idle machine

Found = TypeVar("Found")


def wait_for(look: Callable[[], Found], what: str, seconds: float = PATIENCE) -> Found:
    """Look until there is something, and return it; an AssertionError after ``seconds``."""
    end = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < end, f"waited {seconds:.0f} s in vain for {what}"
        time.sleep(0.05)
    return found


class Dashboard:
    """A Streamlit server on a home of its own, started from a folder outside the project."""

    def __init__(
        self,
        home: Path,
        folder: Path,
        environment: Mapping[str, str] | None = None,
        main: Path = MAIN,
        python: str = sys.executable,
    ) -> None:
        """Start the server and wait until it answers.

        Args:
            home: ``CFA_HOME``.
            folder: Where it is started; what lies there can be imported by jobs submitted on its pages.
            environment: Further variables.
            main: What is served.
            python: What serves it.
        """
        self.home = home
        self.port = free_port()
        self.address = f"http://127.0.0.1:{self.port}"
        self.log_file = folder / f"dashboard-{self.port}.log"
        # PYTHONPATH would hide that config and imports are found from anywhere.
        inherited = {name: value for name, value in unmeasured.environment().items() if name != "PYTHONPATH"}
        with self.log_file.open("wb") as log:
            self.process = subprocess.Popen(
                [python, "-m", "streamlit", "run", str(main), "--server.port", str(self.port)],
                cwd=folder,
                env=inherited | {"CFA_HOME": str(home)} | dict(environment or {}),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            wait_for(self._answers, "the dashboard's health")
        except BaseException:
            self.stop()
            raise

    def _answers(self) -> bool:
        assert self.process.poll() is None, f"the dashboard ended: {self.log_file.read_text()}"
        try:
            with urllib.request.urlopen(f"{self.address}/_stcore/health", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def stop(self) -> None:
        """End the server's process group; workers are sessions of their own and go on."""
        self._signal(signal.SIGTERM)
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """End the server as `kill -9` does."""
        self._signal(signal.SIGKILL)
        self.process.wait(15)

    def _signal(self, number: signal.Signals) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, number)


def free_port() -> int:
    """Find a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def workers(home: Path) -> list[psutil.Process]:
    """List the living workers of a home; each leads a session, unlike what it starts itself."""
    found = []
    for pid in psutil.pids():
        try:
            if os.getsid(pid) != pid:
                continue
            process = psutil.Process(pid)
            if "run-job" in process.cmdline() and process.environ().get("CFA_HOME") == str(home):
                found.append(process)
        except (OSError, psutil.Error):  # it has just ended, or is someone else's
            continue
    return found


def end_workers(home: Path) -> None:
    """End what tests left behind."""
    left = workers(home)
    for process in left:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(left, timeout=15)


class Census:
    """Counts the workers of a home again and again; ``most`` is how many there ever were at once."""

    def __init__(self, home: Path) -> None:
        """Prepare to count; ``with`` counts."""
        self.home = home
        self.most = 0
        self.pids: set[int] = set()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._count, daemon=True)

    def _count(self) -> None:
        while not self._over.wait(0.1):
            found = workers(self.home)
            self.most = max(self.most, len(found))
            self.pids |= {process.pid for process in found}

    def __enter__(self) -> "Census":
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._over.set()
        self._thread.join(15)
