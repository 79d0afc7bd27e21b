"""How fast attacks are beside their peers, on one model, the same images, budget, seed and batches.

python benchmarks/attacks.py [--images 500] [--eps 0.1] [--repeats 3] [--only pgd|autoattack|passes]
    [--device cuda:0 --name attacks_gpu]

The model is a small-cnn that is trained here, with PGD-AT on fashion-mnist-mini. Peers are used where they
are importable (pip install foolbox adversarial-robustness-toolbox; pip install --no-deps torchattacks).
"""

import argparse
import importlib.util
import logging
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from machine import describe_machine, write_result
from torch import Tensor, nn
from torch.nn import functional as F

from cfa.attacks import PGD, named_attack, one_gradient_a_pass, predict
from cfa.data import Dataset, load_fashion_mnist_mini, to_float
from cfa.evaluation import EvaluationPlan, attack_images
from cfa.models import SmallCNN, ieee_float32, wait_for
from cfa.models.replayed_network import replayed
from cfa.notation import StepSize
from cfa.progress import Observer

PEERS = {
    "torchattacks": "torchattacks",
    "foolbox": "foolbox",
    "art": "adversarial-robustness-toolbox",
    "pyautoattack": "pyautoattack",
}
Perturb = Callable[[Tensor, Tensor], Tensor]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--images", type=int, default=500)
    parser.add_argument("--eps", type=float, default=0.1)
    parser.add_argument("--batch-size", type=int, default=250)
    parser.add_argument("--train-steps", type=int, default=900)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--only", choices=("pgd", "autoattack", "passes"))
    parser.add_argument("--name", default="attacks", help="of the file under benchmarks/results/")
    settings = parser.parse_args()
    torch.set_num_threads(settings.threads)
    machine = describe_machine()
    data = load_fashion_mnist_mini(Path())
    with ieee_float32(torch.device(settings.device)):  # ours would attack in it anyway: peers do as well
        write_result(settings.name, {**compared(data, settings), "machine": machine})


def compared(data: Dataset, settings: argparse.Namespace) -> dict[str, Any]:
    """Train the model, time what is asked for, and return the result."""
    model = trained(data, settings.train_steps, settings.eps, torch.device(settings.device))
    result: dict[str, Any] = {
        "what": "seconds (medians of the repeats, which alternate) and ratios (medians of those within a"
        " repeat) on a small-cnn trained with PGD-AT",
        "settings": vars(settings),
        "clean_accuracy": share_right(model, *some(data, settings)),
        "peers": {name: version(package) for name, package in PEERS.items() if installed(name)},
        "not_installed": [name for name in PEERS if not installed(name)],
    }
    if settings.only in (None, "pgd"):
        result["pgd-20"] = compare_pgd(model, data, settings)
    if settings.only in (None, "autoattack"):
        result["autoattack"] = compare_autoattack(model, data, settings)
    if settings.only in (None, "passes"):
        result["passes of AutoAttack"] = count_passes(model, data, settings)
    return result


