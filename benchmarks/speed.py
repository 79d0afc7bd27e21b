"""How fast a training step is, and beside the official code where a checkout of it is given.

python benchmarks/speed.py [--reference PATH] [--batch-size 32] [--repeats 3]
    [--device cuda:0 --name speed_gpu]

PATH is a checkout of PKU-ML/CFA, read and timed in place. Network (PreActResNet-18), batches, attack steps
and device are the same; on a GPU our step is timed with graphs, with bf16, and without `repeatable`, as well.
Both run on a network that a few FGSM steps on easy pictures have prepared, until about half of the batch
holds: on a random one nearly every image is wrong at once, and FAT would stop where in practice it goes on.
"""

import argparse
import resource
import statistics
import time
from argparse import Namespace
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
from machine import describe_machine, write_result
from official import Official, load_official
from torch import Tensor
from torch.nn import functional as F

from cfa.attacks import named_attack
from cfa.config import RunConfig
from cfa.data import dataset_info
from cfa.methods import Knobs, configure, parts_of, settings_of
from cfa.models import ModelSpec, build_model, for_training, repeatable, wait_for
from cfa.models.replay import FIRST_EAGER, carrier_for
from cfa.training.arithmetic import arithmetic_of
from cfa.training.estimate import estimate_seconds
from cfa.training.randomness import generator
from cfa.training.step import Step

SPEC = ModelSpec(3, 10, 32, (0.4914, 0.4822, 0.4465), (0.2471, 0.2435, 0.2616))
EPS, BETA, TAU, ALPHA, ATTACK_STEPS = 8 / 255, 6.0, 3, 2 / 255, 10
HARD_ENOUGH = (0.4, 0.7)  # robust accuracy of the prepared network: FAT stops where it does in practice
MOST_PREPARATION = 60  # steps
# What is timed: our method, our mode while attacking, the official loss.
CASES = {
    "AT": ("pgd-at-cfa", "train", "cw_pgd_loss"),
    "TRADES": ("trades-cfa", "eval", "cw_trades_loss"),
    "FAT, masked": ("fat-cfa", "train", "cw_fat_loss"),
    "FAT, dropped (eval mode)": ("fat-cfa", "eval", "cw_fat_loss"),
}
# Work of the official step that is not in ours, by reading attack.py and train.py at 071f333.
NOT_IN_OURS = {
    "all": "a clean forward pass for the log after every step, with gradient; parameter gradients in the "
    "attack; loops over samples in Python for eps and for class counts",
    "TRADES": "the clean pass of the attack's loss once per attack step instead of once; a second clean pass "
    "in the loss",
    "FAT": "another adversarial forward pass after the last step, on the same images",
}


