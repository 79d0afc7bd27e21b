"""What a worker tells the world: progress, log lines, and whether it has been asked to stop."""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from types import FrameType

from cfa.escaping import printable
from cfa.files import append_line
from cfa.jobs.devices import DeviceUse
from cfa.jobs.job_folder import JobFolder, JobProgress, write_progress
from cfa.jobs.queue import Queue
from cfa.progress import Observer, Progress, StopReason
from cfa.runs.folder import now

INTERVAL = 1.0  # seconds between writes of progress, and between looks at the queue
SMOOTHING = 0.3  # weight of the newest second in the rate that is shown


class Listener:
    """Where a worker's words go besides its files; this one prints log lines (into the job's log)."""

    def progress(self, progress: JobProgress) -> None:
        """Receive how far the job is, at most once a second."""

    def log(self, line: str) -> None:
        """Receive one line, time stamp included."""
        print(printable(line), flush=True)

    def failed(self, message: str) -> None:
        """Receive the sentence with which the job failed; the last thing that is heard."""
        print(printable(f"failed: {message}"), flush=True)


class StopSignal:
    """Remembers that the process was told to end (SIGTERM, SIGINT, SIGHUP)."""

    def __init__(self) -> None:
        """Nothing was received yet."""
        self.received: str | None = None

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """Note the signal; a second one of the same kind does what it always does."""
        self.received = signal.Signals(number).name
        signal.signal(number, signal.SIG_DFL if number != signal.SIGINT else signal.default_int_handler)


@contextmanager
def stop_on_signals() -> Iterator[StopSignal]:
    """Turn the signals that end a process into a wish to save and stop."""
    stop = StopSignal()
    if threading.current_thread() is not threading.main_thread():
        yield stop  # Python delivers signals to the main thread alone
        return
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    before = {number: signal.signal(number, stop) for number in numbers}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class Speed:
    """Smoothed rate within a phase, and seconds left from the average since the work began.

    The rate is what a person watches; the average is steadier where training and validation alternate.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        """Start without any measurement."""
        self._clock = clock
        self._work: tuple[str, float] | None = None
        self._phase = ""
        self._begun = (0.0, 0.0)
        self._last = (0.0, 0.0)
        self._rate: float | None = None

    def measure(self, progress: Progress) -> tuple[float | None, float | None]:
        """Return units per second and seconds left; ``None`` where nothing can be said yet."""
        here = (self._clock(), progress.done)
        if self._work != (progress.unit, progress.total) or progress.done < self._last[1]:
            self._work = (progress.unit, progress.total)
            self._begun, self._last, self._rate = here, here, None
        if self._phase != progress.phase:
            self._phase, self._last, self._rate = progress.phase, here, None
        seconds, units = here[0] - self._last[0], here[1] - self._last[1]
        if seconds >= INTERVAL / 2:
            newest = units / seconds
            self._rate = newest if self._rate is None else self._rate + SMOOTHING * (newest - self._rate)
            self._last = here
        seconds, units = here[0] - self._begun[0], here[1] - self._begun[1]
        left = (progress.total - progress.done) * seconds / units if units > 0 and seconds > 0 else None
        return self._rate, left


class JobObserver(Observer):
    """Writes progress at most once a second, logs with time stamps, asks the queue once a second."""

    def __init__(
        self,
        queue: Queue,
        job_id: str,
        listener: Listener,
        stop: StopSignal,
        use: Callable[[], DeviceUse] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Observe for one job.

        Args:
            queue: Where requests to stop are read.
            job_id: The job.
            listener: Hears lines and progress as well.
            stop: Signals that the process received.
            use: Looks at the device of the job.
            clock: Seconds; for tests.
        """
        self._run_log: Path | None = None
        self._queue, self._job_id, self._listener, self._stop = queue, job_id, listener, stop
        self._folder = JobFolder.of(queue.home, job_id)
        self._clock = clock
        self._use = use
        self._speed = Speed(clock)
        self._written = self._asked = float("-inf")
        self._reason: StopReason | None = None

    def progress(self, progress: Progress) -> None:
        """Store how far the job is, unless that was done within the last second."""
        if self._clock() - self._written < INTERVAL and progress.done < progress.total:
            return
        rate, left = self._speed.measure(progress)
        shown = JobProgress(
            done=progress.done,
            total=progress.total,
            unit=progress.unit,
            phase=progress.phase,
            epoch=progress.epoch,
            epochs=progress.epochs,
            rate=rate,
            seconds_left=left,
            updated=now(),
            **(vars(self._use()) if self._use else {}),
        )
        self._written = self._clock()
        write_progress(self._folder, shown)
        self._listener.progress(shown)

    def log(self, message: str) -> None:
        """Write a line with the local time to the run's log and to the listener."""
        line = f"{datetime.now():%Y-%m-%d %H:%M:%S} {message}"
        if self._run_log is not None:
            append_line(self._run_log, line)
        self._listener.log(line)

    def log_into(self, file: Path) -> None:
        """Write every further line into a file as well, which is the log of the run that is trained."""
        self._run_log = file

    def stop_requested(self) -> StopReason | None:
        """Say whether to stop: at once after a signal, within a second after a request."""
        if self._stop.received is not None:
            return "pause"
        if self._clock() - self._asked >= INTERVAL:
            self._asked = self._clock()
            self._reason = self._queue.requested(self._job_id)
        return self._reason