def trained(data: Dataset, steps: int, eps: float, device: torch.device) -> nn.Module:
    """Train with PGD-AT: five steps, seed 0."""
    torch.manual_seed(0)
    model = SmallCNN(1, data.num_classes, data.image_size).to(device)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=5e-4)
    attack = PGD(steps=5, step_size=StepSize(value=0.3, relative=True))
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = 0.05 * (1 - step / steps)
        chosen = torch.randint(len(data.train_labels), (128,))
        x, y = to_float(data.train_images[chosen]).to(device), data.train_labels[chosen].to(device)
        loss = F.cross_entropy(model(attack(model, x, y, eps)), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model.eval()


def some(data: Dataset, settings: argparse.Namespace) -> tuple[Tensor, Tensor]:
    """Take the first test images."""
    x, y = to_float(data.test_images[: settings.images]), data.test_labels[: settings.images]
    return x.to(settings.device), y.to(settings.device)


def share_right(model: nn.Module, x: Tensor, y: Tensor) -> float:
    return round(float((predict(model, x) == y).float().mean()), 4)


def installed(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


# PGD ---------------------------------------------------------------------------------------------------


def compare_pgd(model: nn.Module, data: Dataset, settings: argparse.Namespace) -> dict[str, Any]:
    """Time PGD-20 at equal settings: linf, one uniform start, step eps/4, the same batches."""
    x, y = some(data, settings)
    device = torch.device(settings.device)
    contenders = pgd_contenders(model, settings.eps, settings.batch_size, settings.device)
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    robust = {}
    for perturb in contenders.values():
        perturb(x[: settings.batch_size], y[: settings.batch_size])  # what is set up once does not count
    for _ in range(settings.repeats):
        for name, perturb in contenders.items():
            torch.manual_seed(0)
            wait_for(device)
            begun = time.perf_counter()
            found = [
                perturb(a, b)
                for a, b in zip(x.split(settings.batch_size), y.split(settings.batch_size), strict=True)
            ]
            wait_for(device)
            seconds[name].append(time.perf_counter() - begun)
            robust[name] = share_right(model, torch.cat(found), y)
    median = {name: round(statistics.median(values), 3) for name, values in seconds.items()}
    peers = [name for name in median if not name.startswith("cfa")]
    ratios = {}
    if peers:
        fastest = min(peers, key=median.__getitem__)
        ratios = {name: ratio(seconds[fastest], seconds[name]) for name in median if name.startswith("cfa")}
    return {"seconds": median, "robust_accuracy": robust, "times_as_fast_as_the_fastest_peer": ratios}


def ratio(theirs: list[float], ours: list[float]) -> float:
    """Take the median of the ratios within a repeat: the machine's speed changes between repeats."""
    return round(statistics.median(a / b for a, b in zip(theirs, ours, strict=True)), 2)


def pgd_contenders(model: nn.Module, eps: float, batch_size: int, device: str) -> dict[str, Perturb]:
    """Build each peer's PGD-20."""
    contenders: dict[str, Perturb] = {}
    carried = replayed(model.requires_grad_(False), torch.device(device), batch_size, print)

    def replaying(attack: Any, x: Tensor, y: Tensor) -> Tensor:
        if carried is None:
            found: Tensor = attack(model, x, y, eps)
            return found
        with carried.replaying(one_gradient_a_pass(attack)):  # as an evaluation does
            return attack(carried, x, y, eps)  # type: ignore[no-any-return]

    for name in ("pgd-20", "pgd-20-best"):
        attack = named_attack(name, "linf")
        assert attack is not None
        contenders[f"cfa {name}"] = lambda x, y, attack=attack: replaying(attack, x, y)
    if installed("torchattacks"):
        import torchattacks

        theirs = torchattacks.PGD(model, eps=eps, alpha=eps / 4, steps=20, random_start=True)
        contenders["torchattacks"] = lambda x, y: theirs(x, y)
    if installed("foolbox"):
        import foolbox

        wrapped = foolbox.PyTorchModel(model, bounds=(0, 1), device=device)
        linf = foolbox.attacks.LinfPGD(rel_stepsize=0.25, steps=20, random_start=True)
        contenders["foolbox"] = lambda x, y: linf(wrapped, x, y, epsilons=eps)[1]
    if installed("art"):
        contenders["art"] = art_pgd(model, eps, batch_size, device)
    return contenders


def art_pgd(model: nn.Module, eps: float, batch_size: int, device: str) -> Perturb:
    from art.attacks.evasion import ProjectedGradientDescent
    from art.estimators.classification import PyTorchClassifier

    classifier = PyTorchClassifier(
        model=model,
        loss=nn.CrossEntropyLoss(),
        input_shape=(1, 28, 28),
        nb_classes=10,
        clip_values=(0, 1),
        device_type="gpu" if device.startswith("cuda") else "cpu",
    )
    attack = ProjectedGradientDescent(
        classifier,
        eps=eps,
        eps_step=eps / 4,
        max_iter=20,
        num_random_init=1,
        batch_size=batch_size,
        verbose=False,
    )
    return lambda x, y: torch.from_numpy(attack.generate(x.cpu().numpy(), F.one_hot(y, 10).cpu().numpy())).to(
        device
    )


# AutoAttack ----------------------------------------------------------------------------------------------


def compare_autoattack(model: nn.Module, data: Dataset, settings: argparse.Namespace) -> dict[str, Any]:
    """Time AutoAttack standard: the package's own evaluation, and both of our modes with state on disk."""
    runs = {
        "pyautoattack": lambda: package_run(model, data, settings),
        "cfa reference": lambda: own_run(model, data, settings, "reference"),
        "cfa fast": lambda: own_run(model, data, settings, "fast"),
    }
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    predicted: dict[str, Tensor] = {}
    for _ in range(settings.repeats):
        for name, run in runs.items():
            begun = time.perf_counter()
            predicted[name] = run()
            seconds[name].append(time.perf_counter() - begun)
    y = data.test_labels[: settings.images]
    median = {name: round(statistics.median(values), 2) for name, values in seconds.items()}
    theirs = predicted["pyautoattack"]
    return {
        "seconds": median,
        "robust_accuracy": {
            name: round(float((found == y).float().mean()), 4) for name, found in predicted.items()
        },
        "times_as_fast_as_pyautoattack": {
            name: ratio(seconds["pyautoattack"], seconds[name]) for name in median
        },
        "images_that_came_out_differently": {
            name: int(((found == y) != (theirs == y)).sum()) for name, found in predicted.items()
        },
    }


@dataclass
class Passes:
    """Passes of single images through a model; replays, which Python does not see, are not among them.

    Attributes:
        forward: Images that went through it.
        backward: Gradients of images that were taken: of several targets several.
    """

    forward: int = 0
    backward: int = 0

    @property
    def cost(self) -> int:
        """In forward passes: the gradient of an image costs about as much as the pass."""
        return self.forward + self.backward

    @classmethod
    @contextmanager
    def counted(cls, model: nn.Module) -> "Iterator[Passes]":
        """Count those of a model for a while."""
        found = cls()

        def came_back(gradient: Tensor) -> None:
            found.backward += len(gradient)

        def went(module: nn.Module, given: tuple[Tensor, ...]) -> None:
            found.forward += len(given[0])
            if torch.is_grad_enabled() and given[0].requires_grad:
                given[0].register_hook(came_back)

        hook = model.register_forward_pre_hook(went)
        try:
            yield found
        finally:
            hook.remove()


def count_passes(model: nn.Module, data: Dataset, settings: argparse.Namespace) -> dict[str, Any]:
    """Count the passes of all three, and of the images that hold: those have to stand every attack."""
    with Passes.counted(model) as theirs:
        predicted = package_run(model, data, settings)
    counted = {"pyautoattack": theirs}
    for mode in ("reference", "fast"):
        with Passes.counted(model) as counted[f"cfa {mode}"]:
            own_run(model, data, settings, mode)
    first = slice(0, settings.images)
    labels = data.test_labels[first]
    there = predicted == labels
    for absent in set(range(data.num_classes)) - set(labels[there].tolist()):
        there[int(torch.nonzero(labels == absent)[0])] = True  # a part has an image of every class
    holds = torch.nonzero(there).flatten()
    alone = replace(data, test_images=data.test_images[holds], test_labels=data.test_labels[holds])
    with Passes.counted(model) as counted["cfa fast, images that hold alone"]:
        own_run(model, alone, argparse.Namespace(**{**vars(settings), "images": len(holds)}), "fast")
    return {
        "images_that_hold": len(holds),
        "passes": {name: vars(found) for name, found in counted.items()},
        "times_fewer_than_pyautoattack": {
            name: round(theirs.cost / found.cost, 2) for name, found in counted.items()
        },
    }


def package_run(model: nn.Module, data: Dataset, settings: argparse.Namespace) -> Tensor:
    """Run the package's own loop and return the predicted classes."""
    import pyautoattack

    logging.getLogger("auto-attack").setLevel(logging.ERROR)
    adversary = pyautoattack.AutoAttack(
        model, norm="Linf", eps=settings.eps, seed=0, version="standard", device=settings.device
    )
    x, y = some(data, settings)
    _, predicted = adversary.run_standard_evaluation(x, y, batch_size=settings.batch_size)
    return torch.as_tensor(predicted).cpu()


def own_run(model: nn.Module, data: Dataset, settings: argparse.Namespace, mode: Any) -> Tensor:
    """Run ours, with state on disk, progress, checks and kept images."""
    first = slice(0, settings.images)
    part = Dataset(
        data.name,
        data.class_names,
        data.train_images,
        data.train_labels,
        data.test_images[first],
        data.test_labels[first],
    )
    plan = EvaluationPlan(
        attacks=("autoattack",), eps=settings.eps, batch_size=settings.batch_size, mode=mode
    )
    with tempfile.TemporaryDirectory() as folder:
        found = attack_images(
            model, part, plan, torch.device(settings.device), Observer(), Path(folder), replays=True
        )
    return torch.from_numpy(found.predictions["autoattack"]).long()


if __name__ == "__main__":
    main()
