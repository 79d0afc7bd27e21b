"""Work that lasts as long as a test wants: tiny data, and a network that dawdles until told to hurry."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cfa import trust
from cfa.jobs.queue import Job, Queue
from cfa.jobs.submit import submit_training
from cfa.methods import configure
from cfa.runs.folder import RunFolder
from cfa.runs.rows import Epoch
from cfa.runs.store import Store
from cfa.runs.trusted import code_of
from tests.browser.dashboard import wait_for, workers
from tests.conftest import SETTINGS, TINY

MODULE = "slow_work"
SOURCE = (
    TINY
    + '''

import os
import time
from pathlib import Path

from cfa.models.networks import small_cnn


def dawdle(module, inputs):
    if not (Path(os.environ["CFA_HOME"]) / "hurry").exists():
        time.sleep(0.04)


def network(spec):
    """small-cnn at a walking pace until the file `hurry` is in CFA_HOME."""
    built = small_cnn(spec)
    built.register_forward_pre_hook(dawdle)
    return built
'''
)
EPOCHS = 24  # over a minute at a walking pace, a few seconds in a hurry


def write_module(folder: Path) -> Path:
    """Write the module ``slow_work`` into a folder, from which jobs then import it."""
    (folder / f"{MODULE}.py").write_text(SOURCE)
    return folder


def hurry(home: Path, wanted: bool = True) -> None:
    """Let the slow network of a home run as fast as it can, or dawdle again."""
    if wanted:
        (home / "hurry").touch()
    else:
        (home / "hurry").unlink(missing_ok=True)


class Workshop:
    """Submits jobs to a home as `cfa train --queue` does, started in the folder that has ``slow_work``."""

    def __init__(self, home: Path, folder: Path) -> None:
        """Open store and queue of a home, and write the module into ``folder``."""
        self.home, self.folder = home, write_module(folder)
        self.store, self.queue = Store.open(home), Queue(home)

    def submit(self, name: str, *, model: str = f"{MODULE}:network", **changes: str) -> tuple[RunFolder, Job]:
        """Queue a training; ``train__epochs="2"`` changes ``train.epochs``."""
        settings = SETTINGS | {"train.epochs": str(EPOCHS)}
        settings |= {setting.replace("__", "."): value for setting, value in changes.items()}
        config = configure("trades-cfa", f"{MODULE}:load", model=model, preset="demo", overrides=settings)
        with self.importable(), trust.allowing(code_of(config)):
            run, (job,) = submit_training(self.store, self.queue, config, name=name)
        return run, job

    @contextmanager
    def importable(self) -> Iterator[None]:
        """Stand in the folder of ``slow_work``, as a terminal or a worker would."""
        with pytest.MonkeyPatch.context() as here:
            here.chdir(self.folder)
            here.syspath_prepend(str(self.folder))
            yield

    def state(self, job: Job) -> str:
        """Say how a job stands now."""
        return self.queue.get(job.id).state

    def pid(self, job: Job) -> int:
        """Wait for a job's worker and return its process id."""
        return wait_for(lambda: self.queue.get(job.id).pid, f"a worker of {job.title}")

    def epochs(self, run: RunFolder) -> list[int]:
        """List the epochs that a run has recorded, in the order of its history."""
        return [row.epoch for row in run.rows() if isinstance(row, Epoch)]

    def wait_for_epoch(self, run: RunFolder, epoch: int) -> None:
        """Wait until a run has recorded this epoch."""
        wait_for(lambda: max(self.epochs(run), default=0) >= epoch, f"epoch {epoch} of {run.name}")

    def clear(self) -> None:
        """Cancel what is open and wait until no worker is left."""
        for job in self.queue.jobs():
            if job.state in ("queued", "paused", "interrupted"):
                self.queue.cancel(job.id)
        for job in self.queue.jobs():
            if job.state == "running":
                self.queue.cancel(job.id)
        wait_for(lambda: not workers(self.home), "the workers' end")
        hurry(self.home, False)
