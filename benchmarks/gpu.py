"""Everything that has to be seen on an NVIDIA GPU, in one call of under eight minutes.

python benchmarks/gpu.py [--reference PATH] [--minutes 8] [--device cuda:0] [--only PART ...]

What matters most comes first, and each part writes its result under benchmarks/results/ before the next
begins, so that an early end loses nothing. PATH is a checkout of PKU-ML/CFA, which is timed in place. What
became of each part stands in gpu.json.
"""

import argparse
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from machine import describe_machine, write_result

from cfa.methods import configure, parts_of
from cfa.models import ModelSpec, build_model, for_training, repeatable, wait_for
from cfa.models.replay import FIRST_EAGER, carrier_for
from cfa.training.arithmetic import arithmetic_of
from cfa.training.randomness import generator
from cfa.training.step import Step

HERE = Path(__file__).resolve().parent
OF_CIFAR = ModelSpec(3, 10, 32, (0.4914, 0.4822, 0.4465), (0.2471, 0.2435, 0.2616))
OF_FASHION_MNIST = ModelSpec(1, 10, 28, (0.2861,), (0.3530,))


@dataclass(frozen=True)
class Own:
    """A training step of ours, with graphs and without."""

    model: str
    spec: ModelSpec
    preset: str
    batch_size: int
    precision: str
    steps: int


OWN_STEPS = {
    "wrn-34-10, bf16": Own("wrn-34-10", OF_CIFAR, "paper", 128, "bf16", 4),
    "preact-resnet18, tf32": Own("preact-resnet18", OF_CIFAR, "paper", 128, "tf32", 20),
    "small-cnn, demo": Own("small-cnn", OF_FASHION_MNIST, "demo", 128, "tf32", 100),
}


def main() -> None:
    """Run the parts in order until the time is over."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--reference", type=Path)
    parser.add_argument("--minutes", type=float, default=8)
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--only", nargs="*")
    settings = parser.parse_args()
    if torch.device(settings.device).type == "cuda" and not torch.cuda.is_available():
        raise SystemExit("no NVIDIA GPU is here; --device cpu tries the script without one")
    end = time.monotonic() + 60 * settings.minutes
    became: dict[str, Any] = {}
    machine = describe_machine()
    for name, words in parts(settings.reference, settings.device).items():
        if settings.only and name not in settings.only:
            continue
        became[name] = carried_out(words, left=end - time.monotonic())
        write_result("gpu", {"what": "what became of each part", "parts": became, "machine": machine})
        if name == "steps":
            became["own steps"] = own_steps(torch.device(settings.device), end)
            write_result("gpu", {"what": "what became of each part", "parts": became, "machine": machine})


def parts(reference: Path | None, device: str) -> dict[str, list[str]]:
    """List the parts that are programs of their own, what matters most first."""
    theirs = ["--reference", str(reference)] if reference else []
    speed = ["speed.py", "--batch-size", "128", "--repeats", "5", "--device", device, "--name", "speed_gpu"]
    attacks = ["attacks.py", "--device", device, "--repeats", "3"]
    return {
        "steps": [str(HERE / speed[0]), *speed[1:], *theirs],
        "pgd": [str(HERE / attacks[0]), *attacks[1:], "--only", "pgd", "--name", "attacks_gpu_pgd"],
        "tests": ["-m", "pytest", "-q", "-n", "0", "-m", "gpu", str(HERE.parent / "tests"), "--no-cov"],
        "autoattack": [
            *(str(HERE / attacks[0]), *attacks[1:]),
            *("--only", "autoattack", "--name", "attacks_gpu_autoattack"),
        ],
    }


def carried_out(words: list[str], left: float) -> dict[str, Any]:
    """Run a program of its own, as long as there is time."""
    if left <= 0:
        return {"ended": "not begun: the time was over"}
    begun = time.monotonic()
    try:
        done = subprocess.run([sys.executable, *words], timeout=left, capture_output=True, text=True)
        ended, said = f"exit {done.returncode}", done.stdout + done.stderr
    except subprocess.TimeoutExpired as error:
        ended, said = "cut off: the time was over", str(error.stdout or "")
    return {
        "ended": ended,
        "seconds": round(time.monotonic() - begun, 1),
        "last_words": said.strip().splitlines()[-3:],
    }


def own_steps(device: torch.device, end: float) -> dict[str, Any]:
    """Time AT's step of some networks with graphs and without, and say whether they come to the same."""
    found: dict[str, Any] = {}
    for name, own in OWN_STEPS.items():
        if time.monotonic() < end:
            found[name] = own_step(own, device)
    return found


def own_step(own: Own, device: torch.device) -> dict[str, Any]:
    """Time one network's step; both ways start from the same weights and see the same batches."""
    overrides = {"train.precision": own.precision}
    config = configure("pgd-at-cfa", "cifar10", model=own.model, preset=own.preset, overrides=overrides)
    seconds: dict[str, float] = {}
    weights: dict[str, dict[str, torch.Tensor]] = {}
    said: list[str] = []
    memory: dict[str, int] = {}
    for way, graphs in (("as it is", False), ("graphs", True)):
        model = for_training(build_model(own.model, own.spec, 0), device).train()
        carry = carrier_for(device, said.append, graphs=graphs)
        counts = torch.full((10,), 500, device=device)
        step = Step.of(parts_of(config), model, counts, carry=carry)
        knobs = step.parts.rule.initial(10)[1].on(device)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
        shape = (own.batch_size, own.spec.channels, own.spec.image_size, own.spec.image_size)
        x = torch.rand(shape, generator=generator(0, "x")).to(device)
        y = (torch.arange(own.batch_size) % 10).to(device)
        index = torch.arange(own.batch_size, device=device)
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        with repeatable(), arithmetic_of(config, device):
            for number in range(FIRST_EAGER + 2 + own.steps):
                if number == FIRST_EAGER + 2:
                    wait_for(device)
                    begun = time.perf_counter()
                step(optimizer, x, y, index, knobs, generator(0, "step", number, device=device))
            wait_for(device)
        seconds[way] = (time.perf_counter() - begun) / own.steps
        weights[way] = {key: value.cpu() for key, value in model.state_dict().items()}
        if device.type == "cuda":
            memory[way] = round(torch.cuda.max_memory_allocated(device) / 1e6)
    one, other = weights.values()
    return {
        "seconds": {way: float(f"{value:.3g}") for way, value in seconds.items()},
        "images_per_second": {way: round(own.batch_size / value) for way, value in seconds.items()},
        "times_as_fast_with_graphs": round(seconds["as it is"] / seconds["graphs"], 2),
        "weights_equal_bit_for_bit": all(torch.equal(one[key], other[key]) for key in one),
        "peak_memory_mb": memory,
        "said": said,
    }


if __name__ == "__main__":
    main()
