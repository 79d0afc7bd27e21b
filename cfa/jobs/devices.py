"""Devices of this machine, and holding one while computing on it."""

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import psutil
from filelock import Timeout

from cfa.errors import ConfigError, StoreError
from cfa.files import make_folder
from cfa.jobs.job_folder import device_lock_file
from cfa.locks import is_held, lock_at
from cfa.progress import Observer, Stopped
from cfa.registry import unknown

WAIT = 0.5  # seconds between looks at a busy device
_KNOWN = re.compile(r"cuda:[0-9]+|mps")  # what PyTorch may compute on beside the CPU, here or elsewhere
# NVIDIA, its boards (Jetson), AMD, Windows' Linux.
_DRIVERS = ("nvidia*", "nvhost*", "nvgpu*", "nvmap", "kfd", "dxg")


@lru_cache(maxsize=1)
def _accelerators() -> tuple[str, ...]:
    import torch  # takes seconds; the queue's commands do without

    if torch.cuda.is_available():
        return tuple(f"cuda:{index}" for index in range(torch.cuda.device_count()))
    if torch.backends.mps.is_available():
        return ("mps",)
    return ()


def devices() -> list[str]:
    """List the devices that are supervised: every GPU, the CPU where there is none."""
    return list(_accelerators()) or ["cpu"]


@lru_cache(maxsize=1)
def served_devices() -> tuple[str, ...]:
    """List the same, once, without torch in this process: it takes seconds, and 0.5 GB until it ends.

    Where there may be a GPU, another process looks; Linux has a file for every driver of one.
    """
    if "torch" in sys.modules or (found := _seen_by_another_process()) is None:
        return tuple(devices())
    return found


def _seen_by_another_process() -> tuple[str, ...] | None:
    """Return what a process of its own sees; ``None`` where it fails."""
    if sys.platform == "linux" and not any(any(Path("/dev").glob(name)) for name in _DRIVERS):
        return ("cpu",)
    look = "from cfa.jobs.devices import devices; print(*devices())"
    try:
        said = subprocess.run(
            (sys.executable, "-P", "-c", look), capture_output=True, text=True, timeout=60, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return tuple(said.stdout.split()) or None


@dataclass(frozen=True)
class DeviceUse:
    """How much of a device is in use, by everyone on it.

    Attributes:
        memory_used: Bytes.
        memory_total: Bytes.
        busy: Share of the time in which it computes; ``None`` where nobody can say.
    """

    memory_used: int
    memory_total: int
    busy: float | None


def device_use(device: str) -> DeviceUse:
    """Look at a device that this process computes on (a look at a GPU takes memory on it by itself)."""
    if device == "cpu":
        memory = psutil.virtual_memory()
        return DeviceUse(memory.total - memory.available, memory.total, psutil.cpu_percent() / 100)
    import torch

    if device == "mps":
        return DeviceUse(
            torch.mps.driver_allocated_memory(), int(torch.mps.recommended_max_memory()), busy=None
        )
    free, total = torch.cuda.mem_get_info(device)
    return DeviceUse(total - free, total, _gpu_busy(device))


def _gpu_busy(device: str) -> float | None:
    """Ask NVML, which torch reaches through nvidia-ml-py, where that is installed and allowed."""
    import torch

    try:
        return torch.cuda.utilization(device) / 100
    except (ModuleNotFoundError, RuntimeError):
        return None


def check_device(device: str | None, *, queued: bool) -> str | None:
    """Return the device as it is named here; a ConfigError or UnknownName if no such device works.

    Args:
        device: ``cuda``, ``cuda:1``, ``mps``, ``cpu``, or ``None`` for any.
        queued: The job is for the queue, which serves GPUs alone where there are some.
    """
    if device is None:
        return None
    name = {"cuda": "cuda:0", "mps:0": "mps"}.get(device.strip().lower(), device.strip().lower())
    if name in devices():
        return name
    if name == "cpu":
        if queued:
            raise ConfigError(
                f"the queue of this machine serves {', '.join(devices())}; "
                "leave --device out, or run on the CPU in the foreground"
            )
        return name
    if _KNOWN.fullmatch(name) is None:
        raise unknown("device", device, [*_accelerators(), "cpu"])
    kind = "Apple GPU" if name == "mps" else "NVIDIA or AMD GPU"
    alike = [other for other in _accelerators() if other.partition(":")[0] == name.partition(":")[0]]
    seen = f"only {' and '.join(alike)}" if alike else f"no {kind}"
    raise ConfigError(
        f"device {device!r} is not here: PyTorch sees {seen} on this machine; "
        f"leave --device out, or choose from {', '.join([*_accelerators(), 'cpu'])}"
    )


def choose_device(home: Path, device: str | None) -> str:
    """Return the device asked for, or the first that is free, or the first."""
    if device is not None:
        return device
    return next((name for name in devices() if not device_is_busy(home, name)), devices()[0])


def device_is_busy(home: Path, device: str) -> bool:
    """Tell whether a worker, or a foreground command, computes on the device."""
    return is_held(device_lock_file(home, device))


@contextmanager
def occupied(home: Path, device: str, observer: Observer, announce: Callable[[str], None]) -> Iterator[None]:
    """Hold a device, waiting for whoever has it.

    Args:
        home: ``CFA_HOME``.
        device: The device's name.
        observer: Asked while waiting whether to stop.
        announce: Told what is waited for, and the empty text when it is over.

    Raises:
        Stopped: The observer asked for it.
    """
    file = device_lock_file(home, device)
    lock = lock_at(file)
    waiting = False
    while True:
        try:
            make_folder(file.parent)
            lock.acquire(timeout=WAIT)
            break
        except Timeout:
            if not waiting:
                announce(f"{device} is busy; waiting until it is free")
                waiting = True
            reason = observer.stop_requested()
            if reason is not None:
                raise Stopped(reason) from None
        except OSError as error:
            raise StoreError(f"cannot open {file} ({error.strerror}); check its owner") from error
    try:
        if waiting:
            announce("")
        yield
    finally:
        lock.release()