def main() -> None:
    """Time all cases, ours and theirs in turn."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--reference", type=Path)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--name", default="speed", help="of the file under benchmarks/results/")
    settings = parser.parse_args()
    torch.set_num_threads(settings.threads)
    machine = describe_machine()
    official = load_official(settings.reference, settings.device) if settings.reference else None
    x, y = (values.to(settings.device) for values in pictures(settings.batch_size))
    weights, accuracy = prepared(x, y)
    result: dict[str, Any] = {
        "what": "seconds of one training step with class-wise calibration (median of the repeats)",
        # A path of somebody's machine means nothing to others.
        "settings": {**vars(settings), "reference": "PKU-ML/CFA" if settings.reference else None},
        "robust_accuracy": accuracy,
        "work_of_the_official_step_that_is_not_in_ours": NOT_IN_OURS,
        "steps": {name: timed(name, official, weights, x, y, settings) for name in CASES},
        "validation": validation_share(torch.device(settings.device)),
        "peak_memory_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000),
    }
    write_result(settings.name, {**result, "machine": machine})


def pictures(batch_size: int) -> tuple[Tensor, Tensor]:
    """Make a batch that is easy to learn: a coarse pattern per class under noise."""
    noise = torch.Generator().manual_seed(0)
    labels = torch.arange(batch_size) % SPEC.num_classes
    patterns = torch.rand(SPEC.num_classes, 3, 8, 8, generator=noise).repeat_interleave(4, 2)
    patterns = patterns.repeat_interleave(4, 3)[labels]
    return 0.05 + 0.9 * (0.8 * patterns + 0.2 * torch.rand(patterns.shape, generator=noise)), labels


def prepared(x: Tensor, y: Tensor) -> tuple[dict[str, Tensor], float]:
    """Return weights after as many steps on FGSM examples as make about half of the batch robust."""
    model = for_training(build_model("preact-resnet18", SPEC, 0), x.device).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9)
    attack = named_attack("fgsm", "linf")
    assert attack is not None
    for _ in range(MOST_PREPARATION):
        x_adv = attack(model, x, y, EPS)
        optimizer.zero_grad()
        torch.autograd.backward(F.cross_entropy(model(x_adv), y))
        optimizer.step()
        weights = {name: value.clone() for name, value in model.state_dict().items()}
        accuracy = robust_accuracy(weights, x, y)
        if HARD_ENOUGH[0] <= accuracy <= HARD_ENOUGH[1]:
            return weights, accuracy
    raise SystemExit(f"robust accuracy went past {HARD_ENOUGH} (now {accuracy}); use a larger --batch-size")


def robust_accuracy(weights: dict[str, Tensor], x: Tensor, y: Tensor) -> float:
    """Say how many images of the batch PGD-10 leaves right."""
    model = for_training(build_model("preact-resnet18", SPEC, 0), x.device)
    model.load_state_dict(weights)
    model.eval()
    attack = named_attack("pgd-10", "linf")
    assert attack is not None
    x_adv = attack(model, x, y, EPS, generator=torch.Generator(x.device).manual_seed(0))
    with torch.no_grad():
        return round(float((model(x_adv).argmax(1) == y).float().mean()), 3)


def validation_share(device: torch.device) -> dict[str, Any]:
    """Measure what validating all three kinds of weights costs beside an epoch, in the paper preset."""
    config = configure("trades-cfa", "cifar10", model="preact-resnet18", preset="paper")
    info = dataset_info("cifar10", Path())
    measured = estimate_seconds(config, info, device)
    return {
        "what": "validation of online, EMA and FAWA weights (clean and PGD-10 on 1,000 images each) as a "
        "share of an epoch, by the estimate that a few measured steps give; trades-cfa",
        "share_of_an_epoch": round(measured.validation_seconds_per_epoch / measured.seconds_per_epoch, 3),
    }


def timed(
    name: str,
    official: Official | None,
    weights: dict[str, Tensor],
    x: Tensor,
    y: Tensor,
    settings: Namespace,
) -> dict[str, Any]:
    """Time one case; ours and theirs alternate, after a step of each that does not count."""
    steps = {"cfa": own_step(name, weights, x, y)}
    if x.device.type == "cuda":
        steps["cfa, graphs"] = own_step(name, weights, x, y, graphs=True)
        steps["cfa, bf16"] = own_step(name, weights, x, y, precision="bf16")
        steps["cfa, bf16, graphs"] = own_step(name, weights, x, y, precision="bf16", graphs=True)
        steps["cfa, not repeatable"] = own_step(name, weights, x, y, held=nullcontext)
    if official is not None:
        steps["official"] = official_step(name, official, weights, x, y)
    seconds: dict[str, list[float]] = {who: [] for who in steps}
    for step in steps.values():
        for _ in range(FIRST_EAGER + 2 if x.device.type == "cuda" else 1):  # until graphs are replayed
            seconds_of(step, x.device)
    for _ in range(settings.repeats):
        for who, step in steps.items():
            seconds[who].append(seconds_of(step, x.device))
    median = {who: float(f"{statistics.median(values):.3g}") for who, values in seconds.items()}
    found: dict[str, Any] = {
        "seconds": median,
        "images_per_second": {who: round(len(y) / value, 1) for who, value in median.items()},
    }
    if official is not None:
        found["times_as_fast_as_official"] = {
            who: round(statistics.median(b / a for a, b in zip(ours, seconds["official"], strict=True)), 2)
            for who, ours in seconds.items()
            if who != "official"
        }
    return found


def seconds_of(step: Callable[[], None], device: torch.device) -> float:
    """Time one step until the device has done it."""
    wait_for(device)
    begun = time.perf_counter()
    step()
    wait_for(device)
    return time.perf_counter() - begun


def class_wise(device: torch.device) -> tuple[Tensor, Tensor]:
    """Return the eps and beta of each class, as in the middle of a run."""
    spread = torch.linspace(0.6, 1.3, SPEC.num_classes, device=device)
    return spread * EPS, spread * BETA


def weighs(method: str) -> bool:
    """Tell whether a method's loss has two terms."""
    return "method.beta" in settings_of([method])


def own_step(
    name: str,
    weights: dict[str, Tensor],
    x: Tensor,
    y: Tensor,
    precision: str = "tf32",
    held: Callable[[], AbstractContextManager[None]] = repeatable,
    *,
    graphs: bool = False,
) -> Callable[[], None]:
    """Build a step of ours that starts from the same weights every time."""
    method, mode, _ = CASES[name]
    overrides = {"attack.bn_mode": mode, "attack.steps": ATTACK_STEPS, "train.precision": precision}
    if "method.tau" in settings_of([method]):
        overrides["method.tau"] = TAU
    config: RunConfig = configure(
        method, "cifar10", model="preact-resnet18", preset="paper", overrides=overrides
    )
    model = for_training(build_model("preact-resnet18", SPEC, 0), x.device)
    eps, beta = class_wise(x.device)
    robust = beta / (1 + beta)
    weights_of_terms = {"clean_weight": 1 - robust, "robust_weight": robust} if weighs(method) else {}
    knobs, index = Knobs(eps=eps, **weights_of_terms), torch.arange(len(x), device=x.device)
    carry = carrier_for(x.device, print, graphs=graphs)
    step = Step.of(parts_of(config), model, torch.ones_like(eps), carry=carry)

    def run() -> None:
        model.load_state_dict(weights)
        model.train()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4)
        with held(), arithmetic_of(config, x.device):
            step(optimizer, x, y, index, knobs, generator(0, "step", 1, 0, device=x.device))

    return run


def official_step(
    name: str, official: Official, weights: dict[str, Tensor], x: Tensor, y: Tensor
) -> Callable[[], None]:
    """Build the official step, `train_epoch` over one batch, from the same weights every time.

    In the eval-mode case its loss is called in eval mode, as its loop would be.
    """
    method, mode, loss_name = CASES[name]
    model = official.model.PreActResNet18().to(x.device)
    own = {key.removeprefix("network."): w for key, w in weights.items() if key.startswith("network.")}
    loss = getattr(official.attack, loss_name)
    eps, beta = class_wise(x.device)
    third: Any = beta / (1 + beta) if weighs(method) else TAU

    def attack(net: Any, *arguments: Any) -> Any:
        if mode == "eval" and "fat" in loss_name:
            net.eval()
        return loss(net, *arguments)

    def run() -> None:
        model.load_state_dict(own)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4)
        official.train.train_epoch(
            model, [(x, y)], optimizer, x.device, attack, eps, third, ALPHA, ATTACK_STEPS
        )

    return run


if __name__ == "__main__":
    main()
