"""Trainings that are killed: children of a process that has imported everything, so that each starts at once.

The process forks before anything was computed in it. A child trains with `tiny_dataset(spread=2)`, saves
after every batch, and is ended by SIGKILL at some moment of an epoch: while it attacks, updates, or writes.
"""

import importlib
import os
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from cfa.progress import Observer, Progress
from cfa.runs.folder import RunFolder
from tests.support.tiny import go_on, tiny_dataset

PROJECT = Path(__file__).resolve().parents[2]
BATCHES = 5  # of an epoch of `tiny_config` on `tiny_dataset`


class Doomed(Observer):
    """Has its own process killed in an epoch, so many seconds after its first batch or at its last."""

    def __init__(self, epoch: int, seconds: float) -> None:
        self.epoch, self.seconds, self.told = epoch, seconds, 0

    def progress(self, progress: Progress) -> None:
        if progress.phase != "training" or not self.epoch - 1 < progress.done <= self.epoch:
            return
        self.told += 1
        if self.told == 1:
            threading.Timer(self.seconds, end_at_once).start()
        if self.told == BATCHES:
            end_at_once()


def end_at_once() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def serve() -> None:
    """Train in a child what each line asks for (epoch, seconds, folder), and answer how that ended."""
    for line in sys.stdin:
        epoch, seconds, folder = line.rstrip("\n").split(" ", 2)
        child = os.fork()
        if child == 0:
            try:
                module = importlib.import_module("cfa.training.fit")
                module.SECONDS_BETWEEN_SAVES = 0.0  # type: ignore[attr-defined]
                go_on(RunFolder(Path(folder)), tiny_dataset(spread=2), Doomed(int(epoch), float(seconds)))
            except BaseException:  # whatever it is, the child must not go on as a second server
                traceback.print_exc()
                os._exit(1)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


class Killer:
    """Has runs trained in processes that are killed."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def kill_in_epoch(self, epoch: int, run: RunFolder, seconds: float) -> None:
        """Go on with a run, and kill the process so many seconds after the first batch of an epoch."""
        asked, answered = given(self._process.stdin), given(self._process.stdout)
        asked.write(f"{epoch} {seconds} {run.path}\n")
        asked.flush()
        assert answered.readline().strip() == str(-signal.SIGKILL.value)


def given(pipe: IO[str] | None) -> IO[str]:
    assert pipe is not None
    return pipe


@contextmanager
def killer() -> Iterator[Killer]:
    """Start the process that runs are trained in."""
    command = [sys.executable, "-m", "tests.support.killing"]
    with subprocess.Popen(
        command, cwd=PROJECT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield Killer(process)
        given(process.stdin).close()  # it ends with what it reads


if __name__ == "__main__":
    serve()
