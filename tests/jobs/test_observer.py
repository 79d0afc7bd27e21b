import json
import signal
import threading
from pathlib import Path

import pytest

from cfa.jobs.devices import DeviceUse
from cfa.jobs.job_folder import JobFolder, read_progress
from cfa.jobs.kinds.train_run import TrainRun
from cfa.jobs.observer import JobObserver, Listener, Speed, StopSignal, stop_on_signals
from cfa.jobs.queue import Queue
from cfa.progress import Progress


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def at(done: float, phase: str = "training", unit: str = "epochs", total: float = 10.0) -> Progress:
    return Progress(done=done, total=total, unit=unit, phase=phase, epoch=1, epochs=10)


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_time_left_is_the_average_since_the_work_began(clock):
    speed = Speed(clock)
    assert speed.measure(at(2.0)) == (None, None)  # resumed: two epochs are no speed
    clock.now = 10.0
    assert speed.measure(at(4.0)) == (0.2, pytest.approx(30.0))
    clock.now = 15.0  # validation takes time and moves nothing
    assert speed.measure(at(4.0, "validating"))[1] == pytest.approx(45.0)
    # Other work, other speed.
    assert speed.measure(at(0.0, "pgd-20", "images", 100.0)) == (None, None)
    clock.now = 16.0
    assert speed.measure(at(50.0, "pgd-20", "images", 100.0)) == (50.0, pytest.approx(1.0))


def test_a_steady_rate_is_shown_as_it_is_and_a_change_is_followed(clock):
    speed = Speed(clock)
    for second in range(20):
        clock.now = float(second)
        rate, _ = speed.measure(at(0.1 * second))
    assert rate == pytest.approx(0.1)
    for second in range(20, 40):
        clock.now = float(second)
        rate, _ = speed.measure(at(1.9 + 0.2 * (second - 19)))
    assert rate == pytest.approx(0.2, rel=0.01)


class Counter(Listener):
    def __init__(self):
        self.reports = []

    def progress(self, progress):
        self.reports.append(progress.done)


def test_progress_is_written_at_most_once_a_second_and_at_the_end(home: Path, clock):
    queue = Queue(home)
    job = queue.submit(TrainRun(), "job").id
    counter = Counter()
    observer = JobObserver(queue, job, counter, StopSignal(), clock=clock)
    for step in range(100):
        clock.now = step * 0.05
        observer.progress(at(step / 10))
    observer.progress(at(10.0))
    assert len(counter.reports) == 6  # seconds 0 to 4, and the end
    assert read_progress(home, job).done == 10.0


def test_the_queue_is_asked_at_most_once_a_second(home: Path, clock):
    queue = Queue(home)
    job = queue.submit(TrainRun(), "job", foreground=True).id
    observer = JobObserver(queue, job, Listener(), StopSignal(), clock=clock)
    assert observer.stop_requested() is None
    queue.cancel(job)
    clock.now = 0.9
    assert observer.stop_requested() is None
    clock.now = 1.1
    assert observer.stop_requested() == "cancel"


def test_a_second_interrupt_does_what_it_always_does():
    with stop_on_signals() as stop:
        signal.raise_signal(signal.SIGINT)
        assert stop.received == "SIGINT"
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_outside_the_main_thread_signals_are_left_alone():
    before = signal.getsignal(signal.SIGTERM)
    seen = []

    def inside():
        with stop_on_signals() as stop:
            seen.append((stop.received, signal.getsignal(signal.SIGTERM)))

    thread = threading.Thread(target=inside)
    thread.start()
    thread.join()
    assert seen == [(None, before)]


def test_damaged_progress_is_no_progress(home: Path):
    queue = Queue(home)
    job = queue.submit(TrainRun(), "job").id
    JobFolder.of(home, job).progress_file.write_text('{"done": 1}')
    assert read_progress(home, job) is None


def test_progress_carries_the_use_of_the_device(tmp_path):
    use = DeviceUse(memory_used=3, memory_total=8, busy=0.5)
    queue = Queue(tmp_path)
    JobFolder.of(tmp_path, "j1").path.mkdir(parents=True)
    observer = JobObserver(queue, "j1", Listener(), StopSignal(), use=lambda: use)
    observer.progress(at(1.0))
    found = read_progress(tmp_path, "j1")
    assert (found.memory_used, found.memory_total, found.busy) == (3, 8, 0.5)


def test_progress_of_an_older_version_is_read(tmp_path):
    JobFolder.of(tmp_path, "j1").path.mkdir(parents=True)
    JobObserver(Queue(tmp_path), "j1", Listener(), StopSignal()).progress(at(1.0))
    file = JobFolder.of(tmp_path, "j1").progress_file
    content = json.loads(file.read_text())
    for name in ("memory_used", "memory_total", "busy"):
        del content[name]
    file.write_text(json.dumps(content))
    assert read_progress(tmp_path, "j1").done == 1.0
    file.write_text(json.dumps(content | {"from": "the future"}))
    assert read_progress(tmp_path, "j1") is None
