from pathlib import Path

import psutil
import pytest
import torch
from filelock import FileLock

from cfa import api
from cfa.errors import ConfigError, StoreError, UnknownName
from cfa.evaluation import EvaluationPlan
from cfa.jobs import devices as machine
from cfa.jobs.devices import check_device, choose_device, device_is_busy
from cfa.jobs.job_folder import device_lock_file
from cfa.locks import hold, is_held
from cfa.methods import configure


@pytest.fixture
def two_gpus(monkeypatch):
    monkeypatch.setattr(machine, "_accelerators", lambda: ("cuda:0", "cuda:1"))


def test_without_an_accelerator_the_cpu_is_supervised(monkeypatch):
    monkeypatch.setattr(machine, "_accelerators", lambda: ())
    assert machine.devices() == ["cpu"]


@pytest.mark.parametrize(
    ("asked", "queued", "named"),
    [
        (None, True, None),
        ("cuda", True, "cuda:0"),
        ("cuda:1", False, "cuda:1"),
        ("cpu", False, "cpu"),
        ("CUDA:1", False, "cuda:1"),
        ("cpu", True, ConfigError),
        ("cuda:2", False, ConfigError),
        ("mps", True, ConfigError),
        ("gpu", False, UnknownName),
        ("cuda:", False, UnknownName),
        ("", False, UnknownName),
    ],
)
def test_devices_by_name(two_gpus, asked, queued, named):
    if isinstance(named, type):
        with pytest.raises(named):
            check_device(asked, queued=queued)
    else:
        assert check_device(asked, queued=queued) == named


@pytest.mark.parametrize(
    ("here", "asked", "says"),
    [
        ((), "cuda:0", "device 'cuda:0' is not here: PyTorch sees no NVIDIA or AMD GPU on this machine"),
        ((), "cuda", "device 'cuda' is not here: PyTorch sees no NVIDIA or AMD GPU on this machine"),
        ((), "mps", "device 'mps' is not here: PyTorch sees no Apple GPU on this machine"),
        ((), "mps:0", "device 'mps:0' is not here: PyTorch sees no Apple GPU on this machine"),
        (("cuda:0", "cuda:1"), "cuda:7", "device 'cuda:7' is not here: PyTorch sees only cuda:0 and cuda:1"),
        (("cuda:0", "cuda:1"), "mps", "PyTorch sees no Apple GPU .* choose from cuda:0, cuda:1, cpu$"),
        (("mps",), "cuda:0", "PyTorch sees no NVIDIA or AMD GPU .* choose from mps, cpu$"),
    ],
)
def test_a_device_that_is_not_here_is_said_to_be_so(monkeypatch, here, asked, says):
    monkeypatch.setattr(machine, "_accelerators", lambda: here)
    with pytest.raises(ConfigError, match=says):
        check_device(asked, queued=False)


def test_the_python_calls_say_it_as_well(monkeypatch, home: Path):
    monkeypatch.setattr(machine, "_accelerators", lambda: ())
    for call in (
        lambda: api.train(configure("trades", "fashion-mnist-mini"), device="cuda", home=home),
        lambda: api.load("any", device="cuda:0", home=home),
        lambda: api.evaluate(torch.nn.Identity(), "tiny", EvaluationPlan(attacks=()), device="cuda:1"),
    ):
        with pytest.raises(ConfigError, match="PyTorch sees no NVIDIA or AMD GPU"):
            call()
    assert not (home / "jobs").exists()


def test_a_free_device_is_chosen_before_a_busy_one(two_gpus, home: Path):
    assert choose_device(home, None) == "cuda:0"
    locks = [FileLock(device_lock_file(home, f"cuda:{i}")) for i in (0, 1)]
    (home / "locks").mkdir()
    with locks[0]:
        assert device_is_busy(home, "cuda:0")
        assert choose_device(home, None) == "cuda:1"
        with locks[1]:
            assert choose_device(home, None) == "cuda:0"
    assert choose_device(home, "cpu") == "cpu"


def test_a_lock_that_cannot_be_opened_is_one_sentence(tmp_path: Path):
    folder = tmp_path / "folder.lock"
    folder.mkdir()
    with pytest.raises(StoreError, match=r"cannot open .*folder\.lock"), hold(folder, "busy", timeout=0):
        pass
    with pytest.raises(StoreError, match=r"cannot open .*folder\.lock"):
        is_held(folder)


def test_a_lock_held_elsewhere_is_the_sentence_given(tmp_path: Path):
    file = tmp_path / "a.lock"
    with hold(file, "first"), pytest.raises(StoreError, match="wait for it"), hold(file, "wait for it", 0):
        pass
    assert not is_held(file)


def test_the_use_of_the_cpu_is_that_of_the_machine():
    use = machine.device_use("cpu")
    assert 0 < use.memory_used < use.memory_total == psutil.virtual_memory().total
    assert use.busy is not None
    assert 0 <= use.busy <= 1


@pytest.mark.parametrize("nvml", [True, False])
def test_the_use_of_a_gpu_is_told_without_nvml_as_well(monkeypatch, nvml):
    def utilization(device):
        if not nvml:
            raise ModuleNotFoundError("nvidia-ml-py does not seem to be installed")
        return 97

    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (3 * 2**30, 80 * 2**30))
    monkeypatch.setattr(torch.cuda, "utilization", utilization)
    use = machine.device_use("cuda:0")
    assert (use.memory_used, use.memory_total) == (77 * 2**30, 80 * 2**30)
    assert use.busy == (0.97 if nvml else None)


@pytest.mark.gpu
def test_the_use_of_a_real_gpu():
    held = torch.zeros(2**28, device="cuda:0")
    use = machine.device_use("cuda:0")
    assert held.numel() * 4 <= use.memory_used <= use.memory_total
